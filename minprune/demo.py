"""The demo: the whole cycle on handwritten digits, as a table, figures and a saved network in one folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from . import plots, studies
from .comparison import Comparison, compare
from .explorer.examples import digits_pages
from .files import atomic_write
from .formats import save
from .reports import table

SHOWN, REPAIR = "taylor", "least squares"  # the rule and repair whose network is saved and drawn
LABELS = {
    "inverse_sensitivity": "the document's 1/|s|",
    "random": "random",
    "taylor": "Taylor |o s|",
    "leave_one_out": "leave one out (true for one)",
}


def run(folder: Path, seeds: int = 5, progress: bool = True) -> tuple[str, dict[str, Any]]:
    """Run the study on digits and put everything into a folder.

    Parameters
    ----------
    folder : path
        Gets ``dense.npz``, ``pruned.npz``, ``plan.json``, ``report.txt``, ``report.json`` the figures, and two
        pages to explore: ``explore-mlp.html`` and ``explore-cnn.html``.
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
    small = pruned.outcomes[REPAIR].net
    comparison = compare({"dense": dense, "pruned": small}, study.data, progress=progress)
    save(dense, folder / "dense.npz")
    save(small, folder / "pruned.npz")
    pruned.plan.save(folder / "plan.json")
    _draw(study, comparison, folder)
    digits_pages(folder)
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
    for repair in ("none", REPAIR):
        curves = {LABELS[rule]: curve for rule, curve in study.curves(repair).items()}
        figure = plots.accuracy_against_removed(curves, ylabel=f"validation accuracy, repair: {repair}, not tuned")
        plots.save(figure, folder / f"accuracy-{repair.replace(' ', '-')}.png")
    W, dropped = study.dense[0].params["dense1.W"], shown.plan.drop["dense1"]
    small = shown.outcomes[REPAIR].net
    figure = plots.weight_images(W, small.params["dense1.W"], dropped, shown.scores["dense1"], shape=(8, 8))
    plots.save(figure, folder / "weights.png")
    plots.save(plots.speed_size(_gains(study, comparison), title=_title(len(study.dense))), folder / "gains.png")


def _title(seeds: int) -> str:
    return (
        f"half of the hidden neurons removed by {LABELS[SHOWN]}, {REPAIR}, fine-tuned; digits\n"
        f"(accuracy: mean of {seeds} seed(s); all else: the first)"
    )


def _gains(study: studies.DigitsStudy, comparison: Comparison) -> dict[str, tuple[float, float]]:
    """What the picture of gains shows: dense and pruned, side by side."""
    dense, pruned = (comparison.evaluations[name] for name in ("dense", "pruned"))
    return {
        "test accuracy": (float(np.mean(study.accuracy)), float(np.mean(study.tuned(SHOWN, REPAIR)))),
        "time per batch of 256 (µs)": (1e6 * dense.runtime[256].median, 1e6 * pruned.runtime[256].median),
        "time per sample alone (µs)": (1e6 * dense.runtime[1].median, 1e6 * pruned.runtime[1].median),
        "multiply-accumulates": (dense.macs, pruned.macs),
        "parameters": (dense.params, pruned.params),
        "bytes on disk": (dense.bytes_disk, pruned.bytes_disk),
    }


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def _report(study: studies.DigitsStudy, comparison: Comparison, folder: Path) -> tuple[str, dict[str, Any]]:
    rows = []
    for rule in study.pruned:
        for repair in studies.REPAIRS:
            before, after = study.repaired(rule, repair), study.tuned(rule, repair)
            lost = float(np.mean(study.accuracy) - np.mean(after))
            rows.append((LABELS[rule], repair, _spread(before), _spread(after), f"{lost:+.3f}"))
    head = ("half removed by", "repair", "test accuracy", "and fine-tuned", "lost")
    text = "\n\n".join(
        (
            f"UCI digits, 64-512-256-10, {len(study.dense)} seed(s), mean (range). Dense: {_spread(study.accuracy)}",
            table(head, rows, left=2),
            f"One ranking over both hidden layers, one shot; then {studies.TUNING_EPOCHS} epochs of fine-tuning.",
            f"Seed 0, dense against pruned by {LABELS[SHOWN]} with {REPAIR}, on the test part, timed in turns:",
            str(comparison),
            f"{study.pruned[SHOWN][0].outcomes[REPAIR].net.certificate} (taken before the repair)",
            f"Figures and networks are in {folder}; look at gains.png first, then scores-dense1.png.",
            "To see two small networks at work, and switch neurons off, open explore-mlp.html and explore-cnn.html.",
        )
    )
    content = {
        "dense": study.accuracy,
        "pruned": {
            rule: {
                repair: {"repaired": study.repaired(rule, repair), "fine-tuned": study.tuned(rule, repair)}
                for repair in studies.REPAIRS
            }
            for rule in study.pruned
        },
        "comparison": comparison.as_dict(),
    }
    return text, content
