"""Hooks of pytest that tell of each test as it starts and ends, for `checking.py`; a `conftest.py` takes them in."""

from pathlib import Path

import pytest

from entrepot.testing._children import tell
from entrepot.testing._findings import LONGEST

__all__ = ["pytest_collectreport", "pytest_runtest_logreport", "pytest_runtest_logstart"]

_FOLDER = Path.cwd()  # a test may change it


def pytest_runtest_logstart(nodeid: str, location: tuple[str, int | None, str]) -> None:  # noqa: ARG001  pytest's names
    """Tell that a test starts."""
    tell(_FOLDER, started=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell how a test ended: its call, or what went wrong around it."""
    if report.when == "call" or report.outcome != "passed":
        tell(_FOLDER, test=report.nodeid, outcome=report.outcome, said=_said(report))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell that there are no tests, and why."""
    if report.outcome == "failed":
        tell(_FOLDER, test="", outcome="failed", said=_said(report))


def _said(report: pytest.TestReport | pytest.CollectReport) -> str:
    found = report.longrepr
    if isinstance(found, tuple):  # of a test that was skipped: file, line, and why
        return found[2].removeprefix("Skipped: ")
    crash = getattr(found, "reprcrash", None)
    return "" if found is None else " ".join(str(crash.message if crash is not None else found).split())[:LONGEST]
