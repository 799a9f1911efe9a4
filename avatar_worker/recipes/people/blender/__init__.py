"""The part that imports ``bpy``: run apart from the service, in an environment of its own."""

import bpy  # noqa: F401  (first: it is what makes bmesh and mathutils importable)
