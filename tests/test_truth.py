"""Agreement: criteria beside the truth, and what their choices cost."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs
from scipy import stats

import minprune as mp
from minprune import worked
from minprune.correlation import interval, resamples, spearman
from minprune.cuts import Quality
from minprune.errors import DataError, PlanError, TrainingError
from minprune.models import mlp
from minprune.ranks import TOGETHER
from minprune.scores import CRITERIA, Criterion
from minprune.scores.taylor import Taylor
from minprune.truth import FRACTIONS, Agreement, agreement


@pytest.fixture(scope="module")
def net() -> mp.Graph:
    net = mp.Sequential(mp.Dense(64, 20), mp.ReLU(), mp.Dense(20, 10), mp.ReLU(), mp.Dense(10, 10), dtype=np.float64)
    mp.fit(net, mp.data.digits(), epochs=2, progress=False)
    return net


@pytest.fixture(scope="module")
def found(net: mp.Graph) -> Agreement:
    names = ["taylor", "magnitude_l1", "inverse_sensitivity"]
    return agreement(net, mp.data.digits(), names, fractions=[0.3, 0.6], bootstrap=200)


def regression(net: mp.Graph) -> tuple[Any, Any]:
    (x,) = inputs(net, n=12).values()
    return x, np.random.default_rng(2).standard_normal(net(x).shape)


def test_every_row_is_scipys_correlation_of_scores_and_truth(net: mp.Graph, found: Agreement) -> None:
    truth = mp.score(net, mp.data.digits(), "leave_one_out")
    for row in found.rows:
        scores = found.scores[row.criterion]
        groups = ["dense1", "dense2"] if row.group == TOGETHER else [row.group]
        x, y = (np.concatenate([s[group] for group in groups]) for s in (scores, truth))
        assert row.neurons == len(x)
        assert row.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert row.kendall == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
        k = round(len(x) / 4)
        assert row.overlap == len(set(np.argsort(x)[:k]) & set(np.argsort(y)[:k])) / k


def test_the_truth_agrees_with_itself_and_random_is_always_there(found: Agreement) -> None:
    names = list(dict.fromkeys(row.criterion for row in found.rows))
    assert names[0] == "leave_one_out"
    assert set(names) == {"leave_one_out", "random", "taylor", "magnitude_l1", "inverse_sensitivity"}
    for row in found.rows[:3]:
        assert (row.spearman, row.kendall, row.overlap) == (1, 1, 1)
        assert row.spearman_interval == row.kendall_interval == (1, 1)


def test_rows_stand_by_their_correlation_over_all_groups(found: Agreement) -> None:
    together = [row.spearman for row in found.rows if row.group == TOGETHER]
    assert together == sorted(together, reverse=True)


def test_intervals_hold_the_estimate_and_are_the_bootstraps(found: Agreement) -> None:
    for row in found.rows:
        for value, (low, high) in ((row.spearman, row.spearman_interval), (row.kendall, row.kendall_interval)):
            assert low <= value <= high
    row = next(r for r in found.rows if (r.criterion, r.group) == ("taylor", "dense1"))
    x, y = found.scores["taylor"]["dense1"], found.scores["leave_one_out"]["dense1"]
    again = interval(spearman(x, y, resamples(20, 2000, np.random.default_rng(7))))
    np.testing.assert_allclose(row.spearman_interval, again, atol=0.1)


@pytest.mark.parametrize(("ranking", "strategy"), [("global", mp.Global), ("per-layer", mp.PerLayer)])
def test_a_cut_is_what_removing_the_choice_gives_on_the_validation_part(
    net: mp.Graph, ranking: str, strategy: Any
) -> None:
    data = mp.data.digits()
    found = agreement(net, data, ["taylor"], fractions=[0.5], ranking=ranking, bootstrap=1)
    small = mp.remove(net, mp.decide(mp.score(net, data, "taylor"), strategy(0.5)))
    expected = mp.evaluate(small, data.valid, runtime=())
    (cut,) = (c for c in found.cuts if c.criterion == "taylor")
    assert (cut.fraction, cut.removed, cut.tuned) == (0.5, Quality(expected.loss, expected.accuracy, None), None)
    assert found.dense.accuracy == mp.evaluate(net, data.valid, runtime=()).accuracy


def test_the_same_seed_gives_the_same_whatever_stands_beside_it(net: mp.Graph) -> None:
    data = mp.data.digits().valid
    few = agreement(net, data, ["taylor"], fractions=[0.5], bootstrap=50, rng=3)
    more = agreement(net, data, ["magnitude_l2", "taylor"], fractions=[0.5], bootstrap=50, rng=3, progress=True)
    other = agreement(net, data, ["taylor"], fractions=[0.5], bootstrap=50, rng=4)
    of = {
        name: [asdict(row) for row in made.rows if row.criterion in ("random", "taylor")]
        for name, made in (("few", few), ("more", more), ("other", other))
    }
    assert sorted(map(str, of["few"])) == sorted(map(str, of["more"])) != sorted(map(str, of["other"]))
    assert few.as_dict() == agreement(net, data, ["taylor"], fractions=[0.5], bootstrap=50, rng=3).as_dict()


def test_by_default_every_criterion_is_tried_or_said_to_be_missing() -> None:
    net = EXAMPLES["cnn"]()
    found = agreement(net, regression(net), bootstrap=20)
    assert {row.criterion for row in found.rows} | set(found.skipped) == set(CRITERIA)
    assert {cut.fraction for cut in found.cuts} == set(FRACTIONS)
    assert found.dense.accuracy is None
    assert "rmse and loss on training data, the choice removed (global), not repaired\n" in str(found)


def test_a_criterion_that_the_network_does_not_have_is_named_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fussy(Criterion):
        name = "fussy"

        def score(self, context: Any) -> Any:
            raise DataError("fussy: not for this network")

    net = EXAMPLES["mlp"]()
    monkeypatch.setitem(CRITERIA, "fussy", Fussy)
    found = agreement(net, regression(net), fractions=[0.5], bootstrap=5)
    assert found.skipped["fussy"] == "fussy: not for this network"
    assert "without fussy: fussy: not for this network" in str(found)
    with pytest.raises(DataError, match="fussy: not for this network"):
        agreement(net, regression(net), ["fussy"])
    with pytest.raises(DataError, match="fussy: not for this network"):
        agreement(net, regression(net), [Fussy()])


def test_what_cannot_be_chosen_is_empty_and_what_has_no_order_is_no_number() -> None:
    class Same(Criterion):
        name = "same"

        def score(self, context: Any) -> Any:
            return {group.name: np.full(group.size, np.inf) for group in context.groups}

    net = EXAMPLES["mlp"]()
    found = agreement(net, regression(net), [Same()], fractions=[0.5], bootstrap=5)
    assert [math.isnan(row.spearman) for row in found.rows if row.criterion == "same"] == [True] * 3
    assert found.rows[-1].criterion == "same"
    (cut,) = (c for c in found.cuts if c.criterion == "same")
    assert (cut.removed, cut.tuned) == (None, None)
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert content["rows"][-1]["spearman"] is None
    assert content["rows"][-1]["kendall_interval"] == [None, None]


def test_a_single_group_has_no_row_for_all_together() -> None:
    found = agreement(worked.network(), (worked.X, worked.TARGET), ["taylor"], loss=worked.LOSS, bootstrap=5)
    assert {row.group for row in found.rows} == {"dense1"}


def test_the_table_has_a_line_for_every_row_and_two_for_every_criterion(found: Agreement) -> None:
    first, second = str(found).split("\n\n")
    assert len(first.splitlines()) == 1 + len(found.rows)
    assert second.splitlines()[:2] == [
        "accuracy and loss on validation data, the choice removed (global), not repaired",
        "from scratch: none, there is no budget for training; give finetune=FineTune(epochs=…), or --epochs",
    ]
    assert second.splitlines()[2].split() == ["criterion", "dense", "0.3", "0.6"]
    assert len(second.splitlines()) == 3 + 2 * 5


def test_nothing_is_said_about_cuts_where_there_are_none(net: mp.Graph) -> None:
    assert len(str(agreement(net, mp.data.digits(), ["taylor"], fractions=[], bootstrap=1)).split("\n\n")) == 1


# --- with a budget for training ---------------------------------------------------------------------------------------

BUDGET = mp.FineTune(2, mp.SGD(0.05, momentum=0.5), batch_size=100, schedule=mp.Cosine())


@pytest.fixture(scope="module")
def tuned(net: mp.Graph) -> Agreement:
    scratch = replace(BUDGET, epochs=3)
    options: dict[str, Any] = {"finetune": BUDGET, "scratch": scratch, "bootstrap": 5, "rng": 11}
    return agreement(net, mp.data.digits(), ["taylor", "magnitude_l1", Twin()], fractions=[0.5, 0.25], **options)


class Twin(Taylor):
    """Taylor's scores under another name."""

    name = "twin"


