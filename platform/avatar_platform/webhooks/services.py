"""Messages to applications, after Standard Webhooks: written with the change, sent after it.

A delivery row is part of the transaction that made it true. Sending is a control task; what could
not be delivered is tried again, later and later, and finally given up, visibly.
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import F
from django.utils.crypto import salted_hmac

from avatar_platform import clock
from avatar_platform.access.models import Account
from avatar_platform.errors import InvalidRequestError, NotFoundError
from avatar_platform.gateways import after_commit, gateways
from avatar_platform.gateways.outbound import AddressRefusedError, check_url
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.webhooks.models import Delivery, Endpoint

EVENTS: Final = tuple(
    f"session.{state}"
    for state in ("queued", "provisioning", "ready", "active", "ending", "ended", "failed")
)
MAX_ENDPOINTS: Final = 10
BACKOFF_S: Final = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000)
"""Before the second, third, … attempt; about 18 hours in all."""
RETRY_BATCH: Final = 50


def secret_of(owner: Endpoint | Account) -> str:
    """The signing secret of an address, or of an account's callbacks; derived, never stored."""
    return f"whsec_{base64.b64encode(_key(owner)).decode()}"


def _key(owner: Endpoint | Account) -> bytes:
    name = f"{type(owner).__name__}:{owner.pk}"
    return salted_hmac("avatar_platform.webhooks", name, algorithm="sha256").digest()


def add_endpoint(*, account: Account, url: str, events: list[str]) -> Endpoint:
    """Send this account's messages to an address from now on.

    Raises:
        InvalidRequestError: the address or an event's name is refused, or there are too many.
    """
    try:
        check_url(url)
    except AddressRefusedError as error:
        raise InvalidRequestError(str(error), field="url") from error
    if unknown := set(events) - set(EVENTS):
        raise InvalidRequestError(f"unknown event {min(unknown)!r}", field="events")
    if Endpoint.objects.filter(account=account).count() >= MAX_ENDPOINTS:
        raise InvalidRequestError(f"at most {MAX_ENDPOINTS} addresses")
    return Endpoint.objects.create(account=account, url=url, events=events, created_at=clock.now())


def remove_endpoint(*, account: Account, endpoint_id: uuid.UUID) -> None:
    """Send nothing there any more.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
    """
    deleted, _ = Endpoint.objects.filter(account=account, pk=endpoint_id).delete()
    if not deleted:
        raise NotFoundError("no such webhook")


def notify(
    *,
    account: Account,
    session_id: uuid.UUID,
    kind: str,
    data: Callable[[], dict[str, Any]],
    callback_url: str = "",
) -> None:
    """Tell an account's addresses, and a session's own one, inside the change's transaction.

    Args:
        session_id: the session that the message tells of.
        data: makes the message's content; asked only when somebody wants to hear.
    """
    now = clock.now()
    targets: list[tuple[Endpoint | None, str]] = [
        (endpoint, endpoint.url)
        for endpoint in Endpoint.objects.filter(account=account)
        if not endpoint.events or kind in endpoint.events
    ]
    if callback_url:
        targets.append((None, callback_url))
    if not targets:
        return
    body = json.dumps({"type": kind, "timestamp": now.isoformat(), "data": data()})
    for endpoint, url in targets:
        delivery = Delivery.objects.create(
            account=account,
            endpoint=endpoint,
            session_id=session_id,
            url=url,
            kind=kind,
            body=body,
            created_at=now,
            next_attempt_at=now,
        )
        after_commit(ControlTask.DELIVER, str(delivery.pk))


def forget(session_id: uuid.UUID) -> None:
    """Erase all that was told of a session; what has not arrived yet is not sent any more."""
    Delivery.objects.filter(session_id=session_id).delete()


def deliver(delivery_id: str) -> bool:
    """Try a message that is due; false when it is not, or was not taken.

    The attempt is booked before it is made, so that two workers do not make it both.
    """
    now = clock.now()
    delivery = (
        Delivery.objects.select_related("account", "endpoint")
        .filter(pk=delivery_id, next_attempt_at__lte=now)
        .first()
    )
    if delivery is None or not _book(delivery, now):
        return False
    outcome = gateways().outbound.post(
        delivery.url, delivery.body.encode(), signed_headers(delivery, now)
    )
    taken = outcome.isdecimal() and 200 <= int(outcome) < 300
    done = {"delivered_at": now, "next_attempt_at": None} if taken else {}
    Delivery.objects.filter(pk=delivery.pk).update(last_outcome=outcome[:200], **done)
    return taken


def _book(delivery: Delivery, now: datetime) -> bool:
    wait = BACKOFF_S[delivery.attempts] if delivery.attempts < len(BACKOFF_S) else None
    following = None if wait is None else now + timedelta(seconds=wait)
    here = Delivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts)
    return bool(here.update(attempts=F("attempts") + 1, next_attempt_at=following))


def signed_headers(delivery: Delivery, now: datetime) -> dict[str, str]:
    """Id, time and signature over both and the body (Standard Webhooks, symmetric `v1`)."""
    moment = str(int(now.timestamp()))
    signed = f"{delivery.pk}.{moment}.{delivery.body}".encode()
    digest = hmac.new(_key(delivery.endpoint or delivery.account), signed, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": str(delivery.pk),
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def revive(delivery: Delivery) -> bool:
    """Try a message again that was not taken so far, from the first wait on; false when it was."""
    here = Delivery.objects.filter(pk=delivery.pk, delivered_at=None)
    if not here.update(attempts=0, next_attempt_at=clock.now()):
        return False
    after_commit(ControlTask.DELIVER, str(delivery.pk))
    return True


def retry_due() -> None:
    """Enqueue what is due again; the reaper's round."""
    now = clock.now()
    due = Delivery.objects.filter(next_attempt_at__lte=now - timedelta(seconds=1))
    for pk in due.order_by("next_attempt_at").values_list("pk", flat=True)[:RETRY_BATCH]:
        gateways().tasks.control(ControlTask.DELIVER, str(pk))
