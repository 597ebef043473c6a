"""A pruning that is stopped anywhere goes on from its state file, and ends with the same bits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune.errors import FileError
from minprune.formats.state_files import Kept, StateFile, Within, read_state, write_state


class Stopped(BaseException):
    """A kill."""


@dataclass(frozen=True)
class Stopping(StateFile):
    """A state file whose process is killed as soon as it has been written so many times."""

    left: itertools.count[int]

    def keep(self, now: Kept) -> None:
        super().keep(now)
        if next(self.left) == 0:
            raise Stopped


def network() -> Any:
    layers = (
        mp.Dense(64, 12),
        mp.BatchNorm(12),
        mp.ReLU(),
        mp.Dropout(0.2),
        mp.Dense(12, 8),
        mp.ReLU(),
        mp.Dense(8, 10),
    )
    return mp.Sequential(*layers, rng=0)


DIGITS = mp.data.digits()
WAYS: dict[str, dict[str, Any]] = {
    "fine-tuned, repaired": {"finetune": mp.FineTune(2), "rounds": 2, "repair": "mean"},
    "rounds without training": {"rounds": 3, "repair": "least_squares", "schedule": "exponential"},
    "drawn scores, a budget": {
        "criterion": "random",
        "strategy": mp.Budget(macs=0.5),
        "finetune": mp.FineTune(1, mp.SGD(0.1, momentum=0.9)),
    },
    "taught by the original": {"finetune": mp.FineTune(2, distill=mp.Distillation(weight=1.0))},
}


def pruned(folder: Path, stop_after: int | None, how: dict[str, Any]) -> Any:
    left = itertools.count(0 if stop_after is None else 1 - stop_after)
    if stop_after is None:
        next(left)
    keeper = Stopping(folder / "work.state", "job", left)
    return mp.prune(network(), DIGITS, rng=3, progress=False, keeper=keeper, **how)


def saved(net: Any, path: Path) -> bytes:
    mp.save(net, path)
    return path.read_bytes()


@pytest.mark.parametrize("way", list(WAYS))
def test_a_pruning_that_was_stopped_at_any_point_ends_with_the_bytes_of_one_that_was_not(
    way: str, tmp_path: Path
) -> None:
    whole = mp.prune(network(), DIGITS, rng=3, progress=False, **WAYS[way])
    wanted = saved(whole.net, tmp_path / "whole.npz")
    for stop_after in itertools.count(1):
        folder = tmp_path / str(stop_after)
        folder.mkdir()
        try:
            result = pruned(folder, stop_after, WAYS[way])
            break
        except Stopped:
            result = pruned(folder, None, WAYS[way])
        assert saved(result.net, folder / "a.npz") == wanted, f"stopped after {stop_after} states"
        assert result.report() == whole.report()
        assert result.plan == whole.plan
    assert stop_after > 2, "it was never stopped"
    assert saved(result.net, folder / "a.npz") == wanted


def test_a_training_goes_on_after_the_epoch_where_it_was_stopped(tmp_path: Path) -> None:
    whole, stopped = network(), network()
    expected = mp.fit(whole, DIGITS, epochs=4, progress=False, patience=3)
    with pytest.raises(Stopped):
        mp.fit(stopped, DIGITS, epochs=4, progress=False, patience=3, keeper=Stopping(
            tmp_path / "fit.state", "job", itertools.count(-1)))  # fmt: skip
    again = network()
    history = mp.fit(
        again, DIGITS, epochs=4, progress=False, patience=3, keeper=StateFile(tmp_path / "fit.state", "job")
    )
    assert history.loss == expected.loss
    assert history.valid_accuracy == expected.valid_accuracy
    assert all((again.arrays[name] == array).all() for name, array in whole.arrays.items())
    assert history.state.step == expected.state.step


def test_a_state_of_another_job_is_refused(tmp_path: Path) -> None:
    StateFile(tmp_path / "a.state", "one").keep(Kept({}))
    with pytest.raises(FileError, match="it is of another model, other data or other settings"):
        StateFile(tmp_path / "a.state", "other").kept()


def test_where_nothing_was_kept_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    keeper = StateFile(tmp_path / "a.state", "job")
    assert keeper.kept() is None
    keeper.keep(Kept({"n": 1}))
    keeper.forget()
    keeper.forget()
    assert keeper.kept() is None


def test_an_inner_work_is_kept_within_the_outer_one(tmp_path: Path) -> None:
    keeper = StateFile(tmp_path / "a.state", "job")
    inner = Within(keeper, Kept({"outer": 1}), "inner")
    assert inner.kept() is None
    inner.keep(Kept({"inner": 2}, {"a": np.array(3.0)}))
    kept = keeper.kept()
    assert kept is not None
    assert kept.said == {"outer": 1}
    again = inner.kept()
    assert again is not None
    assert (again.said, float(again.arrays["a"])) == ({"inner": 2}, 3.0)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    net = mp.mask(network(), mp.Plan({"dense1": [1]}))
    arrays = {"nan": np.array([np.nan, -0.0]), "empty": np.zeros((0, 3)), "whole": np.arange(3), "bits": np.eye(2) > 0}
    write_state(tmp_path / "a", Kept({"inf": float("inf"), "big": 2**100}, arrays, {"net": net}))
    found = read_state(tmp_path / "a")
    assert found.said == {"inf": float("inf"), "big": 2**100}
    for name, array in arrays.items():
        assert found.arrays[name].tobytes() == array.tobytes()
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
    assert saved(found.nets["net"], tmp_path / "b.npz") == saved(net, tmp_path / "c.npz")


@pytest.mark.parametrize("damage", ["a bit", "cut", "other metadata", "missing"])
def test_a_damaged_state_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    write_state(path, Kept({"n": 1}, {"a": np.arange(100.0)}))
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[-9] ^= 1
    path.write_bytes({"cut": content[:-8]}.get(damage, content))
    if damage == "other metadata":
        from minprune.formats.safetensors_file import pack

        with path.open("wb") as file:
            pack(file, {}, {"format": "pt"})
    if damage == "missing":
        path.unlink()
    with pytest.raises(FileError) as refused:
        read_state(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
