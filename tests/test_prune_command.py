"""`minprune prune` from a file to a smaller one: data with and without labels, limits, the report, resuming."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import Pruning, start

import minprune as mp
from minprune import cli
from minprune.cli import main
from minprune.commands import pruning as command
from minprune.formats.state_files import StateFile

DIGITS = mp.data.digits()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a trained model as .npz and .onnx, and with samples in several files."""
    monkeypatch.chdir(tmp_path)
    net = mp.Sequential(mp.Dense(64, 16), mp.ReLU(), mp.Dense(16, 10), rng=0)
    mp.fit(net, DIGITS, epochs=4, progress=False)
    mp.save(net, "model.npz")
    mp.save(net, "model.onnx")
    x, y = DIGITS.train.x[:200], DIGITS.train.y[:200]
    np.savez("bare.npz", x=x)
    np.savez("both.npz", x=x, y=y)
    np.savez("images.npz", x=x.reshape(-1, 8, 8))
    np.save("x.npy", x)
    np.save("y.npy", y)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], words: str) -> str:
    capsys.readouterr()
    assert main(["prune", *words.split()]) == 0
    return capsys.readouterr().out


def content(capsys: pytest.CaptureFixture[str], words: str) -> Any:
    return json.loads(run(capsys, f"{words} --json"))


