"""The page of `minprune prune --report`: what was removed, what it is worth, the proof, and how to do it again."""

from __future__ import annotations

import os
import platform
import shlex
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..files import atomic_write
from ..nn import Graph
from ..provenance import digest
from ..pruning.plan import Plan
from ..pruning.results import PruneResult
from ..reports import duration
from ..scores import CRITERIA
from ..unicode_math import to_unicode
from .drawing import Bar, bars, curve, histogram
from .style import STYLE

MOST_SCORES = 400  # neurons of a layer whose scores are listed; a figure shows all
KEY = '<p class="key soft"><i class="k"></i>stays<i class="g"></i>goes</p>'


def write_report(
    path: str | os.PathLike[str], net: Graph, result: PruneResult, content: Mapping[str, Any], args: Namespace
) -> None:
    """Write the page.

    Parameters
    ----------
    path : str or path
        An .html file.
    net : Graph
        The original.
    result : PruneResult
    content : mapping
        What the command prints as JSON.
    args : Namespace
        The words of the command.
    """
    title = f"{Path(args.model).name}, pruned"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(content["data"])}</p>',
        _cards(content["comparison"], content["quality"]),
        "<h2>Before and after</h2>",
        _sizes(content["comparison"]),
        _comparison(content["comparison"], content["quality"]),
        "<h2>What was removed</h2>",
        _layers(result),
        _rounds(result, content["quality"]),
        "<h2>Scores</h2>",
        _scores(result),
        "<h2>Proof</h2>",
        _proof(result, content),
        "<h2>Do it again</h2>",
        _again(net, result, args),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    with atomic_write(path) as file:
        file.write(page.encode("utf-8", "replace"))


def _cards(found: Mapping[str, Any], quality: str) -> str:
    before, after = found["before"], found["after"]
    key = "accuracy" if before["accuracy"] is not None else "r2"
    cards = []
    if before[key] is not None:
        cards.append((quality, f"{after[key]:.4f}", f"was {before[key]:.4f}"))
    if quality == "accuracy":
        cards.append(("same answer", f"{found['agreement']['same_class']:.2%}", "as the original"))
    for label, size in (("parameters", "params"), ("MACs", "macs")):
        cards.append((label, f"{after[size] / max(1, before[size]):.1%}", f"{before[size]:,} → {after[size]:,}"))
    ratio = found["speed_up"]["1"]
    cards.append(("speed", f"{ratio['median']:.3g}×", f"here, one sample ({ratio['low']:.3g}–{ratio['high']:.3g})"))
    inner = "".join(
        f'<div class="card"><span>{escape(label)}</span><b>{escape(value)}</b><span>{escape(note)}</span></div>'
        for label, value, note in cards
    )
    return f'<div class="cards">{inner}</div>'


def _sizes(found: Mapping[str, Any]) -> str:
    before, after, files = found["before"], found["after"], found["bytes_file"]
    sizes = [("parameters", before["params"], after["params"]), ("MACs", before["macs"], after["macs"])]
    sizes.append(("bytes in memory", before["bytes_memory"], after["bytes_memory"]))
    if len(files) == 2:
        sizes.append(("bytes of the file", files["original"], files["pruned"]))
    rows = [Bar(name, new / max(1, old), f"{old:,} → {new:,}") for name, old, new in sizes]
    for batch, ratio in found["speed_up"].items():
        times = " → ".join(duration(run["runtime"][batch]["median"]) for run in (before, after))
        rows.append(Bar(f"time, batch of {batch}", 1 / ratio["median"], times))
    runtime = found["onnxruntime"]
    if "speed_up" in runtime:
        times = " → ".join(duration(runtime["seconds"][name]) for name in ("original", "pruned"))
        rows.append(Bar("onnxruntime, one sample", 1 / runtime["speed_up"]["1"]["median"], times))
    return bars(rows, "what is left of sizes and times: " + "; ".join(f"{row.name} {row.part:.0%}" for row in rows))


def _comparison(found: Mapping[str, Any], quality: str) -> str:
    before, after = found["before"], found["after"]
    names = {"accuracy": quality, "r2": quality, "rmse": "RMSE", "loss": f"loss ({before['loss_name']})"}
    rows = [
        (label, f"{before[key]:.4f}", f"{after[key]:.4f}", f"{after[key] - before[key]:+.4f}")
        for key, label in names.items()
        if before[key] is not None and after[key] is not None
    ]
    note = f"On {after['samples']:,} samples that nothing was chosen by, where the data could be parted."
    distance = f"The outputs moved by {found['agreement']['distance']:.3g} of their length."
    missing = found["onnxruntime"].get("missing")
    missing = f" Not timed in onnxruntime: {missing}." if missing else ""
    told = escape(f"{note} {distance}{missing}")
    return f'{_table(("", "original", "pruned", "change"), rows)}<p class="soft">{told}</p>'


