"""Figures: the right marks on the right neurons, files that are whole and the same every time."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_hex, to_rgba
from matplotlib.figure import Figure

import minprune as mp
from minprune import plots, worked
from minprune.errors import DataError, FileError, PlanError, ShapeError
from minprune.explaining.explanation import Explanation, explain
from minprune.figures.drawing import BLUE, ORANGE, VERMILION
from minprune.scores import Criterion
from minprune.truth import Agreement, agreement

ENDS = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>\n"}


def heights(axes: Axes) -> list[float]:
    """The bars of a panel from left to right."""
    return [bar.get_height() for bar in sorted(axes.patches, key=lambda bar: bar.get_x())]


def pruned(axes: Axes) -> list[int]:
    """The places of the bars in the colour of the pruned."""
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    return [place for place, bar in enumerate(bars) if same_color(bar.get_facecolor(), ORANGE)]


@cache
def agreed_once() -> Agreement:
    return agreed(["taylor"], finetune=mp.FineTune(1))


@cache
def explained_once() -> Explanation:
    return explain(worked.network(), "dense1", 0, (worked.X, worked.TARGET), loss=worked.LOSS, progress=False)


def drawn(kind: str) -> Figure:
    """A small figure of that kind."""
    W = np.random.default_rng(0).normal(size=(5, 6))
    if kind == "score_bars":
        return plots.score_bars([3, 1, 2, np.inf, 5], [1, 2], truth=[0.1, -0.1, 0, 0.3, 0.2], title="scores")
    if kind == "agreement_figure":
        return plots.agreement_figure(agreed_once())
    if kind == "accuracy_against_removed":
        return plots.accuracy_against_removed({"a": ([0, 0.5], [[0.9, 0.8]]), "b": ([0, 0.5], [[0.9, 0.4]])})
    if kind == "weight_images":
        return plots.weight_images(W, W[[0, 3, 4]], [1, 2], [3, 1, 2, 4, 5], shape=(2, 3))
    if kind == "predictions":
        return plots.predictions([[0, 1], [1, 0]], [[0.2, 0.7], [0.8, 0.1]], [[0.1, 0.8], [0.7, 0.3]])
    if kind == "sensitivity_scan":
        return plots.sensitivity_scan({"dense1": ([0, 0.5], [0.9, 0.8]), "conv1": ([0, 0.5], [0.9, 0.4])})
    if kind == "pareto":
        return plots.pareto([0.9, 0.8, 0.7], [3e-5, 2e-5, 4e-5], [3000, 1000, 2000], 1, {"quality": 0.75}, title="a")
    if kind == "network_drawing":
        return plots.network_drawing(worked.network(), mp.Plan({"dense1": [0, 2]}), title="a")
    if kind == "time_bars":
        return plots.time_bars({"naive": 2.0, "clever": 0.01}, "ns", title="a")
    if kind == "rank_ranks":
        return plots.rank_ranks({"a": [1, 2, 3], "b": [3, np.inf, 1]}, [0.1, 0.2, 0.3], removed=1, title="a")
    if kind == "running_sum":
        return plots.running_sum({"a": 0.3, "b": -0.5}, title="a")
    if kind == "with_tangents":
        return plots.with_tangents(np.square, (-1, 2), 1.0, {"tangent": lambda x: 2 * x - 1}, {"gone": 0.0}, title="a")
    if kind == "step_sizes":
        return plots.step_sizes([1e-1, 1e-2], {"a": [1e-3, 0.0], "b": [1e-2, 1e-4]}, title="a")
    if kind == "network_values":
        return plots.network_values({"x": [1, 2], "h": [0.5, -1]}, [[[0.3, -0.1], [0, 1]]], {"h": [1]}, title="a")
    if kind == "array_map":
        return plots.array_map({"W": W, "b": W[:, 0]}, {"W": W > 0}, title="a")
    if kind == "explain_figure":
        return plots.explain_figure(explained_once())
    assert kind == "speed_size", f"{kind}: draw one here, so that it is tested"
    return plots.speed_size({"parameters": (2000, 500)}, title="gains")


def agreed(criteria: list[str | Criterion] | None = None, **settings: Any) -> Agreement:
    """An agreement on the document's example."""
    options: dict[str, Any] = {"fractions": [0.2, 0.6], "loss": worked.LOSS, "bootstrap": 5, "progress": False}
    return agreement(worked.network(), (worked.X, worked.TARGET), criteria, **options | settings)


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_title_that_is_too_long_for_a_line_takes_more_and_stays_inside_the_figure() -> None:
    title = "inverse_sensitivity_mean, and what each removal really costs in a network of few neurons"
    figure = plots.score_bars([3, 1, 2], [1], title=title)
    figure.draw_without_rendering()
    (drawn,) = figure.texts
    box, panel = drawn.get_window_extent(), figure.axes[0].get_legend().get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert panel.y1 <= box.y0
    assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("kind", sorted(set(plots.__all__) - {"save", "show"}))
