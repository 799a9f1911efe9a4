"""A voice's name → the voice, all at the rate of the spoken track."""

from __future__ import annotations

from avatar_worker.recipes.people.script import SAMPLE_RATE
from avatar_worker.recipes.speech.utterance import Utterance

JOE = "joe"


def speak(text: str, voice: str, speed: float) -> Utterance:
    """Speaks a sentence at the rate of the track; see `synthesise`."""
    return at_track_rate(synthesise(text, voice, speed))


def synthesise(text: str, voice: str, speed: float = 1.0) -> Utterance:
    """Speaks a sentence with the Piper voice joe or one of Kokoro's, at the voice's own rate."""
    if voice == JOE:
        from avatar_worker.recipes.speech import joe

        return joe.synthesise(text, speed)
    from avatar_worker.recipes.speech import kokoro

    return kokoro.synthesise(text, voice, speed)


def at_track_rate(spoken: Utterance) -> Utterance:
    """The same sound at the track's rate; marks are in seconds and stay."""
    if spoken.sample_rate == SAMPLE_RATE:
        return spoken
    import soxr  # not there in the drawing environment

    samples = soxr.resample(spoken.samples, spoken.sample_rate, SAMPLE_RATE)
    return Utterance(samples, SAMPLE_RATE, spoken.marks)
