"""Scores from activations: entry by entry, without labels."""

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs, samples

import minprune as mp
from minprune.ops import Array
from minprune.scores.activations import ActivationCriterion

NAMES = [
    *(
        "mlp",
        "cnn",
        "read in two places",
        "added and read",
        "depthwise with multiplier 2",
        "grouped",
        "concat, flatten",
    ),
    *("selects", "residual, projected", "tied across concat"),
]


def entries(net: mp.Graph, x: Any, group: str, j: int) -> dict[str, list[float]]:
    """All numbers that are read of one neuron, by the value in which they are."""
    values = net.run(net.take(x), net.arrays)
    return {
        read.value: [
            float(a)
            for n in range(len(x))
            for channel, owner in enumerate(read.owner)
            if owner == j
            for a in np.ravel(values[read.value][n, channel])
        ]
        for read in net.neurons[group].reads
    }


def outgoing(net: mp.Graph, group: str, j: int) -> dict[str, float]:
    """Σ w² over the weights that read one neuron, by the value in which they read it."""
    found = net.neurons[group]
    return {
        read.value: sum(
            float(w) ** 2
            for piece in found.consumed
            if piece.array in [f"{reader}.W" for reader in read.readers]
            for position in piece.positions(j)
            for w in np.take(net.params[piece.array], position, axis=piece.axis).ravel()
        )
        for read in found.reads
    }


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def variance(values: list[float]) -> float:
    return mean([(v - mean(values)) ** 2 for v in values])


@pytest.mark.parametrize("name", NAMES)
def test_a_score_from_activations_is_its_formula_in_plain_loops(name: str) -> None:
    net = EXAMPLES[name]()
    x, _ = samples(net, n=4)
    names = ("activation_mean", "activation_rms", "apoz", "activation_outgoing")
    found = {criterion: mp.score(net, x, criterion, batch_size=3) for criterion in names}
    for group, values in found["apoz"].items():
        for j in range(len(values)):
            by_value, weights = entries(net, x, group, j), outgoing(net, group, j)
            a = [v for part in by_value.values() for v in part]
            expected = {
                "activation_mean": mean(a),
                "activation_rms": mean([v * v for v in a]) ** 0.5,
                "apoz": 1 - mean([float(v == 0) for v in a]) if a else 0.0,
                "activation_outgoing": sum(variance(by_value[v]) * weights[v] for v in by_value) ** 0.5,
            }
            for criterion, value in expected.items():
                assert found[criterion][group][j] == pytest.approx(value, rel=1e-9, abs=1e-12), (
                    f"{criterion} {group}[{j}]"
                )


def by_hand() -> tuple[mp.Graph, Array]:
    """Two samples 1 and −3: behind the ReLU the neurons put out (1, 0), (0, 3) and (2, 2)."""
    net = mp.Sequential(mp.Dense(1, 3), mp.ReLU(), mp.Dense(3, 2), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[1], [-1], [0]], [0, 0, 2]
    net.params["dense2.W"] = [[3, 0, 1], [4, 2, 1]]
    return net, np.array([[1.0], [-3.0]])


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ("activation_mean", [0.5, 1.5, 2]),
        ("activation_rms", [0.5**0.5, 4.5**0.5, 2]),
        ("apoz", [0.5, 0.5, 1]),
        ("activation_outgoing", [0.5 * 5, 1.5 * 2, 0]),  # what is constant moves nobody, whatever its weights
    ],
)
def test_by_hand(criterion: str, expected: list[float]) -> None:
    net, x = by_hand()
    np.testing.assert_allclose(mp.score(net, x, criterion)["dense1"], expected, rtol=1e-12)


@pytest.mark.parametrize("criterion", ["activation_mean", "activation_rms", "apoz", "activation_outgoing"])
def test_labels_are_not_used(criterion: str) -> None:
    net, x = by_hand()
    bare, labelled = mp.score(net, x, criterion), mp.score(net, (x, np.array([0, 1])), criterion)
    assert bare["dense1"].tobytes() == labelled["dense1"].tobytes()


def test_signs_cancel_in_the_mean_only() -> None:
    net = mp.Sequential(mp.Dense(1, 1), mp.Dense(1, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[1]], [0]
    x = np.array([[2.0], [-2.0]])
    assert mp.score(net, x, "activation_mean")["dense1"].tolist() == [0]
    assert mp.score(net, x, "activation_rms")["dense1"].tolist() == [2]
    assert mp.score(net, x, "apoz")["dense1"].tolist() == [1]


def test_a_flattened_map_counts_as_the_map() -> None:
    """The same activations read by a convolution or, flattened, by a dense layer."""
    maps = mp.Sequential(mp.Conv2d(1, 3, 2), mp.ReLU(), mp.Conv2d(3, 2, 2), input_shape=(1, 4, 4), dtype=np.float64)
    flat = mp.Sequential(
        mp.Conv2d(1, 3, 2), mp.ReLU(), mp.Flatten(), mp.Dense(27, 2), input_shape=(1, 4, 4), dtype=np.float64
    )
    flat.params["conv1.W"] = maps.params["conv1.W"]
    x = np.random.default_rng(0).standard_normal((3, 1, 4, 4))
    for criterion in ("activation_mean", "activation_rms", "apoz"):
        first, second = (mp.score(net, x, criterion)["conv1"] for net in (maps, flat))
        np.testing.assert_allclose(first, second, rtol=1e-12)


def test_a_large_and_almost_constant_neuron_keeps_its_variance() -> None:
    """Around 10⁸ the mean of squares less the squared mean would leave nothing of a spread of 1."""
    net = mp.Sequential(mp.Dense(1, 1), mp.Dense(1, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"], net.params["dense2.W"] = [[1]], [1e8], [[1]]
    x = np.tile([[1.0], [-1.0]], (50, 1))
    for batch_size in (1, 7, 100):
        np.testing.assert_allclose(
            mp.score(net, x, "activation_outgoing", batch_size=batch_size)["dense1"], 1, rtol=1e-6
        )


def test_a_neuron_that_nobody_reads_has_score_0() -> None:
    net = EXAMPLES["selects"]()  # of 5 neurons the selects let 3 through
    x, _ = samples(net)
    read = net.neurons["dense1"].reads[0].owner
    unread = sorted(set(range(5)) - set(read.tolist()))
    assert unread
    for criterion in ("activation_mean", "activation_rms", "apoz", "activation_outgoing"):
        assert (mp.score(net, x, criterion)["dense1"][unread] == 0).all()


def test_several_inputs_are_batched_together() -> None:
    net = EXAMPLES["image and vector"]()
    x = inputs(net, n=5)
    whole, parts = (mp.score(net, x, "activation_outgoing", batch_size=size) for size in (5, 2))
    for group, values in whole.items():
        np.testing.assert_allclose(parts[group], values, rtol=1e-10)


def test_rationals_are_scored() -> None:
    net, x = by_hand()
    assert mp.score(net.astype(object), x, "activation_mean")["dense1"].tolist() == [0.5, 1.5, 2]


def test_a_bar_changes_no_score() -> None:
    net, x = by_hand()
    quiet, shown = (mp.score(net, x, "apoz", progress=show) for show in (False, True))
    assert shown["dense1"].tobytes() == quiet["dense1"].tobytes()


def test_one_that_states_nothing_says_so() -> None:
    class Empty(ActivationCriterion):
        name = "empty"

    net, x = by_hand()
    with pytest.raises(TypeError, match=r"Empty states no entry\(a\)"):
        mp.score(net, x, Empty())
