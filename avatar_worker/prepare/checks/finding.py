"""One thing that was noticed about the footage."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

CODES: Final = (
    "frame-rate", "uneven-pace", "length", "sound", "size", "no-face", "faces", "border",
    "head-room", "small", "dark", "bright", "blur", "turned", "background",
)  # fmt: skip
"""What can be noticed; `--accept` takes these names."""

NEVER_ACCEPTED: Final = ("no-face",)
"""Without it there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found and what is wanted, a clause each.

    Attributes:
        code: one of `CODES`.
        is_refusal: nothing good can come of this footage; else it is advice.
        found: what the footage shows, with numbers.
        wanted: what it should show, and how to come by it.
    """

    code: str
    is_refusal: bool
    found: str
    wanted: str

    def stands(self, accepted: Collection[str]) -> bool:
        """Whether it stands in the way of a caller who accepts these codes."""
        return self.is_refusal and (self.code not in accepted or self.code in NEVER_ACCEPTED)

    def line(self, accepted: Collection[str]) -> str:
        """How it is shown."""
        kind = "advice  "
        if self.is_refusal:
            kind = "refused " if self.stands(accepted) else "accepted"
        return f"{kind} {self.code}: {self.found}; {self.wanted}"


def refusals(findings: Sequence[Finding], accepted: Collection[str]) -> list[Finding]:
    """What stands in the way, short of what the caller accepts."""
    return [finding for finding in findings if finding.stands(accepted)]
