"""Draws our demo character Mira: plan, pictures and the data folder the trainer reads."""
