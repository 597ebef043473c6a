"""Judging and comparing networks: numbers checked by hand, timings by how they are taken."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minprune as mp
from minprune import comparison, evaluation, timing
from minprune.data import Dataset, Samples
from minprune.errors import DataError, DtypeError, ShapeError
from minprune.nn import Graph
from minprune.timing import Race, Timing, calibrate, measure, median_interval, ratio_of, summarise, time_block


def identity(size: int = 3, dtype: Any = np.float64) -> Graph:
    """A network that hands its input on, with weights."""
    net = mp.Sequential(mp.Dense(size, size), dtype=dtype)
    net.params["dense1.W"] = np.eye(size)
    return net


X = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 5.0], [4.0, 0.0, 0.0]])
T = np.array([0, 1, 1, 0])


def test_accuracy_and_loss_are_those_of_the_outputs() -> None:
    ev = mp.evaluate(identity(), (X, T), runtime=())
    probabilities = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    assert ev.accuracy == 0.75
    assert ev.loss == pytest.approx(-np.log(probabilities[np.arange(4), T]).mean())
    assert (ev.rmse, ev.r2, ev.samples, ev.loss_name) == (None, None, 4, "cross_entropy")


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "half_squared_error"])
def test_one_hot_targets_have_an_accuracy_under_any_loss(loss: str) -> None:
    ev = mp.evaluate(identity(), (X, np.eye(3)[T]), loss=loss, runtime=())
    assert (ev.accuracy, ev.rmse, ev.r2) == (0.75, None, None)


def test_one_hot_integers_are_classes() -> None:
    assert mp.evaluate(identity(), (X, np.eye(3, dtype=int)[T]), runtime=()).loss_name == "cross_entropy"


def test_soft_targets_under_cross_entropy_are_judged_by_their_likeliest_class() -> None:
    soft = 0.8 * np.eye(3)[T] + 0.2 / 3
    assert mp.evaluate(identity(), (X, soft), loss="cross_entropy", runtime=()).accuracy == 0.75


def test_other_numbers_are_a_regression() -> None:
    y = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0], [1.0, 0.5, 2.0], [2.0, 2.0, 2.0]])
    ev = mp.evaluate(identity(), (X, y), runtime=(), batch_size=3)
    residual = np.square(X - y)
    assert ev.accuracy is None
    assert ev.loss_name == "mse"
    assert ev.rmse == pytest.approx(np.sqrt(residual.mean()))
    assert ev.r2 == pytest.approx(1 - residual.sum() / np.square(y - y.mean(axis=0)).sum())
    assert ev.loss == pytest.approx(residual.mean())


def test_a_single_output_under_a_squared_loss_is_a_regression_even_for_zeros_and_ones() -> None:
    net = mp.Sequential(mp.Dense(3, 1))
    ev = mp.evaluate(net, (X, np.array([0.0, 1.0, 1.0, 0.0])), runtime=())
    assert ev.accuracy is None
    assert ev.rmse is not None


def test_a_perfect_regression_has_an_r2_of_one_and_constant_targets_have_none() -> None:
    assert mp.evaluate(identity(), (X, X.copy()), runtime=()).r2 == 1.0
    assert mp.evaluate(identity(), (X, np.full((4, 3), 2.0)), runtime=()).r2 is None


def test_an_output_that_is_no_number_is_never_right() -> None:
    net = identity()
    net.params["dense1.b"] = [np.nan, 0.0, 0.0]
    ev = mp.evaluate(net, (X, T), runtime=())
    assert ev.accuracy == 0.0
    assert np.isnan(ev.loss)


@settings(deadline=None)
@given(size=st.integers(1, 12))
def test_batches_change_nothing(size: int) -> None:
    whole = mp.evaluate(identity(), (X, T), runtime=())
    parts = mp.evaluate(identity(), (X, T), runtime=(), batch_size=size)
    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    net = mp.Sequential(mp.Dense(2, 500), mp.ReLU(), mp.Dense(500, 2))

    def peak(samples: int) -> int:
        data = (np.ones((samples, 2), np.float32), np.zeros(samples, np.int64))
        tracemalloc.start()
        mp.evaluate(net, data, runtime=(), batch_size=100)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(100)  # whatever is built once
    assert peak(10_000) < 1.5 * peak(200)


def test_of_a_dataset_the_test_part_is_judged() -> None:
    wrong, right = Samples(X, 2 - T), Samples(X, T)
    ev = mp.evaluate(identity(), Dataset(wrong, wrong, right), runtime=())
    assert (ev.accuracy, ev.samples) == (0.75, 4)


def test_sizes_are_counted_from_the_arrays_the_data_and_the_file(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Conv2d(1, 4, 3), mp.BatchNorm(4), mp.GlobalAvgPool2d(), mp.Dense(4, 2))
    ev = mp.evaluate(net, (np.ones((2, 1, 10, 10)), np.array([0, 1])), runtime=())
    assert ev.params == (36 + 4) + 8 + (8 + 2)
    assert ev.macs == 8 * 8 * 36 + 8  # the data's 10 by 10 images, not the smallest that fit
    assert ev.bytes_memory == 4 * (ev.params + 8)  # mean and var are no parameters, but take memory
    mp.save(net, tmp_path / "net.npz")
    assert ev.bytes_disk == (tmp_path / "net.npz").stat().st_size


def test_runtime_is_taken_for_every_batch_size_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []

    def once(call: Callable[[], Any]) -> Timing:
        shapes.append(call().shape)
        return Timing(1e-3, 1e-4, 9, 1)

    monkeypatch.setattr(evaluation, "measure", once)
    ev = mp.evaluate(identity(), (X, T), runtime=(1, 4, 10))
    assert shapes == [(1, 3), (4, 3), (10, 3)]  # 10 is more than there are samples
    assert ev.runtime[10].median == 1e-3


def test_a_larger_network_takes_longer() -> None:
    small, large = (mp.Sequential(mp.Dense(8, n), mp.ReLU(), mp.Dense(n, 2)) for n in (4, 4000))
    data = (np.ones((2, 8)), np.array([0, 1]))
    times = [mp.evaluate(net, data, runtime=(64,)).runtime[64].median for net in (small, large)]
    assert 0 < 2 * times[0] < times[1]


def test_the_network_is_left_alone() -> None:
    net = mp.Sequential(mp.Dense(3, 3), mp.BatchNorm(3), mp.Dropout(0.5))
    before = {name: array.copy() for name, array in net.arrays.items()}
    first, second = (mp.evaluate(net, (X, T), runtime=()) for _ in range(2))
    assert first == second
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_an_evaluation_reads_as_a_table() -> None:
    ev = mp.evaluate(identity(), (X, T), runtime=())
    ev.runtime[256] = Timing(1.5e-3, 2e-5, 9, 1)
    assert [line.split() for line in str(ev).splitlines()] == [
        ["quantity", "value"],
        ["samples", "4"],
        ["loss", "(cross_entropy)", f"{ev.loss:.4g}"],
        ["accuracy", "0.75"],
        ["parameters", "12"],
        ["of", "them", "not", "0", "3"],
        ["MACs", "per", "sample", "9"],
        ["bytes", "in", "memory", "96"],
        ["bytes", "on", "disk", f"{ev.bytes_disk:,}"],
        ["time,", "batch", "of", "256", "1.5", "ms,", "IQR", "20", "µs"],
    ]


def test_a_regression_shows_its_own_measures_in_the_table() -> None:
    text = str(mp.evaluate(identity(), (X, X + 1), runtime=()))
    assert "RMSE" in text
    assert "R²" in text
    assert "accuracy" not in text
    constant = str(mp.evaluate(identity(), (X, np.ones((4, 3))), runtime=()))
    assert "R²" not in constant


def test_an_evaluation_goes_through_json() -> None:
    ev = mp.evaluate(identity(), (X, T), runtime=())
    ev.runtime[256] = Timing(1.5e-3, 2e-5, 9, 1)
    read = json.loads(json.dumps(ev.as_dict()))
    assert read == ev.as_dict()
    assert read["accuracy"] == 0.75
    assert read["runtime"] == {"256": {"median": 1.5e-3, "iqr": 2e-5, "blocks": 9, "calls": 1}}


def test_a_bar_is_shown_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, bool]] = []

    def track(items: range, description: str, *, show: bool) -> range:
        shown.append((len(items), show))
        return items

    monkeypatch.setattr(evaluation, "track", track)
    for progress in (True, False):
        mp.evaluate(identity(), (X, T), runtime=(), batch_size=3, progress=progress)
    assert shown == [(2, True), (2, False)]


@pytest.mark.parametrize(
    ("data", "settings", "error", "match"),
    [
        (X, {}, DataError, "labels are needed here"),
        ((X, T), {"loss": "hinge"}, DataError, "unknown loss 'hinge'"),
        ((X, T), {"loss": "mse"}, DtypeError, "y holds class labels"),
        ((X, T + 5), {}, DataError, r"y holds 5, but labels must be in 0\.\.2"),
        ((X[:, :2], T), {}, ShapeError, r"dense1: expected \(N, 3\), got \(N, 2\)"),
        ((X, T), {"batch_size": 0}, DataError, "batch_size: expected whole numbers of at least 1, got 0"),
        ((X, T), {"runtime": (1, 2.5)}, DataError, r"runtime: expected whole numbers of at least 1, got 2\.5"),
    ],
)
def test_what_cannot_be_judged_is_refused(data: Any, settings: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        mp.evaluate(identity(), data, **settings)


@pytest.mark.parametrize("dtype", [np.complex128, object])
def test_only_floats_are_judged(dtype: Any) -> None:
    with pytest.raises(DtypeError, match=r"evaluate takes a network of floats.*use astype\(np\.float64\)"):
        mp.evaluate(identity().astype(dtype), (X, T))


def test_a_network_that_puts_out_images_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"takes a network's output of shape \(N, K\)"):
        mp.evaluate(mp.Sequential(mp.Conv2d(1, 2, 3)), (np.ones((2, 1, 5, 5)), np.array([0, 1])))


# timing ---------------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that only the timed functions move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def function(self, name: str, seconds: Callable[[], float] | float) -> Callable[[], None]:
        def call() -> None:
            self.log.append(name)
            self.now += seconds() if callable(seconds) else seconds

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", clock)
    return clock


def test_a_block_holds_as_many_calls_as_the_timer_needs(clock: Clock) -> None:
    assert time_block(clock.function("f", 0.5), 3) == 1.5
    calls, seconds = calibrate(clock.function("f", 1e-5))
    assert calls == 128  # the first power of two that lasts a millisecond
    assert seconds == pytest.approx(1e-5)
    assert calibrate(clock.function("f", 0.1))[0] == 1


def test_the_first_call_is_warm_up_and_not_timed(clock: Clock) -> None:
    durations = (seconds for seconds in (100.0, *[0.5] * 100))
    assert measure(clock.function("f", lambda: next(durations))).median == 0.5


def test_a_measurement_ends_with_its_time_but_not_before_nine_blocks(clock: Clock) -> None:
    assert measure(clock.function("f", 10.0), seconds=0.2).blocks == 9
    assert measure(clock.function("f", 0.01), seconds=0.2).blocks in (20, 21)


def test_median_and_range_are_those_of_the_blocks(clock: Clock) -> None:
    ticks = count()
    slow = measure(clock.function("f", lambda: 50.0 if next(ticks) == 5 else 1.0 + (next(ticks) % 2)))
    assert slow.median < 3  # one disturbance does not move it
    assert summarise([1.0, 2.0, 3.0, 4.0, 100.0], calls=2) == Timing(3.0, 2.0, 5, 2)


@given(values=st.lists(st.floats(0.1, 10), min_size=6, max_size=300))
def test_the_interval_holds_the_median_and_no_narrower_one_would_do(values: list[float]) -> None:
    median, low, high = median_interval(values)
    assert median == np.median(values)
    assert low <= median <= high
    n, ordered = len(values), sorted(values)
    tails = [2 * sum(comb(n, i) for i in range(k)) / 2**n for k in range(n // 2 + 2)]
    k = max(k for k in range(1, n // 2 + 1) if tails[k] <= 0.05)
    assert (low, high) == (ordered[k - 1], ordered[n - k])
    assert tails[k + 1] > 0.05


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for sample in rng.lognormal(size=(2000, 15)):
        _, low, high = median_interval(sample.tolist())
        hits += low <= 1.0 <= high
    assert 0.955 < hits / 2000 < 0.975  # for 15 values: 0.9648


def test_five_values_are_too_few_for_an_interval() -> None:
    with pytest.raises(ValueError, match="5 values cannot give a 95 % interval, expected at least 6"):
        median_interval([1.0] * 5)


def test_pairs_are_interleaved_with_the_same_number_of_calls_and_the_order_drawn_by_lot(clock: Clock) -> None:
    race = Race.prepare(clock.function("a", 4e-4), clock.function("b", 2e-4), rounds=50, seconds=0.2)
    assert race.calls == 6  # 0.2 s over 50 pairs of 0.6 ms; the faster block lasts at least a millisecond
    clock.log.clear()
    pairs = count()
    first, second = race.run(50, 10.0, np.random.default_rng(0), lambda: next(pairs))
    assert next(pairs) == 50
    blocks = [clock.log[i : i + 6] for i in range(0, len(clock.log), 6)]
    assert all(len(set(block)) == 1 for block in blocks)
    turns = [blocks[i][0] + blocks[i + 1][0] for i in range(0, len(blocks), 2)]
    assert set(turns) == {"ab", "ba"}
    ratio = ratio_of(first, second, race.calls)
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    assert (ratio.pairs, ratio.calls) == (50, 6)


def test_what_slows_the_machine_down_for_a_while_cancels_in_the_ratio(clock: Clock) -> None:
    def machine(seconds: float) -> Callable[[], float]:
        return lambda: seconds * (1 + clock.now)  # slower and slower

    race = Race(clock.function("a", machine(3e-3)), clock.function("b", machine(1e-3)), 1, 4e-3)
    first, second = race.run(101, 1e9, np.random.default_rng(0), lambda: None)
    assert first[-1] > 1.4 * first[0]
    assert ratio_of(first, second, 1).median == pytest.approx(3, rel=5e-3)


def test_a_race_ends_with_its_time_but_not_before_nine_pairs(clock: Clock) -> None:
    race = Race.prepare(clock.function("a", 1.0), clock.function("b", 1.0), rounds=101, seconds=1.0)
    assert (race.calls, race.pair_seconds) == (1, 2.0)
    assert len(race.run(101, 1.0, np.random.default_rng(0), lambda: None)[0]) == 9


# comparing ------------------------------------------------------------------------------------------------------------


def nets() -> dict[str, Graph]:
    wide = mp.Sequential(mp.Dense(3, 3000), mp.ReLU(), mp.Dense(3000, 3))
    return {"dense": wide, "pruned": mp.Sequential(mp.Dense(3, 3)), "other": mp.Sequential(mp.Dense(3, 4), mp.Tanh())}


def test_a_smaller_network_is_found_to_be_faster_and_everything_else_is_told() -> None:
    result = mp.compare(nets(), (X, T), batches=(1, 64), seconds=0.02)
    assert result.reference == "dense"
    assert list(result.evaluations) == ["dense", "pruned", "other"]
    assert list(result.ratio) == ["pruned", "other"]
    fast = result.ratio["pruned"][64]
    assert 1 < fast.low <= fast.median <= fast.high
    assert fast.pairs >= 9
    for name, net in nets().items():
        own = mp.evaluate(net, (X, T), runtime=())
        assert result.evaluations[name].accuracy == own.accuracy
        assert result.evaluations[name].loss == own.loss
        assert list(result.evaluations[name].runtime) == [1, 64]
    dense, pruned = result.evaluations["dense"].runtime[64], result.evaluations["pruned"].runtime[64]
    assert dense.median > pruned.median > 0


def test_the_ratio_is_above_one_where_the_other_is_faster(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = iter([3e-3, 1e-3])
    monkeypatch.setattr(comparison, "ready_call", lambda net, x, size: clock.function("f", next(speeds)))
    result = mp.compare({"a": identity(), "b": identity()}, (X, T), batches=(1,))
    assert result.ratio["b"][1].median == pytest.approx(3)
    assert result.evaluations["a"].runtime[1].median == pytest.approx(3e-3)
    assert result.evaluations["b"].runtime[1].median == pytest.approx(1e-3)


def test_a_comparison_of_two_takes_about_its_time_for_each_batch_size() -> None:
    result = mp.compare({"a": identity(), "b": identity()}, (X, T), batches=(1,), rounds=20, seconds=0.1)
    spent = sum(
        t.median * t.blocks * t.calls for t in (ev.runtime[1] for ev in result.evaluations.values())
    )  # the time of all blocks
    assert spent < 0.3


def test_a_comparison_reads_as_a_table() -> None:
    result = mp.compare(nets(), (X, T), batches=(1,), seconds=0.01)
    head, *rows = str(result).splitlines()
    assert head.split("  ")[0] == "network"
    for title in ("accuracy", "loss", "params", "MACs", "bytes in memory", "on disk", "time @1", "speed-up @1"):
        assert title in head
    ratio = result.ratio["pruned"][1]
    assert rows[0].startswith("dense ")
    assert rows[0].endswith(" 1")
    assert rows[1].endswith(f"{ratio.median:.3g} ({ratio.low:.3g}–{ratio.high:.3g})")
    assert len(rows) == 3


def test_a_comparison_of_regressions_shows_their_measures() -> None:
    text = str(mp.compare({"a": identity(), "b": identity()}, (X, X), batches=(), seconds=0.01))
    assert text.splitlines()[0].split()[:3] == ["network", "RMSE", "R²"]
    assert "time" not in text


def test_a_comparison_goes_through_json() -> None:
    result = mp.compare(nets(), (X, T), batches=(1,), seconds=0.01)
    read = json.loads(json.dumps(result.as_dict()))
    assert read == result.as_dict()
    assert read["reference"] == "dense"
    assert read["ratio"]["other"]["1"]["median"] == result.ratio["other"][1].median


def test_of_a_dataset_the_test_part_is_compared() -> None:
    data = Dataset(Samples(X, 2 - T), Samples(X, 2 - T), Samples(X, T))
    result = mp.compare({"a": identity(), "b": identity()}, data, batches=(1,), seconds=0.01)
    assert result.evaluations["b"].accuracy == 0.75


def test_a_bar_is_shown_for_what_takes_longer_than_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bool] = []
    steps: list[float] = []

    @contextmanager
    def bar(description: str, total: float, *, show: bool) -> Iterator[Callable[..., None]]:
        shown.append(show)
        yield lambda by=1: steps.append(by)
        assert sum(steps) == total == 30

    monkeypatch.setattr(comparison, "bar", bar)
    for limit, progress in ((2.0, True), (1e-3, True), (1e-3, False)):
        monkeypatch.setattr(comparison, "BAR_AFTER", limit)
        mp.compare({"a": identity(), "b": identity()}, (X, T), batches=(1,), rounds=30, seconds=0.01, progress=progress)
        steps.clear()
    assert shown == [False, True, False]


@pytest.mark.parametrize(
    ("names", "settings", "match"),
    [
        (["a"], {}, "compare takes at least two networks, got 1; for a single one use evaluate"),
        (["a", "b"], {"rounds": 8}, "rounds is 8, expected at least 9"),
        (["a", "b"], {"batches": (0,)}, "batches: expected whole numbers of at least 1, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(names: list[str], settings: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        mp.compare({name: identity() for name in names}, (X, T), **settings)
