"""`Idempotency-Key`: the same request twice makes one thing and two equal answers, for a day."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction

from avatar_platform import clock
from avatar_platform.access.models import Account, IdempotentAnswer
from avatar_platform.errors import IdempotencyConflictError, InvalidRequestError, NotFoundError

KEEP_HOURS: Final = 24
MAX_KEY_LENGTH: Final = 200


def once(
    *, account: Account, key: str | None, path: str, body: bytes, do: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """Do something, or return what it answered when this key was first used.

    The row with the key is written before, and in the same transaction as, what is done: of many
    requests at once one works and the others wait for its answer. What fails is not kept.

    Args:
        path: what is asked for; the same key may be used once for each.
        body: what the request says, or its hash; the same key may be used for one only.
        do: makes the answer, a JSON object without secrets; runs at most once per key.

    Returns:
        The answer, and whether it was made now.

    Raises:
        IdempotencyConflictError: the key was used for another body.
        NotFoundError: what was made under this key has been erased.
        InvalidRequestError: the key is too long.
    """
    if not key:
        return do(), True
    if len(key) > MAX_KEY_LENGTH:
        raise InvalidRequestError(f"Idempotency-Key: at most {MAX_KEY_LENGTH} characters")
    now = clock.now()
    body_sha256 = hashlib.sha256(body).hexdigest()
    here = IdempotentAnswer.objects.filter(account=account, key=key, path=path)
    here.filter(created_at__lt=now - timedelta(hours=KEEP_HOURS)).delete()
    try:
        with transaction.atomic():
            kept = IdempotentAnswer.objects.create(
                account=account, key=key, path=path, body_sha256=body_sha256, created_at=now
            )
            answer = kept.answer = do()
            kept.save(update_fields=["answer"])
            return answer, True
    except IntegrityError:
        earlier = here.first()
        if earlier is None:  # it was something else that clashed
            raise
    if earlier.body_sha256 != body_sha256:
        raise IdempotencyConflictError("this Idempotency-Key was used for another request")
    if earlier.answer is None:
        raise NotFoundError("what this Idempotency-Key made has been erased")
    return earlier.answer, False


def forget(*, account: Account, made: uuid.UUID) -> None:
    """Keep no answer about what was made; its key stays used, so that a repetition makes no more.

    Args:
        made: the `id` in the answer.
    """
    IdempotentAnswer.objects.filter(account=account, answer__id=str(made)).update(answer=None)
