"""The platform's internal HTTP API, as the agent worker uses it."""

import asyncio
from typing import Final

import httpx

from agent_worker.errors import (
    ConversationOverError,
    PlatformRefusedError,
    PlatformUnreachableError,
)
from avatar_contracts.codec import ContractError, from_json, to_json
from avatar_contracts.internal import REPORTS_PATH, conversation_path
from avatar_contracts.messages import Conversation, ReportBatch

TIMEOUT_S: Final = 5.0
FETCH_WITHIN_S: Final = 20.0
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class PlatformLink:
    """A connection of one conversation. `await aclose()` when done."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def fetch_conversation(self, session: str) -> Conversation:
        """What to do in a session. Tries again for 20 s while the platform cannot be reached.

        Raises:
            ConversationOverError: there is nothing to do any more.
            PlatformRefusedError: wrong token, or an answer that is not understood.
            PlatformUnreachableError: no usable answer in time.
        """
        try:
            async with asyncio.timeout(FETCH_WITHIN_S):
                response = await self._until_answered("GET", conversation_path(session))
        except TimeoutError:
            raise PlatformUnreachableError(f"no answer within {FETCH_WITHIN_S:.0f} s") from None
        if response.status_code in (404, 410):
            raise ConversationOverError(f"session {session} is over")
        if response.status_code != 200:
            raise PlatformRefusedError(f"conversation: HTTP {response.status_code}")
        try:
            return from_json(Conversation, response.content)
        except ContractError as error:
            raise PlatformRefusedError(f"conversation: {error}") from error

    async def post_reports(self, batch: ReportBatch) -> None:
        """Hand over reports; tries until the platform has them. Safe to repeat by their keys.

        Raises:
            PlatformRefusedError: the platform does not want them; trying again is no use.
        """
        response = await self._until_answered("POST", REPORTS_PATH, to_json(batch))
        if response.status_code >= 300:
            raise PlatformRefusedError(f"reports: HTTP {response.status_code}")

    async def _until_answered(self, method: str, path: str, body: str = "") -> httpx.Response:
        """The first answer that is not a passing failure (5xx, 429, no connection)."""
        tries = 0
        while True:
            try:
                response = await self._client.request(
                    method,
                    path,
                    content=body or None,
                    headers={"Content-Type": "application/json"} if body else None,
                )
                if response.status_code < 500 and response.status_code != 429:
                    return response
            except httpx.TransportError:
                pass
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1
