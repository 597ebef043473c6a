"""Programs: a compiled network computes what the network does, from any thread, and says what it does."""

from __future__ import annotations

import multiprocessing
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs, networks

import minprune as mp
from minprune.errors import DtypeError, MinpruneError, ShapeError, StructureError
from minprune.models import mlp
from minprune.runtime import building, program
from minprune.runtime.folding import folded
from minprune.runtime.steps import Affine, LayerRows


def masked_mlp(share: float = 0.9, dtype: Any = np.float32) -> mp.Graph:
    net = mlp(70, (50, 40), 10, rng=0).astype(dtype)
    return mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(share)))


def agree(compiled: Any, net: mp.Graph, *xs: Any) -> None:
    expected = net(*xs)
    tolerance = {"float32": 1e-4, "float64": 1e-12}[net.dtype.name]
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(compiled(*xs), expected, rtol=tolerance, atol=tolerance * scale)


# What it computes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["rows", "strips"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_program_computes_what_the_network_does_in_either_form(name: str, form: str) -> None:
    net = EXAMPLES[name]()
    net = net if net.dtype.kind == "f" else net.astype(np.float64)
    if net.input_shapes is None:
        with pytest.raises(StructureError, match="does not know the shape of its inputs"):
            mp.compile(net)
        return
    x = inputs(net, n=9)
    net = folded(net)
    steps = building.Builder(net, form, 9).build()
    agree(program.Program(net, steps, 9, 1), net, x)


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(1, 140), st.sampled_from([np.float32, np.float64]))
def test_random_networks_compile_for_any_batch(net: mp.Graph, count: int, dtype: Any) -> None:
    net = net.astype(dtype)
    agree(mp.compile(net, batch_size=count), net, inputs(net, n=count))


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 127, 128, 129, 300])
@pytest.mark.parametrize("batch_size", [1, 64, 300])
def test_a_program_takes_batches_of_any_size(batch_size: int, count: int) -> None:
    net = mlp(20, (30,), 7, rng=0)
    x = np.random.default_rng(0).random((count, 20), dtype=np.float32)
    agree(mp.compile(net, batch_size=batch_size), net, x)


