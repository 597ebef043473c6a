"""Choosing: the winner is the best of those that meet the wish, by numbers measured on data it was not made from."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, samples

import minprune as mp
from minprune import plots
from minprune.choosing import candidates
from minprune.choosing.candidates import Candidate
from minprune.choosing.choice import Choice, Wish
from minprune.errors import DataError, PlanError
from minprune.timing import Ratio, Timing

QUICK = {"seconds": 0.001, "progress": False}


@cache
def trained() -> mp.Graph:
    net = mp.Sequential(mp.Dense(64, 24), mp.ReLU(), mp.Dense(24, 16), mp.ReLU(), mp.Dense(16, 10), rng=0)
    mp.fit(net, mp.data.digits(), epochs=8, progress=False)
    return net


@pytest.fixture(autouse=True)
def _fair_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that follow from the sizes: 1 µs for a parameter."""

    class Race:
        calls = 1

        def __init__(self, *functions: Any) -> None:
            self.times = tuple([1e-6 * function() for _ in range(9)] for function in functions)

        @classmethod
        def prepare(cls, first: Any, second: Any, rounds: int, seconds: float) -> Race:
            return cls(first, second)

        def run(self, *_: Any) -> Any:
            return self.times

    monkeypatch.setattr(candidates, "Race", Race)
    monkeypatch.setattr(candidates, "ready_call", lambda net, x, size: lambda: size * params(net))
    monkeypatch.setattr(candidates, "measure", lambda call, seconds: Timing(1e-6 * call(), 0.0, 9, 1))


def params(net: mp.Graph) -> int:
    return sum(array.size for array in net.params.values())


@pytest.fixture
def choice() -> Choice:
    return mp.choose(trained(), mp.data.digits(), max_loss=0.05, **QUICK)


def losing(choice: Choice) -> list[float]:
    return [choice.dense.quality - candidate.quality for candidate in choice.candidates]


def test_the_smallest_that_loses_at_most_so_much(choice: Choice) -> None:
    enough = [c for c, lost in zip(choice.candidates, losing(choice), strict=True) if lost <= 0.05]
    assert choice.chosen in enough
    assert params(choice.net) == min(params(c.net) for c in enough) < params(trained())
    data = mp.data.digits()
    lost = [mp.evaluate(net, data.valid, runtime=(), progress=False).accuracy for net in (trained(), choice.net)]
    assert lost[0] - lost[1] <= 0.05


@pytest.mark.parametrize("by", ["params", "macs", "bytes", "runtime"])
def test_what_is_small_can_be_said(by: str) -> None:
    choice = mp.choose(trained(), mp.data.digits(), max_loss=0.1, smallest_by=by, batch=2, criteria=["taylor"], **QUICK)
    enough = [c for c, lost in zip(choice.candidates, losing(choice), strict=True) if lost <= 0.1]
    assert choice.chosen.cost(by) == min(candidate.cost(by) for candidate in enough)
    assert choice.chosen.seconds == pytest.approx(2e-6 * params(choice.net))


def test_the_most_accurate_within_limits() -> None:
    dense = params(trained())
    for limits in ({"max_bytes": 2.0 * dense}, {"max_runtime": 0.5e-6 * dense}):
        choice = mp.choose(trained(), mp.data.digits(), **limits, **QUICK)
        within = [c for c in choice.candidates if params(c.net) <= 0.5 * dense]
        assert choice.chosen in within
        assert choice.chosen.quality == max(candidate.quality for candidate in within)
        assert choice.chosen is min(
            (c for c in within if c.quality == choice.chosen.quality), key=lambda c: params(c.net)
        )


def test_several_limits_hold_together() -> None:
    dense = params(trained())
    choice = mp.choose(trained(), mp.data.digits(), max_loss=0.1, max_bytes=3 * dense, smallest_by="runtime", **QUICK)
    assert choice.chosen.cost("bytes") <= 3 * dense
    assert choice.dense.quality - choice.chosen.quality <= 0.1
    assert "at most 0.1 lost, at most " in choice.report()


def test_the_dense_network_is_chosen_where_nothing_may_be_lost_and_all_lose() -> None:
    data = mp.data.digits()
    settings = {"criteria": ["inverse_sensitivity"], "strategies": [mp.Global(0.8)], "repairs": [None]}
    choice = mp.choose(trained(), data, max_loss=0, **settings, **QUICK)
    assert choice.chosen is choice.dense
    assert choice.net is trained()
    assert len(choice.plan) == 0
    assert choice.dense.speed_up is None


def test_candidates_are_every_criterion_with_every_strategy_and_repair() -> None:
    net, data = trained(), mp.data.digits()
    rules, strategies = ["taylor", "magnitude_l2"], [mp.Global(0.25), mp.PerLayer(0.5), mp.Budget(macs=0.4)]
    choice = mp.choose(
        net, data, max_loss=1, criteria=rules, strategies=strategies, repairs=(None, "mean", mp.LeastSquares()), **QUICK
    )
    assert len(choice.candidates) == 1 + 2 * 3 * 3
    assert str(choice.candidates[3]) == "taylor, Global(amount=0.25), LeastSquares()"
    for candidate in choice.candidates[1:]:
        strategy = next(s for s in strategies if candidate.strategy.startswith(type(s).__name__))
        plan = mp.decide(mp.score(net, data, candidate.criterion), strategy)
        assert candidate.plan == plan
        repair = {"no repair": None, "mean": "mean"}.get(candidate.repair, mp.LeastSquares())
        small = mp.remove(net, plan, repair, data.train)
        assert all(small.arrays[k].tobytes() == v.tobytes() for k, v in candidate.net.arrays.items())
        found = mp.evaluate(small, data.valid, runtime=(), progress=False)
        assert candidate.evaluation == found
    assert choice.evaluated_on == "validation"


def test_the_same_plan_twice_is_one_candidate_and_an_empty_one_is_the_dense_network() -> None:
    strategies = [mp.Global(4), mp.Global(0.1), mp.Global(0.11), mp.Global(0)]
    choice = mp.choose(
        trained(), mp.data.digits(), max_loss=1, criteria=["taylor"], strategies=strategies, repairs=[None], **QUICK
    )
    assert [str(c) for c in choice.candidates] == ["dense", "taylor, Global(amount=4), no repair"]


def test_what_cannot_be_carried_out_is_said_and_left_out() -> None:
    settings = {"criteria": ["taylor"], "strategies": [mp.Global(0.5), mp.Global(0.99)], "repairs": [None]}
    choice = mp.choose(trained(), mp.data.digits(), max_loss=1, **settings, **QUICK)
    assert len(choice.candidates) == 2
    assert list(choice.skipped) == ["taylor, Global(amount=0.99)"]
    assert "without taylor, Global(amount=0.99): Global: 1 more neurons were to go" in choice.report()


def test_the_front_is_beaten_by_nobody_and_mentions_equals_once(choice: Choice) -> None:
    def costs(c: Candidate) -> tuple[float, ...]:
        return (-c.quality, c.seconds, c.cost("bytes"))

    front = [costs(candidate) for candidate in choice.front]
    assert len(set(front)) == len(front)
    for candidate in choice.candidates:
        mine = costs(candidate)
        beaten = any(
            all(a <= b for a, b in zip(costs(o), mine, strict=True)) and costs(o) != mine for o in choice.candidates
        )
        assert beaten == (mine not in front)
    assert [c.cost("bytes") for c in choice.front] == sorted((c.cost("bytes") for c in choice.front), reverse=True)


def test_networks_of_one_structure_share_a_measurement(choice: Choice) -> None:
    by_shape: dict[Any, set[float]] = {}
    for candidate in choice.candidates[1:]:
        by_shape.setdefault(tuple(a.shape for a in candidate.net.arrays.values()), set()).add(candidate.seconds)
        assert candidate.speed_up is not None
        assert candidate.speed_up.median == pytest.approx(params(trained()) / params(candidate.net))
    assert all(len(times) == 1 for times in by_shape.values())


def test_fine_tuning_is_the_same_for_all_and_follows_from_the_seed() -> None:
    settings: dict[str, Any] = {"criteria": ["taylor"], "repairs": [None], "finetune": mp.FineTune(epochs=1), "rng": 5}
    both = mp.choose(
        trained(), mp.data.digits(), max_loss=1, strategies=[mp.Global(0.5), mp.Global(0.7)], **settings, **QUICK
    )
    alone = mp.choose(trained(), mp.data.digits(), max_loss=1, strategies=[mp.Global(0.7)], **settings, **QUICK)
    assert both.candidates[2].net.params["dense1.W"].tobytes() == alone.candidates[1].net.params["dense1.W"].tobytes()
    plain = mp.remove(trained(), alone.candidates[1].plan)
    assert plain.params["dense1.W"].tobytes() != alone.candidates[1].net.params["dense1.W"].tobytes()


def test_fine_tuning_can_have_the_dense_network_for_a_teacher() -> None:
    how = {"criteria": ["taylor"], "strategies": [mp.Global(0.5)], "repairs": [None], "max_loss": 1.0} | QUICK
    alone, taught = (
        mp.choose(trained(), mp.data.digits(), finetune=mp.FineTune(epochs=1, distill=distill), **how)
        .candidates[-1]
        .net
        for distill in (None, mp.Distillation(weight=1.0))
    )
    assert alone.params["dense1.W"].shape == taught.params["dense1.W"].shape
    assert not np.array_equal(alone.params["dense1.W"], taught.params["dense1.W"])


def test_the_network_given_is_not_changed() -> None:
    net = trained()
    before = {name: array.tobytes() for name, array in net.arrays.items()}
    mp.choose(net, mp.data.digits(), max_loss=1, strategies=[mp.Global(0.5)], finetune=mp.FineTune(epochs=1), **QUICK)
    assert {name: array.tobytes() for name, array in net.arrays.items()} == before


