"""The command `prune`: a network and data in, a smaller network out, checked and measured; it can be interrupted."""

from __future__ import annotations

import hashlib
import json
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..datasets.samples import as_samples
from ..distillation import Distillation
from ..errors import DataError, FileError, MinpruneError, PlanError
from ..evaluation import evaluate
from ..formats import FORMATS, load, save
from ..formats.state_files import Keeper, StateFile
from ..kept_nodes import told, whole_for, without_gradient
from ..nn import Graph
from ..provenance import digest, samples_digest
from ..pruning.budget import KINDS, Budget
from ..pruning.deciding import Global, PerLayer, Strategy, Threshold, decide
from ..pruning.results import PruneResult
from ..pruning.schedule import FineTune
from ..pruning.schedule import prune as prune_network
from ..pruning.weights.schedule import prune_weights
from ..scores import score
from .calibrating import Calibration, calibration
from .measuring import checked, comparison_table, measured
from .searching import largest_within
from .shared import Outcome, can_be_written, tuning

# What the result depends on, besides the model and the data.
SETTINGS = (
    *("criterion", "strategy", "remove", "keep", "max_loss", "runtime", "rounds", "schedule", "repair", "epochs"),
    *("distill", "loss", "lr", "batch_size", "seed"),
)
FOR_NEURONS = ("max_loss", "runtime", "resume", "dry_run", "report", "distill")
EVERYWHERE_FLAT = (
    "squared loss has no slope where the answers are the targets: every score is 0; take --criterion taylor2"
)


def prune(args: Namespace) -> Outcome:
    """Prune a network and save what is left."""
    can_be_written(args.output, "a network", tuple(FORMATS))
    if args.report:
        can_be_written(args.report, "a report", (".html",))
    net = load(args.model)
    if Path(args.output).exists() and Path(args.output).samefile(args.model):
        raise FileError(f"{args.output}: this is the model itself; write the smaller one to another file by -o")
    if args.by == "weight":
        return _mask_weights(net, args)
    if args.block:
        raise DataError("--block is for weights; add --by weight")
    work = _Work(net, calibration(net, args), args)
    return work.preview() if args.dry_run else work.carry_out()


