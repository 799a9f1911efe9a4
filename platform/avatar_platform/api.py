"""The public API object: version, error shape, routers. Every route names its key's scope."""

from typing import Any

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.deprecation import MiddlewareMixin
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError, ValidationErrorContext
from ninja.openapi.schema import OpenAPISchema

from avatar_platform.characters.api import router as characters
from avatar_platform.characters.api import voices_router as voices
from avatar_platform.complaints import complaint
from avatar_platform.errors import (
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    PlatformError,
    UnknownHostError,
    problem,
)
from avatar_platform.fleet.public_api import router as workers
from avatar_platform.observability import log
from avatar_platform.sessions.api import router as sessions
from avatar_platform.sessions.usage import router as usage
from avatar_platform.webhooks.api import router as webhooks

PROBLEM_JSON = "application/problem+json"


class PublicAPI(NinjaAPI):
    """Says in its description that errors are `application/problem+json`."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        for methods in schema["paths"].values():
            for operation in methods.values():
                for status, answer in operation["responses"].items():
                    content = answer.get("content", {})
                    if int(status) >= 400 and "application/json" in content:
                        content[PROBLEM_JSON] = content.pop("application/json")
        return schema

    def validation_error_from_error_contexts(
        self, error_contexts: list[ValidationErrorContext[Any]]
    ) -> ValidationError:
        """Ninja's, with what was found, which Ninja leaves out."""
        error = super().validation_error_from_error_contexts(error_contexts)
        inputs = [
            issue["input"]
            for context in error_contexts
            for issue in context.pydantic_validation_error.errors(include_url=False)
        ]
        for issue, found in zip(error.errors, inputs, strict=True):
            issue["input"] = found
        return error


api = PublicAPI(
    title="Avatar platform",
    version="1",
    description="Sessions with real-time conversational avatars. Errors are RFC 9457 problems.",
    urls_namespace="api-v1",
)
api.add_router("/sessions", sessions)
api.add_router("/characters", characters)
api.add_router("/voices", voices)
api.add_router("/workers", workers)
api.add_router("/usage", usage)
api.add_router("/webhooks", webhooks)


@api.exception_handler(PlatformError)
def on_platform_error(request: HttpRequest, error: PlatformError) -> HttpResponse:
    return problem(error)


def _issue(issue: dict[str, Any]) -> dict[str, str]:
    """Field and message; a body's field goes without our own name for the body."""
    place, *path = issue["loc"]
    field = ".".join(str(part) for part in (path[1:] if place == "body" else path))
    if issue["type"] == "missing" and not field:
        return {"field": "", "message": "expected a JSON object, found nothing"}
    return {"field": field, "message": complaint(issue)}


@api.exception_handler(ValidationError)
def on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    issues = [_issue(issue) for issue in error.errors]
    first = issues[0] if issues else {"field": "", "message": "expected another one"}
    message = f"{first['field'] or 'the body'}: {first['message']}"
    return problem(InvalidRequestError(message, field=first["field"], errors=issues))


@api.exception_handler(Http404)
def on_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(NotFoundError("no such thing"))


@api.exception_handler(HttpError)
def on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem(InvalidRequestError(str(error)))


@api.exception_handler(RequestDataTooBig)
def on_too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem(InvalidRequestError("the request is too large"))


@api.exception_handler(TooManyFieldsSent)
@api.exception_handler(TooManyFilesSent)
def on_too_many(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    n_files, n_fields = (
        settings.DATA_UPLOAD_MAX_NUMBER_FILES,
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS,
    )
    message = f"expected at most {n_files} files and {n_fields} fields, found more"
    return problem(InvalidRequestError(message))


@api.exception_handler(MultiPartParserError)
@api.exception_handler(BadRequest)
@api.exception_handler(SuspiciousOperation)
def on_unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(InvalidRequestError(f"expected a form that can be read, found: {error}"))


@api.exception_handler(Exception)
def on_anything_else(request: HttpRequest, error: Exception) -> HttpResponse:
    log().exception("request failed", path=request.path, error=type(error).__name__)
    return problem(PlatformError("something went wrong on our side"))


class ApiProblemsMiddleware(MiddlewareMixin):
    """Under `/api/` a host, address or method that we do not have is answered by a problem, too."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        is_problem = response.headers.get("Content-Type") == PROBLEM_JSON
        if is_problem or not request.path.startswith("/api/"):
            return response
        if response.status_code == 404:
            return problem(NotFoundError(f"there is nothing at {request.path}"))
        if response.status_code == 405:
            allowed = response.headers["Allow"]
            refusal = problem(MethodNotAllowedError(f"expected {allowed}, found {request.method}"))
            refusal.headers["Allow"] = allowed
            return refusal
        if response.status_code == 400:
            try:
                request.get_host()
            except DisallowedHost:
                host = request.headers.get("Host", "")
                return problem(UnknownHostError(f"the host {host!r} is not among ALLOWED_HOSTS"))
        return response