def test_every_figure_is_written_whole_and_with_the_same_bytes_twice(kind: str, suffix: str, tmp_path: Path) -> None:
    figure, again = drawn(kind), drawn(kind)
    first, second, third = (tmp_path / f"{i}{suffix}" for i in range(3))
    plots.save(figure, first)
    plots.save(figure, second)
    plots.save(again, third)
    assert first.read_bytes().endswith(ENDS[suffix])
    assert first.read_bytes() == second.read_bytes(), "the same figure, saved again"
    assert first.read_bytes() == third.read_bytes(), "the same figure, drawn again"


def test_a_png_has_150_dots_per_inch(tmp_path: Path) -> None:
    figure = drawn("speed_size")
    plots.save(figure, tmp_path / "a.png")
    width, height = np.frombuffer((tmp_path / "a.png").read_bytes()[16:24], dtype=">u4")
    assert (width, height) == tuple(int(150 * inches) for inches in figure.get_size_inches())


def test_suffixes_may_be_upper_case(tmp_path: Path) -> None:
    plots.save(drawn("speed_size"), tmp_path / "A.SVG")
    assert (tmp_path / "A.SVG").read_bytes().endswith(ENDS[".svg"])


@pytest.mark.parametrize("name", ["a.pdf", "a"])
def test_an_unknown_suffix_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"figures are written as \.png or \.svg, got suffix '(\.pdf)?'"):
        plots.save(drawn("speed_size"), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_saving_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    class Broken(Figure):
        def savefig(self, fname, **_):  # type: ignore[no-untyped-def]
            fname.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        plots.save(Broken(), target)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"old")]


def test_figures_leave_pyplot_and_settings_alone(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib\n"
        "names = set(matplotlib.rcParams) - {'backend'}  # reading it is what would choose one\n"
        "before = [matplotlib.rcParams[name] for name in names]\n"
        "from minprune import plots\n"
        "plots.save(plots.speed_size({'a': (1, 1)}), sys.argv[1])\n"
        "print('matplotlib.pyplot' in sys.modules, before == [matplotlib.rcParams[name] for name in names])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.svg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# Scores ---------------------------------------------------------------------------------------------------------------


def test_few_neurons_stand_in_their_own_order_with_their_names_and_the_pruned_are_marked() -> None:
    figure = plots.score_bars([3.0, 1.0, 2.0, 4.0, 5.0], [1, 2], xlabel="hidden neuron")
    (axes,) = figure.axes
    assert heights(axes) == [3.0, 1.0, 2.0, 4.0, 5.0]
    assert pruned(axes) == [1, 2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["h1", "h2", "h3", "h4", "h5"]
    assert axes.get_xlabel() == "hidden neuron"
    assert axes.get_ylabel() == "importance score"
    assert {bar.get_hatch() for bar in axes.patches if same_color(bar.get_facecolor(), ORANGE)} == {"////"}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["kept (3)", "pruned (2)"]


def test_bars_that_are_no_scores_say_what_they_are() -> None:
    (axes,) = plots.score_bars([0.1, -0.2], [1], ylabel="loss change when removed").axes
    assert axes.get_ylabel() == "loss change when removed"


def test_the_true_cost_stands_under_each_bar() -> None:
    figure = plots.score_bars([3.0, 1.0], [0], truth=[0.5, -0.25], title="as meant")
    above, below = figure.axes
    assert heights(below) == [0.5, -0.25]
    assert pruned(below) == [0]
    assert above.get_shared_x_axes().joined(above, below)
    assert figure.get_suptitle() == "as meant"


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(40)), st.sets(st.integers(0, 39)))
def test_many_neurons_are_sorted_by_score_and_keep_their_marks_and_costs(ranks: list[int], drop: set[int]) -> None:
    truth = [-float(rank) for rank in ranks]
    above, below = plots.score_bars(ranks, sorted(drop), truth=truth).axes
    assert heights(above) == list(range(39, -1, -1))
    assert heights(below) == [-float(rank) for rank in range(39, -1, -1)]
    assert pruned(above) == pruned(below) == sorted(39 - ranks[j] for j in drop)
    assert list(below.get_xticks()) == []
    assert below.get_xlabel() == "40 neurons, sorted by score"


def test_an_infinite_score_reaches_above_all_others_and_is_noted() -> None:
    (axes,) = plots.score_bars([3.0, np.inf, 2.0, np.inf], [0]).axes
    assert heights(axes)[1] == heights(axes)[3] > 3.0
    assert [note.get_text() for note in axes.texts] == ["∞", "∞"]
    marks = next(line for line in axes.lines if line.get_marker() == "^")
    assert list(marks.get_xdata()) == [1, 3]
    assert axes.get_ylim()[1] > heights(axes)[1]


