"""One network, several threads: every call gets the bytes that it would get alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs, randomised

import minprune as mp

THREADS, CALLS = 4, 12


@pytest.fixture(autouse=True)
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns within the ops, too
    yield
    sys.setswitchinterval(before)


def calls(net: Any, batches: list[Any]) -> list[bytes]:
    """What every thread computes, all of them at once, each in its own order."""
    alone = [net(batch).tobytes() for batch in batches]
    fresh = net.copy()  # with nothing worked out yet, so that the threads meet there too

    def one(first: int) -> list[bytes]:
        found = {k: fresh(batches[k]).tobytes() for k in np.roll(range(len(batches)), first)}
        return [found[k] for k in range(len(batches))]

    with ThreadPoolExecutor(THREADS) as pool:
        for found in [pool.submit(copy_context().run, one, 3 * k) for k in range(THREADS)]:
            assert found.result() == alone
    return alone


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_threads_that_share_a_network_get_the_same_bytes_as_one_alone(name: str) -> None:
    net = randomised(EXAMPLES[name]())
    batches = [inputs(net, n=1 + k % 5, seed=k) for k in range(CALLS)]
    assert len(set(calls(net, batches))) > CALLS // 2, "the batches do not differ enough to be mixed up"


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_large_batches_keep_apart_with_either_backend(backend: str) -> None:
    net = mp.Sequential(mp.Dense(64, 128), mp.ReLU(), mp.Dense(128, 64), mp.Sigmoid(), mp.Dense(64, 10), rng=0)
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((256, 64)).astype(np.float32) for _ in range(CALLS)]
    with mp.backend(backend):
        calls(net, batches)


def test_a_backend_of_one_thread_is_not_that_of_another() -> None:
    with ThreadPoolExecutor(1) as pool, mp.backend("numba"):
        assert pool.submit(mp.backend).result() == "numpy"
        assert str(mp.backend()) == "numba"
