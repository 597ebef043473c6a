"""Verifying: what a network's history says is checked, and where the original is at hand, done once more."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .arguments import check_network
from .certificate import Certificate, Record, RepairCertificate
from .datasets.samples import as_samples
from .errors import DataError, MinpruneError
from .nn import Graph
from .ops import Array
from .provenance import digest, samples_digest
from .pruning.certifying import certify_repair
from .pruning.plan import Plan
from .pruning.repair import from_description
from .pruning.surgery import mask, remove
from .pruning.weights.plan import WeightPlan
from .reports import table

OK, FAILED, UNCHECKED = "ok", "FAILED", "not checked"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    step : int
        Which record of the history, from 1; 0 for the network as it is now.
    what : str
        The question.
    status : {"ok", "FAILED", "not checked"}
    detail : str
        The numbers, or the reason.
    """

    step: int
    what: str
    status: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found: ``.ok``, ``.checks``; ``print`` it for a table.

    Attributes
    ----------
    history : tuple of Record
        What was checked.
    checks : tuple of Check
    """

    history: tuple[Record, ...]
    checks: tuple[Check, ...]

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.status == FAILED]

    @property
    def ok(self) -> bool:
        """Whether nothing failed. What could not be checked did not fail; ``checks`` tells what that is."""
        return not self.failures

    @property
    def summary(self) -> str:
        """One line: verified, or the first thing that is wrong."""
        if self.ok:
            open_ = sum(check.status == UNCHECKED for check in self.checks)
            return f"verified: {len(self.checks) - open_} checks hold{f', {open_} could not be made' if open_ else ''}"
        first = self.failures[0]
        return f"NOT verified: step {first.step or 'now'}, {first.what}: {first.detail}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        checks = [{"step": c.step, "what": c.what, "status": c.status, "detail": c.detail} for c in self.checks]
        return {"ok": self.ok, "summary": self.summary, "history": [str(r) for r in self.history], "checks": checks}

    def __str__(self) -> str:
        steps = [f"{step}. {record}" for step, record in enumerate(self.history, 1)]
        rows = [(str(c.step or "now"), c.what, c.status, c.detail) for c in self.checks]
        return "\n".join([*steps, "", table(("step", "check", "", "found"), rows, left=4), "", self.summary])


def verify(net: Graph, original: Graph | None = None, data: Any = None) -> Verification:
    """Check a network against its history; with the network it was made from, make it once more.

    Alone, it is checked that the arrays are those that were certified last, that no record is missing in between, and
    what the certificates say. With the original every mask and removal is done and certified again and must give the
    same arrays, bit for bit; a repair too where the data are those that it saw; what was trained cannot be done again,
    and what came after it only starts from there. Digests find what was changed by accident; they are no signatures.

    Parameters
    ----------
    net : Graph
        From `mask`, `remove` or `prune`, perhaps saved and loaded; is not changed.
    original : Graph, optional
        The network before all of it.
    data : (x, y), x, Samples or Dataset, optional
        What a repair was computed on; certificates are then taken on it too, else on seeded inputs.

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        When the network has no history: there is nothing to verify.
    StructureError
        When one of the two is no network.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(4, 3), mp.ReLU(), mp.Dense(3, 2))
    >>> small = mp.remove(net, mp.Plan({"dense1": [1]}))
    >>> verify(small, net).summary
    'verified: 4 checks hold'
    >>> small.params["dense1.W"][0, 0] += 1
    >>> verify(small).summary
    'NOT verified: step now, weights are those recorded: they were changed since (trained elsewhere, cast or edited)'
    """
    check_network(net, "verify")
    if original is not None:
        check_network(original, "verify's original")
    if not net.history:
        raise DataError("there is nothing to verify: the network has no record of a mask, a removal or a repair")
    checks = [check for step in range(1, len(net.history) + 1) for check in _recorded(net.history, step)]
    checks.append(_unchanged(net))
    if original is not None:
        checks += _Replay(net, original, data).checks
    return Verification(net.history, tuple(checks))


def _recorded(history: tuple[Record, ...], step: int) -> list[Check]:
    """What can be seen in the records themselves."""
    record, proof = history[step - 1], history[step - 1].certificate
    found = []
    if step > 1:
        last = history[step - 2].after
        whole = last == record.before
        detail = "" if whole else "the weights were changed in between (trained elsewhere, or edited)"
        found.append(Check(step, "goes on where the last step ended", OK if whole else FAILED, detail))
    if proof is not None:
        sound = proof.ok and not (isinstance(proof, Certificate) and proof.max_difference > proof.bound)
        found.append(Check(step, "certificate on record", OK if sound else FAILED, str(proof)))
    return found


def _unchanged(net: Graph) -> Check:
    """Whether the arrays are those after the last record."""
    last = net.history[-1].after
    if not last:
        return Check(0, "weights are those recorded", UNCHECKED, "the file is from before histories were kept")
    same = digest(net) == last
    detail = f"SHA-256 {last[:12]}…" if same else "they were changed since (trained elsewhere, cast or edited)"
    return Check(0, "weights are those recorded", OK if same else FAILED, detail)


class _Replay:
    """The history done once more, from the original on, for as long as every network on the way is known."""

    def __init__(self, net: Graph, original: Graph, data: Any) -> None:
        self.net, self.data = net, data
        self.checks: list[Check] = []
        self.before: Graph | None = None  # the last removal: to what, by which plan
        self.state: Graph | None = self._start(original)
        for step, record in enumerate(net.history, 1):
            redo = {"mask": self._verb, "remove": self._verb, "repair": self._repair, "cast": self._cast}
            redo |= {"mask weights": self._mask_weights, "import": self._import}
            self.state = redo.get(record.action, self._other)(step, record)

    def _say(self, step: int, what: str, status: str, detail: str) -> None:
        self.checks.append(Check(step, what, status, detail))

    def _start(self, original: Graph) -> Graph | None:
        first = self.net.history[0].before
        what = "the original is the network it began with"
        if not first:
            self._say(1, what, UNCHECKED, "the file is from before histories were kept")
            return None
        same = digest(original) == first
        self._say(1, what, OK if same else FAILED, "" if same else "it is another network, or was trained since")
        return original if same else None

    def _at_hand(self, step: int, what: str) -> Graph | None:
        """The network that a step begins with, where it is known; else say that the question stays open."""
        if self.state is None:
            self._say(step, what, UNCHECKED, "the network that it began with is not at hand")
        return self.state

    def _verb(self, step: int, record: Record) -> Graph | None:
        """A mask or a removal: must give the same arrays again."""
        what = f"{record.action} done again"
        state = self.before = self._at_hand(step, what)
        if state is None:
            return None
        try:
            plan = Plan(record.drop, record.structure)
            again = mask(state, plan, self.data) if record.action == "mask" else remove(state, plan, data=self.data)
        except MinpruneError as error:
            self._say(step, what, FAILED, str(error))
            return None
        same = digest(again) == record.after
        detail = str(again.certificate) if same else "gives other arrays than those recorded"
        self._say(step, what, OK if same else FAILED, detail)
        return again if same else None

    def _mask_weights(self, step: int, record: Record) -> Graph | None:
        """A mask of weights, where the network still has the same one."""
        what = "mask weights done again"
        state, masks = self._at_hand(step, what), self.net.masks
        if state is None:
            return None
        later = self.net.history[step:]
        if any(other.action not in ("train", "cast") for other in later):
            self._say(step, what, UNCHECKED, "what came later has changed the masks")
            return None
        try:
            again = mask(state, WeightPlan({name: np.asarray(kept) for name, kept in masks.items()}))
        except MinpruneError as error:
            self._say(step, what, FAILED, str(error))
            return None
        same = digest(again) == record.after
        kept = ", ".join(f"{name} {int(found.sum())}" for name, found in masks.items())
        self._say(
            step, what, OK if same else FAILED, f"kept {kept}" if same else "gives other arrays than those recorded"
        )
        return again if same else None

    def _repair(self, step: int, record: Record) -> Graph | None:
        """A repair: on the same samples it must give the same; in any case it changed only what it says."""
        state, before, proof = self._at_hand(step, "repair done again"), self.before, record.certificate
        if state is None or before is None or not isinstance(proof, RepairCertificate):
            return None
        end = self.net if step == len(self.net.history) and digest(self.net) == record.after else None
        plan = Plan(record.drop, record.structure)
        again = self._repaired_again(step, record, proof, before, state, plan)
        if again is not None:
            self._compare(step, again, record, end)
            end = again if digest(again) == record.after else end
        if end is not None:
            self._judge(step, proof, certify_repair(before, state, end, plan, data=self.data))
        return end

    def _repaired_again(
        self, step: int, record: Record, proof: RepairCertificate, before: Graph, state: Graph, plan: Plan
    ) -> Graph | None:
        what = "repair done again"
        seen = None if self.data is None else as_samples(self.data, labels=False)[0]
        try:
            work = from_description(record.how)
            if work is None:
                self._say(step, what, UNCHECKED, f"{record.how.get('repair')!r} is not one of minprune's repairs")
            elif proof.digest and seen is None:
                self._say(step, what, UNCHECKED, f"needs the {proof.samples:,} samples that it saw: give the data")
            elif proof.digest and samples_digest(seen) != proof.digest:
                self._say(step, what, UNCHECKED, f"the data are not the {proof.samples:,} samples that it saw")
            else:
                again = work(before, state, plan, seen if proof.digest else None)
                again.close_masks()
                return again
        except (MinpruneError, TypeError) as error:  # a file can name any setting
            self._say(step, what, FAILED, str(error))
        return None

    def _compare(self, step: int, again: Graph, record: Record, result: Graph | None) -> None:
        """The same arrays, bit for bit; or on another machine, with another BLAS, up to rounding."""
        what = "repair done again"
        if digest(again) == record.after:
            self._say(step, what, OK, "the same arrays, bit for bit")
        elif result is None:
            self._say(step, what, FAILED, "gives other arrays than those recorded")
        else:
            near = _nearly_equal(again.arrays, result.arrays)
            self._say(step, what, OK if near else FAILED, "the same up to rounding" if near else "gives other weights")

    def _judge(self, step: int, proof: RepairCertificate, now: RepairCertificate) -> None:
        strange = set(now.changed) - set(proof.changed)
        self._say(
            step,
            "repair changed only what it says",
            FAILED if strange or not now.ok else OK,
            f"also {', '.join(sorted(strange))}" if strange else str(now),
        )

    def _cast(self, step: int, record: Record) -> Graph | None:
        """Another kind of number: must give the same arrays again."""
        state = self._at_hand(step, "cast done again")
        if state is None:
            return None
        try:
            again = state.astype(Fraction if record.how.get("dtype") == "object" else record.how.get("dtype"))
        except (MinpruneError, TypeError) as error:
            self._say(step, "cast done again", FAILED, str(error))
            return None
        same = digest(again) == record.after
        self._say(step, "cast done again", OK if same else FAILED, "" if same else "gives other arrays")
        return again if same else None

    def _import(self, step: int, record: Record) -> Graph | None:
        """Reading a file changes nothing; the same network may be wired a little differently afterwards."""
        if self.state is None or digest(self.state) == record.after:
            return self.state
        return self.net if step == len(self.net.history) else None

    def _other(self, step: int, record: Record) -> Graph | None:
        """Training and the like: cannot be done again, but where it ends is known if it was the last."""
        self._say(step, f"{record.action} done again", UNCHECKED, "only masks, removals and repairs can be")
        return None


def _nearly_equal(some: dict[str, Array], others: dict[str, Array]) -> bool:
    """Whether all arrays agree to half the digits that their largest entry has."""
    if {n: a.shape for n, a in some.items()} != {n: a.shape for n, a in others.items()}:
        return False
    for name, array in some.items():
        if array.dtype.kind != "f":
            if not np.array_equal(array, others[name]):
                return False
            continue
        near = float(np.sqrt(np.finfo(array.dtype).eps)) * float(np.abs(array).max(initial=0))
        if not np.allclose(array, others[name], rtol=0, atol=near):
            return False
    return True
