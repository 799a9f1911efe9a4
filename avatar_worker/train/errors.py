"""What can go wrong in training, beyond what reading a data folder refuses.

TrainingError
└── BrokenFolderError    a data folder, with the list of all that is missing or wrong
"""

from pathlib import Path

from avatar_worker.sentence import one_line


class TrainingError(Exception):
    """Training cannot start or go on; the message is one sentence for the user."""


class BrokenFolderError(TrainingError):
    """A data folder that training cannot use; the message has a line for each problem."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.problems = problems
        count = f"{len(problems)} things are" if len(problems) > 1 else "one thing is"
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{one_line(str(folder))} cannot be trained on, {count} wrong:{lines}")
