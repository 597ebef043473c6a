"""The command `step` without a terminal: everything at once, as text or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trace_schema import TRACE, faults

import minprune as mp
from minprune.cli import main
from minprune.commands.stepping import Place
from minprune.unicode_math import to_unicode


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small network with a file of samples that fit it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    mp.save(mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2), rng=0), "model.npz")
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{c:.3f},{n % 2}" for n, (a, b, c) in enumerate(rng.random((40, 3)))]
    (tmp_path / "points.csv").write_text("a,b,c,label\n" + "\n".join(rows))
    return tmp_path / "model.npz"


def output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 0
    return capsys.readouterr().out


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_piped_the_worked_example_comes_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "step")
    assert text == output(capsys, "step", "--all")
    assert "1/91  dense1[0]" in text
    assert "91/91  what the choice of leave_one_out does to the loss" in text
    assert "dense2.W: columns 0, 2 go" in text  # h1 and h3, by the document's rule


def test_the_linear_example_ends_without_a_sigmoid(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "step", "--linear")
    assert "sigmoid1[0]" in text
    assert "sigmoid2" not in text


def test_json_is_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(output(capsys, "step", "--json", "--criteria", "taylor,apoz"))
    assert faults(content, TRACE) == []
    assert list(content["scores"]) == ["taylor", "apoz"]
    assert content["focus"] == {"layer": None, "neuron": None, "sample": None}


def test_a_saved_network_is_followed_on_one_of_its_training_samples(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("step", str(model), "points.csv", "--sample", "3", "--layer", "dense1", "--neuron", "2")
    text = output(capsys, *words)
    data = mp.data.split(mp.data.load("points.csv"))
    assert text.startswith(f"{model}: training sample 3 of points.csv, target {data.train.y[3]}; it is sample 0 here")
    content = json.loads(output(capsys, *words, "--json"))
    net = mp.load(model)
    x = data.train.x[3:4]
    assert content["network"]["dtype"] == "float32"
    assert content["steps"][0]["result"] == pytest.approx(
        mp.record(net, x, data.train.y[3:4])["dense1"].z[0, 2], rel=1e-5
    )
    assert content["focus"] == {"layer": "dense1", "neuron": 2, "sample": None}


def test_groups_can_lose_fractions_of_their_own(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "step", str(model), "points.csv", "--remove", "dense1=0.75", "--criteria", "magnitude_l2")
    assert "PerLayer" in text
    assert "drops 3 neurons" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["step", "--sample", "1"], "the document's example has one sample; leave --sample out"),
        (["step", "model.npz"], "model.npz: name the data beside the network, such as digits"),
        (["step", "model.npz", "points.csv", "--linear"], "--linear is the document's example with a linear output"),
        (["step", "model.npz", "points.csv", "--sample", "99"], "points.csv: no training sample 99; expected 0 to 23"),
        (["step", "--neuron", "1"], "focus: neuron 1 of which layer? Name it: input, dense1, dense2"),
        (["step", "--criteria", "tailor"], "trace: unknown criterion 'tailor'"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_line(
    words: list[str], message: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure(capsys, *words).startswith(f"minprune step: {message}")


def test_formulas_are_text_in_the_terminal_and_tex_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert "forward  z = x Wᵀ + b" in output(capsys, "formulas", "--op", "affine")
    assert r"forward  z = x W^\top + b" in output(capsys, "formulas", "--op", "affine", "--tex")
    table = output(capsys, "formulas", "--criteria")
    assert "\\" not in table
    formula = mp.scores.CRITERIA["taylor"].formula
    assert to_unicode(formula) in table
    assert formula in output(capsys, "formulas", "--criteria", "--tex")


def test_keys_move_and_stop() -> None:
    place = Place(total=3)
    for keys, at in (("p", 0), ("nn", 2), ("n", 2), ("p", 1), ("G", 2), ("g", 0), ("2g", 1)):
        for key in keys:
            place.press(key)
        assert place.at == at, keys
    place.press("9")
    place.press("p")  # digits that no Enter follows are forgotten
    place.press("enter")
    assert (place.at, place.done) == (1, False)
    place.press("q")
    assert place.done
