"""Turns sound into the vectors that move the face: mel, encoder, window, pooling.

A library of its own: it imports torch, numpy and nothing of ours outside this folder.
The door for the live path is `avatar_worker.audio.features.AudioFeatureStream`.
"""
