"""A voice's name → the voice, all at the rate of the spoken track."""

from __future__ import annotations

from avatar_worker.recipes.people.script import SAMPLE_RATE
from avatar_worker.recipes.speech.utterance import Utterance

JOE = "joe"


def speak(text: str, voice: str, speed: float) -> Utterance:
    """Speaks a sentence with the Piper voice joe or one of Kokoro's."""
    if voice == JOE:
        from avatar_worker.recipes.speech import joe

        return at_track_rate(joe.synthesise(text, speed))
    from avatar_worker.recipes.speech import kokoro

    return at_track_rate(kokoro.synthesise(text, voice, speed))


def at_track_rate(spoken: Utterance) -> Utterance:
    """The same sound at the track's rate; marks are in seconds and stay."""
    if spoken.sample_rate == SAMPLE_RATE:
        return spoken
    import soxr  # not there in the drawing environment

    samples = soxr.resample(spoken.samples, spoken.sample_rate, SAMPLE_RATE)
    return Utterance(samples, SAMPLE_RATE, spoken.marks)
