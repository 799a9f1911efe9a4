"""Notices when an input makes code run.

Python reports what it does to an audit hook: processes started, text executed, names looked up by
a pickle, sockets, files written. While the wire is drawn each of these is written down. Hostile
inputs also try to write a file and to import `tests.mutations.hostile`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

HOSTILE: Final = "tests.mutations.hostile"
EVENTS: Final = frozenset(
    {
        "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill",
        "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.putenv",
        "os.symlink", "os.link", "shutil.rmtree", "shutil.copyfile", "subprocess.Popen",
        "pty.spawn", "socket.connect", "socket.bind", "socket.getaddrinfo", "webbrowser.open",
        "urllib.Request", "pickle.find_class", "ctypes.dlopen",
    }
)  # fmt: skip
WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

_sprung: list[str] = []
_state = {"installed": False, "armed": False}


@contextmanager
def tripwire() -> Iterator[list[str]]:
    """Inside, what an input makes happen is appended to the list."""
    if not _state["installed"]:
        sys.addaudithook(_note)
        _state["installed"] = True
    _sprung.clear()
    _state["armed"] = True
    try:
        yield _sprung
    finally:
        _state["armed"] = False


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if not _state["armed"]:
        return
    if event in EVENTS:
        _sprung.append(f"{event}{arguments[:2]!r:.200}")
    elif event == "import" and arguments[0] == HOSTILE:
        _sprung.append("import of the hostile module")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        _sprung.append(f"open for writing: {arguments[0]!r:.200}")
    elif event == "exec" and getattr(arguments[0], "co_filename", "") == "<string>":
        _sprung.append("text was executed")
