"""Trains the audio encoder that the project ships: speech, labels, features, training, gate."""
