"""`make demo`: engines, database, character and every process, until Ctrl-C.

Order: database, admin user, key, characters; engines; avatar worker and agent worker, which load
longest; web, control worker and beat. When a session can really be started, `var/demo.json` is
written and the addresses are printed. Whatever ends it (Ctrl-C at any moment, SIGTERM, a crash)
ends every child.
"""

import fcntl
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

from avatar_platform.local import engines
from avatar_platform.local.processes import (
    ChildProcess,
    ProcessError,
    Supervisor,
    wait_for_port,
    wait_until,
)
from avatar_platform.local.settings import (
    Ports,
    kept_secrets,
    operator_environment,
    process_environment,
    write_private,
)

ROOT: Final = Path.cwd()
VAR: Final = Path(os.environ.get("AVATAR_VAR_DIR", ROOT / "var")).resolve()
START_WITHIN_S: Final = 300.0
"""Generous: a machine that is busy with other things is no reason to give up."""

REHEARSE_WITHIN_S: Final = 900.0
SHIPPED_CHARACTER: Final = "mira"
ADMIN_USERNAME: Final = "admin"


def main() -> int:
    VAR.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        with _only_one():
            _run()
    except KeyboardInterrupt:
        return 0
    except (ProcessError, engines.EngineMissingError, subprocess.CalledProcessError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


def say(line: str) -> None:
    print(f"demo: {line}", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _only_one() -> Iterator[IO[str]]:
    """A lock that the kernel drops when this process ends, however it ends."""
    with (VAR / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessError("a demo is already running from this folder; end it first") from None
        try:
            yield lock
        finally:
            Path(lock.name).unlink(missing_ok=True)


def _run() -> None:
    supervisor = Supervisor(say)
    started = time.monotonic()
    try:
        record = _start(supervisor)
        _announce(supervisor, record, time.monotonic() - started)
        supervisor.watch(on_restart=lambda: _write_record(supervisor, record))
    finally:
        # A second Ctrl-C must not leave anybody behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("ending every process …")
        supervisor.stop_all()
        (VAR / "demo.json").unlink(missing_ok=True)


def _start(supervisor: Supervisor) -> dict[str, Any]:
    operator = operator_environment(ROOT)
    web, redis, livekit, livekit_tcp, agent, avatar = engines.free_ports(
        8000, 6379, 7880, 7881, 0, 0
    )
    ports = Ports(
        web=web,
        redis=redis,
        livekit=livekit,
        livekit_tcp=livekit_tcp,
        livekit_udp=engines.free_port(7882, kind=socket.SOCK_DGRAM),
        agent_health=agent,
        avatar_health=avatar,
    )
    kept = kept_secrets(VAR / "secrets.json")
    env = process_environment(operator=operator, secrets_=kept, ports=ports, var=VAR)
    api_key = _prepare_platform(env, kept["ADMIN_PASSWORD"])
    with _rehearsal(env):
        _start_engines(supervisor, operator, env, ports)
        _start_workers(supervisor, env)
        _start_platform(supervisor, env, ports)
    character = _wait_until_ready(supervisor, env, api_key)
    return {
        "page_url": f"{env['PLATFORM_URL']}/",
        "admin_url": f"{env['PLATFORM_URL']}/admin/",
        "admin_username": ADMIN_USERNAME,
        "admin_password": kept["ADMIN_PASSWORD"],
        "api_url": f"{env['PLATFORM_URL']}/api/v1",
        "api_key": api_key,
        "livekit_url": env["LIVEKIT_URL"],
        "livekit_api_key": env["LIVEKIT_API_KEY"],
        "livekit_api_secret": env["LIVEKIT_API_SECRET"],
        "redis_url": env["REDIS_URL"],
        "character": character,
    }


def _start_engines(
    supervisor: Supervisor, operator: dict[str, str], env: dict[str, str], ports: Ports
) -> None:
    if "REDIS_URL" in operator:
        say(f"Redis: {operator['REDIS_URL']} (REDIS_URL is set)")
    else:
        say(f"Redis: {engines.find_redis().why}, port {ports.redis}")
        redis = engines.redis_process(ports.redis, VAR / "redis", _log("redis"))
        wait_for_port(ports.redis, supervisor.start(redis))
    if "LIVEKIT_URL" in operator:
        say(f"LiveKit: {operator['LIVEKIT_URL']} (LIVEKIT_URL is set)")
        return
    found = engines.find_livekit(say)
    say(f"LiveKit: {found.why}, port {ports.livekit}")
    config = VAR / "livekit.yaml"
    write_private(
        config,
        engines.livekit_config(
            port=ports.livekit,
            tcp_port=ports.livekit_tcp,
            udp_port=ports.livekit_udp,
            key=env["LIVEKIT_API_KEY"],
            secret=env["LIVEKIT_API_SECRET"],
            webhook_url=f"{env['PLATFORM_URL']}/livekit/webhook",
        ),
    )
    livekit = engines.livekit_process(config, found.path, _log("livekit"))
    wait_for_port(ports.livekit, supervisor.start(livekit))


def _prepare_platform(env: dict[str, str], admin_password: str) -> str:
    """Database, admin user, characters; returns a fresh API key."""
    say("database, admin user, characters")
    key = f"demo.{secrets.token_urlsafe(32)}"
    admin = {"ADMIN_USERNAME": ADMIN_USERNAME, "ADMIN_PASSWORD": admin_password}
    _manage(
        {**env, **admin, "DEMO_API_KEY": key}, "prepare_demo", "--personas", str(VAR / "personas")
    )
    return key


@contextmanager
def _rehearsal(env: dict[str, str]) -> Iterator[None]:
    """Has the characters' fixed lines spoken meanwhile, once for these personas."""
    personas = sorted((VAR / "personas").glob("*.json"))
    wanted = hashlib.sha256(b"\0".join(path.read_bytes() for path in personas)).hexdigest()
    done = VAR / "rehearsed"
    if done.exists() and done.read_text() == wanted:
        yield
        return
    command = [sys.executable, "-m", "agent_worker.rehearsal", str(VAR / "personas")]
    with _child("rehearsal", command, env) as rehearsal:
        yield
        if rehearsal.exit_code is None:
            say("the characters rehearse their lines (once, a minute or two) …")
        wait_until(
            lambda: rehearsal.exit_code is not None,
            "the characters know their lines",
            within_s=REHEARSE_WITHIN_S,
        )
        if rehearsal.exit_code == 0:
            done.write_text(wanted)
        else:
            say(f"{rehearsal.how_it_ended()}\nThe lines are spoken when they are needed.")


def _start_workers(supervisor: Supervisor, env: dict[str, str]) -> None:
    """They take longest to load and ask for the platform until it is there: they begin first."""
    agent = [sys.executable, "-m", "agent_worker"]
    avatar = [sys.executable, "-m", "avatar_worker", "run"]
    supervisor.start(_child("avatar_worker", avatar, env), restarts=True)
    supervisor.start(_child("agent_worker", agent, env), restarts=True)


def _start_platform(supervisor: Supervisor, env: dict[str, str], ports: Ports) -> None:
    module = [sys.executable, "-m"]
    uvicorn = [*module, "uvicorn", "avatar_platform.asgi:application", "--host", engines.LOOPBACK]
    celery = [*module, "celery", "-A", "avatar_platform"]
    web = _child("web", [*uvicorn, "--port", str(ports.web), "--no-access-log"], env)
    control = _child(
        "control_worker", [*celery, "worker", "-Q", "control", "-c", "2", "--without-mingle"], env
    )
    beat = _child("beat", [*celery, "beat", "-s", str(VAR / "celerybeat-schedule")], env)
    supervisor.start(web)
    supervisor.start(control, restarts=True)
    supervisor.start(beat, restarts=True)
    wait_for_port(ports.web, web)


def _wait_until_ready(supervisor: Supervisor, env: dict[str, str], api_key: str) -> str:
    """Until an avatar worker and an agent worker serve; returns the slug of the character."""
    say("waiting for the workers …")

    def ready() -> bool:
        for child in supervisor.children():
            if child.exit_code is not None:
                raise ProcessError(child.how_it_ended())
        workers = _get(f"{env['PLATFORM_URL']}/api/v1/workers", api_key)
        agent = _get(f"http://{engines.LOOPBACK}:{env['AGENT_HEALTH_PORT']}/", None)
        return agent is not None and bool(
            workers and any(worker["alive"] for worker in workers["items"])
        )

    wait_until(ready, "an avatar worker and an agent worker serve", within_s=START_WITHIN_S)
    characters = _get(f"{env['PLATFORM_URL']}/api/v1/characters?limit=200", api_key) or {
        "items": []
    }
    slugs: list[str] = [character["slug"] for character in characters["items"]]
    return next(s for s in ("default", SHIPPED_CHARACTER, *slugs) if s in slugs)


def _announce(supervisor: Supervisor, record: dict[str, Any], took_s: float) -> None:
    _write_record(supervisor, record)
    say(f"ready after {took_s:.0f} s; Ctrl-C ends it")
    print(
        f"\n  page    {record['page_url']}\n"
        f"  admin   {record['admin_url']}   {ADMIN_USERNAME} / {record['admin_password']}\n"
        f"  API     {record['api_url']}   key {record['api_key']}\n"
        f"  logs    {VAR / 'log'}\n",
        flush=True,
    )


def _write_record(supervisor: Supervisor, record: dict[str, Any]) -> None:
    pids = supervisor.pids()
    write_private(VAR / "demo.json", json.dumps({**record, "processes": pids}, indent=1))


def _manage(env: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessError(f"manage.py {arguments[0]} failed:\n{done.stderr.strip()[-1500:]}")
    for line in done.stdout.splitlines():
        say(line)


def _get(url: str, api_key: str | None) -> dict[str, Any] | None:
    """The JSON of a loopback address, `{}` for other content, or None while nobody answers."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=2
        ) as said:
            body = said.read()
    except (OSError, urllib.error.HTTPError):
        return None
    try:
        loaded: dict[str, Any] = json.loads(body)
    except ValueError:
        return {}
    return loaded


def _child(name: str, command: list[str], env: dict[str, str]) -> ChildProcess:
    return ChildProcess(name, command, log=_log(name), env=env, cwd=ROOT)


def _log(name: str) -> Path:
    return VAR / "log" / f"{name}.log"