@pytest.mark.parametrize("form", ["rows", "strips"])
def test_every_kernel_of_a_masked_layer_agrees(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is forced once, by making all others look slow."""
    net = masked_mlp()
    x = np.random.default_rng(0).random((70, 70), dtype=np.float32)
    kernels: set[str] = set()
    plain = building.Builder._candidates
    found = plain(building.Builder(net, form, 70), "dense1", ("input:rows",), "dense1:rows", False)
    for chosen in [step.kernel for step in found]:

        def only(*args: Any, chosen: str = chosen) -> Any:
            return [step for step in plain(*args) if step.kernel == chosen] or plain(*args)[:1]

        monkeypatch.setattr(building.Builder, "_candidates", only)
        steps = building.Builder(net, form, 70).build()
        kernels |= {step.kernel for step in steps if isinstance(step, Affine)}
        agree(program.Program(net, steps, 70, 1), net, x)
    assert (
        kernels
        == {
            "rows": {"dense, row by row", "dense, tiles", "CSR"},
            "strips": {"dense, 6 at a time", "dense, 10 at a time", "CSR", "4×1 blocks", "16×1 blocks"},
        }[form]
    )


def test_the_fastest_kernel_when_tried_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "shortest", lambda step, space: {"CSR": 1.0}.get(step.kernel, 2.0))
    steps = building.Builder(masked_mlp(), "strips", 70).build()
    chosen = [step for step in steps if isinstance(step, Affine)]
    assert chosen[0].kernel == "CSR"
    assert "dense, 10 at a time 2,000,000.0 µs, CSR 1,000,000.0 µs" in chosen[0].why


def test_by_columns_is_tried_for_a_few_samples_only() -> None:
    for batch_size, tried in ((1, True), (8, True), (9, False)):
        builder = building.Builder(masked_mlp(), "rows", batch_size)
        found = builder._candidates("dense2", ("relu1:rows",), "dense2:rows", False)
        assert ("dense, by columns" in [step.kernel for step in found]) == tried


@pytest.mark.parametrize(("seconds", "taken"), [(1.05, "dense, by columns"), (1.2, "dense, row by row")])
def test_by_columns_is_taken_unless_it_is_a_tenth_slower(
    seconds: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "shortest", lambda step, space: seconds if "columns" in step.kernel else 1.0)
    steps = building.Builder(mlp(20, (30,), 7), "rows", 1).build()
    assert {step.kernel for step in steps} == {taken}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_by_columns_a_program_computes_what_the_network_does(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "shortest", lambda step, space: 2.0 - (step.kernel == "dense, by columns"))
    net = masked_mlp(0.5, dtype)
    steps = building.Builder(net, "rows", 3).build()
    assert {step.kernel for step in steps} == {"dense, by columns"}
    x = np.random.default_rng(0).random((7, 70)).astype(dtype)
    agree(program.Program(net, steps, 3, 1), net, x)


def test_kernels_are_tried_on_as_many_zeros_as_a_relu_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros: dict[str, float] = {}

    def look(step: Any, space: Any) -> float:
        zeros[step.sources[0]] = float((space.arrays[step.sources[0]] == 0).mean())
        return 1.0

    monkeypatch.setattr(building, "shortest", look)
    net = mp.Sequential(
        mp.Dense(900, 900), mp.ReLU(), mp.Dense(900, 900), mp.Sigmoid(), mp.Dense(900, 50), input_shape=(900,)
    )
    building.Builder(net, "rows", 1).build()
    assert zeros.pop("relu1:rows") == pytest.approx(0.5, abs=0.1)
    assert set(zeros.values()) == {0.0}
    assert len(zeros) == 2
    images = mp.Sequential(mp.Conv2d(1, 3, 3), mp.ReLU(), mp.Flatten(), mp.Dense(48, 5), input_shape=(1, 6, 6))
    assert building.Builder(images, "rows", 1)._behind_relu("flatten1")


def test_several_inputs_are_given_as_to_the_network() -> None:
    net = mp.Graph(
        {"h": (mp.Dense(4, 5), "x"), "k": (mp.Dense(3, 5), "w"), "y": (mp.Add(), "h", "k")}, inputs=("x", "w")
    )
    rng = np.random.default_rng(0)
    x, w = rng.random((40, 4), dtype=np.float32), rng.random((40, 3), dtype=np.float32)
    compiled = mp.compile(net, batch_size=40)
    agree(compiled, net, x, w)
    np.testing.assert_array_equal(compiled({"w": w, "x": x}), compiled(x, w))


def test_nan_stays_in_its_sample_and_passes_the_relu() -> None:
    net = mlp(20, (30,), 7, rng=0)
    x = np.random.default_rng(0).random((70, 20), dtype=np.float32)
    x[3, 5] = np.nan
    found = mp.compile(net, batch_size=70)(x)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_training_on_does_not_change_a_program() -> None:
    net = mlp(20, (30,), 7, rng=0)
    x = np.random.default_rng(0).random((5, 20), dtype=np.float32)
    for batch_size in (1, 64):
        compiled = mp.compile(net, batch_size=batch_size)
        before = compiled(x)
        net.params["dense1.W"][...] += 1
        np.testing.assert_array_equal(compiled(x), before)


# Folding --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_folding_changes_nothing_but_the_nodes(name: str) -> None:
    net = EXAMPLES[name]()
    if net.dtype != np.float64:
        net = net.astype(np.float64)
    small = folded(net)
    x = inputs(net, n=4)
    np.testing.assert_allclose(small(x), net(x), rtol=1e-10, atol=1e-10)
    assert len(small.nodes) <= len(net.nodes)


def test_a_batch_norm_goes_into_the_layer_before_it_unless_others_read_that() -> None:
    chain = mp.Sequential(mp.Conv2d(1, 3, 3, bias=False), mp.BatchNorm(3), mp.ReLU(), input_shape=(1, 6, 6))
    rng = np.random.default_rng(0)
    for array in chain.arrays.values():
        array[...] = rng.random(array.shape) + 0.5
    small = folded(chain)
    assert list(small.nodes) == ["conv1", "relu1"]
    x = rng.random((2, 1, 6, 6), dtype=np.float32)
    np.testing.assert_allclose(small(x), chain(x), rtol=1e-5, atol=1e-5)
    read_twice = mp.Graph(
        {"h": (mp.Dense(4, 5), "x"), "n": (mp.BatchNorm(5), "h"), "y": (mp.Add(), "h", "n")}, inputs=("x",)
    )
    assert list(folded(read_twice).nodes) == ["h", "n", "y"]


def test_masks_survive_folding_and_their_weights_stay_zero() -> None:
    net = mp.Sequential(mp.Dense(30, 20), mp.BatchNorm(20), mp.ReLU(), mp.Dense(20, 5), rng=0)
    net = mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(0.8)))
    small = folded(net)
    assert list(small.nodes) == ["dense1", "relu1", "dense2"]
    for name, kept in small.masks.items():
        assert not small.params[name][~kept].any()


# Threads --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> tuple[mp.Graph, Any]:
    net = masked_mlp()
    return net, np.random.default_rng(0).random((1500, 70), dtype=np.float32)


def test_any_number_of_threads_gives_the_same_bytes(large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = large
    monkeypatch.setattr(program, "WORTH_IT", 0.0)
    one = mp.compile(net, batch_size=1500, threads=1)
    expected = one(x).tobytes()
    for threads in (2, 5):
        shared = program.Program(one.net, one.steps, 1500, threads).measure()
        assert shared(x).tobytes() == expected
        assert shared._pool is not None, "no pool was used"


def test_a_small_batch_is_not_given_to_a_pool(large: Any) -> None:
    net, x = large
    compiled = mp.compile(net, batch_size=1500, threads=2)
    compiled(x[:100])
    assert compiled._pool is None


def test_four_threads_may_call_one_program(large: Any) -> None:
    net, x = large
    compiled = mp.compile(net, batch_size=300, threads=2)
    parts = [x[start : start + 300] for start in range(0, 1500, 300)]
    expected = [compiled(part).tobytes() for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            assert [found.tobytes() for found in pool.map(compiled, parts)] == expected


def _in_a_fork(compiled: Any, x: Any, answer: Any) -> None:
    answer.put(compiled(x).tobytes())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_makes_a_pool_of_its_own(large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = large
    monkeypatch.setattr(program, "WORTH_IT", 0.0)
    compiled = mp.compile(net, batch_size=1500, threads=2)
    expected = compiled(x).tobytes()
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=_in_a_fork, args=(compiled, x, answer))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert answer.get() == expected


def test_the_number_of_threads_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    net = mlp(5, (4,), 3)
    monkeypatch.setenv("MINPRUNE_NUM_THREADS", "3")
    assert mp.compile(net).threads == 3
    assert mp.compile(net, threads=1).threads == 1
    monkeypatch.setenv("MINPRUNE_NUM_THREADS", "many")
    with pytest.raises(MinpruneError, match="MINPRUNE_NUM_THREADS is 'many', expected a whole number of at least 1"):
        mp.compile(net)


def test_the_interpreter_is_free_while_a_program_runs() -> None:
    """Another thread counts meanwhile."""
    net = mlp(784, (1000, 1000), 10)
    compiled = mp.compile(net, batch_size=1024)
    x = np.random.default_rng(0).random((1024, 784), dtype=np.float32)
    done, counted = threading.Event(), [0]

    def count() -> None:
        while not done.is_set():
            counted[0] += 1

    other = threading.Thread(target=count)
    other.start()
    before = counted[0]
    compiled(x)
    during = counted[0] - before
    done.set()
    other.join()
    assert during > 0


# What it says, and what it refuses ------------------------------------------------------------------------------------


def test_the_plan_names_kernel_reason_and_times_of_every_step() -> None:
    compiled = mp.compile(masked_mlp(0.95), batch_size=64)
    text = compiled.plan()
    for word in ("dense1 + relu1", "dense3", "CSR", "µs", "of roof", "64 samples at a time, 1 thread(s), float32"):
        assert word in text
    assert all(step.seconds > 0 for step in compiled.steps)
    assert compiled.seconds == pytest.approx(sum(step.seconds for step in compiled.steps))
    assert repr(compiled) == f"<Program of {len(compiled.steps)} steps for batches of 64, 1 thread(s)>"


def test_what_is_left_to_the_layers_is_said() -> None:
    net = mp.Sequential(mp.Dense(6, 5), mp.Softmax(), mp.Dense(5, 3), input_shape=(6,))
    compiled = mp.compile(net, batch_size=4)
    left = [step for step in compiled.steps if isinstance(step, LayerRows)]
    assert [step.name for step in left] == ["softmax1"]
    assert "by the layer itself" in compiled.plan()


def test_a_dense_network_runs_without_allocating() -> None:
    net = mlp(784, (300, 100), 10)
    x, out = np.ones((256, 784), np.float32), np.empty((256, 10), np.float32)
    compiled = mp.compile(net, batch_size=256)
    compiled(x, out=out)
    tracemalloc.start()
    for _ in range(3):
        assert compiled(x, out=out) is out
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000  # a row of the first layer's values alone would be 3 kB


def test_values_that_are_not_needed_at_the_same_time_share_their_room() -> None:
    net = mp.Sequential(*(mp.Dense(40, 40) for _ in range(8)))
    compiled = mp.compile(net, batch_size=64)
    kept = {id(array) for array in compiled._workspace().arrays.values()}
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((3, 5), np.float32), r"out: expected a contiguous float32 array \(4, 5\), got float32 \(3, 5\)"),
        (np.empty((4, 5)), r"got float64 \(4, 5\)"),
        (np.empty((5, 4), np.float32).T, r"out: expected a contiguous float32 array \(4, 5\)"),
    ],
)
def test_a_place_for_the_output_that_does_not_fit_is_refused(out: Any, error: str) -> None:
    with pytest.raises(ShapeError, match=error):
        mp.compile(mp.Sequential(mp.Dense(3, 5)))(np.zeros((4, 3), np.float32), out=out)


def test_inputs_are_taken_as_by_the_network_and_others_refused() -> None:
    net = mp.Sequential(mp.Dense(3, 5))
    compiled = mp.compile(net)
    np.testing.assert_allclose(compiled([[1, 2, 3]]), net([[1, 2, 3]]), rtol=1e-6)
    np.testing.assert_allclose(compiled(np.arange(6.0).reshape(3, 2).T), net(np.arange(6.0).reshape(3, 2).T), rtol=1e-6)
    assert compiled(np.zeros((0, 3))).shape == (0, 5)
    with pytest.raises(ShapeError, match="dense1"):
        compiled(np.zeros((1, 4)))
    square = mp.Sequential(mp.Conv2d(1, 2, 3), mp.GlobalAvgPool2d(), input_shape=(1, 6, 6))
    with pytest.raises(ShapeError, match=r"input: compiled for \('N', 1, 6, 6\), got \(1, 1, 7, 7\)"):
        mp.compile(square)(np.zeros((1, 1, 7, 7)))


@pytest.mark.parametrize(
    ("setting", "value"), [("batch_size", 0), ("batch_size", 2.5), ("threads", 0), ("threads", "2")]
)
def test_settings_that_are_no_whole_numbers_are_refused(setting: str, value: Any) -> None:
    message = rf"compile: {setting} is {value!r}, expected a whole number of at least 1"
    with pytest.raises(MinpruneError, match=message):
        mp.compile(mlp(3, (4,), 2), **{setting: value})


def test_only_floats_are_compiled() -> None:
    with pytest.raises(DtypeError, match="compile: the network holds complex128, expected float32 or float64"):
        mp.compile(mlp(3, (4,), 2).astype(complex))


def test_a_smaller_batch_than_it_was_compiled_for_writes_no_further_than_its_output() -> None:
    net = mlp(20, (30,), 7, rng=0)
    x, room = np.ones((128, 20), np.float32), np.full((128, 7), -1, np.float32)
    for form in ("rows", "strips"):
        steps = building.Builder(net, form, 128).build()
        compiled = program.Program(net, steps, 128, 1)
        compiled(x)  # the workspace holds 128 rows now
        for count in (1, 3, 40):
            room[...] = -1
            compiled(x[:count], out=room[:count])
            assert (room[count:] == -1).all()
