"""Sentences for the visitor, in a voice that is not the avatar's."""

from functools import cache

import numpy as np

from agent_worker.speech.voices import load_voice

VISITOR_VOICE = "piper:joe"
RATE_HZ = 24_000
LEAD_S = 0.3


@cache
def spoken(text: str) -> tuple[np.ndarray, int]:
    """Float samples in [-1, 1] with a little silence on both sides, and their rate in Hz."""
    pcm = load_voice(VISITOR_VOICE).speak(text)
    samples = pcm.astype(np.float32) / 32768
    silence = np.zeros(int(LEAD_S * RATE_HZ), np.float32)
    return np.concatenate([silence, samples, silence]), RATE_HZ
