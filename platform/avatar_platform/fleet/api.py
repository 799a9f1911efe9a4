"""The internal API: what workers call, with `Authorization: Bearer WORKER_TOKEN`.

The calls are described in `avatar_contracts.internal`; bodies are the contract's own dataclasses.
"""

import hmac
from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Final, TypeVar

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from avatar_contracts import codec
from avatar_contracts.beat import BeatAnswer, ClaimRequest, StopOrder, WorkerBeat
from avatar_contracts.messages import ReportBatch
from avatar_platform.characters.selectors import bundle_of
from avatar_platform.config import get_settings
from avatar_platform.errors import (
    InvalidRequestError,
    PlatformError,
    UnauthenticatedError,
    problem,
)
from avatar_platform.fleet import leases
from avatar_platform.observability import bound
from avatar_platform.sessions import assignments, events

DOWNLOAD_CHUNK_BYTES: Final = 1 << 20
T = TypeVar("T")
View = Callable[..., HttpResponseBase]


def check_worker(request: HttpRequest) -> None:
    """Let workers in and nobody else; in constant time.

    Raises:
        UnauthenticatedError: wrong token, or none is configured.
    """
    expected = get_settings().worker_token.get_secret_value()
    given = request.headers.get("Authorization", "")
    if not expected or not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        raise UnauthenticatedError("the worker token is missing or wrong")


def internal(method: str) -> Callable[[View], View]:
    """A view for workers: method and token checked, domain errors turned into problems."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def wrapped(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method != method:
                return HttpResponse(status=405, headers={"Allow": method})
            try:
                check_worker(request)
                return view(request, *args, **kwargs)
            except PlatformError as error:
                return problem(error)

        return wrapped

    return decorate


def _read(cls: type[T], request: HttpRequest) -> T:
    try:
        return codec.from_json(cls, request.body)
    except codec.ContractError as error:
        raise InvalidRequestError(str(error)) from error


def _answer(value: object) -> HttpResponse:
    return HttpResponse(codec.to_json(value), content_type="application/json")


@internal("POST")
def beat(request: HttpRequest) -> HttpResponseBase:
    """Renew the lease, apply what happened, say what to stop."""
    told = _read(WorkerBeat, request)
    with bound(worker_id=told.worker):
        if not leases.renew(told, shows_faces=assignments.shows_faces(told.worker)):
            return _answer(BeatAnswer(dead=True))
        for report in told.reports:
            events.apply_report(report)
        assignments.requeue_forgotten(told)
        stop: tuple[StopOrder, ...] = assignments.stop_orders(told)
        return _answer(BeatAnswer(dead=False, stop=stop))


@internal("POST")
def claim(request: HttpRequest) -> HttpResponseBase:
    """Hand a session to a worker, with all it needs to serve it."""
    wanted = _read(ClaimRequest, request)
    with bound(worker_id=wanted.worker, session_id=wanted.session):
        return _answer(assignments.claim(wanted))


@internal("POST")
def reports(request: HttpRequest) -> HttpResponseBase:
    """Apply what an agent tells, in order."""
    for report in _read(ReportBatch, request).reports:
        events.apply_report(report)
    return HttpResponse(status=204)


@internal("GET")
def conversation(request: HttpRequest, session_id: str) -> HttpResponseBase:
    """Who the agent is in this session."""
    return _answer(assignments.conversation(session_id))


@csrf_exempt
async def bundle(request: HttpRequest, version_id: str) -> HttpResponseBase:
    """A character's bundle, streamed; `ETag` is its sha256."""
    try:
        check_worker(request)
        file, sha256, size_bytes = await sync_to_async(bundle_of)(version_id)
    except PlatformError as error:
        return problem(error)
    return StreamingHttpResponse(
        _chunks(file),
        content_type="application/zip",
        headers={"ETag": f'"{sha256}"', "Content-Length": str(size_bytes)},
    )


async def _chunks(file: "File[bytes]") -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    try:
        while chunk := await read(DOWNLOAD_CHUNK_BYTES):
            yield chunk
    finally:
        await sync_to_async(file.close)()
