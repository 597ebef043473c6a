"""Exact reductions: what leaves makes no difference, and what would make one stays."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, SINGLE_INPUT, networks, randomised

import minprune as mp
from minprune.errors import MinpruneError
from minprune.neurons import hidden
from minprune.ops import Array, exact
from minprune.pruning.exact import reduction as reductions
from minprune.pruning.exact.dependence import dependent_rows
from minprune.pruning.exact.reduction import Reduction, inputs_within


def kinds(found: Reduction) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(step.kind, step.group, step.neurons) for step in found.steps]


def trials(net: mp.Graph, low: Any, high: Any, n: int = 60, seed: int = 5) -> dict[str, Array]:
    """Inputs of the box, other ones than the reduction's own, with all of its corners' kinds among them."""
    rng = np.random.default_rng(seed)
    xs = {}
    for name, shape in (net.input_shapes or {}).items():
        share = rng.integers(0, 33, (n, *shape))
        share[::3] = rng.integers(0, 2, share[::3].shape) * 32
        part = exact(share) * Fraction(1, 32) if net.dtype == object else share / 32
        xs[name] = low + (high - low) * part
    return xs


def relu_net(W: Any, b: Any, out: Any, **settings: Any) -> mp.Graph:
    """Features, one ReLU layer and an output, from the numbers themselves."""
    W, out = np.asarray(W, float), np.asarray(out, float)
    net = mp.Sequential(
        *(mp.Dense(W.shape[1], len(W)), mp.ReLU(), mp.Dense(len(W), len(out))), dtype=np.float64, **settings
    )
    net.params["dense1.W"], net.params["dense1.b"], net.params["dense2.W"] = W, b, out
    return net


def test_a_neuron_that_the_box_never_wakes_leaves_and_outside_of_the_box_it_would_matter() -> None:
    net = relu_net([[1, 1], [-1, -1]], [-0.5, -0.25], [[1, 1]])
    found = mp.reduce_exactly(net, (0, 1))
    assert kinds(found) == [("dead", "dense1", (1,))]
    np.testing.assert_array_equal(found.net.params["dense1.W"], [[1, 1]])
    x = np.array([[0.25, 1.0]])
    assert found.net(x) == net(x)
    assert found.net(-x) != net(-x)
    assert mp.reduce_exactly(net, (-1, 1)).steps == ()


def test_a_neuron_at_the_very_edge_is_dead_and_one_beyond_it_is_not() -> None:
    assert kinds(mp.reduce_exactly(relu_net([[1], [-1]], [0, 0], [[1, 1]]), (0, 1)))[0] == ("dead", "dense1", (1,))
    assert mp.reduce_exactly(relu_net([[1], [-1]], [-0.1, 1e-9], [[1, 1]]), (0, 1)).steps == ()


def test_a_constant_neuron_goes_into_the_bias_which_is_made_where_there_is_none() -> None:
    net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 2, bias=False), dtype=np.float64)
    net = randomised(net)
    net.params["dense1.W"][1] = 0
    found = mp.reduce_exactly(net, (-1, 1))
    assert kinds(found) == [("constant", "dense1", (1,))]
    a = 1 / (1 + np.exp(-net.params["dense1.b"][1]))
    np.testing.assert_allclose(found.net.params["dense2.b"], net.params["dense2.W"][:, 1] * a, rtol=1e-14)


def test_what_constants_make_constant_leaves_with_them() -> None:
    net = relu_net([[0, 0], [1, 2], [0, 0]], [2, -1, 3], [[1, 0, 1], [1, 1, 1]])
    deep = mp.Sequential(*(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 2), mp.Tanh(), mp.Dense(2, 1)), dtype=np.float64)
    for name in ("dense1.W", "dense1.b", "dense2.W"):
        deep.params[name] = net.params[name]
    found = mp.reduce_exactly(deep, (-1, 1))
    assert kinds(found) == [
        (k, g, n) for k, g, n in (*[("constant", "dense1", (j,)) for j in (0, 2)], ("constant", "dense2", (0,)))
    ]
    assert found.net.params["dense2.W"].shape == (1, 1)


def test_a_neuron_that_nobody_listens_to_leaves_whatever_the_box() -> None:
    net = EXAMPLES["mlp"]()
    net.params["dense2.W"][:, 3] = 0
    assert kinds(mp.reduce_exactly(net, (-100, 100))) == [("idle", "dense1", (3,))]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        *[("mlp", "dense1"), ("sigmoid", "dense1"), ("cnn", "conv1"), ("residual", "dense1"), ("depthwise", "conv1")],
        *[("depthwise with multiplier 2", "conv1"), ("grouped", "conv1"), ("added and read", "h"), ("conv1d", "conv1")],
        *[("residual, projected", "conv1"), ("concat with itself", "dense1"), ("read in two places", "h")],
        *[("image and vector", "c"), ("added to itself", "h"), ("gate that is added", "h")],
    ],
)
def test_twins_leave_in_every_wiring(name: str, group: str) -> None:
    net = EXAMPLES[name]()
    found = net.neurons.get(group) or next(g for g in net.neurons.values() if not g.stays and g.size > 2)
    for piece in found.produced + found.carried:
        array = net.arrays[piece.array]
        array[piece.positions(2)] = array[piece.positions(0)]
    reduced = mp.reduce_exactly(net, dict.fromkeys(net.inputs, (-2, 3)))
    assert ("duplicate", found.name, (2,)) in kinds(reduced)
    x = trials(net, -2, 3)
    np.testing.assert_allclose(reduced.net(x), net(x), rtol=1e-10, atol=1e-10)
    x = trials(net, -9, 9)  # it does not hang on the box
    np.testing.assert_allclose(reduced.net(x), net(x), rtol=1e-9, atol=1e-9)


def test_multiples_leave_behind_relu_and_not_behind_sigmoid() -> None:
    for activation, expected in ((mp.ReLU(), [("duplicate", "dense1", (2,))]), (mp.Sigmoid(), [])):
        net = randomised(mp.Sequential(mp.Dense(3, 4), activation, mp.Dense(4, 2), dtype=np.float64))
        for short in ("W", "b"):
            net.params[f"dense1.{short}"][2] = 2.5 * net.params[f"dense1.{short}"][0]
        assert kinds(mp.reduce_exactly(net, (-3, 3))) == expected
    net.params["dense1.W"][2] = -net.params["dense1.W"][0]  # nor is −1 a multiple that counts
    assert mp.reduce_exactly(net, (-3, 3)).steps == ()


def test_the_bound_is_that_of_float64_where_weights_only_left_and_of_the_networks_floats_where_they_changed() -> None:
    W, b, out = [[1, 1], [-1, -1], [0, 0]], [-0.5, -0.25, 1], [[1, 1, 1 / 3]]
    net = relu_net(W, b, out).astype(np.float32)
    whole = mp.reduce_exactly(net, (0, 1))
    net.params["dense1.b"][2] = -1
    only_dead = mp.reduce_exactly(net, (0, 1))
    assert {step.kind for step in only_dead.steps} == {"dead"}
    assert only_dead.bound < 1e-13
    assert 1e-7 < whole.bound < 1e-4


def test_float32_multiples_are_found_although_they_were_rounded() -> None:
    net = randomised(mp.Sequential(mp.Dense(7, 5), mp.ReLU(), mp.Dense(5, 2)))
    for short in ("W", "b"):
        net.params[f"dense1.{short}"][4] = np.float32(1.7) * net.params[f"dense1.{short}"][1]
    found = mp.reduce_exactly(net, (-3, 3))
    assert kinds(found) == [("duplicate", "dense1", (4,))]
    x = trials(net, -3, 3)["input"]
    np.testing.assert_allclose(found.net(x), net(x), rtol=1e-4, atol=1e-5)
    net.params["dense1.W"][4, 0] *= np.float32(1 + 1e-4)  # more than rounding
    assert mp.reduce_exactly(net, (-3, 3)).steps == ()


def test_of_neurons_that_are_linear_on_the_box_no_more_stay_than_they_read_values() -> None:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((9, 3))
    b = np.full(9, 10.0)
    b[[1, 5]] = 0  # two have a kink
    net = relu_net(W, b, rng.standard_normal((4, 9)))
    found = mp.reduce_exactly(net, (-1, 1))
    assert {kind for kind, _, _ in kinds(found)} == {"dependent"}
    assert len(found.steps) == 7 - 3
    assert not {1, 5} & {step.neurons[0] for step in found.steps}
    x = trials(net, -1, 1)["input"]
    np.testing.assert_allclose(found.net(x), net(x), rtol=1e-12, atol=1e-12)


def test_a_layer_without_a_kink_is_multiplied_into_the_next_one_and_the_next() -> None:
    net = randomised(
        mp.Sequential(
            *(mp.Dense(3, 3), mp.LeakyReLU(), mp.Dropout(0.5), mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2)),
            dtype=np.float64,
        )
    )
    net.params["dense1.b"] = np.full(3, 50.0)
    net.params["dense2.b"] = -net.params["dense2.W"] @ net.params["dense1.b"]  # all of these have a kink
    found = mp.reduce_exactly(net, (-1, 1))
    assert kinds(found) == [("merged", "dense1", (0, 1, 2))]
    assert list(found.net.nodes)[:2] == ["dense2", "relu1"]
    x = trials(net, -1, 1)["input"]
    np.testing.assert_allclose(found.net(x), net(x), rtol=1e-11)
    straight = mp.reduce_exactly(randomised(mp.Sequential(mp.Dense(3, 9), mp.Dense(9, 9), mp.Dense(9, 2))), (-1, 1))
    assert list(straight.net.nodes) == ["dense3"]
    assert straight.net.params["dense3.W"].shape == (2, 3)


def test_a_bottleneck_is_not_multiplied_out_and_the_report_says_so() -> None:
    net = randomised(mp.Sequential(mp.Dense(8, 2), mp.Dense(2, 8), dtype=np.float64))
    found = mp.reduce_exactly(net, (-1, 1))
    assert found.steps == ()
    assert found.kept == ("dense1: all its neurons are linear on the box, but merged it would be larger",)
    assert "kept: dense1" in str(found)


def test_layers_of_which_something_else_is_read_are_not_merged() -> None:
    net = EXAMPLES["added to itself"]()
    assert "merged" not in {kind for kind, _, _ in kinds(mp.reduce_exactly(net, (-1, 1)))}
    nodes = {
        "h": (mp.Dense(4, 4), "x"),
        "p": (mp.Dense(4, 4), "h"),
        "q": (mp.Dense(4, 4), "h"),
        "s": (mp.Add(), "p", "q"),
    }
    net = randomised(mp.Graph(nodes, dtype=np.float64))
    assert mp.reduce_exactly(net, (-1, 1)).steps == ()


def conv_net(*between: Any, padding: int, last: int) -> mp.Graph:
    net = mp.Sequential(
        *(mp.Conv2d(1, 4, 3), mp.ReLU(), *between, mp.Conv2d(4, 3, 2, padding=padding), mp.Tanh(), mp.Flatten()),
        mp.Dense(last, 2),
        dtype=np.float64,
        input_shape=(1, 6, 6),
    )
    return randomised(net)


def test_a_constant_channel_leaves_unless_zeros_stand_around_the_image() -> None:
    free, padded = conv_net(padding=0, last=27), conv_net(padding=1, last=75)
    for net in (free, padded):
        net.params["conv1.W"][2], net.params["conv1.b"][2] = 0, 0.75
        net.params["conv1.W"][1], net.params["conv1.b"][1] = 0, -0.75
    found = mp.reduce_exactly(free, (-1, 1))
    assert kinds(found) == [("dead", "conv1", (1,)), ("constant", "conv1", (2,))]
    x = trials(free, -1, 1)["input"]
    np.testing.assert_allclose(found.net(x), free(x), rtol=1e-12, atol=1e-12)
    found = mp.reduce_exactly(padded, (-1, 1))
    assert kinds(found) == [("dead", "conv1", (1,))]  # zero is zero on the border too
    assert found.kept == ("conv1, constant: 1: conv2 reads it with zeros around the image",)  # numbered as it is now


def test_a_constant_that_differs_from_place_to_place_goes_into_dense_readers_only() -> None:
    layers = (mp.Conv2d(1, 3, 1), mp.Conv2d(3, 3, 3, padding=1, groups=3), mp.ReLU())
    flat = randomised(mp.Sequential(*layers, mp.Flatten(), mp.Dense(48, 2), dtype=np.float64, input_shape=(1, 4, 4)))
    conv = mp.Sequential(*layers, mp.Conv2d(3, 2, 2), dtype=np.float64, input_shape=(1, 4, 4))
    conv = randomised(conv)
    for net in (flat, conv):
        net.params["conv1.W"][1], net.params["conv1.b"][1], net.params["conv2.b"][1] = 0, 0.75, 5
    found = mp.reduce_exactly(flat, (-1, 1))
    assert kinds(found) == [("constant", "conv1", (1,))]
    x = trials(flat, -1, 1)["input"]
    np.testing.assert_allclose(found.net(x), flat(x), rtol=1e-12, atol=1e-12)
    found = mp.reduce_exactly(conv, (-1, 1))
    assert found.steps == ()
    assert found.kept == ("conv1, constant: 1: conv3 reads another constant at each place",)


@pytest.mark.parametrize(
    ("between", "padding", "last", "constant", "dependent"),
    [
        ((), 0, 27, 3.0, True),
        ((mp.AvgPool2d(2, 1),), 0, 12, 3.0, True),
        ((mp.MaxPool2d(2, 1),), 0, 12, 3.0, False),  # a maximum of sums is no sum of maxima
        ((mp.BatchNorm(4),), 0, 27, 3.0, False),
        ((), 1, 75, 3.0, False),  # the combination holds, but its constant is none on the border
        ((mp.AvgPool2d(2, 1, padding=1),), 0, 48, 3.0, False),
        ((), 1, 75, 0.0, True),
        ((mp.AvgPool2d(2, 1, padding=1),), 0, 48, 0.0, True),
    ],
)
def test_channels_that_are_sums_of_others_leave_where_nothing_on_the_way_tells_them_apart(
    between: tuple[Any, ...], padding: int, last: int, constant: float, dependent: bool
) -> None:
    net = conv_net(*between, padding=padding, last=last)
    W, b = net.params["conv1.W"], net.params["conv1.b"]
    b[:] = [60, 19, 0, 0]
    W[3], b[3] = 0.5 * W[0] + 2 * W[1], 0.5 * b[0] + 2 * b[1] + constant
    found = mp.reduce_exactly(net, (-1, 1))
    assert [kind for kind, _, _ in kinds(found)] == ["dependent"] * dependent
    x = trials(net, -1, 1)["input"]
    np.testing.assert_allclose(found.net(x), net(x), rtol=1e-10, atol=1e-9)


def test_at_least_one_neuron_of_a_layer_stays() -> None:
    net = relu_net([[-1, -1], [-2, 0]], [-1, -1], [[1, 2]])
    found = mp.reduce_exactly(net, (0, 1))
    assert found.net.params["dense1.W"].shape == (1, 2)
    x = trials(net, 0, 1)["input"]
    assert (found.net(x) == net(x)).all()
    tied = EXAMPLES["tied across concat"]()
    for name in ("a.b", "b.b", "c.b", "d.b"):
        tied.params[name] = np.full_like(tied.params[name], -100)
    found = mp.reduce_exactly(tied, (-1, 1))
    assert min(found.net.params[f"{layer}.W"].shape[0] for layer in "abcd") == 1


def test_features_that_the_box_fixes_leave_and_the_network_takes_the_same_inputs() -> None:
    net = EXAMPLES["mlp"]()
    low, high = np.array([-9.0, 0.5, -9.0, 0.0]), np.array([9.0, 0.5, 9.0, 0.0])
    found = mp.reduce_exactly(net, (low, high))
    assert kinds(found) == [("dead", "input", (3,)), ("constant", "input", (1,))]
    assert found.net.params["dense1.W"].shape == (5, 2)
    x = low + (high - low) * np.random.default_rng(0).random((20, 4))
    np.testing.assert_allclose(found.net(x), net(x), rtol=1e-12)


def test_neurons_are_numbered_as_in_the_network_that_was_given() -> None:
    net = relu_net([[-1, -1], [1, 2], [0, 0], [1, 2], [1, -1]], [-1, 0, 1, 0, 0], [[1, 2, 3, 4, 5]])
    found = mp.reduce_exactly(net, (0, 1))
    assert kinds(found) == [("dead", "dense1", (0,)), ("constant", "dense1", (2,)), ("duplicate", "dense1", (3,))]
    text = str(found)
    assert text.startswith("3 neurons removed, 0 layers merged\n  dense1, dead: 0 (it is 0 on the whole box)\n")
    assert "dense1, duplicate: 3 (it is the twin of 0)" in text  # as it was numbered then
    assert text.endswith(found.verdict)


@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_where_nothing_is_redundant_nothing_changes(name: str) -> None:
    net = EXAMPLES[name]()
    before = {key: array.copy() for key, array in net.arrays.items()}
    found = mp.reduce_exactly(net, (-30, 30))
    assert all(np.array_equal(net.arrays[key], array) for key, array in before.items())
    x = trials(net, -30, 30)["input" if "input" in net.inputs else net.inputs[0]]
    np.testing.assert_allclose(found.net(x), net(x), rtol=1e-9, atol=1e-9)
    if found.steps:
        # three features make no more than three independent sums; a Select passes some over
        told = {kind for kind, _, _ in kinds(found)}
        assert (name, told) in (("linear", {"dependent", "merged"}), ("selects", {"idle"}))


@st.composite
def planted(draw: st.DrawFn, exact: bool) -> mp.Graph:
    """A random network with redundant neurons put into it."""
    net = draw(networks(exact=exact))
    for name in hidden(net):
        group = net.neurons[name]
        how = draw(st.sampled_from(["", "dead", "constant", "twin", "multiple", "idle", "linear"]))
        j = draw(st.integers(0, group.size - 1))
        for piece in group.produced:
            array = net.arrays[piece.array]
            mine, first = piece.positions(j), piece.positions(0)
            if how == "constant" and piece.array.endswith(".W"):
                array[mine] = 0 * array[mine]
            elif how in ("dead", "linear") and piece.array.endswith(".b"):
                array[...] = 0 * array + (500 if how == "linear" else 0)
                array[mine] = 0 * array[mine] + (500 if how == "linear" else -500)
            elif how in ("twin", "multiple") and len(mine) == len(first):
                array[mine] = array[first] * (2 if how == "multiple" else 1)
        for piece in group.consumed if how == "idle" else ():
            net.arrays[piece.array][:, piece.positions(j)] *= 0
        for piece in group.carried if how == "twin" else ():
            net.arrays[piece.array][piece.positions(j)] = net.arrays[piece.array][piece.positions(0)]
    return net


@settings(max_examples=8)
@given(net=planted(exact=True))
def test_in_rationals_the_reduced_network_is_equal(net: mp.Graph) -> None:
    found = mp.reduce_exactly(net, (Fraction(-1), Fraction(2, 3)))
    x = trials(net, Fraction(-1), Fraction(2, 3), n=10)
    assert (found.net(x) == net(x)).all()
    assert (found.max_difference, found.bound) == (0, 0)
    sizes = [sum(a.size for name, a in n.params.items() if name.endswith(".W")) for n in (net, found.net)]
    assert sizes[1] <= sizes[0]
    assert bool(found.steps) == (list(found.net.nodes) != list(net.nodes) or sizes[1] < sizes[0])


@settings(max_examples=40)
@given(net=planted(exact=False))
def test_in_floats_it_is_within_rounding(net: mp.Graph) -> None:
    found = mp.reduce_exactly(net, (-1, 1))
    x = trials(net, -1, 1, n=30)
    given_out, reduced_out = net(x), found.net(x)
    scale = max(1.0, np.abs(given_out).max())
    np.testing.assert_allclose(reduced_out / scale, given_out / scale, rtol=0, atol=1e-10)
    assert found.max_difference <= found.bound


def test_a_second_reduction_finds_nothing() -> None:
    net = EXAMPLES["nested"]()
    net.params["conv1.W"][1] = net.params["conv1.W"][0]
    once = mp.reduce_exactly(net, (0, 1))
    assert mp.reduce_exactly(once.net, (0, 1)).steps == ()


def test_a_reduction_that_changes_the_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net = relu_net([[1, 1], [-1, -1]], [0.5, -0.25], [[1, 1]])
    honest = reductions.substituted

    def broken(net: mp.Graph, found: Any) -> mp.Graph:
        small = honest(net, found)
        small.params["dense2.b"] += 1e-3
        return small

    monkeypatch.setattr(reductions, "substituted", broken)
    with pytest.raises(MinpruneError, match=r"reduction failed its check \(given ≡ reduced: largest difference 0.001"):
        mp.reduce_exactly(net, (0, 1))


def test_the_trial_inputs_lie_in_the_box_and_half_of_them_on_corners() -> None:
    low, high = np.array([-1.0, 2.0, 5.0]), np.array([1.0, 2.0, 9.0])
    x = inputs_within({"x": (low, high)})["x"]
    assert ((x >= low) & (x <= high)).all()
    assert ((x == low) | (x == high)).all(axis=1)[:32].all()
    assert not ((x == low) | (x == high)).all(axis=1)[32:].all()
    assert len(np.unique(x, axis=0)) > 20


# --- linear dependence -----------------------------------------------------------------------------------------------


def test_rows_that_are_combinations_of_others_are_told_with_their_coefficients() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5, 6))
    rows = np.concatenate([rows, [rows[0] - 2 * rows[3], 1e-6 * (rows[1] + rows[2]), np.zeros(6)]])
    found = dependent_rows(rows, 1e-13)
    assert len(found) == 3
    for j, weights in found.items():
        assert not weights.keys() & found.keys()
        np.testing.assert_allclose(sum((c * rows[i] for i, c in weights.items()), np.zeros(6)), rows[j], atol=1e-13)


@given(st.data())
def test_in_rationals_the_rank_is_exact(data: st.DataObject) -> None:
    n, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    entries = data.draw(st.lists(st.integers(-2, 2), min_size=n * width, max_size=n * width))
    rows = np.array(entries).reshape(n, width)
    found = dependent_rows(exact(rows), 0.0)
    if n > 1:
        assert n - len(found) == np.linalg.matrix_rank(rows)
    for j, weights in found.items():
        assert not weights.keys() & found.keys()
        assert (sum((c * exact(rows[i]) for i, c in weights.items()), exact(np.zeros(width))) == exact(rows[j])).all()


def test_rows_that_differ_by_more_than_the_tolerance_are_independent() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 1e-6]])
    assert dependent_rows(rows, 1e-9) == {}
    assert list(dependent_rows(rows, 1e-3)) in ([0], [1])


def test_a_reduction_stands_in_the_history_and_is_kept_with_the_model(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[1.0, -1.0], [-1.0, -2.0], [2.0, -2.0]], [0.0, 0.0, 0.0]
    small = mp.reduce_exactly(net, (0, 1)).net
    (record,) = small.history
    assert (record.action, record.how) == ("reduce", {"dead": 1, "duplicate": 1})
    assert str(record.certificate).startswith("given ≡ reduced: largest difference")
    mp.save(small, tmp_path / "small.npz")
    again = mp.load(tmp_path / "small.npz")
    assert again.history == small.history
    assert mp.verify(again, net).ok
    again.params["dense2.W"] *= 2
    assert not mp.verify(again, net).ok


def test_what_later_weights_make_of_a_rounded_fold_is_allowed_for() -> None:
    """0.1 + 0.2 is rounded to float32 once, and then multiplied by a difference of 1e5 and 1e5."""
    layers = (mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    net = mp.Sequential(*layers)
    net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [1.0]], [-0.25, -0.25]
    net.params["dense2.W"], net.params["dense2.b"] = [[0.1, 0.2], [0.3, 0.0]], [-0.01, -0.01]
    net.params["dense3.W"] = [[1e5, -1e5]]
    found = mp.reduce_exactly(net, (0, 1))
    assert found.net.neurons["dense1"].size == 1
    assert 1e-5 < found.max_difference <= found.bound < 1
