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
from minprune.models import lenet5, mlp
from minprune.runtime import program

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


@pytest.fixture(scope="module", params=["mlp", "lenet5"])
def alone(request: pytest.FixtureRequest) -> Any:
    """A program, batches of several chunks, and what it makes of them when one thread calls and one computes."""
    net = mlp(60, (70, 30), 10) if request.param == "mlp" else lenet5((1, 16, 16), 10, widths=(4, 6, 20))
    compiled = mp.compile(net, batch_size=300)
    batches = [inputs(net, n=300 + 50 * k, seed=k) for k in range(THREADS)]
    return compiled, batches, [compiled(batch).tobytes() for batch in batches]


@pytest.mark.parametrize("own", [1, 2, 4])
def test_threads_that_call_one_program_at_once_get_the_bytes_of_one_alone(
    own: int, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "WORTH_IT", 0.0)  # its own threads share even these batches
    compiled, batches, expected = alone
    shared = program.Program(compiled.net, compiled.steps, 300, own)
    shared.measure()
    with ThreadPoolExecutor(THREADS) as pool:
        for turn in range(CALLS):
            order = np.roll(range(THREADS), turn)
            found = pool.map(shared, [batches[k] for k in order])
            assert [got.tobytes() for got in found] == [expected[k] for k in order]
    assert (shared._pool is not None) == (own > 1)


def test_a_backend_of_one_thread_is_not_that_of_another() -> None:
    with ThreadPoolExecutor(1) as pool, mp.backend("numba"):
        assert pool.submit(mp.backend).result() == "numpy"
        assert str(mp.backend()) == "numba"
