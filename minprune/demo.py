"""The demo: the whole cycle on handwritten digits, as a table, figures and a saved network in one folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from . import plots, studies
from .comparison import Comparison, compare
from .files import atomic_write
from .formats import save
from .reports import table

SHOWN = "taylor"  # the rule whose network is saved and drawn
LABELS = {
    "inverse_sensitivity": "the document's 1/|s|",
    "random": "random",
    "taylor": "Taylor |o s|",
    "leave_one_out": "leave one out (the truth)",
}


def run(folder: Path, seeds: int = 5, progress: bool = True) -> tuple[str, dict[str, Any]]:
    """Run the study on digits and put everything into a folder.

    Parameters
    ----------
    folder : path
        Gets ``dense.npz``, ``pruned.npz``, ``plan.json``, ``report.txt``, ``report.json`` and the figures.
    seeds : int
        How many networks to train.
    progress : bool
        Show bars.

    Returns
    -------
    text : str
        The report.
    content : dict
        The same for programs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = studies.digits(seeds, progress=progress)
    dense, pruned = study.dense[0], study.pruned[SHOWN][0]
    comparison = compare({"dense": dense, "pruned": pruned.net}, study.data, progress=progress)
    save(dense, folder / "dense.npz")
    save(pruned.net, folder / "pruned.npz")
    pruned.plan.save(folder / "plan.json")
    _draw(study, comparison, folder)
    text, content = _report(study, comparison, folder)
    for name, written in (("report.txt", text), ("report.json", json.dumps(content, indent=1))):
        with atomic_write(folder / name) as file:
            file.write(written.encode())
    return text, content


def _draw(study: studies.DigitsStudy, comparison: Comparison, folder: Path) -> None:
    shown = study.pruned[SHOWN][0]
    truth = study.pruned["leave_one_out"][0].scores
    for group, values in shown.scores.items():
        figure = plots.score_bars(
            values,
            shown.plan.drop.get(group, []),
            truth=truth[group],
            title=f"{group}: scores by {LABELS[SHOWN]}, and what each removal really costs",
        )
        plots.save(figure, folder / f"scores-{group}.png")
    curves = {LABELS[rule]: curve for rule, curve in study.curves().items()}
    plots.save(plots.accuracy_against_removed(curves), folder / "accuracy.png")
    W, dropped = study.dense[0].params["dense1.W"], shown.plan.drop["dense1"]
    figure = plots.weight_images(W, shown.net.params["dense1.W"], dropped, shown.scores["dense1"], shape=(8, 8))
    plots.save(figure, folder / "weights.png")
    gains = plots.speed_size(_gains(study, comparison), title=_title(len(study.dense)))
    plots.save(gains, folder / "gains.png")


def _title(seeds: int) -> str:
    return f"half of the hidden neurons removed, digits\n(accuracy: mean of {seeds} seed(s); all else: the first)"


def _gains(study: studies.DigitsStudy, comparison: Comparison) -> dict[str, tuple[float, float]]:
    """What the picture of gains shows: dense and pruned, side by side; times by the ratio of the pairs."""
    dense, pruned = (comparison.evaluations[name] for name in ("dense", "pruned"))
    time = {size: 1e6 * timing.median for size, timing in dense.runtime.items()}
    ratio = comparison.ratio["pruned"]
    tuned = float(np.mean([run.after_tuning for run in study.pruned[SHOWN]]))
    return {
        "test accuracy": (float(np.mean(study.accuracy)), tuned),
        "time per batch of 256 (µs)": (time[256], time[256] / ratio[256].median),
        "time per sample alone (µs)": (time[1], time[1] / ratio[1].median),
        "multiply-accumulates": (dense.macs, pruned.macs),
        "parameters": (dense.params, pruned.params),
        "bytes on disk": (dense.bytes_disk, pruned.bytes_disk),
    }


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def _protocol(seeds: int) -> str:
    return (
        f"UCI digits, {seeds} seed(s); half of 768 hidden neurons removed by a global ranking, "
        f"then {studies.TUNING_EPOCHS} epochs of fine-tuning"
    )


def _report(study: studies.DigitsStudy, comparison: Comparison, folder: Path) -> tuple[str, dict[str, Any]]:
    rows = [("dense 64-512-256-10", "", _spread(study.accuracy), "")]
    for rule, runs in study.pruned.items():
        before, after = [r.before_tuning for r in runs], [r.after_tuning for r in runs]
        lost = float(np.mean(study.accuracy) - np.mean(after))
        rows.append((f"pruned by {LABELS[rule]}", _spread(before), _spread(after), f"{lost:+.3f}"))
    head = ("test accuracy, mean (range)", "half removed", "and fine-tuned", "lost")
    seeds = len(study.dense)
    text = "\n\n".join(
        (
            _protocol(seeds),
            table(head, rows),
            f"seed 0, dense against pruned by {LABELS[SHOWN]}, timed in turns:",
            str(comparison),
            str(study.pruned[SHOWN][0].net.certificate),
            f"figures and networks are in {folder}",
        )
    )
    content = {
        "dense": study.accuracy,
        "pruned": {
            rule: {"half removed": [r.before_tuning for r in runs], "fine-tuned": [r.after_tuning for r in runs]}
            for rule, runs in study.pruned.items()
        },
        "comparison": comparison.as_dict(),
    }
    return text, content
