"""Settings for all tests.

Tests marked `data` need real data sets; in CI no test is skipped unless tests/skips.txt lists it. That this file stands
here also lets tests in subfolders import `networks`.
"""

from __future__ import annotations

import os

# Before NumPy is imported: BLAS threads that wait for each other on a busy machine make tests many times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import settings

SKIPS = Path(__file__).with_name("skips.txt")
settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")

skipped: list[tuple[str, str]] = []


def listed() -> dict[str, str]:
    """The tests that may be skipped, with their reasons."""
    lines = [line for line in SKIPS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {test: reason for test, _, reason in (line.partition(" ") for line in lines)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("MINPRUNE_DATA"):
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason="MINPRUNE_DATA is not set"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped.append((report.nodeid, reason))


def pytest_sessionfinish(session: pytest.Session) -> None:
    allowed = listed()
    unlisted = [(test, why) for test, why in skipped if not any(test.startswith(start) for start in allowed)]
    if os.environ.get("MINPRUNE_STRICT_SKIPS") and unlisted and session.exitstatus == 0:
        for test, why in unlisted:
            print(f"\nskipped, but not listed in tests/skips.txt: {test} ({why})")
        session.exitstatus = 1
