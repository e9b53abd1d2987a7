"""A pytest plugin: a test that needs a server may not be skipped where there is one."""

# ruff: noqa: INP001 - one plugin, given to pytest by name; not a package

from __future__ import annotations

from collections.abc import Generator

import pytest

MARK = "postgres"
VARIABLE = "WEFT_TEST_POSTGRES_URL"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a marked test into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker(MARK):
        report.outcome = "failed"
        report.longrepr = f"skipped, although {VARIABLE} is set: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file that speaks of the server into a failure."""
    report = yield
    if report.skipped and VARIABLE in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, although {VARIABLE} is set: {report.longrepr}"
    return report
