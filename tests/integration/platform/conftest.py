"""One control plane for all integration tests of the platform."""

from collections.abc import Iterator

import pytest

from tests.integration.platform.stack import Stack, running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="package")
def api_key(stack: Stack) -> str:
    return stack.manage("create_api_key", "integration", "--account", "ada")
