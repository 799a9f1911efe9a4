"""What can go wrong in the domain, and how HTTP says it.

    PlatformError
    ├── NotFoundError                404 not_found          also: another tenant's object
    ├── UnauthenticatedError         401 unauthenticated
    ├── ForbiddenError               403 forbidden          the key lacks a scope
    ├── MethodNotAllowedError        405 method_not_allowed
    ├── InvalidRequestError          422 invalid_request
    │   └── UnknownHostError         400 invalid_request
    ├── CharacterUnavailableError    422 character_unavailable
    ├── WrongStateError              409 wrong_state        carries the current status
    ├── IdempotencyConflictError     409 idempotency_conflict
    ├── ConcurrencyLimitError        429 concurrency_limit_exceeded
    ├── RateLimitError               429 rate_limit_exceeded
    ├── BundleError                  422 bundle_refused
    └── UnavailableError             503 unavailable        an engine we need does not answer

Services raise these; only `problem()` knows HTTP. The shape is RFC 9457 (problem details).
"""

from enum import StrEnum
from typing import Any, ClassVar, Final

from django.http import HttpResponse, JsonResponse

from avatar_platform.observability import REFUSED

UNAVAILABLE_RETRY_AFTER_S: Final = 2


class ErrorCode(StrEnum):
    """The closed list of `code`s."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    INVALID_REQUEST = "invalid_request"
    CHARACTER_UNAVAILABLE = "character_unavailable"
    BUNDLE_REFUSED = "bundle_refused"
    WRONG_STATE = "wrong_state"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    CONCURRENCY_LIMIT_EXCEEDED = "concurrency_limit_exceeded"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    UNAVAILABLE = "unavailable"
    INTERNAL_ERROR = "internal_error"


class PlatformError(Exception):
    """Something the caller can understand. `extra` goes into the answer beside the message."""

    status: ClassVar[int] = 500
    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, *, retry_after_s: float | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.extra = extra


class NotFoundError(PlatformError):
    status, code, title = 404, ErrorCode.NOT_FOUND, "Not found"


class UnauthenticatedError(PlatformError):
    status, code, title = 401, ErrorCode.UNAUTHENTICATED, "Not authenticated"


class ForbiddenError(PlatformError):
    status, code, title = 403, ErrorCode.FORBIDDEN, "Not allowed"


class MethodNotAllowedError(PlatformError):
    status, code, title = 405, ErrorCode.METHOD_NOT_ALLOWED, "Method not allowed"


class InvalidRequestError(PlatformError):
    status, code, title = 422, ErrorCode.INVALID_REQUEST, "Invalid request"


class UnknownHostError(InvalidRequestError):
    status = 400


class CharacterUnavailableError(PlatformError):
    status, code, title = 422, ErrorCode.CHARACTER_UNAVAILABLE, "Character unavailable"


class WrongStateError(PlatformError):
    status, code, title = 409, ErrorCode.WRONG_STATE, "Not possible in this state"


class IdempotencyConflictError(PlatformError):
    status, code, title = 409, ErrorCode.IDEMPOTENCY_CONFLICT, "Idempotency key used before"


class ConcurrencyLimitError(PlatformError):
    status, code, title = 429, ErrorCode.CONCURRENCY_LIMIT_EXCEEDED, "Too many open sessions"


class RateLimitError(PlatformError):
    status, code, title = 429, ErrorCode.RATE_LIMIT_EXCEEDED, "Too many requests"


class BundleError(PlatformError):
    status, code, title = 422, ErrorCode.BUNDLE_REFUSED, "Bundle refused"


class UnavailableError(PlatformError):
    status, code, title = 503, ErrorCode.UNAVAILABLE, "Temporarily unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_s=UNAVAILABLE_RETRY_AFTER_S)


def problem(error: PlatformError) -> HttpResponse:
    """The error as `application/problem+json`."""
    REFUSED.labels(error.code.value).inc()
    body = {
        "type": f"urn:avatar-platform:problem:{error.code.value}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code.value,
        "message": error.message,
        **error.extra,
    }
    response = JsonResponse(
        body, status=error.status, content_type="application/problem+json", safe=True
    )
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
