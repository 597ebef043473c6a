"""Tables for people."""

from __future__ import annotations

import pytest

import minprune as mp
from minprune.reports import duration, macs, summary, table


def test_names_stand_left_and_numbers_right() -> None:
    lines = table(("name", "kind", "size"), [("a", "long kind", 1), ("longer", "k", 10_000)], left=2).splitlines()
    assert lines == [
        "name    kind         size",
        "a       long kind       1",
        "longer  k          10,000",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert table(("name", "size"), []) == "name  size"


def test_lines_have_no_trailing_blanks() -> None:
    assert table(("name", "size"), [("a", None)]).splitlines()[1] == "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "True"), (1234567, "1,234,567"), (0.123456, "0.1235"), (1e-9, "1e-09"), ("x", "x")],
)
def test_a_cell_shows_its_value_as_a_person_would_write_it(value: object, text: str) -> None:
    assert table(("v", "end"), [(value, "end")], left=0).splitlines()[1].split() == [*text.split(), "end"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 µs"), (2.5e-7, "0.25 µs"), (9.99e-4, "999 µs"), (1e-3, "1 ms"), (0.5, "500 ms"), (1.0, "1 s")],
)
def test_a_duration_takes_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_macs_count_the_weights_used_at_every_place() -> None:
    net = mp.Sequential(mp.Conv2d(2, 4, 3, groups=2), mp.ReLU(), mp.Flatten(), mp.Dense(16, 5), input_shape=(2, 4, 4))
    counts = {"conv1": 4 * 2 * 2 * 1 * 3 * 3, "relu1": 0, "flatten1": 0, "dense1": 16 * 5}
    assert macs(net, {"input": (2, 4, 4)}) == counts


def test_macs_grow_with_the_image_they_are_asked_for() -> None:
    net = mp.Sequential(mp.Conv2d(1, 2, 3), mp.GlobalAvgPool2d(), mp.Dense(2, 2))
    assert macs(net, {"input": (1, 10, 10)})["conv1"] == 64 * macs(net, {"input": (1, 3, 3)})["conv1"]


def test_a_summary_lists_nodes_totals_and_neurons() -> None:
    net = mp.Sequential(mp.Conv2d(1, 2, 3, padding=1), mp.BatchNorm(2), mp.Flatten(), mp.Dense(32, 3, bias=False),
                        input_shape=(1, 4, 4))  # fmt: skip
    lines = summary(net).splitlines()
    assert lines[1].split() == ["conv1", "Conv2d(inputs=1,", "outputs=2,", "kernel=(3,", "3),", "padding=(1,", "1))",
                                "(2,", "4,", "4)", "20", "288"]  # fmt: skip
    assert "Dense(inputs=32, outputs=3, bias=False)" in lines[4]
    assert lines[5].split() == ["total", "120", "384"]
    assert lines[6] == "neurons: input 1, conv1 2, dense1 3 (output)"
    assert net.summary() == summary(net)


def test_a_summary_leaves_open_what_depends_on_an_unknown_input() -> None:
    lines = summary(mp.Sequential(mp.Identity())).splitlines()
    assert lines[1].split() == ["identity1", "Identity()", "?", "0", "?"]
    assert lines[-1].split() == ["total", "0", "?"]
