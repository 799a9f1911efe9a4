"""HTTP to addresses that tenants chose: never into our own network unless the operator allows it.

The check is made where the connection is made, on the address the name resolves to, so a name
that resolves differently a moment later gains nothing. Redirects are not followed.
"""

import ipaddress
import socket
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from asgiref.sync import async_to_sync

from avatar_platform.config import get_settings

TIMEOUT_S: Final = 10.0


class AddressRefusedError(ValueError):
    """The address is not one we send to; the text says why."""


def check_url(url: str) -> None:
    """Refuse what can be refused without resolving the name.

    Raises:
        AddressRefusedError: another scheme, credentials in it, or a private address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefusedError("expected an http or https address")
    if parts.username or parts.password:
        raise AddressRefusedError("an address must not carry credentials")
    _check_host(parts.hostname)


def _check_host(host: str) -> None:
    if get_settings().platform_webhooks_private:
        return
    host = host.rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A single word, such as `redis`, is looked up among our own machines.
        if "." not in host or host.endswith(".localhost"):
            raise AddressRefusedError("this address is inside our own network") from None
        return
    if not address.is_global or address.is_multicast:
        raise AddressRefusedError("this address is inside our own network")


class _PublicOnly(AbstractResolver):
    """Resolves names, and refuses those that lead into our own network."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            _check_host(result["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


class Outbound(Protocol):
    def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """Send once; returns the status code as text, or in words why there is none."""


class HttpOutbound:
    """The real one."""

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        try:
            check_url(url)
            return async_to_sync(self._post)(url, body, headers)
        except AddressRefusedError as error:
            return str(error)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return f"no answer ({type(error).__name__})"

    @staticmethod
    async def _post(url: str, body: bytes, headers: dict[str, str]) -> str:
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(resolver=_PublicOnly())
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit) as client,
            client.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return str(answer.status)