def test_many_infinite_scores_share_one_note() -> None:
    (axes,) = plots.score_bars([np.inf] * 10 + [1.0] * 40, []).axes
    assert [note.get_text() for note in axes.texts] == ["∞ × 10"]


def test_scores_that_are_all_infinite_or_all_zero_can_be_drawn(tmp_path: Path) -> None:
    for i, scores in enumerate(([np.inf, np.inf], [0.0, 0.0])):
        plots.save(plots.score_bars(scores, []), tmp_path / f"{i}.png")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("scores", "drop", "truth", "error", "message"),
    [
        ([], [], None, DataError, "scores: expected at least one number, got none"),
        ([[1.0]], [], None, ShapeError, r"scores: expected shape \(n,\), got \(1, 1\)"),
        ([1.0, np.nan], [], None, DataError, r"scores: expected finite numbers or \+inf, got nan"),
        ([1.0, -np.inf], [], None, DataError, r"scores: expected finite numbers or \+inf, got -inf"),
        ([1.0, 2.0], [2], None, PlanError, "drop: neuron 2 is not there; expected indices from 0 to 1"),
        ([1.0, 2.0], [-1], None, PlanError, "drop: neuron -1 is not there"),
        ([1.0, 2.0], [], [1.0], ShapeError, r"truth: expected shape \(2,\) like the scores, got \(1,\)"),
        ([1.0, 2.0], [], [1.0, np.inf], DataError, "truth: expected finite numbers, got inf"),
    ],
)
def test_scores_that_make_no_figure_are_refused(scores, drop, truth, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message) as caught:
        plots.score_bars(scores, drop, truth=truth)
    assert "\n" not in str(caught.value)


# Accuracy -------------------------------------------------------------------------------------------------------------


def test_each_curve_is_the_mean_over_seeds_in_the_band_of_its_range() -> None:
    fractions, accuracies = [0.0, 0.5, 0.9], np.array([[0.9, 0.8, 0.1], [1.0, 0.6, 0.1]])
    (axes,) = plots.accuracy_against_removed({"taylor": (fractions, accuracies), "one": ([0, 1], [[1, 0]])}).axes
    assert len(axes.lines) == len(axes.collections) == 2
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.95, 0.7, 0.1])
    band = axes.collections[0].get_paths()[0].vertices
    assert {(0.5, 0.6), (0.5, 0.8), (0.0, 0.9), (0.0, 1.0)} <= {(x, y) for x, y in band.tolist()}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["taylor", "one"]
    assert axes.get_legend().get_title().get_text() == "mean and range over 1–2 seeds"


def test_every_percentage_beside_an_axis_is_the_number_that_stands_there() -> None:
    (axes,) = plots.accuracy_against_removed({"taylor": ([0, 0.1], [[0.985, 0.872]])}).axes
    axes.set_yticks([0.875, 0.9, 0.925, 0.95, 0.975, 1.0])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["87.5%", "90%", "92.5%", "95%", "97.5%", "100%"]
    (axes,) = plots.sensitivity_scan({"dense1": ([0, 0.5], [0.9, 0.8])}).axes
    axes.set_yticks([-0.0, 0.3, 0.8125])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0%", "30%", "81.25%"]


def test_one_seed_is_not_called_a_mean() -> None:
    (axes,) = plots.accuracy_against_removed({"taylor": ([0], [[1.0]])}).axes
    assert axes.get_legend().get_title().get_text() == ""


def test_curves_differ_without_colour() -> None:
    (axes,) = plots.accuracy_against_removed({str(i): ([0, 1], [[1, 0]]) for i in range(20)}).axes
    assert len({(to_rgba(line.get_color()), line.get_marker()) for line in axes.lines}) == 20
    assert len({(line.get_marker(), line.get_linestyle()) for line in axes.lines[:8]}) == 8


