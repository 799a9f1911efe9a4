"""Draws people who do not exist: plan, pictures, and the film or data folder a trainer reads."""
