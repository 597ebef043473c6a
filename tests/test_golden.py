"""The golden files, computed once more: in 40-digit decimals, by hand, without the engine and without a derivative rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, localcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden"
STEP = Decimal("1e-12")


def number(value: float) -> Decimal:
    """The decimal that is written, not the float that is nearest to it: 0.3, not 0.299999…"""
    return Decimal(repr(value))


def forward(given: dict[str, Any], shift: Sequence[Decimal], gone: tuple[int, ...] = ()) -> dict[str, list[Decimal]]:
    """The 3-5-2 network; `shift` is added to the hidden outputs, and those of `gone` are 0."""

    def weighted(W: list[list[float]], b: list[float], x: Sequence[Decimal]) -> list[Decimal]:
        rows = zip(W, b, strict=True)
        return [sum((number(w) * v for w, v in zip(row, x, strict=True)), number(bias)) for row, bias in rows]

    def sigmoid(z: Decimal) -> Decimal:
        return 1 / (1 + (-z).exp())

    z1 = weighted(given["W1"], given["b1"], [number(v) for v in given["x"]])
    h = [Decimal(0) if j in gone else sigmoid(z) + s for j, (z, s) in enumerate(zip(z1, shift, strict=True))]
    z2 = weighted(given["W2"], given["b2"], h)
    o = [sigmoid(z) for z in z2] if given["output"] == "sigmoid" else z2
    errors = [(v - number(t)) ** 2 for v, t in zip(o, given["target"], strict=True)]
    return {"z1": z1, "h": h, "z2": z2, "o": o, "loss": [sum(errors, Decimal(0)) / 2]}


@pytest.mark.parametrize("name", ["worked_example", "worked_example_linear"])
def test_the_golden_numbers_are_those_of_40_digit_arithmetic(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    given, none = golden["given"], [Decimal(0)] * 5
    with localcontext() as context:
        context.prec = 40
        plain = forward(given, none)
        for key in ("z1", "h", "z2", "o"):
            assert [float(v) for v in plain[key]] == pytest.approx(golden["forward"][key], abs=1e-15), key
        loss = plain["loss"][0]
        assert float(loss) == pytest.approx(golden["forward"]["loss"], abs=1e-15)
        for j in range(5):
            up, down = ([s if i == j else Decimal(0) for i in range(5)] for s in (STEP, -STEP))
            slope = (forward(given, up)["loss"][0] - forward(given, down)["loss"][0]) / (2 * STEP)
            assert float(slope) == pytest.approx(golden["sensitivity"]["dL_dh"][j], abs=1e-15), f"dL/dh{j + 1}"
            alone = forward(given, none, (j,))["loss"][0] - loss
            assert float(alone) == pytest.approx(golden["ablation_single"][j], abs=1e-15), f"without h{j + 1}"
        for pair in combinations(range(5), 2):
            both = forward(given, none, pair)["loss"][0] - loss
            assert float(both) == pytest.approx(golden["ablation_pair"][f"{pair[0]},{pair[1]}"], abs=1e-15), pair
