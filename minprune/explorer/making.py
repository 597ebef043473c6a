"""The page: a template, a style sheet, scripts, a drawing, the steps and the data, put together as one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from os import PathLike
from typing import Any

from ..errors import DataError
from ..files import atomic_write
from ..nn import Graph
from ..pruning.deciding import Strategy
from ..pruning.plan import Plan
from ..tracing import Focus, Trace, trace
from .content import content, to_script
from .drawing import LOSSES, picture
from .steps import steps_html
from .words import WORDS, both

SCRIPTS = ("ops.js", "replay.js", "drawing.js", "whatif.js", "page.js")
LARGEST = 1_000_000  # bytes of a page: what a browser opens at once, and a mail carries
RULES = ("inverse_sensitivity_signed", "inverse_sensitivity", "taylor", "taylor_signed", "leave_one_out")


def explore(
    net: Graph,
    path: str | PathLike[str],
    x: Any,
    y: Any,
    loss: str | None = None,
    plan: Plan | Strategy | None = None,
    criteria: Sequence[str] = RULES,
    focus: Focus | None = None,
    *,
    title: str = "A network, number by number",
    rng: int = 0,
    progress: bool = True,
) -> Trace:
    r"""Write a network's trace as one web page that computes: step through it, switch neurons off.

    $L_{\setminus S} - L$ for every set S that a reader chooses, by replaying the trace's op program in the page.

    Parameters
    ----------
    net : Graph
        Is not changed.
    path : path
        The page, such as ``page.html``: one file that needs no network and opens with a double click.
    x, y : arrays
        The samples (N, …) and their targets; the losses in the page are means over them.
    loss, plan, criteria, focus, rng, progress
        As for `minprune.trace`. A network of more than a few dozen numbers is read through a focus.
    title : str
        What stands above the page.

    Returns
    -------
    Trace
        What the page shows.

    Raises
    ------
    DataError
        When the page would be larger than 1 MB, or `minprune.trace` refuses.

    Notes
    -----
    Source: spec D, E8 (document 4.3, 5.3.8).

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> page = Path(mkdtemp()) / "page.html"
    >>> explore(network(), page, X, TARGET, LOSS)
    <Trace: 90 steps; forward 16, backward 49, scores 25>
    >>> page.read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    found = trace(net, x, y, loss, plan, criteria, focus, rng=rng, progress=progress)
    written = page_of(found, title).encode()
    if len(written) > LARGEST:
        raise DataError(
            f"{path}: the page would have {len(written):,} bytes, expected at most {LARGEST:,}; give fewer samples, or "
            "name a layer, neuron and sample: focus=Focus(layer='dense1', neuron=0, sample=0)"
        )
    with atomic_write(path) as file:
        file.write(written)
    return found


def page_of(found: Trace, title: str) -> str:
    """A trace as a page."""
    data = found.as_dict()
    network = data["network"]
    weights = {
        node["name"]: found.net.params[f"{node['name']}.W"].tolist()
        for node in network["nodes"]
        if node["kind"] == "dense"
    }
    labels = {node["name"]: _label(node["shape"]) for node in network["nodes"]}
    labels |= {name: _label(shape) for name, shape in network["inputs"].items()}
    parts = {
        "title": escape(title),
        "about": _about(data),
        "total": str(len(data["steps"])),
        "style": _asset("page.css") + _tags(),
        "picture": picture(network, weights, labels, _drawn(found)),
        "steps": steps_html(data),
        "data": to_script(content(data)),
        "script": "\n".join(_asset(name) for name in SCRIPTS),
    }
    return _filled(_asset("page.html"), parts)


def _drawn(found: Trace) -> dict[str, list[float]]:
    """Every value of the sample that is drawn, and its loss."""
    n = found.focus.sample or 0
    values = {name: tensor.value[n].ravel().tolist() for name, tensor in found.walk.values.items()}
    return values | {LOSSES: [float(found.walk.losses.value[n])]}


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with its gaps filled: ``{{word}}`` is a word in both languages, ``{{=part}}`` a part."""
    pieces = template.split("{{")
    found = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        found += [parts[name[1:]] if name.startswith("=") else both(name), rest]
    return "".join(found)


def _tags() -> str:
    """What stands above the lines of a step, as style: once for the page and not once for every step."""
    rules = []
    for name in ("letters", "numbers", "result", "source"):
        english, chinese = WORDS[name]
        rules.append(f'.{name}::before {{ content: "{english}"; }}')
        rules.append(f'body:has(#lang-zh:checked) .{name}::before {{ content: "{chinese}"; }}')
    return "\n".join(rules)


def _about(data: Mapping[str, Any]) -> str:
    """Which network, samples and focus the page is about."""
    network, focus = data["network"], data["focus"]
    sizes = " → ".join(
        [_label(shape) for shape in network["inputs"].values()]
        + [f"{node['kind']} {_label(node['shape'])}" for node in network["nodes"]]
    )
    where = focus["layer"] or ""
    if focus["neuron"] is not None:
        where += f"[{focus['neuron']}]"
    shown = both("focus", where) if where else ""
    samples = both("samples", network["samples"], focus["sample"] or 0) if network["samples"] > 1 else ""
    facts = [f"<code>{escape(sizes)}</code>", f"<code>{escape(network['loss'])}</code>", samples, shown]
    return "".join(f"<li>{fact}</li>" for fact in facts if fact)


def _label(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "1"


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
