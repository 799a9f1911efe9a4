"""Joins rooms, listens and speaks."""
