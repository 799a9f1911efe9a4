"""Categories, real engines for the tests that need them, and the network closed for the rest."""

from collections.abc import Iterator

import pytest

from avatar_platform.local.engines import (
    EngineMissingError,
    Found,
    LiveKitAddress,
    find_browser,
    livekit_server,
    redis_server,
)

CATEGORIES = {"unit", "component", "integration", "e2e", "gpu"}
OFFLINE = {"unit", "component"}
LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test has exactly one category; fast tests may not leave this machine."""
    for item in items:
        categories = CATEGORIES & {mark.name for mark in item.iter_markers()}
        if len(categories) != 1:
            raise pytest.UsageError(
                f"{item.nodeid}: expected one category of {sorted(CATEGORIES)}, "
                f"found {sorted(categories)}; set `pytestmark` in the module"
            )
        item.add_marker(pytest.mark.allow_hosts(LOOPBACK))


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis of our own, empty at the start of the run."""
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def livekit() -> Iterator[LiveKitAddress]:
    """A real LiveKit server on loopback."""
    with livekit_server() as address:
        yield address


@pytest.fixture(scope="session")
def browser_path() -> Found:
    try:
        return find_browser()
    except EngineMissingError as error:
        pytest.skip(str(error))