@pytest.mark.parametrize(
    ("curves", "error", "message"),
    [
        ({}, DataError, "curves: expected at least one, got none"),
        ({"a": ([], [[]])}, DataError, "a: fractions: expected at least one number, got none"),
        ({"a": ([0, 1], [1, 0])}, ShapeError, r"a: expected accuracies of shape \(seeds, 2\), got \(2,\)"),
        ({"a": ([0, 1], np.empty((0, 2)))}, ShapeError, r"a: expected accuracies of shape \(seeds, 2\), got \(0, 2\)"),
        ({"a": ([0, 1], [[1, np.nan]])}, DataError, "a: expected finite numbers, got nan"),
    ],
)
def test_curves_that_make_no_figure_are_refused(curves, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        plots.accuracy_against_removed(curves)


# Weights --------------------------------------------------------------------------------------------------------------


def test_weight_images_stand_in_order_of_score_and_the_pruned_are_crossed_out() -> None:
    W = np.arange(1.0, 9.0).reshape(4, 2)  # neuron j holds 2j+1, 2j+2
    before, after, _ = plots.weight_images(W, -W[[0, 2]], [1, 3], scores=[1, 4, 3, 2], shape=(1, 2)).axes
    sheet, kept = (np.ma.filled(axes.images[0].get_array(), np.nan) for axes in (before, after))
    empty = [np.nan] * 5
    np.testing.assert_array_equal(sheet, [[3, 4, np.nan, 5, 6], empty, [7, 8, np.nan, 1, 2]])
    np.testing.assert_array_equal(kept, [[np.nan, np.nan, np.nan, -5, -6], empty, [np.nan, np.nan, np.nan, -1, -2]])
    centres = [(np.nanmean(line.get_xdata()), np.nanmean(line.get_ydata())) for line in before.lines]
    np.testing.assert_allclose(centres, [(0.5, 0), (0.5, 2)])  # neurons 1 and 3, in the left column
    assert before.get_title(loc="left") == "before: 4 neurons, 2 of them pruned"
    assert after.get_title(loc="left") == "after: the 2 kept"


def test_both_panels_share_one_scale_around_zero() -> None:
    before, after, _ = plots.weight_images([[1.0], [2.0]], [[-5.0]], [0], scores=[1, 2], shape=(1, 1)).axes
    assert before.images[0].get_clim() == after.images[0].get_clim() == (-5.0, 5.0)
    assert before.images[0].get_cmap().name == after.images[0].get_cmap().name


def test_of_many_neurons_some_of_every_rank_are_shown() -> None:
    W = np.arange(100.0)[:, None]
    before, _, _ = plots.weight_images(W, W[50:], range(50), scores=np.arange(100), shape=(1, 1), limit=4).axes
    sheet = np.ma.compressed(before.images[0].get_array())
    np.testing.assert_array_equal(sheet, [99, 66, 33, 0])
    assert before.get_title(loc="left") == "before: 4 of 100 neurons, 2 of them pruned"


def test_weights_that_are_all_zero_or_all_pruned_can_be_drawn() -> None:
    assert plots.weight_images(np.zeros((2, 1)), np.zeros((2, 1)), [], [1, 2], (1, 1)).axes[0].images[0].get_clim() == (
        -1.0,
        1.0,
    )
    assert plots.weight_images(np.ones((2, 1)), np.ones((0, 1)), [0, 1], [1, 2], (1, 1)).axes[0].lines


@pytest.mark.parametrize(
    ("before", "after", "drop", "scores", "error", "message"),
    [
        (np.ones((2, 4)), np.ones((2, 4)), [], [], DataError, "scores: expected at least one number, got none"),
        (np.ones((2, 3)), np.ones((2, 3)), [], [1, 2], ShapeError, r"W_before: expected shape \(2, 4\) for images of "),
        (np.ones((2, 4)), np.ones((2, 4)), [0], [1, 2], ShapeError, r"W_after: expected shape \(1, 4\).* \(2, 4\)"),
        (np.ones((2, 4)), np.ones((1, 4)), [2], [1, 2], PlanError, "drop: neuron 2 is not there"),
        (np.full((2, 4), np.nan), np.ones((2, 4)), [], [1, 2], DataError, "W_before: expected finite numbers, got nan"),
    ],
)
def test_weights_that_make_no_images_are_refused(before, after, drop, scores, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        plots.weight_images(before, after, drop, scores, shape=(2, 2))


# Predictions ----------------------------------------------------------------------------------------------------------


def test_every_output_has_a_panel_with_target_before_and_after_and_the_diagonal() -> None:
    targets, before, after = np.array([[0, 1], [1, 0.0]]), np.array([[0.2, 0.7], [0.8, 0.1]]), np.full((2, 2), 0.5)
    figure = plots.predictions(targets, before, after)
    assert len(figure.axes) == 2
    for k, axes in enumerate(figure.axes):
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["exact"].get_slope() == 1
        for label, said in (("before pruning", before), ("after pruning", after)):
            np.testing.assert_array_equal(lines[label].get_xdata(), targets[:, k])
            np.testing.assert_array_equal(lines[label].get_ydata(), said[:, k])
        assert axes.get_xlim() == axes.get_ylim()
    assert lines["before pruning"].get_marker() != lines["after pruning"].get_marker()
    (legend,) = plots.predictions(targets, before, after, ("dense", "small")).legends
    assert [text.get_text() for text in legend.get_texts()] == ["exact", "dense", "small"]


def test_one_output_may_be_a_vector_and_many_wrap_into_rows() -> None:
    assert [axes.get_title() for axes in plots.predictions([1.0, 2.0], [1, 2], [2, 1]).axes] == ["output 1"]
    many = plots.predictions(np.ones((3, 7)), np.ones((3, 7)), np.ones((3, 7))).axes
    assert sum(axes.axison for axes in many) == 7
    assert many[0].get_gridspec().get_geometry() == (2, 5)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (([1.0], [1.0], [1.0, 2.0]), ShapeError, r"predictions: .*got \(1,\), \(1,\), \(2,\)"),
        (([[[1.0]]],) * 3, ShapeError, r"expected three arrays \(N, K\), got \(1, 1, 1\)"),
        (([],) * 3, DataError, "predictions: expected at least one sample and output, got none"),
        (([1.0], [np.nan], [1.0]), DataError, "predictions: expected finite numbers, got nan"),
    ],
)
def test_predictions_that_make_no_figure_are_refused(arrays, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        plots.predictions(*arrays)


# Gains ----------------------------------------------------------------------------------------------------------------


def test_every_quantity_is_a_bar_of_pruned_over_dense_beside_both_numbers() -> None:
    (axes,) = plots.speed_size({"accuracy": (0.8, 0.6), "parameters": (2000, 500), "MACs": (10, 20)}).axes
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.75, 0.25, 2.0])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["accuracy", "parameters", "MACs"]
    assert axes.yaxis_inverted()
    written = {text.get_text() for text in axes.texts}
    assert written == {"dense", "0.750", "0.250", "2.000", "0.8 → 0.6", "2,000 → 500", "10 → 20"}
    assert all(same_color(bar.get_facecolor(), BLUE) for bar in axes.patches)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "rows: expected at least one quantity, got none"),
        ({"MACs": (0, 1)}, "MACs: expected finite numbers and dense above 0, got 0 and 1"),
        ({"loss": (1, float("nan"))}, "loss: expected finite numbers and dense above 0, got 1 and nan"),
    ],
)
def test_gains_without_a_ratio_are_refused(rows, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        plots.speed_size(rows)


# What each layer can spare; what accuracy costs -----------------------------------------------------------------------


def test_a_scan_has_a_line_for_each_group_through_its_numbers() -> None:
    (axes,) = plots.sensitivity_scan({"a": ([0, 0.5], [0.9, 0.8]), "b": ([0.25], [0.7])}).axes
    assert {line.get_label(): line.get_xydata().tolist() for line in axes.lines} == {
        "a": [[0, 0.9], [0.5, 0.8]],
        "b": [[0.25, 0.7]],
    }
    assert axes.yaxis.get_major_formatter()(0.5) == "50%"
    (other,) = plots.sensitivity_scan({"a": ([0, 0.5], [2.5, 3])}, ylabel="rmse").axes
    assert "%" not in other.yaxis.get_major_formatter()(2.5)


def test_a_scan_refuses_what_is_no_curve() -> None:
    with pytest.raises(DataError, match="curves: expected at least one, got none"):
        plots.sensitivity_scan({})
    with pytest.raises(ShapeError, match="a: expected as many values as fractions, 2, got 1"):
        plots.sensitivity_scan({"a": ([0, 0.5], [0.9])})
    with pytest.raises(DataError, match="a: expected finite numbers, got nan"):
        plots.sensitivity_scan({"a": ([0], [np.nan])})


def shown(axes: Axes, label: str) -> list[list[float]]:
    (line,) = (line for line in axes.lines if str(line.get_label()).startswith(label))
    return line.get_xydata().tolist()


def test_a_pareto_figure_tells_front_beaten_dense_and_chosen_apart() -> None:
    quality, seconds, sizes = [0.9, 0.8, 0.85, 0.5, 0.1], [4e-6, 2e-6, 3e-6, 5e-6, 6e-6], [4000, 1000, 3000, 500, 9000]
    left, right = plots.pareto(quality, seconds, sizes, chosen=2, limits={"bytes": 3500}).axes
    assert shown(left, "dense") == [[4, 0.9]]
    assert shown(left, "chosen") == [[3, 0.85]]
    assert shown(left, "front of all three") == [[2, 0.8], [3, 0.85], [5, 0.5]]
    assert shown(right, "front of all three") == [[1, 0.8], [3, 0.85], [0.5, 0.5]]
    assert shown(left, "front of these two") == [[2, 0.8], [3, 0.85], [4, 0.9]]
    assert shown(right, "front of these two") == [[0.5, 0.5], [1, 0.8], [3, 0.85], [4, 0.9]]
    assert shown(left, "beaten") == [[6, 0.1]]
    assert [3.5, 3.5] in [list(line.get_xdata()) for line in right.lines]


def test_a_pareto_figure_of_times_close_to_each_other_still_has_numbers_on_its_axis() -> None:
    figure = plots.pareto([0.9, 0.8, 0.7], [140e-6, 62e-6, 70e-6], [3000, 1000, 60000], chosen=1)
    figure.draw_without_rendering()
    numbers = [[text.get_text() for text in axes.get_xticklabels()] for axes in figure.axes]
    assert {"70", "80", "90", "100"} <= set(numbers[0])
    assert "3" not in numbers[1]


def test_a_pareto_figure_counts_what_lies_far_below_and_shows_the_rest_at_its_place() -> None:
    quality, seconds, sizes = (
        [0.98, 0.3, 0.9, 0.2, 0.95],
        [5e-6, 1e-6, 3e-6, 9e-6, 4e-6],
        [5000, 1000, 3000, 9000, 4000],
    )
    left, right = plots.pareto(quality, seconds, sizes, chosen=4).axes
    assert shown(left, "chosen") == [[4, 0.95]]
    assert shown(right, "front of all three") == [[3, 0.9], [4, 0.95]]
    assert shown(left, "beaten") == []
    assert "(2 below)" in [line.get_label() for line in right.lines]
    left, _ = plots.pareto(quality, seconds, sizes, chosen=1).axes
    assert shown(left, "chosen") == [[1, 0.3]], "who was chosen is always drawn"


def test_slow_networks_are_drawn_in_milliseconds() -> None:
    left, _ = plots.pareto([0.9, 0.8], [0.02, 0.01], [2, 1], chosen=1).axes
    assert left.get_xlabel() == "time of a call (ms)"
    assert shown(left, "chosen") == [[10, 0.8]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0.9], [1e-5, 2e-5], [3], 0), ShapeError, "expected three vectors of one length, got 1, 2, 1"),
        (([0.9], [1e-5], [3], 1), DataError, "chosen is 1, expected an index from 0 to 0"),
        (([0.9], [0.0], [3], 0), DataError, "expected times and bytes above 0, got 0"),
        (([np.nan], [1e-5], [3], 0), DataError, "quality: expected finite numbers, got nan"),
        (([], [], [], 0), DataError, "quality: expected at least one number, got none"),
    ],
)
def test_a_pareto_figure_refuses_what_it_cannot_draw(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.pareto(*arguments)


# agreement_figure -----------------------------------------------------------------------------------------------------


def labelled(axes: Axes) -> dict[str, list[float]]:
    """The curves of a panel by their label."""
    return {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in axes.lines}


def test_an_agreement_shows_correlations_before_and_after() -> None:
    found = agreed(["taylor", "apoz"], finetune=mp.FineTune(3, mp.SGD(0.5)), scratch=mp.FineTune(1, mp.SGD(0.5)))
    ranks, removed, tuned = plots.agreement_figure(found).axes
    names = [row.criterion for row in found.rows]
    assert [text.get_text() for text in ranks.get_yticklabels()] == names
    points = [line.get_xdata() for line in ranks.lines if len(np.atleast_1d(line.get_xdata())) == 1]
    np.testing.assert_array_equal(np.ravel(points), [row.spearman for row in found.rows])  # of apoz NaN: it is constant
    for name in names:
        assert labelled(removed)[name] == found.curve(name, "removed", "accuracy")
        assert labelled(tuned)[name] == found.curve(name, "tuned", "accuracy")
    assert labelled(tuned)["from scratch"] == found.curve("from scratch", "tuned", "accuracy")
    assert "from scratch" not in labelled(removed)
    assert labelled(removed)["dense"] == labelled(tuned)["dense"] == [found.dense.accuracy] * 2
    assert removed.get_title(loc="left") == "lowest scores removed together (global), no training"
    assert tuned.get_title(loc="left") == "fine-tuned for 3 epochs, from scratch for 1 epoch"


def test_an_agreement_without_training_or_cuts_has_fewer_panels() -> None:
    assert len(plots.agreement_figure(agreed(["taylor"])).axes) == 2
    assert len(plots.agreement_figure(agreed(["taylor"], fractions=[])).axes) == 1
    assert len(plots.agreement_figure(agreed(["taylor"], scratch=mp.FineTune(1))).axes) == 3


def test_a_few_criteria_are_told_apart_and_the_many_others_named_once() -> None:
    found = agreed()
    figure = plots.agreement_figure(found)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == len(set(names)) == 10
    assert names[-1] == "others"
    assert {"leave_one_out", "random", "taylor", "taylor2", "inverse_sensitivity", "magnitude_l2"} < set(names)
    styles = {(line.get_color(), line.get_marker()) for line in figure.axes[1].lines}
    assert len(styles) == 10  # dense, the truth and seven more that are told apart, and one for all the others
    assert len(figure.axes[1].lines) == 1 + len({row.criterion for row in found.rows})


def test_criteria_that_were_chosen_all_get_a_colour_while_there_are_some() -> None:
    figure = plots.agreement_figure(agreed(["apoz", "activation_rms", "magnitude_l1"]))
    curves = [line for line in figure.axes[1].lines if line.get_label() != "dense"]
    assert len({(line.get_color(), line.get_marker()) for line in curves}) == len(curves) == 5
    assert "others" not in labelled(figure.axes[1])


def test_a_score_without_an_order_has_no_point_and_a_cut_that_cannot_be_is_a_gap() -> None:
    class Same(Criterion):
        name = "same"

        def score(self, context: Any) -> dict[str, Any]:
            return {group.name: np.full(group.size, np.inf) for group in context.groups}

    class First(Criterion):
        name = "first"

        def score(self, context: Any) -> dict[str, Any]:
            return {group.name: np.r_[0.0, 1.0, np.full(group.size - 2, np.inf)] for group in context.groups}

    ranks, removed = plots.agreement_figure(agreed([Same(), First()])).axes
    assert ranks.get_yticklabels()[-1].get_text() == "same"
    assert np.isnan(ranks.lines[-2].get_xdata()).all()
    assert np.isnan(labelled(removed)["first"]).tolist() == [False, True]


def test_steps_of_accuracy_widen_towards_one_and_all_of_it_is_in_sight() -> None:
    panel = plots.agreement_figure(agreed(["taylor"])).axes[1]
    heights = panel.transData.transform([(0.5, accuracy) for accuracy in (0.0, 0.2, 0.4, 0.9, 1.0)])[:, 1]
    low, high = panel.transAxes.transform([(0, 0), (0, 1)])[:, 1]
    assert (np.diff(heights) > 0).all()
    assert low <= heights[0]
    assert heights[-1] <= high
    assert heights[1] - heights[0] < heights[2] - heights[1] < heights[4] - heights[3]
    assert panel.get_ylabel() == "training accuracy\n(steps widen towards 100%)"


def test_a_regression_is_drawn_by_its_rmse() -> None:
    net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 1))
    x = np.random.default_rng(0).standard_normal((9, 2))
    found = agreement(net, (x, x[:, :1]), ["taylor"], fractions=[0.5], bootstrap=2)
    assert plots.agreement_figure(found).axes[1].get_ylabel() == "training RMSE"


