"""What is only remembered for a while, in Django's cache on Redis.

Nothing here decides about sessions, so nothing here may stop the platform: while Redis is away,
nothing is counted and nothing is known.
"""

from typing import Any, TypeVar

import redis
from django.core.cache import cache

from avatar_platform.observability import log

T = TypeVar("T")


def count(name: str, window_s: int) -> int:
    """How often this was called for a name within the present window, this time included."""
    try:
        if cache.add(name, 1, timeout=window_s):
            return 1
        return int(cache.incr(name))
    except ValueError:  # the window ended between the two calls
        return 1
    except redis.RedisError as error:
        return _away(error, 0)


def is_first(name: str, remember_s: int) -> bool:
    """Whether this name is seen for the first time within that time."""
    try:
        return bool(cache.add(name, 1, timeout=remember_s))
    except redis.RedisError as error:
        return _away(error, True)


def recall(name: str) -> Any:
    """What was noted under a name; None when nothing was, or it is too long ago."""
    try:
        return cache.get(name)
    except redis.RedisError as error:
        return _away(error, None)


def note(name: str, value: Any, remember_s: int) -> None:
    try:
        cache.set(name, value, timeout=remember_s)
    except redis.RedisError as error:
        _away(error, None)


def _away(error: redis.RedisError, instead: T) -> T:
    log().warning("Redis does not answer", error=type(error).__name__)
    return instead
