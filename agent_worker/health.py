"""`GET /`: 200 while this worker takes conversations, 503 while it does not (yet, or any more)."""

from collections.abc import Callable

from aiohttp import web


class HealthServer:
    """A tiny HTTP server for probes and supervisors."""

    def __init__(self, host: str, port: int, state: Callable[[], dict[str, object]]) -> None:
        self._host = host
        self._port = port
        self._state = state
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def aclose(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, _: web.Request) -> web.Response:
        state = self._state()
        return web.json_response(state, status=200 if state["ready"] else 503)
