"""The platform as a worker sees it: its internal API on loopback, with what was told kept."""

from aiohttp import web

from avatar_contracts.codec import from_json, to_json
from avatar_contracts.internal import REPORTS_PATH, conversation_path
from avatar_contracts.messages import Conversation, ReportBatch, SessionReport

TOKEN = "test-worker-token"


class FakePlatform:
    """Serves the conversations it is given; `reports` holds each report once, in order.

    Attributes:
        broken: answer 503 to everything.
    """

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.reports: list[SessionReport] = []
        self.broken = False
        self.url = ""
        self._keys: set[str] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get(conversation_path("{session}"), self._conversation)
        app.router.add_post(REPORTS_PATH, self._take_reports)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def aclose(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def of(self, session: str) -> list[SessionReport]:
        return [report for report in self.reports if report.session == session]

    def kinds(self, session: str) -> list[str]:
        return [report.kind for report in self.of(session)]

    async def _conversation(self, request: web.Request) -> web.Response:
        self._check(request)
        conversation = self.conversations.get(request.match_info["session"])
        if conversation is None:
            return web.json_response({"code": "not_found"}, status=404)
        return web.Response(text=to_json(conversation), content_type="application/json")

    async def _take_reports(self, request: web.Request) -> web.Response:
        self._check(request)
        for report in from_json(ReportBatch, await request.read()).reports:
            if report.key not in self._keys:
                self._keys.add(report.key)
                self.reports.append(report)
        return web.Response(status=204)

    def _check(self, request: web.Request) -> None:
        if self.broken:
            raise web.HTTPServiceUnavailable
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized
