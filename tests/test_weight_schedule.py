"""The cycle for weights: rounds, schedules, fine-tuning; and that it is made of the single steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, samples

import minprune as mp
from minprune.datasets.samples import Dataset, Samples
from minprune.errors import DataError, PlanError
from minprune.pruning.pacing import PACES


def mlp() -> tuple[mp.Graph, Any]:
    net = EXAMPLES["mlp"]()  # weights 20 + 20 + 12
    return net, samples(net, n=24)


def masked(net: mp.Graph) -> int:
    return sum(int((~kept).sum()) for kept in net.masks.values())


def quietly(net: mp.Graph, data: Any, *args: Any, **settings: Any) -> Any:
    return mp.prune_weights(net, data, *args, **{"progress": False} | settings)


@pytest.mark.parametrize("schedule", PACES)
@pytest.mark.parametrize("rounds", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("strategy", "gone"), [(mp.Global(0.5), 26), (mp.PerLayer(0.75), 39), (mp.Global(40), 40), (mp.PerLayer(2), 6)]
)
def test_the_strategys_amount_is_the_final_total(rounds: int, strategy: Any, gone: int, schedule: str) -> None:
    net, data = mlp()
    res = quietly(net, data, "magnitude_l1", strategy, rounds=rounds, schedule=schedule, finetune=mp.FineTune(1))
    assert len(res.history) == rounds
    assert masked(res.net) == gone
    assert not net.masks


@pytest.mark.parametrize(("schedule", "counts"), [("linear", [10, 20, 30, 40]), ("cubic", [23, 35, 39, 40])])
def test_the_amount_grows_along_the_schedule(schedule: str, counts: list[int]) -> None:
    """floor(40·k/4), and floor(40·(1 − (1 − k/4)³))."""
    net, data = mlp()
    res = quietly(net, data, strategy=mp.Global(40), rounds=4, schedule=schedule)
    assert [len(step.plan) for step in res.history] == counts


@pytest.mark.parametrize("criterion", ["magnitude_l1", "random"])
@pytest.mark.parametrize("block", [None, (2, 2)])
def test_masked_weights_stay_masked_round_after_round(criterion: str, block: Any) -> None:
    net, data = mlp()
    res = quietly(net, data, criterion, mp.Global(0.7), rounds=4, block=block, finetune=mp.FineTune(2))
    for earlier, later in zip(res.history, res.history[1:], strict=False):
        for name, kept in earlier.plan.keep.items():
            assert (later.plan.keep[name] <= kept).all()
    for name, kept in res.net.masks.items():
        assert (res.net.params[name][~kept] == 0).all()
        np.testing.assert_array_equal(kept, res.history[-1].plan.keep[name])


def test_it_is_score_decide_mask_and_fit_by_hand() -> None:
    net, data = mlp()
    res = quietly(net, data, "magnitude_l1", mp.Global(0.5), rounds=2, finetune=mp.FineTune(2, batch_size=8), rng=3)
    by_hand, rng, state = net, np.random.default_rng(3), None
    for amount in (13, 26):
        scores = mp.score(by_hand, criterion="magnitude_l1", by="weight")
        by_hand = mp.mask(by_hand, mp.decide(scores, mp.Global(amount)))
        state = mp.fit(by_hand, data, epochs=2, batch_size=8, state=state, rng=rng, progress=False).state
    assert res.net(data[0]).tobytes() == by_hand(data[0]).tobytes()
    assert res.state.step == state.step == 12


def test_blocks_go_whole() -> None:
    net, data = mlp()
    res = quietly(net, data, strategy=mp.PerLayer(0.5), block=(2, 2), rounds=2)
    kept = res.net.masks["dense2.W"]  # (4, 5): 2 × 3 blocks, the last of a single column
    for p in (0, 2):
        for q in (0, 2, 4):
            assert len(set(kept[p : p + 2, q : q + 2].ravel().tolist())) == 1
    assert 0 < kept.sum() < kept.size


def test_only_the_named_parameters_are_pruned() -> None:
    net, data = mlp()
    assert list(quietly(net, data, groups=["dense2.W"], strategy=mp.Global(0.5)).net.masks) == ["dense2.W"]


def test_the_same_seed_gives_the_same_network() -> None:
    net, data = mlp()
    a, b, c = (quietly(net, data, "random", rounds=2, finetune=mp.FineTune(1), rng=rng).net for rng in (1, 1, 2))
    assert a(data[0]).tobytes() == b(data[0]).tobytes() != c(data[0]).tobytes()


def test_the_report_tells_of_every_round() -> None:
    net, (x, y) = mlp()
    data = Dataset(Samples(x[:12], y[:12]), Samples(x[12:], y[12:]), Samples(x[12:], y[12:]))
    res = quietly(net, data, strategy=mp.Global(26), rounds=2, finetune=mp.FineTune(1))
    lines = res.report().splitlines()
    assert lines[0].split() == [
        "round",
        "rmse",
        "rmse",
        "tuned",
        "loss",
        "parameters",
        "not",
        "0",
        "bytes",
        "on",
        "disk",
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["before", "1", "2"]
    assert lines[3].split()[-2:] == [str(res.after.nonzero), f"{res.after.bytes_disk:,}"]
    assert lines[4] == ", ".join(f"{name} {k.size} → {k.sum()}" for name, k in res.net.masks.items())
    assert lines[5].endswith("Global(amount=26, at_least=1, normalise='none'); evaluated on validation data")
    assert res.after is res.history[-1].tuned
    assert res.after.nonzero == 52 - 26 + 12 == sum(np.count_nonzero(W) for W in res.net.params.values())
    assert repr(res).startswith("<WeightPruneResult: 2 round(s), <Graph: ")
    without = quietly(net, (x, y), strategy=mp.Global(26))
    assert without.after is without.history[0].masked
    assert without.report().endswith("evaluated on training data")


@pytest.mark.parametrize("rounds", [0, -1, 1.5, "2"])
def test_rounds_are_whole_numbers_of_at_least_1(rounds: Any) -> None:
    with pytest.raises(PlanError, match=r"rounds is .*, expected a whole number of at least 1"):
        quietly(*mlp(), rounds=rounds)


def test_unknown_schedules_and_criteria_without_weights_are_refused() -> None:
    with pytest.raises(PlanError, match="unknown schedule 'steep'; expected one of linear, cubic"):
        quietly(*mlp(), schedule="steep")
    with pytest.raises(DataError, match="apoz scores neurons only"):
        quietly(*mlp(), "apoz")