def by_hand(net: mp.Graph, how: mp.FineTune, seed: int) -> Quality:
    """Train on the training part alone, keep the last weights, judge on the validation part."""
    data = mp.data.digits()
    settings: dict[str, Any] = {"optimizer": how.optimizer, "schedule": how.schedule, "batch_size": how.batch_size}
    mp.fit(net, data.train, epochs=how.epochs, rng=seed, progress=False, **settings)
    judged = mp.evaluate(net, data.valid, runtime=())
    return Quality(judged.loss, judged.accuracy, judged.rmse)


def seed_of(rng: int) -> int:
    return int(np.random.default_rng(rng).integers(2**62))


def test_every_choice_is_fine_tuned_on_the_training_part_and_judged_on_the_other(
    net: mp.Graph, tuned: Agreement
) -> None:
    for name in ("taylor", "magnitude_l1"):
        scores = mp.score(net, mp.data.digits(), name)
        for fraction in (0.25, 0.5):
            small = mp.remove(net, mp.decide(scores, mp.Global(fraction)))
            (cut,) = (c for c in tuned.cuts if (c.criterion, c.fraction) == (name, fraction))
            assert cut.tuned == by_hand(small, BUDGET, seed_of(11))
            assert cut.tuned != cut.removed


def test_the_same_choice_is_fine_tuned_to_the_same_numbers_whatever_came_before(tuned: Agreement) -> None:
    for measure in ("loss", "accuracy"):
        for state in ("removed", "tuned"):
            assert tuned.curve("twin", state, measure) == tuned.curve("taylor", state, measure)
    assert tuned.curve("twin", "tuned", "loss") != tuned.curve("magnitude_l1", "tuned", "loss")


