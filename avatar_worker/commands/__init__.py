"""Commands of `python -m avatar_worker`, one module each."""
