"""Arguments of the wrong kind: one line that says what to write instead, and no traceback from within."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune.errors import DataError, MinpruneError, PlanError, StructureError
from minprune.neurons import fingerprint

DATA = np.ones((4, 3)), np.array([0, 1, 0, 1])


def net() -> mp.Graph:
    return mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2))


STRUCTURE = fingerprint(net())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mp.verify("t1.npz"), StructureError, "verify takes a network, got 't1.npz'; load('t1.npz') reads one"),
        (
            lambda: mp.verify(mp.remove(net(), mp.Plan({"dense1": [0]})), Path("model.npz")),
            StructureError,
            "verify's original takes a network, got 'model.npz'; load('model.npz') reads one",
        ),
        (
            lambda: mp.score("m.npz", DATA),
            StructureError,
            "score takes a network, got 'm.npz'; load('m.npz') reads one",
        ),
        (
            lambda: mp.evaluate({"a": net()}, DATA),
            StructureError,
            "evaluate takes a network, got dict; Sequential makes one, load reads one",
        ),
        (
            lambda: mp.save([net()], "m.npz"),
            StructureError,
            "save takes a network, got list; Sequential makes one, load reads one",
        ),
        (
            lambda: mp.remove("m.npz", mp.Plan({"dense1": [0]})),
            StructureError,
            "a plan takes a network, got 'm.npz'; load('m.npz') reads one",
        ),
        (
            lambda: mp.compare([net(), net()], DATA),
            DataError,
            "compare takes networks by name, as {'dense': a, 'small': b}; got list",
        ),
        (
            lambda: mp.mask(net(), {"dense1": [1]}),
            PlanError,
            (
                "mask takes a Plan of neurons or of weights, got dict; decide(scores, strategy) makes one, by hand "
                "Plan({'dense1': [0, 2]})"
            ),
        ),
        (
            lambda: mp.prune(net(), DATA, finetune=3),
            PlanError,
            "finetune is 3, expected None or a FineTune, such as FineTune(epochs=3)",
        ),
        (
            lambda: mp.prune_weights(net(), DATA, finetune=True),
            PlanError,
            "finetune is True, expected None or a FineTune, such as FineTune(epochs=5)",
        ),
        (
            lambda: mp.choose(net(), DATA, max_loss=0.1, finetune=2),
            PlanError,
            "finetune is 2, expected None or a FineTune, such as FineTune(epochs=2)",
        ),
        (
            lambda: mp.choose(net(), DATA, max_loss=0.1, strategies=mp.Global(0.5)),
            PlanError,
            (
                "strategies is Global(amount=0.5, at_least=1, normalise='none'), expected a list of strategies: "
                "[Global(amount=0.5, at_least=1, normalise='none')]"
            ),
        ),
        (
            lambda: mp.choose(net(), DATA, max_loss=0.1, criteria="taylor"),
            PlanError,
            "criteria is 'taylor', expected a list of criteria: ['taylor']",
        ),
        (
            lambda: mp.choose(net(), DATA, max_loss=0.1, repairs="least_squares"),
            PlanError,
            "repairs is 'least_squares', expected a list of repairs: ['least_squares']",
        ),
        (
            lambda: mp.choose(net(), DATA, max_loss=0.1, repairs=None),
            PlanError,
            "repairs is None, expected a list of repairs: [None]",
        ),
        (
            lambda: mp.score(net(), "digits"),
            DataError,
            "data is 'digits', which names it only; load it first: mp.data.digits(), mp.data.load(path) …",
        ),
        (
            lambda: mp.fit(net(), "digits", progress=False),
            DataError,
            "data is 'digits', which names it only; load it first: mp.data.digits(), mp.data.load(path) …",
        ),
        (
            lambda: mp.remove(net(), mp.Plan({"dense1": [0]}, "feed")),
            StructureError,
            (
                f"this plan was made for another network (structure feed, this one is {STRUCTURE}); "
                "score this network and decide anew"
            ),
        ),
    ],
)
def test_the_wrong_kind_of_argument_is_one_line_that_says_what_to_write(
    call: Callable[[], Any], error: type[MinpruneError], message: str
) -> None:
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message