def test_an_agreement_is_drawn_by_its_loss_on_request_and_by_nothing_it_does_not_know() -> None:
    found = agreed(["taylor"])
    removed = plots.agreement_figure(found, "loss").axes[1]
    assert removed.get_ylabel() == "training loss"
    assert labelled(removed)["taylor"] == found.curve("taylor", "removed", "loss")
    for measure in ("rmse", "luck"):
        with pytest.raises(DataError, match=f"measure is '{measure}', expected accuracy or loss"):
            plots.agreement_figure(found, measure)


# A network, drawn -----------------------------------------------------------------------------------------------------


def names(axes: Axes) -> set[str]:
    """What is written into the circles of a panel, and under its columns."""
    return {text.get_text() for text in axes.texts}


def lines_of(axes: Axes) -> dict[tuple[tuple[float, ...], ...], tuple[float, str]]:
    """From where to where a panel's lines go -> how wide they are, and their colour."""
    found = {}
    for lines in axes.collections:
        colour = to_hex(lines.get_colors()[0])
        for segment, width in zip(lines.get_segments(), lines.get_linewidths(), strict=True):
            found[tuple(map(tuple, segment.tolist()))] = (float(width), colour)
    return found


def test_what_stays_has_the_same_place_in_both_drawings_and_what_goes_is_crossed_out() -> None:
    before, after = plots.network_drawing(worked.network(), mp.Plan({"dense1": [0, 2]})).axes
    assert names(before) - names(after) == {"h1", "h3"}
    places = [{t.get_text(): t.get_position() for t in axes.texts} for axes in (before, after)]
    assert {name: places[0][name] for name in places[1]} == places[1]
    crosses = [line.get_ydata()[0] for line in before.lines if line.get_marker() == "x"]
    assert crosses == [places[0]["h1"][1], places[0]["h3"][1]]
    assert not [line for line in after.lines if line.get_marker() == "x"]


def test_every_weight_is_one_line_as_wide_as_it_is_large_and_coloured_by_its_sign() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), rng=0)
    net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [-1.0]], [[4.0, 0.0]]
    before, after = plots.network_drawing(net, mp.Plan({"dense1": [1]})).axes
    kept, pale = lines_of(after), lines_of(before)
    assert kept == {((0, 0), (1, 0.5)): (1.6, VERMILION.lower()), ((1, 0.5), (2, 0)): (3.2, VERMILION.lower())}
    assert {line: pale[line] for line in kept} == kept
    assert pale[(0, 0), (1, -0.5)] == (0.8, "#bbbbbb")  # a weight of 0 has no line
    assert before.get_title(loc="left") == "before: 1-2-1, 3 of 4 weights not 0"
    assert after.get_title(loc="left") == "after: 1-1-1, 4 parameters"


def test_the_right_drawing_shows_the_network_that_is_given_for_it() -> None:
    net, plan = worked.network(), mp.Plan({"dense1": [0, 2]})
    tuned = mp.remove(net, plan)
    tuned.params["dense2.b"] = [0.0, 0.0]
    tuned.params["dense2.W"] = -tuned.params["dense2.W"]
    colours = [
        [colour for _, colour in lines_of(axes).values()] for axes in plots.network_drawing(net, plan, tuned).axes
    ]
    assert colours[1].count(VERMILION.lower()) > colours[0].count(VERMILION.lower())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((mp.Conv2d(1, 2, 3), mp.Flatten(), mp.Dense(2, 2)), "conv1: only a chain of dense layers can be drawn"),
        ((mp.Residual(mp.Dense(3, 3)),), "add1: only a chain of dense layers can be drawn"),
        ((mp.Dense(64, 10),), "input has 64 neurons, at most 24 can be drawn; see weight_images and score_bars"),
        ((mp.ReLU(),), "the network has no dense layer, so there is nothing to draw"),
    ],
)
def test_a_network_that_cannot_be_drawn_is_refused(layers: tuple[Any, ...], message: str) -> None:
    net = mp.Sequential(*layers, rng=0)
    with pytest.raises(DataError, match=message):
        plots.network_drawing(net, mp.Plan({}))


def test_another_network_than_the_plan_leaves_is_refused() -> None:
    net = worked.network()
    with pytest.raises(DataError, match="after: expected 3-4-2 neurons, as the plan leaves them, got 3-5-2"):
        plots.network_drawing(net, mp.Plan({"dense1": [0]}), net)


# Ranks ----------------------------------------------------------------------------------------------------------------


def test_ranks_stand_against_ranks_and_the_lowest_scores_are_marked() -> None:
    (axes,) = plots.rank_ranks({"mine": [5.0, np.inf, -1.0]}, truth=[0.3, 0.2, 0.1], removed=2).axes
    kept, gone = axes.lines[1:]
    assert (list(kept.get_xdata()), list(kept.get_ydata())) == ([2], [3])
    assert (list(gone.get_xdata()), list(gone.get_ydata())) == ([3, 1], [2, 1])
    assert axes.get_title(loc="left") == "mine: ρ = 0.50"


def test_equal_scores_share_a_rank_and_have_no_correlation() -> None:
    (axes,) = plots.rank_ranks({"same": [1.0, 1.0, 1.0]}, truth=[0.3, 0.2, 0.1]).axes
    assert list(axes.lines[1].get_ydata()) == [2, 2, 2]
    assert axes.get_title(loc="left") == "same: all equal"


