"""Training: what it changes, what it keeps, what it tells, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import minprune as mp
from minprune.datasets.samples import Dataset, Samples
from minprune.errors import DataError, DtypeError, ShapeError, StructureError, TrainingError
from minprune.gradients import loss_and_gradients
from minprune.layers import Training
from minprune.optim import OptimizerState
from minprune.train import fit

RNG = np.random.default_rng(5)
X = RNG.standard_normal((60, 6)).astype(np.float32)
Y = (X[:, :3].argmax(axis=1)).astype(np.int64)
VALID = Samples(RNG.standard_normal((30, 6)).astype(np.float32), RNG.integers(0, 3, 30))


def network(rng: int = 0, dtype=np.float32) -> mp.Graph:
    return mp.Sequential(
        mp.Dense(6, 8), mp.BatchNorm(8), mp.ReLU(), mp.Dropout(0.2), mp.Dense(8, 3), rng=rng, dtype=dtype
    )


def plain(rng: int = 0) -> mp.Graph:
    return mp.Sequential(mp.Dense(6, 8), mp.Tanh(), mp.Dense(8, 3), rng=rng)


def with_validation() -> Dataset:
    return Dataset(Samples(X, Y), VALID, VALID)


def train(net: mp.Graph, data=(X, Y), **settings):
    return fit(net, data, **({"epochs": 3, "batch_size": 16, "progress": False} | settings))


def bytes_of(net: mp.Graph) -> bytes:
    return b"".join(array.tobytes() for array in net.arrays.values())


# what training does ------------------------------------------------------------------------------------------


def test_one_full_batch_step_is_the_gradient_step_of_pytorch():
    net = mp.Sequential(mp.Dense(6, 4), mp.Tanh(), mp.Dense(4, 3), dtype=np.float64)
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()}
    hidden = torch.tanh(torch.tensor(X, dtype=torch.float64) @ tensors["dense1.W"].T + tensors["dense1.b"])
    loss = torch.nn.functional.cross_entropy(hidden @ tensors["dense2.W"].T + tensors["dense2.b"], torch.tensor(Y))
    loss.backward()
    history = train(net, optimizer=mp.SGD(0.3), epochs=1, batch_size=60)
    assert history.loss[0] == pytest.approx(loss.item(), rel=1e-12)
    for name, tensor in tensors.items():
        expected = (tensor - 0.3 * tensor.grad).detach().numpy()
        np.testing.assert_allclose(net.params[name], expected, rtol=1e-12, atol=1e-14)


def test_training_learns_the_digits():
    net = mp.Sequential(mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10))
    history = fit(net, mp.data.digits(), optimizer=mp.Adam(3e-3), epochs=30, progress=False)
    assert history.valid_accuracy[history.best_epoch - 1] > 0.95
    assert history.loss[-1] < history.loss[0] / 5


def test_training_fits_a_line_with_the_squared_losses():
    x = np.linspace(-1, 1, 40)[:, None]
    for loss in ("mse", "half_squared_error"):
        net = mp.Sequential(mp.Dense(1, 1), dtype=np.float64)
        fit(net, (x, 3 * x[:, 0] - 1), loss=loss, optimizer=mp.SGD(0.3, 0.5), epochs=40, batch_size=8, progress=False)
        assert net.params["dense1.W"].item() == pytest.approx(3, abs=1e-3)
        assert net.params["dense1.b"].item() == pytest.approx(-1, abs=1e-3)


def test_a_network_of_several_inputs_is_trained_from_a_mapping():
    net = mp.Graph({"a": (mp.Dense(6, 3), "u"), "b": (mp.Dense(2, 3), "v"), "y": (mp.Add(), "a", "b")}, ("u", "v"))
    history = train(net, Samples({"u": X, "v": X[:, :2]}, Y), optimizer=mp.Adam(0.05), epochs=10)
    assert history.loss[-1] < history.loss[0]


def test_one_hot_rows_train_like_class_numbers():
    ours, theirs = plain(), plain()
    train(ours)
    train(theirs, (X, np.eye(3)[Y]), loss="cross_entropy")
    for name, value in ours.params.items():
        np.testing.assert_allclose(value, theirs.params[name], rtol=1e-4, atol=1e-6)


def test_every_sample_is_seen_once_an_epoch_and_in_a_new_order(monkeypatch):
    seen: list[list[float]] = []

    def spy(net, x, t, loss, training, *others):
        seen.append(x[:, 0].tolist())
        return loss_and_gradients(net, x, t, loss, training)

    monkeypatch.setattr("minprune.train.loss_and_gradients", spy)
    train(plain(), epochs=2, batch_size=25)
    assert [len(batch) for batch in seen] == [25, 25, 10] * 2
    first, second = [v for batch in seen[:3] for v in batch], [v for batch in seen[3:] for v in batch]
    assert sorted(first) == sorted(second) == sorted(X[:, 0].tolist())
    assert first != second


@pytest.mark.parametrize(("make", "last"), [(network, [20, 21]), (plain, [20, 20, 1])])
def test_a_lone_last_sample_joins_the_batch_before_only_for_batch_norm(monkeypatch, make, last):
    sizes = []

    def spy(net, x, t, loss, training, *others):
        sizes.append(len(x))
        return loss_and_gradients(net, x, t, loss, training)

    monkeypatch.setattr("minprune.train.loss_and_gradients", spy)
    train(make(), (X[:41], Y[:41]), epochs=1, batch_size=20)
    assert sizes == last


def test_the_schedule_scales_every_step_and_the_history_has_the_last_rate_of_an_epoch():
    history = train(plain(), optimizer=mp.SGD(0.5), schedule=mp.Step(every=1, by=0.1))
    assert history.lr == pytest.approx([0.5, 0.05, 0.005])
    history = train(plain(), optimizer=mp.SGD(0.5), schedule=mp.Cosine(), batch_size=60, epochs=2)
    assert history.lr == pytest.approx([0.5, 0.25])


def test_clipping_bounds_the_step():
    net, before = plain(), plain()
    train(net, (100 * X, Y), optimizer=mp.SGD(1.0), clip_norm=0.01, epochs=1, batch_size=60)
    length = np.sqrt(sum(((net.params[k] - before.params[k]) ** 2).sum() for k in net.params))
    assert length == pytest.approx(0.01, rel=1e-3)


def test_the_optimiser_goes_on_where_an_earlier_training_left_off():
    x, y = X[:16], Y[:16]  # one batch an epoch: the order of samples does not matter to the gradient
    once, twice = plain(), plain()
    train(once, (x, y), epochs=6)
    state = train(twice, (x, y)).state
    kept = state.sliced({})
    history = train(twice, (x, y), state=state)
    for name, value in once.params.items():
        np.testing.assert_allclose(value, twice.params[name], rtol=1e-4, atol=1e-6)
    assert (history.state.step, state.step) == (6, 3)
    assert np.array_equal(state.slots["dense1.W"]["m"], kept.slots["dense1.W"]["m"])  # the state given is not changed


# what it keeps -----------------------------------------------------------------------------------------------


def test_the_network_ends_with_the_epoch_that_validated_best_statistics_and_state_included():
    best = network()
    history = train(best, with_validation(), epochs=8, optimizer=mp.Adam(0.05))
    ranks = [(a, -b) for a, b in zip(history.valid_accuracy, history.valid_loss, strict=True)]
    assert history.best_epoch == 1 + ranks.index(max(ranks)) < 8
    again = network()
    stopped = train(again, with_validation(), epochs=history.best_epoch, keep="last", optimizer=mp.Adam(0.05))
    assert bytes_of(best) == bytes_of(again)
    assert history.state.step == stopped.state.step
    assert np.array_equal(history.state.slots["dense1.W"]["v"], stopped.state.slots["dense1.W"]["v"])


def test_keeping_the_last_weights_ends_as_without_validation():
    validated, alone = network(), network()
    history = train(validated, with_validation(), epochs=8, keep="last", optimizer=mp.Adam(0.05))
    train(alone, epochs=8, optimizer=mp.Adam(0.05))
    assert history.best_epoch == 8
    assert bytes_of(validated) == bytes_of(alone)


STILL = mp.SGD(1e-30)  # no float32 weight moves


def test_the_first_of_equally_good_epochs_is_the_best():
    history = train(plain(), with_validation(), optimizer=STILL)
    assert len(set(history.valid_loss)) == 1
    assert history.best_epoch == 1


def test_the_loss_of_an_epoch_is_the_mean_over_samples_not_over_batches():
    net = plain()
    expected = mp.evaluate(net, (X, Y), runtime=()).loss
    history = train(net, optimizer=STILL, batch_size=50)  # batches of 50 and 10
    assert history.loss == pytest.approx([expected] * 3, rel=1e-5)


def test_patience_stops_after_epochs_that_were_no_better():
    history = train(network(), with_validation(), epochs=50, patience=3, optimizer=mp.Adam(0.05))
    assert len(history.loss) == history.best_epoch + 3 < 50


def test_regression_is_validated_by_its_loss():
    x = np.linspace(-1, 1, 20)[:, None]
    part = Samples(x, x * 2)
    history = train(mp.Sequential(mp.Dense(1, 1)), Dataset(part, part, part), optimizer=mp.SGD(0.1))
    assert history.valid_accuracy == []
    assert history.best_epoch == 1 + int(np.argmin(history.valid_loss)) == 3


# same seed, same bytes ---------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    nets = [network(), network(), network()]
    histories = [train(net, rng=seed) for net, seed in zip(nets, (1, 1, 2), strict=True)]
    assert bytes_of(nets[0]) == bytes_of(nets[1]) != bytes_of(nets[2])
    assert histories[0].loss == histories[1].loss != histories[2].loss


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    script = """
import hashlib, minprune as mp
net = mp.Sequential(mp.Dense(64, 24), mp.BatchNorm(24), mp.ReLU(), mp.Dropout(0.3), mp.Dense(24, 10))
mp.fit(net, mp.data.digits(), epochs=2, batch_size=50, rng=7, progress=False)
print(hashlib.sha256(b"".join(a.tobytes() for a in net.arrays.values())).hexdigest())
"""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
    root = Path(mp.__file__).parents[1]
    runs = [subprocess.run([sys.executable, "-c", script], env=env, cwd=root, capture_output=True) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr.decode()
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


# when it goes wrong ------------------------------------------------------------------------------------------


def test_a_diverging_training_names_epoch_and_step_and_leaves_the_last_good_weights():
    net, good = plain(), plain()
    train(good, epochs=1)

    class Explodes(mp.Adam):
        def update(self, params, grads, state, lr):
            super().update(params, grads, state, lr)
            if state.step == 6:  # the second of four steps in epoch 2
                params["dense2.b"][0] = np.inf

    with pytest.raises(TrainingError, match=r"epoch 2, step 3: the loss is nan; .*smaller learning rate, clip_norm"):
        train(net, optimizer=Explodes())
    assert bytes_of(net) == bytes_of(good)


def test_weights_that_go_wrong_in_the_last_step_are_found_too():
    net, start = plain(), plain()

    class Explodes(mp.SGD):
        def update(self, params, grads, state, lr):
            params["dense1.W"][0, 0] = np.nan

    with pytest.raises(TrainingError, match=r"epoch 1, step 1: dense1.W is no longer finite"):
        train(net, optimizer=Explodes(), batch_size=60)
    assert bytes_of(net) == bytes_of(start)


def test_a_validation_loss_that_is_no_number_is_an_error():
    huge = Samples(np.full((4, 6), 1e38, dtype=np.float32), np.arange(4) % 3)
    net = mp.Sequential(mp.Dense(6, 3))
    with pytest.raises(TrainingError, match=r"epoch 1, step 4: the validation loss is (nan|inf)"):
        train(net, Dataset(Samples(X, Y), huge, huge))


@pytest.mark.parametrize("layer", [mp.ReLU(), mp.LeakyReLU(), mp.MaxPool2d(1), mp.MaxPool2d(2), mp.AvgPool2d(2)])
def test_no_layer_hides_what_is_no_number(layer):
    x = np.ones((1, 1, 2, 2), dtype=np.float32)
    x[0, 0, 1, 1] = np.nan
    assert np.isnan(mp.Sequential(layer)(x)).any()


def test_a_learning_rate_that_is_too_large_is_reported_not_warned_about():
    net = mp.Sequential(mp.Dense(6, 8), mp.ReLU(), mp.Dense(8, 1))
    start = bytes_of(net)
    with pytest.raises(TrainingError, match="epoch 1, step"):
        train(net, (X, X[:, 0] * 100), optimizer=mp.SGD(1e6), batch_size=4)
    assert bytes_of(net) == start


def test_a_state_of_another_optimiser_leaves_the_network_alone():
    net = plain()
    state = train(net, optimizer=mp.SGD(0.1, 0.9)).state
    before = bytes_of(net)
    with pytest.raises(StructureError, match="left by another kind of optimiser"):
        train(net, optimizer=mp.Adam(), state=state)
    assert bytes_of(net) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "fit: epochs is 0, expected a whole number of at least 1"),
        ({"epochs": 2.5}, "fit: epochs is 2.5, expected a whole number"),
        ({"batch_size": -1}, "fit: batch_size is -1, expected a whole number of at least 1"),
        ({"patience": 0}, "fit: patience is 0, expected a whole number of at least 1"),
        ({"patience": 3}, "fit: patience needs a validation part; give a Dataset"),
        ({"clip_norm": 0}, "fit: clip_norm is 0, expected a number above 0"),
        ({"keep": "none"}, "fit: keep is 'none', expected 'best' or 'last'"),
        ({"loss": "hinge"}, "unknown loss 'hinge'; expected one of half_squared_error, mse, cross_entropy"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings, message):
    with pytest.raises(DataError, match=message):
        train(plain(), **settings)


@pytest.mark.parametrize(
    ("y", "loss", "error", "message"),
    [
        (Y + 1, None, DataError, r"y holds 3, but labels must be in 0..2 for a network with 3 outputs"),
        (Y - 1, None, DataError, r"y holds -1, but labels must be in 0..2"),
        (Y.astype(float), "cross_entropy", DtypeError, "labels must be integers"),
        (Y, "mse", DtypeError, "mse needs numbers of shape .*use loss='cross_entropy', or write them as one-hot rows"),
        (Y.astype(float), None, ShapeError, r"mse needs targets of shape \(60, 3\), got \(60,\)"),
        (np.ones((60, 2)), "half_squared_error", ShapeError, r"needs targets of shape \(60, 3\), got \(60, 2\)"),
    ],
)
def test_targets_that_do_not_fit_are_refused_before_training(y, loss, error, message):
    net = plain()
    start = bytes_of(net)
    with pytest.raises(error, match=message):
        train(net, (X, y), loss=loss)
    assert bytes_of(net) == start


def test_a_validation_part_that_does_not_fit_is_refused_before_training():
    net = plain()
    start = bytes_of(net)
    with pytest.raises(DataError, match=r"validation part: y holds 3, but labels must be in 0..2"):
        train(net, Dataset(Samples(X, Y), Samples(X, np.full(60, 3)), VALID))
    with pytest.raises(ShapeError, match=r"validation part: dense1: expected \(N, 6\), got \(N, 5\)"):
        train(net, Dataset(Samples(X, Y), Samples(X[:, :5], Y), VALID))
    assert bytes_of(net) == start


def test_samples_that_do_not_fit_the_network_are_refused_with_the_layers_name():
    with pytest.raises(ShapeError, match=r"dense1: expected \(N, 6\), got \(N, 5\)"):
        train(plain(), (X[:, :5], Y))


def test_networks_that_cannot_be_trained_are_refused():
    with pytest.raises(DtypeError, match="fit: the network holds complex128; only float32 and float64"):
        train(plain().astype(complex))
    with pytest.raises(StructureError, match="fit: the network has no parameters to train"):
        train(mp.Sequential(mp.ReLU()), (X, X))
    with pytest.raises(ShapeError, match=r"output of shape \(N, K\), got \(60, 2, 5\); end with Flatten or Dense"):
        train(mp.Sequential(mp.Conv1d(1, 2, 2)), (X[:, None], Y))


# what it tells -----------------------------------------------------------------------------------------------


def test_the_history_is_one_number_an_epoch_and_fits_into_json():
    history = train(network(), with_validation(), epochs=4)
    told = json.loads(json.dumps(history.as_dict()))
    lists = {name: values for name, values in told.items() if name not in ("best_epoch", "plan")}
    assert {name: len(values) for name, values in lists.items()} == dict.fromkeys(
        ("loss", "valid_loss", "valid_accuracy", "lr", "seconds"), 4
    )
    assert told["best_epoch"] == history.best_epoch
    assert all(seconds > 0 for seconds in history.seconds)


def test_the_history_prints_as_a_table_with_a_star_at_the_best_epoch():
    history = train(network(), with_validation(), epochs=4)
    lines = str(history).splitlines()
    assert lines[0].split() == ["epoch", "loss", "valid_loss", "valid_accuracy", "lr", "seconds"]
    assert [number for number, line in enumerate(lines) if "*" in line] == [history.best_epoch]
    assert "valid_loss" not in str(train(plain()))


def test_a_bar_is_drawn_only_if_it_is_asked_for(capsys):
    train(plain(), with_validation(), progress=False)
    assert capsys.readouterr() == ("", "")
    history = train(plain(), with_validation(), progress=True)
    assert len(history.loss) == 3
    assert capsys.readouterr().out == ""  # the bar goes to stderr


# loss and gradients ------------------------------------------------------------------------------------------


def test_loss_and_gradients_change_nothing_outside_of_training():
    net = network(dtype=np.float64)
    before = bytes_of(net)
    loss, grads = loss_and_gradients(net, X, Y, "cross_entropy")
    assert bytes_of(net) == before
    assert list(grads) == list(net.params)
    assert loss == pytest.approx(float(mp.evaluate(net, (X, Y), runtime=()).loss))


def test_training_mode_moves_the_running_statistics_and_draws_dropout():
    net = network(dtype=np.float64)
    first = loss_and_gradients(net, X, Y, "cross_entropy", Training(np.random.default_rng(0)))
    second = loss_and_gradients(net, X, Y, "cross_entropy", Training(np.random.default_rng(1)))
    assert first[0] != second[0]
    assert net.buffers["batchnorm1.mean"].any()


def test_a_state_starts_empty():
    assert (OptimizerState().step, OptimizerState().slots) == (0, {})


@pytest.mark.slow
@pytest.mark.data
def test_lenet_reaches_98_percent_on_mnist_in_an_epoch():
    data = mp.data.mnist(flat=False)
    net = mp.Sequential(
        *(mp.Conv2d(1, 20, 5), mp.ReLU(), mp.MaxPool2d(2), mp.Conv2d(20, 50, 5), mp.ReLU(), mp.MaxPool2d(2)),
        *(mp.Flatten(), mp.Dense(800, 500), mp.ReLU(), mp.Dense(500, 10)),
    )
    assert fit(net, data, epochs=1, progress=False).valid_accuracy[0] > 0.98


def test_cross_entropy_behind_a_softmax_is_refused() -> None:
    net = mp.Sequential(mp.Dense(2, 2), mp.Softmax())
    with pytest.raises(StructureError, match="softmax1 is a Softmax, but cross_entropy takes what comes before"):
        mp.fit(net, (np.eye(2), np.array([0, 1])), progress=False)
