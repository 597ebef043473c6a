"""Distillation: its loss against PyTorch, and a network that learns from another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import minprune as mp
from minprune.datasets.samples import Dataset, Samples
from minprune.distillation import Distillation, taught
from minprune.errors import DataError, ShapeError, StructureError
from minprune.gradcheck import check_op
from minprune.gradients import loss_and_gradients
from minprune.ops import KLDivergence
from minprune.tensor import Tape, apply, backward

RNG = np.random.default_rng(3)
X = RNG.standard_normal((40, 6))
Y = RNG.integers(0, 3, 40)
NUMBERS = RNG.standard_normal((40, 3))


def network(rng: int = 0, hidden: int = 8, dtype: Any = np.float64, outputs: int = 3) -> mp.Graph:
    return mp.Sequential(mp.Dense(6, hidden), mp.Tanh(), mp.Dense(hidden, outputs), rng=rng, dtype=dtype)


def in_torch(y: Any, u: Any, t: Any, loss: str, temperature: float, weight: float) -> Any:
    """Hinton's mixture as most PyTorch code writes it."""
    if loss == "cross_entropy":
        soft = F.kl_div(F.log_softmax(y / temperature, 1), F.softmax(u / temperature, 1), reduction="batchmean")
        return weight * temperature**2 * soft + (1 - weight) * F.cross_entropy(y, t)
    scale = 1 if loss == "mse" else y.shape[1] / 2
    return scale * (weight * F.mse_loss(y, u) + (1 - weight) * F.mse_loss(y, t))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "half_squared_error"])
@pytest.mark.parametrize(("temperature", "weight"), [(4.0, 0.9), (1.0, 0.5), (0.5, 0.0), (20.0, 1.0)])
def test_loss_and_gradients_are_those_of_torch(loss: str, temperature: float, weight: float) -> None:
    student, teacher = network(1), network(2, hidden=5)
    t = Y if loss == "cross_entropy" else NUMBERS
    u = taught(teacher, student, X, loss)
    np.testing.assert_array_equal(u, teacher(X))
    found, grads = loss_and_gradients(student, X, t, loss, None, (Distillation(temperature, weight), u))
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in student.params.items()}
    hidden = torch.tanh(torch.tensor(X) @ tensors["dense1.W"].T + tensors["dense1.b"])
    y = hidden @ tensors["dense2.W"].T + tensors["dense2.b"]
    expected = in_torch(y, torch.tensor(u), torch.tensor(t), loss, temperature, weight)
    expected.backward()
    assert found == pytest.approx(expected.item(), rel=1e-12)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(grads[name], tensor.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_the_gradient_agrees_with_its_witnesses_where_answers_are_extreme() -> None:
    y, u = np.array([[30.0, -20.0, 0.5], [0.0, 0.0, 0.0]]), np.array([[-25.0, 30.0, 1.0], [1.0, 2.0, 3.0]])
    assert check_op(KLDivergence, y, u, temperature=4.0).ok
    far = apply(KLDivergence, np.array([[1000.0, 0.0]]), np.array([[0.0, 1000.0]]))
    assert far == pytest.approx([1000.0])  # no overflow


def test_the_divergence_is_nothing_for_equal_answers_and_positive_for_others() -> None:
    u = RNG.standard_normal((50, 4))
    np.testing.assert_allclose(apply(KLDivergence, u + 3, u, temperature=2.0), 0, atol=1e-13)
    assert (apply(KLDivergence, RNG.standard_normal((50, 4)), u, temperature=2.0) > 0).all()


def test_at_a_high_temperature_it_is_the_squared_distance_of_centred_logits() -> None:
    """Hinton et al., equation 4: for T far above the logits the gradient is (y − u)/K, both with mean 0."""
    y, u = (v - v.mean(axis=1, keepdims=True) for v in RNG.standard_normal((2, 5, 4)))
    tape = Tape()
    tensor = tape.watch(y)
    out = apply(KLDivergence, tensor, u, temperature=1e4)
    np.testing.assert_allclose(backward(out, np.ones(5))[tensor], (y - u) / 4, rtol=1e-3, atol=1e-4)


def test_outputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"kl_divergence: u has shape \(2, 3\), expected that of y, \(2, 4\)"):
        apply(KLDivergence, np.zeros((2, 4)), np.zeros((2, 3)))


# in training -------------------------------------------------------------------------------------------------


def bytes_of(net: mp.Graph) -> bytes:
    return b"".join(array.tobytes() for array in net.arrays.values())


def train(net: mp.Graph, data: Any, **settings: Any) -> mp.train.History:
    return mp.fit(net, data, **({"epochs": 3, "batch_size": 16, "progress": False} | settings))


def test_a_students_step_is_the_one_of_torch() -> None:
    student, teacher = network(1), network(2)
    start = student.copy()
    _, grads = loss_and_gradients(start, X, Y, "cross_entropy", None, (Distillation(3.0, 0.7), teacher(X)))
    train(
        student,
        (X, Y),
        teacher=teacher,
        distill=Distillation(3.0, 0.7),
        optimizer=mp.SGD(0.3),
        epochs=1,
        batch_size=40,
    )
    for name, array in student.params.items():
        np.testing.assert_allclose(array, start.params[name] - 0.3 * grads[name], rtol=1e-10, atol=1e-14)


