"""Registration with LiveKit, load, and drain.

Conversations run as threads of one process: they share the models (about 0.5 GB), which as many
processes would each load again. The price is that a crash takes all conversations of this process
with it; they are then dispatched again by the platform.
"""

import asyncio
import os
import signal
from typing import Any, Final

from livekit.agents import AgentServer, JobContext, JobExecutorType, JobProcess, JobRequest
from livekit.agents.worker import WorkerPermissions

from agent_worker.config import AgentSettings
from agent_worker.conversation import converse
from agent_worker.errors import LiveKitUnreachableError
from agent_worker.health import HealthServer
from agent_worker.models import Models
from agent_worker.observability import log
from agent_worker.providers.choice import announce, load_plugins
from avatar_contracts.codec import ContractError, from_json
from avatar_contracts.identities import AGENT_NAME, agent_identity
from avatar_contracts.messages import DispatchMetadata

FULL: Final = 0.999
UNREACHABLE: Final = "failed to connect to livekit"
"""How livekit-agents' error begins that says so; it has no class of its own."""
CLOSE_WITHIN_S: Final = 20.0
"""After draining; a conversation that does not end by then is left behind with the process."""


def build_server(settings: AgentSettings, models: Models) -> AgentServer:
    """An agent server for our conversations; `run` registers it."""
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD,
        load_fnc=lambda running: len(running.active_jobs) / settings.agent_max_sessions,
        load_threshold=FULL,
        num_idle_processes=settings.agent_max_sessions,
        drain_timeout=settings.agent_drain_s,
        shutdown_process_timeout=CLOSE_WITHIN_S / 2,
        permissions=WorkerPermissions(can_update_metadata=True),
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        host="127.0.0.1",
        port=0,
        setup_fnc=_nothing_per_thread,
    )

    async def entrypoint(ctx: JobContext) -> None:
        await converse(ctx, settings, models)

    server.rtc_session(entrypoint, agent_name=AGENT_NAME, on_request=_accept)
    return server


async def serve(settings: AgentSettings) -> None:
    """Take conversations until SIGTERM or SIGINT, then finish the running ones and return.

    SIGTERM drains for `AGENT_DRAIN_S` seconds; a second signal, or SIGINT, ends at once.

    Raises:
        LiveKitUnreachableError: it does not take this worker.
    """
    models = Models(settings)
    models.prepare_environment()
    load_plugins(settings)
    announce(settings)
    server = build_server(settings, models)
    stop, hurry = asyncio.Event(), asyncio.Event()
    registered = asyncio.Event()

    def on_registered(*_: object) -> None:
        if not registered.is_set():
            models.warm_up()  # from here on, so that it does not delay being there
        registered.set()

    server.on("worker_registered", on_registered)

    def state() -> dict[str, object]:
        return {
            "ready": registered.is_set() and not server.draining and not stop.is_set(),
            "provider": settings.provider,
            "sessions": len(server.active_jobs) if registered.is_set() else 0,
            "sessions_max": settings.agent_max_sessions,
        }

    health = HealthServer(settings.agent_health_host, settings.agent_health_port, state)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: (hurry if stop.is_set() else stop).set())
    loop.add_signal_handler(signal.SIGINT, hurry.set)
    await health.start()
    running = asyncio.create_task(server.run(), name="agent-server")
    try:
        told = [asyncio.create_task(event.wait()) for event in (stop, hurry)]
        await _first(running, *told)
        if not running.done() and not hurry.is_set():
            await _drain(server, hurry)
        await _close(server, running)
    except RuntimeError as error:
        if not str(error).startswith(UNREACHABLE):
            raise
        raise LiveKitUnreachableError(f"LIVEKIT_URL {settings.livekit_url}: {error}") from None
    finally:
        await health.aclose()
        models.close()


async def _drain(server: AgentServer, hurry: asyncio.Event) -> None:
    async def drained() -> None:
        try:
            await server.drain()
        except TimeoutError:
            log().warning("conversations did not end in time", sessions=len(server.active_jobs))

    await _first(asyncio.create_task(drained()), asyncio.create_task(hurry.wait()))


async def _close(server: AgentServer, running: "asyncio.Task[None]") -> None:
    """Leave all rooms. Threads cannot be killed: the process goes when they take too long."""
    try:
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await server.aclose()
            await running
    except TimeoutError:
        log().error("conversations hang; the process ends without them")
        os._exit(1)


async def _first(*tasks: "asyncio.Task[Any]") -> None:
    """Until one of them is done; the others are cancelled, except a running server."""
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        if task.get_name() != "agent-server":
            task.cancel()


async def _accept(request: JobRequest) -> None:
    """Join under the session's agent identity; an agent that is there already is replaced."""
    try:
        session = from_json(DispatchMetadata, request.job.metadata).session
    except ContractError as error:
        log().error("dispatch is not understood", error=str(error))
        await request.reject()
        return
    await request.accept(name="Agent", identity=agent_identity(session))


def _nothing_per_thread(_: JobProcess) -> None:
    """Models are loaded once per process, not once per conversation."""
