"""Speech with phoneme times from freely licensed engines: training data for ears and mouths."""
