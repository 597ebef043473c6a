"""Figures of lessons: the numbers in them are the numbers that were given, and what cannot be drawn is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color

from minprune import plots
from minprune.errors import DataError, PlanError, ShapeError
from minprune.figures.drawing import BLUE, VERMILION, new_figure


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_every_term_of_a_sum_begins_where_the_one_before_it_ended() -> None:
    axes = plots.running_sum({"a": 0.5, "b": -0.2, "c": 0.4}).axes[0]
    *terms, total = axes.patches
    assert [bar.get_y() for bar in terms] == pytest.approx([0, 0.5, 0.3])
    assert [bar.get_height() for bar in terms] == pytest.approx([0.5, -0.2, 0.4])
    assert total.get_height() == pytest.approx(0.7)
    assert texts(axes) == ["+0.5", "-0.2", "+0.4", "0.7"]
    assert [same_color(bar.get_facecolor(), VERMILION) for bar in terms] == [False, True, False]


def test_the_point_of_a_curve_and_its_marks_lie_on_it() -> None:
    axes = plots.with_tangents(np.square, (-1, 2), 1.0, {"t": lambda x: 2 * x - 1}, {"gone": 0.5}).axes[0]
    points = {line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines[2:]}
    assert points == {"o": (1.0, 1.0), "s": (0.5, 0.25)}
    assert texts(axes) == ["here", "gone"]


def test_values_stand_in_the_circles_and_neurons_that_are_gone_have_no_lines() -> None:
    layers = {"x": [1.0, 2.0], "h": [0.25, 0.5, 3.5], "o": [0.125]}
    weights = [np.ones((3, 2)), np.array([[-1.0, 0.5, 2.0]])]
    axes = plots.network_values(layers, weights, {"h": [1]}).axes[0]
    assert [word for word in texts(axes) if word[0].isdigit() or word == "gone"] == [
        *("1", "2", "0.250", "gone", "3.5", "0.125")
    ]
    assert len(axes.lines) == 2 * 2 + 2
    assert [same_color(line.get_color(), BLUE) for line in axes.lines] == [True] * 4 + [False, True]


def test_only_outlined_entries_of_an_array_are_outlined() -> None:
    axes = plots.array_map({"b": [0.5, -1.0, 2.0]}, {"b": [False, True, False]}).axes[0]
    assert texts(axes) == ["0.5", "-1", "2"]
    assert [round(patch.get_y() + 0.46) for patch in axes.patches] == [1]


@pytest.mark.parametrize(
    ("draw", "error", "says"),
    [
        (lambda: plots.running_sum({}), DataError, "terms: expected at least one number"),
        (lambda: plots.running_sum({"a": np.nan}), DataError, "terms: expected finite numbers, got nan"),
        (lambda: plots.with_tangents(np.square, (1, 1), 1, {}), DataError, "between: expected a lower and a higher"),
        (lambda: plots.with_tangents(lambda x: x / 0.0, (1, 2), 1, {}), DataError, "curve: expected finite"),
        (lambda: plots.step_sizes([0.0], {"a": [1.0]}), DataError, "steps: expected numbers above 0, got 0"),
        (lambda: plots.step_sizes([0.1], {"a": [1.0, 2.0]}), ShapeError, "a: expected 1 errors, one for each step"),
        (lambda: plots.network_values({"x": [1]}, []), DataError, r"at least two, of at most 12 .* got sizes \[1\]"),
        (lambda: plots.network_values({"x": [1], "y": np.ones(13)}, []), DataError, r"got sizes \[1, 13\]"),
        (lambda: plots.network_values({"x": [1], "y": [1]}, [[[1, 2]]]), ShapeError, r"shapes \[\(1, 1\)\], got"),
        (lambda: plots.network_values({"x": [1], "y": [1]}, [[[1]]], {"y": [1]}), PlanError, "neuron 1 is not there"),
        (lambda: plots.array_map({"W": np.zeros((2, 2, 2))}), ShapeError, "W: expected a table or a vector"),
        (lambda: plots.array_map({"W": np.zeros((21, 10))}), DataError, "expected 1 to 200 numbers in all, got 210"),
        (lambda: plots.array_map({"W": np.eye(2)}, {"W": [True]}), ShapeError, r"W has shape \(2, 2\), its mask"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_cannot_be_drawn_is_refused(draw: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        draw()


def test_outside_a_notebook_a_figure_becomes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plots.show(new_figure(2, 1), "empty")
    assert capsys.readouterr().out == "figure: minprune-tutorials/empty.png\n"
    assert (tmp_path / "minprune-tutorials" / "empty.png").read_bytes().startswith(b"\x89PNG")


def test_in_a_notebook_a_figure_is_shown_and_no_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown: list[dict[str, Any]] = []
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    display = SimpleNamespace(display=lambda data, raw: shown.append(data))
    monkeypatch.setitem(sys.modules, "IPython.display", display)  # type: ignore[arg-type]
    plots.show(new_figure(2, 1), "empty")
    assert shown[0]["text/plain"] == "figure: empty"
    assert shown[0]["image/png"].startswith(b"\x89PNG")
    assert not list(tmp_path.iterdir())
