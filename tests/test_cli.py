"""The command line: every command's own example runs; errors are one line; exit codes are 0, 1 and 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minprune as mp
from minprune import usage, worked
from minprune.cli import COMMANDS, main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> Path:
    """A small network trained on digits, in the current folder."""
    assert main(["train", "digits", "--hidden", "16", "--epochs", "1", "-o", "model.npz"]) == 0
    return folder / "model.npz"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 0
    return capsys.readouterr().out


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_every_examples_in_the_help_runs_in_an_empty_folder(folder: Path) -> None:
    order = (
        *(
            "train",
            "score",
            "explain",
            "step",
            "explore",
            "agreement",
            "prune",
            "scan",
            "choose",
            "reduce",
            "verify",
            "evaluate",
            "compare",
            "bench",
        ),
        *("formulas", "data", "worked", "listing", "grade", "warmup", "demo"),
    )
    assert set(order) == set(COMMANDS)
    for name in order:
        _, example, _ = COMMANDS[name]
        program, *words = example.split()
        assert program == "minprune"
        assert main(words) == 0, example
    assert (folder / "minprune-demo" / "pruned.npz").stat().st_size > 0
    assert (folder / "minprune-demo" / "accuracy-least-squares.png").stat().st_size > 0
    assert (folder / "minprune-listing" / "scores.png").stat().st_size > 0


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_shows_the_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert COMMANDS[name][1] in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["fly"], ["train"], ["prune", "m.npz", "digits", "--strategy", "luck"]])
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


def test_json_is_json_for_every_command_that_reads_a_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["score", "model.npz", "digits", "-o", "scores.json"],
        ["prune", "model.npz", "digits", "--remove", "0.25", "--strategy", "per-layer", "--repair", "mean"],
        [
            "prune",
            "model.npz",
            "digits",
            "--remove",
            "0.25",
            "--strategy",
            "threshold",
            "--rounds",
            "2",
            "--epochs",
            "1",
        ],
        ["reduce", "model.npz", "--box", "0", "1"],
        ["evaluate", "model.npz", "digits"],
        ["scan", "model.npz", "digits", "--repair", "mean"],
        ["choose", "model.npz", "digits", "--max-bytes", "4000", "--criteria", "taylor", "--by", "macs"],
        ["agreement", "model.npz", "digits", "--criteria", "taylor,inverse_sensitivity", "--ranking", "per-layer"],
        ["compare", "model.npz", "pruned.npz", "--data", "digits"],
        ["bench", "model.npz", "--batch", "1", "--seconds", "0.01"],
        ["formulas", "--criteria"],
        ["worked"],
        ["data"],
    ):
        content = json.loads(run(capsys, *words, "--json"))
        assert content, words
    assert json.loads((model.parent / "scores.json").read_text())["criterion"] == "taylor"


@pytest.mark.parametrize(
    ("training", "neurons"),
    [("--hidden 12-8", {"dense1": 12, "dense2": 8}), ("--net cnn --hidden 4-6", {"conv1": 4, "conv2": 6})],
    ids=["mlp", "cnn"],
)
def test_agreement_tries_choices_on_digits_with_and_without_training(
    training: str, neurons: dict[str, int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "digits", *training.split(), "--epochs", "1"]) == 0
    words = "agreement model.npz digits --criteria taylor,apoz --fractions 0.25,0.5 --epochs 1 -o agreement.png"
    content = json.loads(run(capsys, *words.split(), "--scratch-epochs", "2", "--lr", "0.01", "--json"))
    counts = {row["group"]: row["neurons"] for row in content["rows"] if row["criterion"] == "taylor"}
    assert counts == neurons | {"all groups": sum(neurons.values())}
    assert content["finetune"] == content["scratch"] | {"epochs": 1}
    assert content["scratch"]["epochs"] == 2
    assert "lr=0.01" in content["scratch"]["optimizer"]
    names = ("leave_one_out", "taylor", "apoz", "random", "from scratch")
    assert {(cut["criterion"], cut["fraction"]) for cut in content["cuts"]} == {
        (n, f) for n in names for f in (0.25, 0.5)
    }
    assert all(cut["tuned"] for cut in content["cuts"])
    assert (folder / content["figure"]).read_bytes().endswith(b"IEND\xaeB`\x82")


@pytest.mark.slow
@pytest.mark.data
def test_agreement_on_mnist_finds_what_training_from_scratch_reaches(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "mnist", "--hidden", "300-100", "--epochs", "3"]) == 0
    words = "agreement model.npz mnist --criteria taylor2,inverse_sensitivity --fractions 0.5 --epochs 1 -o mnist.png"
    content = json.loads(run(capsys, *words.split(), "--scratch-epochs", "4", "--ranking", "per-layer", "--json"))
    rho = {row["criterion"]: row["spearman"] for row in content["rows"] if row["group"] == "all groups"}
    assert rho["taylor2"] > 0.95
    assert rho["inverse_sensitivity"] < 0
    tuned = {cut["criterion"]: cut["tuned"]["accuracy"] for cut in content["cuts"]}
    assert tuned["taylor2"] > 0.96
    assert tuned["from scratch"] > 0.96
    assert (folder / "mnist.png").is_file()


@pytest.mark.parametrize(("name", "output"), [("worked", "sigmoid"), ("worked-linear", "linear")])
def test_agreement_knows_the_documents_example(
    name: str, output: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = worked.example(output)
    words = ("--epochs", "5", "--lr", "0.1", "--fractions", "0.4")
    content = json.loads(run(capsys, "agreement", name, *words, "--json"))
    assert content["dense"]["loss"] == pytest.approx(example.rec.loss)
    assert content["scratch"]["epochs"] == 25
    gone, removed = example.picks["inverse_sensitivity"], {c["criterion"]: c["removed"] for c in content["cuts"]}
    assert removed["inverse_sensitivity"]["loss"] == pytest.approx(example.loss_without[tuple(gone)])
    text = run(capsys, "agreement", name, "--criteria", "taylor", "-o", "example.svg")
    assert text.endswith("figure: example.svg\n")
    assert "from scratch: none, there is no budget for training" in text


def test_pruning_halves_the_hidden_neurons(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(run(capsys, "prune", "model.npz", "digits", "--remove", "0.5", "--json"))
    assert len(content["kept"]["dense1"]) == 8
    assert content["after"]["params"] < content["before"]["params"]


def test_rounds_follow_the_schedule_that_was_asked_for(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "prune", "model.npz", "digits", "--remove", "0.5", "--rounds", "2", "--schedule", "cubic")
    removed = [line.split()[1] for line in text.splitlines() if line.startswith(("1 ", "2 "))]
    assert removed == ["7", "1"]  # of 16: 8 · (1 − (1 − ½)³), and the rest


def test_reducing_says_what_went_and_why(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = mp.load(model)
    net.params["dense1.b"][3] = -1000
    mp.save(net, model)
    text = run(capsys, "reduce", "model.npz", "--box", "0", "1", "-o", "small.npz")
    assert "1 neuron removed, 0 layers merged\n  dense1, dead: 3 (it is 0 on the whole box)\ngiven ≡ reduced" in text
    assert mp.load("small.npz").neurons["dense1"].size == 15
    content = json.loads(run(capsys, "reduce", "model.npz", "--box", "0", "1", "--json"))
    assert content["steps"] == [{"kind": "dead", "group": "dense1", "neurons": [3], "why": "it is 0 on the whole box"}]
    assert "lower bound lies above" in failure(capsys, "reduce", "model.npz", "--box", "1", "0")
    assert "a network is saved as .npz" in failure(capsys, "reduce", "model.npz", "--box", "0", "1", "-o", "small.pkl")


def test_a_single_layer_can_be_pruned_by_name(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(run(capsys, "prune", "model.npz", "digits", "--remove", "dense1=0.25", "--json"))
    assert len(content["kept"]["dense1"]) == 12


def test_weights_are_masked_and_the_file_gets_smaller(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(run(capsys, "prune", "model.npz", "digits", "--by", "weight", "--remove", "0.9", "--json"))
    assert sum(content["kept"].values()) == 119  # of 64·16 + 16·10
    assert content["after"]["nonzero"] < 0.2 * content["before"]["nonzero"]
    assert content["after"]["params"] == content["before"]["params"]
    assert (model.parent / "pruned.npz").stat().st_size < model.stat().st_size
    assert "in file" in run(capsys, "evaluate", "pruned.npz", "digits")
    assert "in file" not in run(capsys, "evaluate", "model.npz", "digits")


def test_weights_are_masked_in_blocks(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--by", "weight", "--block", "16x1", "--remove", "dense1.W=0.5", "--rounds", "2", "--epochs", "1")
    text = run(capsys, "prune", "model.npz", "digits", *words)
    assert "dense1.W 1024 → 512" in text
    assert "blocks of 16×1" in text


def test_what_is_for_weights_or_neurons_only_is_refused_for_the_other(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--block is for weights; add --by weight" in failure(
        capsys, "prune", "model.npz", "digits", "--block", "4x1"
    )
    words = ("prune", "model.npz", "digits", "--by", "weight")
    assert "--repair makes up for neurons" in failure(capsys, *words, "--repair", "mean")
    assert "block is (0, 1), expected rows and columns" in failure(capsys, *words, "--block", "0x1")
    with pytest.raises(SystemExit):
        main([*words, "--block", "16"])
    assert "invalid block such as 16x1 value: '16'" in capsys.readouterr().err


@pytest.mark.parametrize(("budget", "size"), [("macs", "macs"), ("params", "params"), ("bytes", "bytes_memory")])
def test_pruning_keeps_to_a_budget(budget: str, size: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prune", "model.npz", "digits", "--strategy", "budget", "--keep", f"{budget}=0.6", "--json"]
    content = json.loads(run(capsys, *words))
    assert 0.5 * content["before"][size] < content["after"][size] <= 0.6 * content["before"][size]


def test_a_budget_is_said_by_keep_alone(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ("prune", "model.npz", "digits")
    assert "it takes no --remove, and no --strategy but" in failure(
        capsys, *start, "--keep", "macs=0.5", "--remove", "0"
    )
    assert "it takes no --remove" in failure(capsys, *start, "--keep", "macs=0.5", "--strategy", "global")
    assert "--keep flops: expected one of neurons, params" in failure(capsys, *start, "--keep", "flops=0.5")
    assert "say what to keep, as in --keep macs=0.5" in failure(capsys, *start, "--strategy", "budget")


def test_the_choice_is_saved_drawn_and_judged_on_the_test_part(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "choose model.npz digits --max-loss 0.5 --criteria taylor --epochs 1 -o small.npz --figure front.png"
    text = run(capsys, *words.split())
    assert text.startswith("chosen: taylor, ")
    assert "on the test part:\ndense: accuracy 0." in text
    assert "saved to small.npz" in text
    assert (model.parent / "small.npz").stat().st_size < model.stat().st_size
    assert (model.parent / "front.png").stat().st_size > 0


def test_a_choice_needs_a_wish_and_a_place_that_can_be_written(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing is asked for; give --max-loss (for the smallest), --max-runtime or --max-bytes" in failure(
        capsys, "choose", "model.npz", "digits"
    )
    assert "does not exist; make it first" in failure(capsys, "choose", "model.npz", "digits", "-o", "no/where.npz")


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a network is saved as .npz" in failure(capsys, "train", "digits", "-o", "model.pkl")
    assert "does not exist; make it first" in failure(capsys, "prune", "model.npz", "digits", "-o", "no/where.npz")


def test_training_says_what_the_data_were_taken_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "train", "digits", "--hidden", "4", "--epochs", "1")
    assert text.startswith("read as 1078 training samples of shape (64,), x from 0 to 1; y: 10 classes\n")


def test_the_report_of_pruning_shows_before_and_after(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "prune", "model.npz", "digits", "--epochs", "1")
    assert "before" in text
    assert "masked ≡ removed" in text
    assert "saved to pruned.npz" in text


def test_a_csv_with_a_named_label_column_trains_and_evaluates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = ["kind,a,b"] + [f"{'left' if a < 0 else 'right'},{a:.3f},{b:.3f}" for a, b in rng.normal(size=(60, 2))]
    (folder / "points.csv").write_text("\n".join(lines))
    run(capsys, "train", "points.csv", "--label", "kind", "--hidden", "8", "--epochs", "2")
    content = json.loads(run(capsys, "evaluate", "model.npz", "points.csv", "--label", "kind", "--json"))
    assert 0 <= content["accuracy"] <= 1


def test_regression_data_trains_with_one_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.savez(folder / "line.npz", x=x, y=x.sum(axis=1))
    content = json.loads(run(capsys, "train", "line.npz", "--hidden", "4", "--epochs", "1", "--json"))
    assert content["test"]["accuracy"] is None
    assert content["test"]["rmse"] > 0


def test_lenet5_trains_on_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "images.npz", x=rng.random((40, 1, 16, 16), dtype=np.float32), y=np.arange(40) % 2)
    run(capsys, "train", "images.npz", "--net", "lenet5", "--hidden", "2-3-4", "--epochs", "1", "--dropout", "0.1")
    assert json.loads(run(capsys, "evaluate", "model.npz", "images.npz", "--json"))["samples"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train nowhere.npz", "nowhere.npz"),
        ("train digits --net lenet5 --hidden 2-3", "lenet5 has 3 hidden layers"),
        ("train digits --net lenet5 --epochs 1", "lenet5 expects images"),
        (
            "train digitz",
            "digitz: there is no such data set, file or folder; expected digits, mnist, fashion-mnist, or",
        ),
        ("evaluate nothing.npz digits", "nothing.npz"),
        ("agreement nothing.npz digits", "nothing.npz"),
        ("agreement nothing.npz", "nothing.npz: name the data beside the network, such as digits"),
        ("agreement worked digits", "worked brings its own sample, got 'digits' as data; leave it out"),
        ("agreement worked -o a.pdf", "a.pdf: a figure is saved as .png or .svg"),
        ("agreement worked -o no/where.png", "does not exist; make it first"),
        ("train digits --net cnn --hidden 2-3-4-5", "cnn of 4 stage(s) expects images (C, H, W) of at least 16 × 16"),
        ("formulas --op flip", "no op is called 'flip'"),
        ("data imagenet", "imagenet"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in failure(capsys, *words.split())


@pytest.mark.parametrize("command", ["train digits", "score m.npz digits", "prune m.npz digits", "listing"])
def test_a_seed_below_0_is_wrong_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--seed", "-1"])
    assert stop.value.code == 2
    assert "argument --seed: invalid whole number of at least 0 value: '-1'" in capsys.readouterr().err


def test_a_demo_of_no_seeds_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--seeds", "0"])
    assert stop.value.code == 2
    assert "argument --seeds: invalid whole number of at least 1 value: '0'" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_a_group_that_is_the_output_is_called_so(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = failure(capsys, "prune", "model.npz", "digits", "--remove", "dense2=0.3")
    assert line == "minprune prune: dense2: output; its neurons are never removed; name dense1"


def test_an_mlp_refuses_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(folder / "images.npz", x=np.zeros((20, 1, 4, 4), np.float32), y=np.arange(20) % 2)
    assert "use --net cnn or lenet5" in failure(capsys, "train", "images.npz")


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from minprune import commands

    def stop(args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "worked", stop)
    assert main(["worked"]) == 130
    assert capsys.readouterr().err == "minprune worked: interrupted\n"


def test_a_missing_folder_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no/where" in failure(capsys, "score", "model.npz", "digits", "-o", "no/where/scores.json")


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "minprune", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("minprune ")


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; from minprune.cli import main; sys.exit(main(['formulas']))"
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    assert program.stderr.read() == b""
    assert program.wait() == 0
    program.stderr.close()


def test_help_loads_neither_numpy_nor_numba_nor_matplotlib() -> None:
    code = (
        "import sys\nfrom minprune.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'numba', 'matplotlib', 'rich') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_blas_runs_on_one_thread_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    main(["formulas", "--op", "relu"])
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_sizes_are_read_from_dashes() -> None:
    assert usage._sizes("300-100") == [300, 100]
    with pytest.raises(ValueError, match="0"):
        usage._sizes("3-0")
