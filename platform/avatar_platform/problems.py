"""The error body of the API, as OpenAPI shows it."""

from ninja import Schema

from avatar_platform.errors import ErrorCode


class FieldIssue(Schema):
    field: str
    message: str


class Problem(Schema):
    """RFC 9457 problem details; `code` is from a closed list."""

    type: str
    title: str
    status: int
    detail: str
    code: ErrorCode
    message: str
    field: str | None = None
    errors: list[FieldIssue] | None = None
    current_status: str | None = None
    limit: int | None = None
    running: int | None = None


def answers(*statuses: int) -> dict[int, type[Problem]]:
    """The problems an operation may answer, beside those that any may."""
    return dict.fromkeys(sorted({401, 403, 422, 429, *statuses}), Problem)