def test_the_lowest_panel_of_every_column_names_its_axis() -> None:
    figure = plots.rank_ranks({str(i): [1.0, 2.0, 3.0] for i in range(5)}, [1, 2, 3])
    assert [axes.get_xlabel() != "" for axes in figure.axes] == [False, False, True, True, True, False]


@pytest.mark.parametrize(
    ("scores", "truth", "removed", "error", "message"),
    [
        ({}, [1.0], 0, DataError, "scores: expected at least one criterion, got none"),
        ({"a": [1.0]}, [1.0, 2.0], 0, ShapeError, r"a: expected shape \(2,\) like the truth, got \(1,\)"),
        ({"a": [np.nan, 1.0]}, [1.0, 2.0], 0, DataError, "a: expected numbers, got nan"),
        ({"a": [1.0]}, [np.inf], 0, DataError, "truth: expected finite numbers, got inf"),
        ({"a": [1.0]}, [1.0], 2, DataError, "removed is 2, expected a number from 0 to 1"),
    ],
)
def test_ranks_that_make_no_figure_are_refused(scores, truth, removed, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        plots.rank_ranks(scores, truth, removed)


# Times ----------------------------------------------------------------------------------------------------------------


def test_times_stand_from_top_to_bottom_with_their_ratio_to_the_last() -> None:
    (axes,) = plots.time_bars({"naive": 20.0, "clever": 0.5}, "ns per multiply-add").axes
    assert [bar.get_width() for bar in axes.patches] == [20.0, 0.5]
    assert [text.get_text() for text in axes.texts] == ["20  (40 ×)", "0.5  (1 ×)"]
    assert axes.get_xscale() == "log"
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "ns per multiply-add"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "rows: expected at least one number, got none"),
        ({"a": 0.0}, "rows: expected times above 0, got 0"),
        ({"a": np.inf}, "rows: expected finite numbers, got inf"),
    ],
)
def test_times_that_make_no_figure_are_refused(rows: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        plots.time_bars(rows)
