"""Memory stays flat over rounds of everything at once; ten minutes by hand: python -m tests.soak --minutes 10"""

from __future__ import annotations

import threading

import pytest
from soak import BOUNDS, STATM, Soak, soak

pytestmark = pytest.mark.skipif(not STATM.exists(), reason="what a process holds is read from /proc")
LEAK = 1_000_000  # bytes


@pytest.mark.slow
def test_a_minute_of_training_scoring_pruning_running_and_saving_leaves_memory_flat() -> None:
    found = soak(60)
    assert not found.too_much(), found


def test_a_leak_of_a_megabyte_a_round_is_found() -> None:
    kept = []
    found = Soak()
    found.run(lambda: kept.append(b"x" * LEAK), 0.0, least=40)
    assert [reason.split(maxsplit=1)[1] for reason in found.too_much()] == [
        f"megabytes more, {BOUNDS['megabytes']:g} allowed"
    ]


def test_threads_that_nobody_ends_are_found() -> None:
    stop = threading.Event()
    found = Soak()
    try:
        found.run(lambda: threading.Thread(target=stop.wait).start(), 0.0)
        assert any("threads more" in reason for reason in found.too_much())
    finally:
        stop.set()


def test_memory_that_is_given_back_is_no_leak() -> None:
    found = Soak()
    found.run(lambda: bytearray(LEAK), 0.0)
    assert found.too_much() == []
