"""Law: a masked weight is 0 and stays 0, through training and through every verb; masks follow their parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, SINGLE_INPUT, inputs, networks, plans

import minprune as mp
from minprune.errors import MinpruneError
from minprune.gradients import loss_and_gradients
from minprune.neurons import fingerprint, staying
from minprune.nn import Graph
from minprune.pruning.repair import REPAIRS
from minprune.recording import with_gates

QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def masked(net: Graph, seed: int = 0, density: float = 0.6) -> Graph:
    """About 40 % of every parameter masked, biases and batch-norm too."""
    rng = np.random.default_rng(seed)
    keep = {name: rng.random(W.shape) < density for name, W in net.params.items()}
    for kept in keep.values():
        kept.flat[0] = True
    return mp.mask(net, mp.WeightPlan(keep))


def assert_closed(net: Graph, masks: Any) -> None:
    """The masks are these, and what they do not keep is exactly 0."""
    assert net.masks.keys() == masks.keys()
    for name, kept in masks.items():
        np.testing.assert_array_equal(net.masks[name], kept, err_msg=name)
        assert (net.params[name][~kept] == 0).all(), name


@pytest.mark.parametrize("name", EXAMPLES)
def test_masks_pass_through_copies_casts_gates_and_other_arrays(name: str) -> None:
    net = masked(EXAMPLES[name]())
    assert net.masks
    for other in (net.copy(), net.astype(np.float32), net.astype(np.complex128), net.astype(object)):
        assert_closed(other, net.masks)
    assert_closed(net.with_arrays({k: v.copy() for k, v in net.arrays.items()}), net.masks)
    assert_closed(with_gates(net)[0], net.masks)
    group = next(g for g in net.neurons.values() if not g.stays and g.size > 1)
    assert_closed(mp.mask(net, mp.Plan({group.name: [0]})), net.masks)
    assert fingerprint(net) == fingerprint(EXAMPLES[name]())


@QUICK
@given(data=st.data())
def test_removing_neurons_cuts_masks_like_their_parameters(data: st.DataObject) -> None:
    net = masked(data.draw(networks()))
    plan = data.draw(plans(net))
    small = mp.remove(net, plan)
    expected = dict(net.masks)
    for name, axes in staying(net, plan.drop).items():
        for axis, positions in axes.items():
            if name in expected:
                expected[name] = np.take(expected[name], positions, axis=axis)
    assert_closed(small, expected)
    certificate = small.certificate
    assert certificate is not None
    assert certificate.ok


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("name", ["mlp", "cnn", "mlp without bias", "residual, projected"])
def test_a_repair_gives_no_masked_weight_back(name: str, repair: str) -> None:
    net = masked(EXAMPLES[name]())
    group = next(g for g in net.neurons.values() if not g.stays and g.source not in net.inputs)
    plan = mp.Plan({group.name: [0]})
    (x,) = inputs(net, n=40).values()
    try:
        small = mp.remove(net, plan, repair=repair, data=(x, np.zeros((len(x), 1))))
    except MinpruneError as reason:  # merging behind a batch-norm, batch-norm repair without one
        assert repair in ("merge", "batch_norm"), reason  # noqa: PT017
        return
    assert_closed(small, mp.remove(net, plan).masks)


OPTIMIZERS = {
    "sgd": mp.SGD(0.1),
    "momentum, decay": mp.SGD(0.1, momentum=0.9, weight_decay=0.1),
    "nesterov, decay": mp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": mp.Adam(0.05),
    "adam, decay": mp.Adam(0.05, weight_decay=0.1),
    "adamw": mp.AdamW(0.05, weight_decay=0.1),
}


def regression(net: Graph) -> tuple[Any, Any]:
    (x,) = inputs(net, n=24).values()
    return x, np.random.default_rng(5).standard_normal((24, net(x).shape[1]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["mlp", "cnn", "residual"])
def test_training_leaves_masked_weights_at_zero_and_moves_the_others(name: str, optimizer: str) -> None:
    net = masked(EXAMPLES[name]())
    before = {key: array.copy() for key, array in net.params.items()}
    masks = dict(net.masks)
    history = mp.fit(
        net, regression(net), optimizer=OPTIMIZERS[optimizer], epochs=3, batch_size=8, clip_norm=1.0, progress=False
    )
    assert_closed(net, masks)
    last = list(net.params)[-2]  # others may have lost all their readers
    assert last.endswith(".W")
    assert (net.params[last] != before[last])[masks[last]].any()
    for key, slots in history.state.slots.items():
        for slot in slots.values():
            assert (slot[~masks.get(key, np.ones(slot.shape, bool))] == 0).all(), key


def test_a_memory_from_before_the_masks_does_not_move_masked_weights() -> None:
    net = EXAMPLES["mlp"]()
    state = mp.fit(net, regression(net), optimizer=mp.SGD(0.05, momentum=0.9), epochs=2, progress=False).state
    net = masked(net)
    masks = dict(net.masks)
    mp.fit(net, regression(net), optimizer=mp.SGD(0.05, momentum=0.9), epochs=2, state=state, progress=False)
    assert_closed(net, masks)


def test_a_masked_weight_set_by_hand_is_zero_again_before_the_first_step() -> None:
    net, same = (masked(EXAMPLES["mlp"]()) for _ in range(2))
    net.params["dense1.W"] = np.where(net.masks["dense1.W"], net.params["dense1.W"], 7.0)
    for one in (net, same):
        mp.fit(one, regression(one), epochs=1, progress=False)
    assert all((net.params[name] == same.params[name]).all() for name in net.params)


def test_training_with_masks_is_gradient_descent_in_the_weights_that_are_kept() -> None:
    """One full-batch step against the same step written out; clipping counts the kept gradients only."""
    net = masked(EXAMPLES["mlp"]())
    x, y = regression(net)
    _, grads = loss_and_gradients(net, x, y, "mse")
    kept = {name: np.where(net.masks.get(name, True), g, 0) for name, g in grads.items()}
    assert any((kept[name] != g).any() for name, g in grads.items())
    length = np.sqrt(sum(float((g**2).sum()) for g in kept.values()))
    assert length > 0.5
    expected = {name: W - 0.1 * kept[name] * 0.5 / length for name, W in net.params.items()}
    mp.fit(net, (x, y), "mse", mp.SGD(0.1), epochs=1, batch_size=24, clip_norm=0.5, progress=False)
    for name, W in net.params.items():
        np.testing.assert_allclose(W, expected[name], rtol=1e-12, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_scores_of_masked_weights_are_the_lowest_of_all(name: str) -> None:
    net = masked(EXAMPLES[name]())
    for criterion in ("magnitude_l1", "random"):
        for key, values in mp.score(net, criterion=criterion, by="weight").items():
            gone = ~net.masks.get(key, np.ones(values.shape, bool))
            assert np.isneginf(values[gone]).all()
            assert np.isfinite(values[~gone]).all()
