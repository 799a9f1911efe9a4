"""Draws a character: head field, occupancy, marching, background, portrait blending.

A library of its own: it imports torch, numpy, OpenCV and nothing of ours outside this folder.
The door is `avatar_worker.render.renderer`.
"""