def failure(capsys: pytest.CaptureFixture[str], words: str) -> str:
    capsys.readouterr()
    assert main(["prune", *words.split()]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


# --- data -------------------------------------------------------------------------------------------------------------


def test_without_labels_the_originals_own_answers_stand_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = content(capsys, "model.onnx --data bare.npz --remove 0.75 -o small.onnx")
    assert "no labels: the original's own answers (10 classes) stand for them; loss: cross_entropy" in found["data"]
    assert found["comparison"]["before"]["accuracy"] == 1
    assert found["quality"] == "agreement"
    assert found["comparison"]["agreement"]["same_class"] == found["test"]["accuracy"] < 1
    assert mp.load("small.onnx").params["dense1.W"].shape == (4, 64)


def test_labels_may_come_in_a_file_of_their_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apart = content(capsys, "model.npz --data bare.npz --labels y.npy")
    together = content(capsys, "model.npz --data both.npz")
    behind = content(capsys, "model.npz both.npz")
    bare = content(capsys, "model.npz --data x.npy --labels y.npy")
    assert apart["kept"] == together["kept"] == behind["kept"] == bare["kept"]
    assert apart["test"]["accuracy"] == together["test"]["accuracy"]
    assert apart["quality"] == "accuracy"


def test_images_are_flattened_for_a_network_that_reads_rows_and_this_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run(capsys, "model.npz --data images.npz")
    assert "samples of shape (8, 8) were taken as (64,)" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model.npz", "the data is missing; name it by --data, such as calib.npz with an array x"),
        ("model.npz digits --data bare.npz", "the data is named twice, behind the model and by --data"),
        ("model.npz digits --labels y.npy", "digits has labels of its own; leave --labels out"),
        ("model.npz --data bare.npz --labels short.npy", "holds 200 samples, short.npy 3 labels"),
        ("model.npz --data wide.npz", "input: samples have the shape (65,), the network reads (64,)"),
        ("model.npz --data two.npz", "expected an array x, found a, b"),
        ("model.npz --data bare.npz --labels two.npz", "two.npz: expected an array y, found a, b"),
        ("model.npz --data bare.npz --loss hinge", "unknown loss 'hinge'"),
        ("model.npz --data bare.npz -o model.npz", "model.npz: this is the model itself"),
        ("model.npz --data bare.npz --report a.pdf", "a.pdf: a report is saved as .html"),
        ("model.npz --data bare.npz --by weight --resume", "--resume is for neurons; leave --by weight out"),
        ("model.npz --data bare.npz --max-loss 0.1 --remove 0.5", "--max-loss is a limit; it takes no --remove"),
        ("model.npz --data bare.npz --max-loss 0.1 --runtime 0.5", "--runtime and --max-loss: give one of them"),
        ("model.npz --data bare.npz --max-loss 2", "--max-loss is 2.0, expected a fraction of accuracy from 0 to 1"),
        ("model.npz --data bare.npz --max-loss 0 --strategy threshold", "it takes --strategy global or per-layer"),
        ("model.npz --data bare.npz --loss mse --criterion taylor", "every score is 0; take --criterion taylor2"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("short.npy", np.zeros(3, int))
    np.savez("wide.npz", x=np.zeros((20, 65), np.float32))
    np.savez("two.npz", a=np.zeros((20, 64), np.float32), b=np.zeros((20, 64), np.float32))
    assert message in failure(capsys, words)
    assert not list(folder.glob("pruned.npz*"))


def test_behind_a_softmax_classes_are_compared_with_its_probabilities(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = mp.load("model.npz")
    soft = mp.Sequential(mp.Dense(64, 16), mp.ReLU(), mp.Dense(16, 10), mp.Softmax())
    for name, array in net.params.items():
        soft.params[name] = array
    mp.save(soft, "soft.npz")
    found = content(capsys, "soft.npz digits --epochs 1")
    assert "loss: mse; classes were written as rows of 0 and 1" in found["data"]
    assert (
        found["comparison"]["before"]["accuracy"]
        == content(capsys, "model.npz digits")["comparison"]["before"]["accuracy"]
    )


def test_a_regression_without_labels_is_scored_by_curvature_and_judged_by_r2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = content(capsys, "model.npz --data bare.npz --loss mse --remove 0.2 --epochs 1")
    assert found["quality"] == "R² to the original"
    assert found["comparison"]["before"]["r2"] == pytest.approx(1)
    assert 0 < found["test"]["r2"] < 0.999
    assert "taylor2" in run(capsys, "model.npz --data bare.npz --loss mse")


def test_a_handful_of_samples_serves_for_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("few.npz", x=DIGITS.train.x[:5])
    found = content(capsys, "model.npz --data few.npz --repair mean")
    assert "5 (for everything: they were not parted) samples" in found["data"]
    assert found["test"]["samples"] == 5


def test_a_network_of_two_inputs_takes_arrays_of_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = {"h": (mp.Dense(3, 6), "a"), "g": (mp.Dense(2, 6), "b"), "s": (mp.Add(), "h", "g"), "r": (mp.ReLU(), "s")}
    net = mp.Graph(nodes | {"y": (mp.Dense(6, 3), "r")}, inputs=("a", "b"), output="y")
    mp.save(net, "two.npz")
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    np.savez("ab.npz", a=a, b=b)
    assert "no labels" in run(capsys, "two.npz --data ab.npz --remove 0.3")
    np.savez("ab.npz", a=a)
    assert "'b' is missing" in failure(capsys, "two.npz --data ab.npz")


# --- what is done -----------------------------------------------------------------------------------------------------


def test_before_and_after_are_told_in_answers_sizes_and_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "model.onnx digits -o small.onnx")
    for line in ("accuracy ", "same answer as the original", "parameters ", "MACs per sample", "bytes of the file",
                 "time here, batch of 1 ", "time here, batch of 64 ", "time in onnxruntime, batch of 1"):  # fmt: skip
        assert any(row.startswith(line) for row in text.splitlines()), line
    assert "read again, it answers the same (off by " in text
    assert "read again, it answers the same (bit for bit)" in run(capsys, "model.onnx digits -o small.safetensors")


def test_without_onnxruntime_its_line_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "minprune.commands.measuring.find_spec", lambda name: None if name == "onnxruntime" else real(name)
    )
    assert "onnxruntime is not installed" in run(capsys, "model.npz digits")


def test_the_largest_fraction_within_a_loss_is_found_and_the_next_one_loses_more(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = content(capsys, "model.npz digits --max-loss 0.05 --repair mean")
    gone = len(found["plan"]["drop"]["dense1"])
    assert found["before"]["accuracy"] - found["after"]["accuracy"] <= 0.05
    more = content(capsys, f"model.npz digits --remove {(gone + 1.5) / 16} --repair mean")
    assert more["before"]["accuracy"] - more["after"]["accuracy"] > 0.05


def test_where_nothing_can_go_for_a_loss_it_says_what_the_least_costs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = mp.load("model.npz")
    small = mp.remove(net, mp.Plan({"dense1": range(13)}))
    mp.save(small, "three.npz")
    np.savez("ask.npz", x=DIGITS.train.x)
    line = failure(capsys, "three.npz --data ask.npz --max-loss 0 --strategy per-layer --criterion magnitude_l2")
    assert "nothing can go: removing " in line


@pytest.mark.slow
def test_a_fraction_of_the_runtime_is_a_budget(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = mp.Sequential(mp.Dense(64, 1024), mp.ReLU(), mp.Dense(1024, 1024), mp.ReLU(), mp.Dense(1024, 10), rng=0)
    mp.save(net, "wide.npz")
    found = content(capsys, "wide.npz bare.npz --runtime 0.6 --criterion magnitude_l2")
    assert "Budget(runtime=0.6" in found["plan"]["reason"]
    assert found["after"]["params"] < found["before"]["params"]


def test_a_dry_run_says_what_would_go_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(folder.iterdir())
    text = run(capsys, "model.npz digits --remove 0.25 --dry-run --report r.html")
    assert "dense1: 4 of 16 go" in text
    assert "nothing was written" in text
    plan = content(capsys, "model.npz digits --remove 0.25 --dry-run")["plan"]
    assert "the first fraction that is tried" in run(capsys, "model.npz digits --max-loss 0.1 --dry-run")
    assert set(folder.iterdir()) == before
    assert plan["drop"] == content(capsys, "model.npz digits --remove 0.25")["plan"]["drop"]


def test_what_is_read_again_must_answer_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = mp.Sequential(mp.Dense(64, 10), rng=1)
    monkeypatch.setattr("minprune.commands.measuring.load", lambda path: other)
    assert "read again it computes something else" in failure(capsys, "model.npz digits")


# --- the report -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags that are closed in their order, and what was found."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("words", ["digits", "--data bare.npz --rounds 2 --epochs 1", "--data bare.npz --loss mse"])
def test_the_report_is_one_sound_page_that_needs_nothing_else(
    words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = content(capsys, f"model.npz {words} --repair mean --report report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert page.addresses == []
    assert page.tags.count("svg") >= 4
    assert "prefers-color-scheme:dark" in text
    assert 'name="viewport"' in text
    sizes = f"{found['before']['params']:,} → {found['after']['params']:,}"
    plan = "dense1: " + ", ".join(map(str, found["plan"]["drop"]["dense1"]))
    for wanted in (sizes, plan, "masked ≡ removed", "repair mean", "minprune prune model.npz"):
        assert wanted in text, wanted


def test_names_from_a_file_cannot_break_out_of_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "</text><script>alert(1)</script>"
    net = mp.Graph({evil: (mp.Dense(64, 16), "x"), "r": (mp.ReLU(), evil), "y": (mp.Dense(16, 10), "r")}, inputs=("x",))
    mp.save(net, "evil.npz")
    run(capsys, "evil.npz digits --report report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;" in text


# --- stopped and resumed ----------------------------------------------------------------------------------------------


def stop_after(states: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C when the state has been written so many times."""
    real, left = StateFile.keep, [states]

    def keep(self: StateFile, now: Any) -> None:
        real(self, now)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(StateFile, "keep", keep)


@pytest.mark.parametrize("words", ["digits --rounds 2 --epochs 2", "digits --max-loss 0.1 --epochs 1"])
@pytest.mark.parametrize("states", [1, 2, 5])
def test_after_ctrl_c_the_same_command_with_resume_ends_with_the_same_bytes(
    words: str, states: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(capsys, f"model.npz {words} -o whole.npz")
    (folder / "out.npz").write_bytes(b"old")
    with monkeypatch.context() as patch:
        stop_after(states, patch)
        assert main(["prune", "model.npz", *words.split(), "-o", "out.npz"]) == 130
    said = capsys.readouterr().err
    assert "interrupted; what is done lies in out.npz.state; the same command with --resume goes on from there" in said
    assert (folder / "out.npz").read_bytes() == b"old"
    again = run(capsys, f"model.npz {words} -o out.npz --resume")
    assert (folder / "out.npz").read_bytes() == (folder / "whole.npz").read_bytes()
    assert not (folder / "out.npz.state").exists()
    assert again.split("on the test part:")[0] == whole.split("on the test part:")[0]


def test_resuming_with_other_settings_or_data_is_refused_and_without_resume_it_begins_anew(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        assert main(["prune", "model.npz", "digits", "--epochs", "1"]) == 130
    for words in ("digits --epochs 2", "digits --epochs 1 --seed 1", "both.npz --epochs 1"):
        assert "it is of another model, other data or other settings" in failure(capsys, f"model.npz {words} --resume")
    capsys.readouterr()
    assert main(["prune", "model.npz", "digits", "--epochs", "2"]) == 0
    assert "pruned.npz.state: of an unfinished run, dropped" in capsys.readouterr().err
    assert not (folder / "pruned.npz.state").exists()


def test_resuming_where_nothing_was_begun_begins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "model.npz", "digits", "--resume"]) == 0
    assert "there is nothing to go on from; beginning anew" in capsys.readouterr().err
    assert (folder / "pruned.npz").exists()


def test_ctrl_c_before_anything_was_kept_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any, **how: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "prune_network", stop)
    assert main(["prune", "model.npz", "digits"]) == 130
    assert capsys.readouterr().err == "minprune prune: interrupted; nothing was written yet\n"


def test_every_setting_that_changes_the_result_is_part_of_the_job() -> None:
    known = {*command.SETTINGS, "model", "data", "data_file", "labels", "label", "by", "block"}  # read, or of weights
    known |= {"output", "report", "resume", "dry_run", "json", "command", "words"}  # change no bytes
    parsed = cli._parser().parse_args(["prune", "m.npz", "d.npz"])
    assert set(vars(parsed)) <= known


def answering_to_interrupts() -> None:
    """A shell that starts this in the background has its children ignore SIGINT, and Python would go on ignoring it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_process_that_is_interrupted_leaves_its_state_and_says_how_to_go_on(tmp_path: Path) -> None:
    pruning = Pruning(tmp_path)
    (tmp_path / "out.npz").unlink()
    how = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "preexec_fn": answering_to_interrupts}
    process = start(tmp_path, pruning.words, **how)
    while not (tmp_path / "out.npz.state").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.strip().splitlines()[-1].startswith("minprune prune: interrupted; what is done lies in out.npz.state;")
    assert not (tmp_path / "out.npz").exists()
    assert start(tmp_path, [*pruning.words, "--resume"], stdout=subprocess.DEVNULL).wait() == 0
    assert (tmp_path / "out.npz").read_bytes() == pruning.wanted
