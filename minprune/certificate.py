"""What a removal leaves as its proof."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    """The proof of a removal: the smaller network against the masked one, on the same inputs, before any repair.

    Attributes
    ----------
    max_difference : float
        The largest difference of any output. Floating networks are compared in float64: what is checked is the
        surgery, not the rounding of float32.
    bound : float
        What rounding alone may cause: ``4 · ε · K · S`` with ε of float64, K the sum of all fan-ins on the way and S
        the largest value met. It assumes that layers do not amplify; a worst-case bound would grow exponentially with
        depth and prove nothing. Exact networks have the bound 0.
    ok : bool
        Whether the difference is within the bound.
    inputs : str
        What the comparison was made on.
    """

    max_difference: float
    bound: float
    ok: bool
    inputs: str

    def __str__(self) -> str:
        verdict = "masked ≡ removed" if self.ok else "masked and removed DIFFER"
        return f"{verdict}: largest difference {self.max_difference:.2g}, bound {self.bound:.2g}, on {self.inputs}"
