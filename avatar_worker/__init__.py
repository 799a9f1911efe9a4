"""Renders and publishes the face."""
