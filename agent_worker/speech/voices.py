"""Voice names → voices: `kokoro:<style>` and `piper:<name>`. Each is loaded once per process."""

import threading
from typing import Final

from agent_worker.errors import UnknownVoiceError
from agent_worker.speech import kokoro, piper
from agent_worker.speech.voice import Voice

_LOCK: Final = threading.Lock()
_LOADED: Final[dict[str, Voice]] = {}


def voice_names() -> tuple[str, ...]:
    """Every voice that this installation can speak with."""
    return (
        *(f"kokoro:{name}" for name in kokoro.installed()),
        *(f"piper:{name}" for name in piper.installed()),
    )


def load_voice(name: str) -> Voice:
    """The voice of that name; its network is read when it speaks first.

    Raises:
        UnknownVoiceError: there is no such voice here.
    """
    with _LOCK:
        if name not in _LOADED:
            engine, _, style = name.partition(":")
            if engine == "kokoro":
                _LOADED[name] = kokoro.KokoroVoice(style)
            elif engine == "piper":
                _LOADED[name] = piper.PiperVoice(style)
            else:
                raise UnknownVoiceError(f"no voice {name}; installed: {', '.join(voice_names())}")
        return _LOADED[name]


def known_or_default(name: str, default: str) -> str:
    """`name` when it can be spoken with here, else the default, else any.

    Raises:
        UnknownVoiceError: no voice is installed at all.
    """
    names = voice_names()
    for candidate in (name, default, *names):
        if candidate in names:
            return candidate
    raise UnknownVoiceError("no voice is installed")
