"""Which pixel is face, other head, neck, torso, background.

No network for this comes in a package, so it is put together: a person mask, the still background,
the mesh of the face, and the colours of this person's skin, hair and clothes.
"""