def test_curves_go_from_the_smallest_fraction_to_the_largest(tuned: Agreement) -> None:
    assert tuned.fractions == [0.25, 0.5]
    first, second = (cut.tuned for cut in tuned.cuts if cut.criterion == "taylor")
    assert first is not None
    assert second is not None
    assert tuned.curve("taylor", "tuned", "loss") == [second.loss, first.loss]


@pytest.mark.parametrize("ranking", ["global", "per-layer"])
def test_the_network_from_scratch_has_the_proportions_of_the_dense_one_and_new_weights(
    net: mp.Graph, ranking: str
) -> None:
    how: dict[str, Any] = {"finetune": BUDGET, "ranking": ranking, "bootstrap": 1, "rng": 11}
    found = agreement(net, mp.data.digits(), ["taylor"], fractions=[0.5], scratch=replace(BUDGET, epochs=3), **how)
    cut = found.cuts[-1]
    layers = (mp.Dense(64, 10), mp.ReLU(), mp.Dense(10, 5), mp.ReLU(), mp.Dense(5, 10))
    anew = mp.Sequential(*layers, rng=seed_of(11), dtype=np.float64)
    assert (cut.criterion, cut.fraction, cut.removed) == ("from scratch", 0.5, None)
    assert cut.tuned == by_hand(anew, replace(BUDGET, epochs=3), seed_of(11))


