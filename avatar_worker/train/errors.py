"""What can go wrong in training, beyond what reading a data folder refuses."""


class TrainingError(Exception):
    """Training cannot start or go on; the message is one sentence for the user."""
