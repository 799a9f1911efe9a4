"""Looks at the footage before hours are spent on it, and says in words what is wrong."""