def test_from_scratch_means_twenty_epochs_more_than_fine_tuning_unless_it_is_said() -> None:
    net, budget = worked.network(), mp.FineTune(2, mp.SGD(0.5))
    settings: dict[str, Any] = {"fractions": [0.4], "loss": worked.LOSS, "bootstrap": 1}
    found = agreement(net, (worked.X, worked.TARGET), ["taylor"], finetune=budget, **settings)
    assert (found.finetune, found.scratch) == (budget, replace(budget, epochs=22))
    text = str(found)
    assert "not repaired; tuned: 2 epochs later, the same for all\n" in text
    assert "from scratch: as many neurons in the dense network's proportions, new weights, 22 epochs\n" in text
    assert text.splitlines()[-2].split()[:4] == ["from", "scratch", "accuracy", "tuned"]
    without = agreement(net, (worked.X, worked.TARGET), ["taylor"], **settings)
    assert "from scratch" not in {cut.criterion for cut in without.cuts}
    alone = agreement(net, (worked.X, worked.TARGET), ["taylor"], scratch=budget, **settings)
    assert [cut.tuned is not None for cut in alone.cuts] == [False, False, False, True]
    assert alone.states("taylor") == ("removed",)
    assert alone.as_dict()["finetune"] is alone.as_dict()["scratch"]["schedule"] is None


def test_training_is_told_as_plain_values(tuned: Agreement) -> None:
    content = json.loads(json.dumps(tuned.as_dict(), allow_nan=False))
    assert content["finetune"] == {
        "epochs": 2,
        "optimizer": "SGD(lr=0.05, momentum=0.5, nesterov=False, weight_decay=0.0)",
        "batch_size": 100,
        "schedule": "Cosine(final=0.0)",
        "distill": None,
    }
    assert content["scratch"]["epochs"] == 3
    assert content["cuts"][-1]["criterion"] == "from scratch"
    assert content["cuts"][-1]["tuned"]["accuracy"] == tuned.curve("from scratch", "tuned", "accuracy")[0]


def test_the_network_given_is_not_trained(net: mp.Graph) -> None:
    before = {name: array.copy() for name, array in net.arrays.items()}
    agreement(net, mp.data.digits().valid, ["taylor"], fractions=[0.0, 0.5], finetune=BUDGET, bootstrap=1)
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_training_that_goes_astray_names_the_choice(net: mp.Graph) -> None:
    with pytest.raises(TrainingError, match=r"^leave_one_out, 50% removed: epoch 1, step \d+: .*smaller learning rate"):
        agreement(net, mp.data.digits(), ["taylor"], fractions=[0.5], finetune=mp.FineTune(1, mp.SGD(1e200)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranking": "luck"}, "ranking is 'luck', expected one of global, per-layer"),
        ({"bootstrap": 0}, "bootstrap is 0, expected a whole number of at least 1"),
        ({"fractions": [0.5, 1.0]}, r"fractions: expected numbers from 0 to below 1, got 1\.0"),
        ({"criteria": ["taylor", "taylor"]}, "criteria: taylor is named twice; expected each once"),
        ({"criteria": ["luck"]}, "unknown criterion 'luck'"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], message: str) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(DataError, match=message):
        agreement(net, regression(net), **options)


def test_a_network_without_hidden_neurons_is_refused() -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    with pytest.raises(PlanError, match="no hidden neurons"):
        agreement(net, regression(net))


@pytest.mark.slow
@pytest.mark.data
def test_on_mnist_taylor_agrees_with_the_truth_and_the_printed_rule_disagrees() -> None:
    """Five seeds, both hidden layers, training samples; ten seeds of an independent prototype: .99, .78 and −.34."""
    data = mp.data.mnist(flat=True)
    part = (data.train.x[:5000], data.train.y[:5000])
    rho: dict[str, list[float]] = {"taylor2": [], "taylor": [], "inverse_sensitivity": [], "random": []}
    for seed in range(5):
        net = mlp(784, (300, 100), 10, rng=seed)
        settings: dict[str, Any] = {"epochs": 8, "batch_size": 100, "rng": seed, "progress": False}
        mp.fit(net, data.train, optimizer=mp.AdamW(2e-3, weight_decay=0.0), schedule=mp.Cosine(), **settings)
        for row in agreement(net, part, list(rho), fractions=[], bootstrap=1, rng=seed).rows:
            if row.group == TOGETHER and row.criterion in rho:
                rho[row.criterion].append(row.spearman)
    assert min(rho["taylor2"]) > 0.95
    assert 0.7 < np.mean(rho["taylor"]) < 0.9
    assert max(rho["inverse_sensitivity"]) < -0.2
    assert abs(np.mean(rho["random"])) < 0.1