def test_a_regression_is_judged_by_r2() -> None:
    net = EXAMPLES["cnn"]()
    x, _ = samples(net, n=30)
    choice = mp.choose(net, (x, net(x)), max_loss=0.5, repairs=["least_squares"], **QUICK)
    assert choice.dense.quality == 1
    assert choice.chosen.quality >= 0.5
    assert choice.evaluated_on == "training"
    assert "R²" in choice.report()
    with pytest.raises(
        DataError, match="the targets do not vary, so nothing can be said to be better; give other data"
    ):
        mp.choose(net, (x, np.zeros((30, 2))), max_loss=0.5, **QUICK)


def test_the_report_names_the_choice_the_reason_and_the_front(choice: Choice) -> None:
    lines = choice.report().splitlines()
    assert lines[0] == f"chosen: {choice.chosen}"
    met = sum(lost <= 0.05 + 1e-9 for lost in losing(choice))
    count = len(choice.candidates)
    assert (
        lines[1] == f"the smallest by params of the {met} with at most 0.05 lost; {count} measured on validation data"
    )
    assert sum(line.startswith("*") for line in lines) == 1
    assert len(choice.table().splitlines()) == 1 + count
    assert repr(choice).startswith(f"<Choice of {count}: {choice.chosen};")
    assert repr(choice.dense).startswith("<dense: 0.")


def test_the_choice_is_plain_values_for_json(choice: Choice) -> None:
    content = json.loads(json.dumps(choice.as_dict()))
    assert content["candidates"][content["chosen"]]["drop"] == choice.plan.drop
    assert [choice.candidates[i] for i in content["front"]] == choice.front
    assert content["candidates"][0]["speed_up"] is None


def test_the_figure_shows_what_was_asked_for_and_chosen(choice: Choice) -> None:
    figure = plots.pareto(**choice.for_plot())
    assert figure.axes[0].get_ylabel() == "validation accuracy"
    ring = next(line for line in figure.axes[0].lines if line.get_label() == "chosen")
    np.testing.assert_allclose(ring.get_xydata(), [[1e6 * choice.chosen.seconds, choice.chosen.quality]])


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({}, r"nothing is asked for; give max_loss= \(for the smallest\), max_runtime= or max_bytes="),
        ({"max_loss": -0.1}, "max_loss is -0.1, expected a fraction of accuracy from 0 to 1"),
        ({"max_loss": 2}, "max_loss is 2, expected a fraction"),
        ({"max_runtime": 0}, "max_runtime is 0, expected a number above 0"),
        ({"max_bytes": float("nan")}, "max_bytes is nan, expected a number above 0"),
        (
            {"max_loss": 0.1, "smallest_by": "size"},
            "smallest_by is 'size', expected one of params, macs, bytes, runtime",
        ),
        ({"max_loss": 0.1, "batch": 0}, "batch: expected whole numbers of at least 1, got 0"),
    ],
)
def test_a_wish_has_to_make_sense(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        mp.choose(trained(), mp.data.digits(), **wish)


def test_where_nothing_meets_the_wish_the_nearest_is_named() -> None:
    settings = {"criteria": ["taylor"], "strategies": [mp.Global(0.3), mp.Global(0.5)], "repairs": [None]}
    message = (
        r"none of 3 networks meets at most 100 bytes; the nearest is taylor, Global\(amount=0.5\), no repair: .* lost, "
    )
    with pytest.raises(PlanError, match=message):
        mp.choose(trained(), mp.data.digits(), max_bytes=100, **settings, **QUICK)
    with pytest.raises(PlanError, match="none of 3 networks meets at most 0 lost, at most 1 µs; the nearest is "):
        mp.choose(trained(), mp.data.digits(), max_loss=0, max_runtime=1e-6, **settings, **QUICK)


def test_excess_is_by_the_worst_limit(choice: Choice) -> None:
    some = choice.candidates[5]
    lost = choice.dense.quality - some.quality
    assert Wish(0.0, None, None, "params").excess(some, choice.dense) == pytest.approx(lost, abs=1e-8)
    wish = Wish(1.0, 0.5 * some.seconds, some.cost("bytes"), "params")
    assert wish.excess(some, choice.dense) == pytest.approx(1.0)


def test_a_loss_of_exactly_as_much_as_allowed_is_allowed() -> None:
    """0.9 − 0.7 is a little more than 0.2."""
    dense = Candidate("dense", "", "", mp.Plan({}), trained(), _accuracy(0.9))
    other = Candidate("taylor", "Global", "", mp.Plan({}), trained(), _accuracy(0.7), 1e-6, Ratio(1, 1, 1, 9, 1))
    assert 0.9 - 0.7 > 0.2
    assert Wish(0.2, None, None, "params").excess(other, dense) <= 0


def _accuracy(value: float) -> Any:
    return replace(mp.evaluate(trained(), mp.data.digits(), runtime=(), progress=False), accuracy=value)
