"""What pydantic complains of, in the caller's words: what was expected, and what was found."""

from typing import Any, Final

from avatar_contracts.picture import COLOUR
from avatar_platform.characters.schemas import SLUG
from avatar_platform.schemas import TEXT

MAX_FOUND_CHARS: Final = 60
_PATTERNS: Final = {
    TEXT: "expected a text without NUL characters",
    SLUG: "expected 1 to 60 lower-case letters, digits, - and _, the first a letter or digit",
    COLOUR: "expected a colour such as #00b140",
}


def complaint(issue: Any) -> str:
    """One issue as a sentence. An address is never repeated: it may hold a password."""
    kind, message, found = issue["type"], issue["msg"], _shown(issue["input"])
    if kind == "value_error":
        return str(message).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "too_long" and isinstance(issue["input"], str):
        limit, length = issue["ctx"]["max_length"], issue["ctx"]["actual_length"]
        return f"expected at most {limit} characters, found {length}"
    if kind in ("missing", "too_long", "too_short") or kind.startswith("url_"):
        return str(message)
    if kind in ("model_attributes_type", "model_type", "dict_type"):
        return f"expected a JSON object, found {found}"
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS.get(issue['ctx']['pattern'], 'expected another form')}, found {found}"
    return f"{message}, found {found}"


def _shown(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return repr(value) if len(value) <= MAX_FOUND_CHARS else f"{len(value)} characters"
        case int() | float():
            digits = str(value)
            return digits if len(digits) <= MAX_FOUND_CHARS else f"{digits[:MAX_FOUND_CHARS]}…"
        case list():
            return "a list"
        case dict():
            return "an object"
    return "another kind of value"
