"""Settings with which an op cannot be kept: the evaluator does not do then what the op's definition says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

USUAL = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}  # functions of the gates
COORDINATES = ("", "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")


class Settings:
    """The attributes of a node, whatever their type says."""

    def __init__(self, node: Any) -> None:
        self.given = {attribute.name: attribute for attribute in node.attribute}
        self.inputs: list[str] = list(node.input)
        self.outputs: list[str] = list(node.output)
        self.op: str = node.op_type

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number."""
        return int(self.given[name].i) if name in self.given else default

    def word(self, name: str) -> str:
        """A word, "" where there is none."""
        return str(self.given[name].s.decode("utf-8", "replace")) if name in self.given else ""

    def has(self, *names: str) -> bool:
        """Whether one of them is there."""
        return any(name in self.given for name in names)


def unusual(node: Any) -> str:
    """Why a node cannot be kept with its settings; "" where it can."""
    s = Settings(node)
    return UNUSUAL[s.op](s) if s.op in UNUSUAL else ""


def _recurrent(s: Settings) -> str:
    names = (
        [name.decode("utf-8", "replace").lower() for name in s.given["activations"].strings]
        if s.has("activations")
        else []
    )
    if names not in ([], USUAL[s.op], USUAL[s.op] * 2):
        return f"activations {names} cannot be executed, only {USUAL[s.op]}"
    if s.has("activation_alpha", "activation_beta", "clip") or s.whole("input_forget"):
        return "with activation_alpha, activation_beta, clip or input_forget it cannot be executed"
    return "with sequence_lens it cannot be executed" if len(s.inputs) > 4 and s.inputs[4] else ""


def _resize(s: Settings) -> str:
    how = s.word("coordinate_transformation_mode")
    odd = s.whole("antialias") or s.whole("exclude_outside") or s.has("axes", "keep_aspect_ratio_policy")
    mode = s.word("mode")
    if how not in COORDINATES or odd or mode not in ("", "nearest", "linear"):
        return f"mode {mode!r} with coordinates {how!r} and its other settings cannot be executed"
    return ""


def _pad(s: Settings) -> str:
    known = s.word("mode") in ("", "constant", "reflect", "edge")
    return "" if known else f"mode {s.word('mode')!r} cannot be executed"


def _einsum(s: Settings) -> str:
    plain = s.word("equation").replace(" ", "").replace("->", "").replace(",", "").isalpha()
    return "" if plain and 1 <= len(s.inputs) <= 2 else "expected one or two inputs, and an equation of letters alone"


def _lp_normalization(s: Settings) -> str:
    return "" if s.whole("p", 2) == 2 else f"p is {s.whole('p')}, expected 2"


def _conv_transpose(s: Settings) -> str:
    plain = s.word("auto_pad") in ("", "NOTSET", "VALID") and not s.has("output_shape")
    return "" if plain else "with output_shape or auto_pad it cannot be executed"


def _batch_norm(s: Settings) -> str:
    return "computes the statistics of the batch" if len(s.outputs) > 1 or s.whole("training_mode") else ""


UNUSUAL: dict[str, Callable[[Settings], str]] = {
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Resize": _resize,
    "Pad": _pad,
    "Einsum": _einsum,
    "LpNormalization": _lp_normalization,
    "ConvTranspose": _conv_transpose,
    "BatchNormalization": _batch_norm,
}
