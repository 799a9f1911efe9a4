"""From points in pictures to where the head is: one focal length, one shape, a pose a frame.

Axes of the head: x to the right of the picture, y up, z towards the viewer, metres. Camera axes are
the same (it looks along −z). A pose takes head points to the camera: X_c = R X + t.
"""
