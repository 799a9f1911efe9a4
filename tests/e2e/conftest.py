"""A test of the whole product that fails tells what its processes said."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.e2e.demo import ends_of_logs


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    demo = getattr(item, "funcargs", {}).get("demo")
    if report.failed and demo is not None:
        report.sections.append(("logs of the demo", ends_of_logs(Path(demo["logs"]))))
    return report