def _layers(result: PruneResult) -> str:
    rows = [
        Bar(group, len(left) / result.dense[group], f"{result.dense[group]:,} → {len(left):,}")
        for group, left in result.kept.items()
    ]
    told = ", ".join(f"{row.name} {row.text}" for row in rows)
    return f"{bars(rows, f'neurons by layer: {told}')}{_plan(result.plan)}"


def _plan(plan: Plan) -> str:
    lines = "\n".join(f"{group}: {', '.join(map(str, gone))}" for group, gone in plan.drop.items()) or "nothing"
    title = f"The plan: every neuron that went ({len(plan):,})"
    return f"<details><summary>{title}</summary><pre>{escape(lines)}</pre></details>"


def _rounds(result: PruneResult, quality: str) -> str:
    key = "accuracy" if result.before.accuracy is not None else "rmse"
    quality = quality if key == "accuracy" else "RMSE"
    stages = [("before", "", result.before)]
    for number, entry in enumerate(result.history, 1):
        which = f" {number}" if len(result.history) > 1 else ""
        stages.append((f"cut{which}", f"{len(entry.plan):,}", entry.removed))
        if entry.tuned is not None:
            stages.append((f"tuned{which}", "", entry.tuned))
    values = [getattr(found, key) for _, _, found in stages]
    title = f"{quality} on the {result.evaluated_on} part"
    figure = curve(values, [name for name, _, _ in stages], f"{title}: {', '.join(f'{v:.4g}' for v in values)}")
    rows = [
        (name, gone, f"{value:.4f}", f"{found.loss:.4g}", f"{found.params:,}", f"{found.macs:,}")
        for value, (name, gone, found) in zip(values, stages, strict=True)
    ]
    head = ("", "neurons removed", quality, "loss", "parameters", "MACs")
    return f"<h3>{escape(title)}</h3>{figure}{_table(head, rows)}"


def _scores(result: PruneResult) -> str:
    first = result.history[0]
    rule = CRITERIA.get(first.scores.criterion)
    parts = (
        [f"<p>{escape(rule.name)}: <code>{escape(to_unicode(rule.formula))}</code> ({escape(rule.source)})</p>"]
        if rule
        else []
    )
    parts.append(f"<p>{escape(str(result.strategy))}; scores of the first round</p>{KEY}")
    for group, values in first.scores.items():
        gone = np.isin(np.arange(len(values)), first.plan.drop.get(group, []))
        told = f"{group}: {int(gone.sum())} of {len(values)} go in the first round"
        parts.append(f"<h3>{escape(told)}</h3>{histogram(values, gone, f'scores of {told}')}{_listed(values, gone)}")
    return "".join(parts)


def _listed(values: Any, gone: Any) -> str:
    order = np.argsort(values, kind="stable")[:MOST_SCORES]
    rows = [(int(j), f"{values[j]:.6g}", "goes" if gone[j] else "stays") for j in order]
    more = f" (the lowest {MOST_SCORES})" if len(values) > MOST_SCORES else ""
    return f"<details><summary>All scores{more}</summary>{_table(('neuron', 'score', ''), rows)}</details>"


def _proof(result: PruneResult, content: Mapping[str, Any]) -> str:
    lines = []
    for record in result.net.history:
        lines.append(f"{record} — {record.certificate}" if record.certificate is not None else str(record))
    read = content["read_again"]
    same = "bit for bit the same" if read["exact"] else f"off by at most {read['largest_difference']:.2g}"
    lines.append(f"written and read again: {same}, on {read['samples']} samples")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<p>Every step that was taken, with its certificate:</p><ol>{items}</ol>"


def _again(net: Graph, result: PruneResult, args: Namespace) -> str:
    command = shlex.join(["minprune", *getattr(args, "words", ["prune", args.model])])
    check = shlex.join(["minprune", "verify", args.output, "--original", args.model])
    rows = [
        ("minprune", __version__),
        ("Python, NumPy", f"{platform.python_version()}, {np.__version__}"),
        ("machine", f"{platform.machine()}, {platform.system()}"),
        ("digest of the original", digest(net)),
        ("digest of the result", digest(result.net)),
    ]
    note = "Same version, seed, data and number of BLAS threads: same bytes. Measured time is not repeatable."
    verify = f"<p>Do every removal again and compare:</p><pre>{escape(check)}</pre>"
    return f'<pre>{escape(command)}</pre>{verify}{_table(("", ""), rows)}<p class="soft">{note}</p>'


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    header = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    kind = "wide" if header else "wide facts"
    return f'<div class="{kind}"><table>{header}<tbody>{body}</tbody></table></div>'
