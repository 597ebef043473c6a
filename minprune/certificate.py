"""What a mask, a removal or a repair leaves as its proof, and the records that a network keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MASKED, REMOVED = "masked ≡ closed columns", "masked ≡ removed"  # what the certificates of the two verbs claim


@dataclass(frozen=True)
class Certificate:
    """The proof of a mask or a removal: two networks that should compute the same, on the same inputs.

    A masked network is compared with the one whose readers' columns are 0, a smaller one with the masked one, before
    any repair.

    Attributes
    ----------
    max_difference : float
        The largest difference of any output. Floating networks are compared in float64: what is checked is the
        surgery, not the rounding of float32.
    bound : float
        How far rounding can bring two such outputs apart, where the largest difference was found: four times the bound
        of `minprune.rounding`, twice for two networks, and twice again for what is not of first order in the rounding
        unit and for kinks. It follows from the dtype, the fan-in of every layer and the values met. Exact networks have
        the bound 0.
    ok : bool
        Whether the difference is within the bound.
    inputs : str
        What the comparison was made on.
    claim : str
        What was compared: ``"masked ≡ removed"``.
    """

    max_difference: float
    bound: float
    ok: bool
    inputs: str
    claim: str = REMOVED

    def __str__(self) -> str:
        verdict = self.claim if self.ok else f"{self.claim.replace(' ≡ ', ' and ')} DIFFER"
        return f"{verdict}: largest difference {self.max_difference:.2g}, bound {self.bound:.2g}, on {self.inputs}"


@dataclass(frozen=True)
class RepairCertificate:
    """What a repair did: how far the output is from the dense network's, before and after, and what was changed.

    It proves no improvement on other samples; nor that there is one: a repair that made it worse says so.

    Attributes
    ----------
    inputs : str
        What the outputs were compared on.
    samples : int
        How many samples the repair saw; 0 for one that needs none.
    digest : str
        SHA-256 of these samples, "" where there are none.
    largest : (float, float)
        The largest difference of any output to that of the network before the removal: without, and with the repair.
    rms : (float, float)
        The root mean square of all these differences, likewise.
    changed : tuple of str
        The arrays that the repair changed or added.
    strayed : tuple of str
        Those of them that do not belong to readers of dropped neurons, or to the statistics of batch-norms behind.
    """

    inputs: str
    samples: int
    digest: str
    largest: tuple[float, float]
    rms: tuple[float, float]
    changed: tuple[str, ...]
    strayed: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it changed only what a repair may change."""
        return not self.strayed

    @property
    def verdict(self) -> str:
        """Improved, unchanged or worsened, by the root mean square."""
        before, after = self.rms
        return "improved" if after < before else "worsened" if after > before else "unchanged"

    def __str__(self) -> str:
        moved = (
            f"{self.verdict}: output off the dense network's by rms {self.rms[0]:.3g} → {self.rms[1]:.3g}, "
            f"at most {self.largest[0]:.3g} → {self.largest[1]:.3g}, on {self.inputs}; "
            f"changed {', '.join(self.changed) or 'nothing'}"
        )
        return f"{moved}; of these {', '.join(self.strayed)} it MAY NOT" if self.strayed else moved


@dataclass(frozen=True)
class Record:
    """One thing that was done to a network. ``net.history`` holds them in order, a saved file too.

    Attributes
    ----------
    action : str
        "mask", "remove", "repair", "train", or another change of the weights.
    before, after : str
        Digests of the network before and after: see `minprune.provenance`. A gap between two records, or behind the
        last, means that somebody changed the weights in between.
    structure : str
        The fingerprint of the network that the plan was made for; see `minprune.neurons.fingerprint`.
    drop : mapping
        The plan: group -> indices of the neurons, as they were numbered before.
    how : mapping
        Settings, such as those of a repair; what JSON can hold.
    certificate : Certificate or RepairCertificate or None
    """

    action: str
    before: str
    after: str
    structure: str = ""
    drop: Mapping[str, list[int]] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)
    certificate: Certificate | RepairCertificate | None = None

    def __str__(self) -> str:
        if self.action in ("mask", "remove"):
            gone = ", ".join(f"{len(neurons)} of {group}" for group, neurons in self.drop.items()) or "nothing"
            return f"{self.action} {gone}"
        if self.action == "reduce":
            return f"reduce {', '.join(f'{kind} {count}' for kind, count in self.how.items()) or 'nothing'}"
        told = {name: value for name, value in self.how.items() if name != "repair" and not isinstance(value, dict)}
        settings = ", ".join(f"{name}={value}" for name, value in told.items())
        parts = (self.action, self.how.get("repair", ""), f"({settings})" if settings else "")
        return " ".join(part for part in parts if part)
