"""Text → speech: voices, phonemes, and what was spoken before, kept by content."""