@dataclass(frozen=True, eq=False)
class _Work:
    """One call of the command."""

    net: Graph
    data: Calibration
    args: Namespace

    @property
    def criterion(self) -> str:
        """As asked for. Without labels a squared loss is flat at the original, where only curvature tells neurons; and
        where no gradient comes, only what neurons do.
        """
        if not self.args.criterion and without_gradient(self.net):
            return "activation_rms"
        flat = not self.data.labelled and self.data.loss != "cross_entropy"
        return self.args.criterion or ("taylor2" if flat else "taylor")

    @property
    def kept(self) -> list[str]:
        """What of the file is kept as it is, and what follows from it."""
        lines = told(self.net)
        if lines and not self.args.criterion and self.criterion == "activation_rms":
            lines.append("no gradient passes what is kept: scored by activation_rms")
        return lines

    def preview(self) -> Outcome:
        """What the first round would do."""
        strategy = _strategy(self.args, 0.5)
        scores = score(self.net, self.data.data, self.criterion, loss=self.data.loss, rng=self.args.seed, progress=True)
        plan = decide(scores, strategy)
        plan.check(self.net)
        lines = [self.data.told, *self.kept, plan.explain()]
        if self.args.max_loss is not None:
            lines.append("the first fraction that is tried; the others follow from what it loses")
        lines.append(f"nothing was written; without --dry-run: {self.args.output}")
        content: dict[str, Any] = {"dry_run": True, "data": self.data.told, "kept_whole": whole_for(self.net)}
        content |= {"plan": plan.as_dict(), "output": self.args.output}
        return "\n".join(lines), content

    def carry_out(self) -> Outcome:
        """Prune, write, read again, measure, report."""
        keeper = StateFile(Path(f"{self.args.output}.state"), self.job())
        self._begin(keeper)
        try:
            result = self.prune(keeper)
            save(result.net, self.args.output)
            outcome = self.told(result)
        except KeyboardInterrupt:
            where = f"what is done lies in {keeper.path}; the same command with --resume goes on from there"
            raise KeyboardInterrupt(where if keeper.path.exists() else "nothing was written yet") from None
        except MinpruneError:  # it would happen again
            keeper.forget()
            raise
        keeper.forget()
        return outcome

    def _begin(self, keeper: StateFile) -> None:
        if self.args.resume:
            if keeper.kept() is None:
                print(f"{keeper.path}: there is nothing to go on from; beginning anew", file=sys.stderr)
        elif keeper.path.exists():
            print(f"{keeper.path}: of an unfinished run, dropped (--resume would go on with it)", file=sys.stderr)
            keeper.forget()

    def job(self) -> str:
        """A digest of all that the result depends on."""
        settings = {name: getattr(self.args, name) for name in SETTINGS}
        parts = [getattr(self.data.data, name, None) for name in ("train", "valid", "test")]
        parts = [self.data.data] if parts[0] is None else parts
        seen = [samples_digest(x) + samples_digest(y) for x, y in map(as_samples, parts)]
        told = json.dumps([__version__, digest(self.net), seen, settings], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def prune(self, keeper: Keeper) -> PruneResult:
        """The pruning itself."""
        if self.args.max_loss is None:
            return self._run(_strategy(self.args), keeper)
        return largest_within(self._run, lambda f: _strategy(self.args, f), self.args.max_loss, keeper)

    def _run(self, strategy: Strategy, keeper: Keeper) -> PruneResult:
        args = self.args
        result = prune_network(
            self.net,
            self.data.data,
            self.criterion,
            strategy,
            rounds=args.rounds,
            schedule=args.schedule,
            finetune=self.tuning(),
            repair=args.repair,
            loss=self.data.loss,
            rng=args.seed,
            progress=True,
            keeper=keeper,
        )
        if not self.data.labelled and not any(np.any(values) for values in result.history[0].scores.values()):
            raise DataError(f"without labels a {EVERYWHERE_FLAT}")
        return result

    def tuning(self) -> FineTune | None:
        """How to fine-tune: from the labels, the original's outputs, or both."""
        how = tuning(self.args, self.args.epochs)
        share = self.args.distill if self.data.labelled else 1.0
        return how if how is None or not share else replace(how, distill=Distillation(weight=share))

    def told(self, result: PruneResult) -> Outcome:
        """Everything there is to say, and the report where it is wanted."""
        args, small = self.args, result.net
        read_again = checked(args.output, small, self.data.judged.x)
        found = measured(self.net, small, self.data, {"original": args.model, "pruned": args.output}, args.seed)
        same = "bit for bit" if read_again["exact"] else f"off by {read_again['largest_difference']:.2g}"
        text = [
            self.data.told,
            *self.kept,
            "",
            result.report(),
            "",
            "on the test part:",
            comparison_table(found, self.data.quality),
        ]
        text += [f"read again, it answers the same ({same})", f"saved to {args.output}"]
        content = {
            "output": args.output,
            "data": self.data.told,
            "quality": self.data.quality,
            "kept": result.kept,
            "kept_whole": whole_for(self.net),
            "before": result.before.as_dict(),
            "after": result.after.as_dict(),
            "test": found["after"],
            "comparison": found,
            "plan": result.plan.as_dict(),
            "certificate": str(small.certificate),
            "read_again": read_again,
        }
        if args.report:
            from ..pages.pruned import write_report

            write_report(args.report, self.net, result, content, args)
            text.append(f"report: {args.report}")
            content["report"] = args.report
        return "\n".join(text), content


def _mask_weights(net: Graph, args: Namespace) -> Outcome:
    """Single weights: nothing leaves, so there is nothing to repair, and no smaller arrays to time."""
    if args.repair:
        raise DataError("--repair makes up for neurons that leave; weights are masked without one")
    asked = [name for name in FOR_NEURONS if getattr(args, name)]
    if asked:
        raise DataError(f"--{asked[0].replace('_', '-')} is for neurons; leave --by weight out")
    found = calibration(net, args)
    result = prune_weights(
        net,
        found.data,
        args.criterion or "magnitude_l1",
        strategy=_strategy(args),
        rounds=args.rounds,
        schedule=args.schedule,
        block=args.block,
        finetune=tuning(args, args.epochs),
        loss=found.loss,
        rng=args.seed,
        progress=True,
    )
    save(result.net, args.output)
    test = evaluate(result.net, found.judged, loss=found.loss, runtime=())
    text = f"{found.told}\n\n{result.report()}\n\non the test part:\n{test}\nsaved to {args.output}"
    return text, {
        "output": args.output,
        "kept": {name: int(mask.sum()) for name, mask in result.net.masks.items()},
        "before": result.before.as_dict(),
        "after": result.after.as_dict(),
        "test": test.as_dict(),
    }


def _strategy(args: Namespace, fraction: float | None = None) -> Strategy:
    """What the words ask for; with --max-loss the fraction is what is tried."""
    asked = [f"--{n.replace('_', '-')}" for n in ("keep", "runtime", "max_loss") if getattr(args, n) is not None]
    if asked and (args.remove is not None or len(asked) > 1):
        kind = "a budget; it takes" if asked[0] != "--max-loss" else "a limit; it takes"
        raise PlanError(f"{asked[0]} is {kind} no --remove, and no --strategy but budget" if len(asked) == 1 else
                        f"{' and '.join(asked)}: give one of them")  # fmt: skip
    if args.max_loss is not None:
        if args.strategy not in (None, "global", "per-layer"):
            raise PlanError("--max-loss tries fractions; it takes --strategy global or per-layer")
        return fraction_of(0.5 if fraction is None else fraction, args.strategy)
    kept = args.keep if args.runtime is None else {"runtime": args.runtime}
    if kept is not None:
        if args.strategy not in (None, "budget"):
            raise PlanError(f"{asked[0]} is a budget; it takes no --remove, and no --strategy but budget")
        unknown = [kind for kind in kept if kind not in KINDS]
        if unknown:
            raise PlanError(f"--keep {unknown[0]}: expected one of {', '.join(KINDS)}, as in macs=0.5")
        return Budget(**kept)
    if args.strategy == "budget":
        raise PlanError("--strategy budget: say what to keep, as in --keep macs=0.5")
    return fraction_of(0.5 if args.remove is None else args.remove, args.strategy)


def fraction_of(remove: Any, strategy: str | None) -> Strategy:
    """The strategy that removes a fraction, or one for each group."""
    if isinstance(remove, dict):
        return PerLayer(remove)
    if strategy == "threshold":
        return Threshold(quantile=remove)
    return PerLayer(remove) if strategy == "per-layer" else Global(remove)