def test_every_sample_gets_its_own_answer_however_they_are_shuffled() -> None:
    """A student that is the teacher's copy has nothing to learn: it would, if answers were mixed up."""
    teacher = network(2)
    student = teacher.copy()
    history = train(student, X, loss="cross_entropy", teacher=teacher, distill=Distillation(weight=1.0))
    assert history.loss == pytest.approx([0, 0, 0], abs=1e-14)
    np.testing.assert_allclose(student(X), teacher(X), atol=1e-6)


def test_without_labels_it_learns_the_same_as_with_labels_that_do_not_count() -> None:
    for loss, y in (("cross_entropy", Y), ("mse", NUMBERS)):
        with_labels, without = network(1), network(1)
        how: dict[str, Any] = {"teacher": network(2), "distill": Distillation(weight=1.0), "loss": loss}
        train(with_labels, (X, y), **how)
        train(without, X, **how)
        assert bytes_of(with_labels) == bytes_of(without) != bytes_of(network(1))


def test_a_weight_of_nothing_is_training_on_the_labels() -> None:
    alone, beside = network(1), network(1)
    train(alone, (X, Y))
    train(beside, (X, Y), teacher=network(2), distill=Distillation(weight=0.0))
    for name, array in alone.params.items():
        np.testing.assert_allclose(beside.params[name], array, rtol=1e-10)


def test_the_teacher_answers_once_for_each_sample_and_is_not_changed() -> None:
    class Counting(mp.Graph):
        seen = 0

        def __call__(self, *xs: Any) -> Any:
            Counting.seen += len(xs[0])
            return super().__call__(*xs)

    teacher = network(2)
    before = bytes_of(teacher)
    teacher.__class__ = Counting
    train(network(1), (X, Y), teacher=teacher, epochs=5)
    assert Counting.seen == len(X)
    assert bytes_of(teacher) == before


def test_validation_is_by_the_plain_loss() -> None:
    part = Samples(X, Y)
    student = network(1)
    history = train(student, Dataset(part, part, part), teacher=network(2), keep="last")
    assert history.valid_loss[-1] == pytest.approx(mp.evaluate(student, part, runtime=()).loss)


def test_in_fine_tuning_the_teacher_is_the_network_that_was_given_in_every_round() -> None:
    net = network(4, hidden=12)
    train(net, (X, Y), epochs=10)
    how = mp.FineTune(epochs=2, distill=Distillation(2.0, 0.8))
    res = mp.prune(net, (X, Y), "magnitude_l2", mp.PerLayer(0.5), rounds=2, finetune=how, rng=5, progress=False)
    rng = np.random.default_rng(5)
    by_hand, state = net, None
    for step in res.history:
        keep = np.setdiff1d(np.arange(by_hand.neurons["dense1"].size), step.plan.drop["dense1"])
        if state is not None:
            state = state.sliced({"dense1.W": {0: keep}, "dense1.b": {0: keep}, "dense2.W": {1: keep}})
        by_hand = mp.remove(by_hand, step.plan)
        tune: dict[str, Any] = {"teacher": net, "distill": how.distill, "epochs": 2, "rng": rng, "state": state}
        state = mp.fit(by_hand, (X, Y), progress=False, **tune).state
    assert bytes_of(res.net) == bytes_of(by_hand)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "Distillation: temperature is 0, expected a number above 0"),
        ({"temperature": np.inf}, "Distillation: temperature is inf, expected a number above 0"),
        ({"weight": 1.5}, "Distillation: weight is 1.5, expected a number from 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Distillation(**settings)


def test_a_teacher_that_does_not_fit_is_refused_before_training() -> None:
    net = network(1)
    start = bytes_of(net)
    with pytest.raises(DataError, match="fit: distill needs a teacher; give teacher=, a network"):
        train(net, (X, Y), distill=Distillation())
    with pytest.raises(DataError, match=r"fit: distill is 0.9, expected a Distillation\(temperature, weight\)"):
        train(net, (X, Y), teacher=network(2), distill=0.9)
    with pytest.raises(DataError, match="fit: teacher is 'big', expected a network"):
        train(net, (X, Y), teacher="big")
    with pytest.raises(ShapeError, match=r"the teacher's outputs have shape \(N, 4\), the network's \(N, 3\)"):
        train(net, (X, Y), teacher=network(outputs=4))
    with pytest.raises(StructureError, match="the teacher's softmax1 is a Softmax, but distillation takes what"):
        train(net, (X, Y), teacher=mp.Sequential(mp.Dense(6, 3), mp.Softmax()))
    with pytest.raises(DataError, match="labels are needed here"):
        train(net, X, teacher=network(2))
    with pytest.raises(DataError, match="fit: without labels it cannot be told which loss; name it with loss="):
        train(net, X, teacher=network(2), distill=Distillation(weight=1.0))
    assert bytes_of(net) == start
