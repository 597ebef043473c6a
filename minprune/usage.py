"""What every command takes: one function for each adds its arguments, and one table names them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

REPAIRS = ("mean", "least_squares", "merge", "batch_norm", "obs")
REMOVE = (
    "fraction, or by group: dense1=0.3,conv2=0.5, by weight dense1.W=0.9 (0.5); with --strategy threshold a quantile: "
    "what lies strictly below it goes, what is equal to it stays"
)
DATA = "digits, mnist, fashion-mnist, or a path: .npz, .csv, a folder of IDX files"

Adder = Callable[..., Any]


def _sizes(text: str) -> list[int]:
    """Read 300-100 as two layers."""
    sizes = [int(part) for part in text.split("-")]
    if min(sizes) < 1:
        raise ValueError(text)
    return sizes


def _amount(text: str) -> float | dict[str, float]:
    """Read 0.5, or dense1=0.3,dense2=0.5."""
    if "=" not in text:
        return float(text)
    pairs = (part.split("=") for part in text.split(","))
    return {group: float(fraction) for group, fraction in pairs}


def _block(text: str) -> tuple[int, int]:
    """Read 16x1 as blocks of 16 rows and 1 column."""
    rows, columns = (int(part) for part in text.split("x"))
    return rows, columns


def _kept(text: str) -> dict[str, float]:
    """Read macs=0.5."""
    kind, fraction = text.split("=")
    return {kind: float(fraction)}


def _fractions(text: str) -> list[float]:
    """Read 0.3,0.5."""
    return [float(part) for part in text.split(",")]


def _seed(text: str) -> int:
    """Read 0, 1, 2 …"""
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


def _counts(text: str) -> list[int]:
    """Read 1,32,256."""
    return [_count(part) for part in text.split(",")]


def _count(text: str) -> int:
    """Read 1, 2, 3 …"""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def _seconds(text: str) -> float:
    """Read 0.5."""
    if not 0 < float(text) < 3600:
        raise ValueError(text)
    return float(text)


# argparse names the type when it refuses a value.
_sizes.__name__ = "list of layer sizes such as 300-100"
_fractions.__name__ = "list of fractions such as 0.3,0.5"
_amount.__name__ = "fraction, or list such as dense1=0.3,dense2=0.5"
_seed.__name__ = "whole number of at least 0"
_counts.__name__ = "list of whole numbers such as 1,32,256"
_seconds.__name__ = "number of seconds above 0"
_count.__name__ = "whole number of at least 1"
_block.__name__ = "block such as 16x1"
_kept.__name__ = "budget such as macs=0.5"


def _demo(add: Adder) -> None:
    add("--out", default="minprune-demo", help="folder for the figures and the pruned model (minprune-demo)")
    add("--seeds", type=_count, default=5, help="how many seeds to run (5)")


def _training(add: Adder) -> None:
    add("--lr", type=float, default=1e-3, help="learning rate of Adam (0.001)")
    add("--batch-size", type=int, default=128, help="samples per step (128)")
    add("--seed", type=_seed, default=0, help="of weights, shuffling and draws (0)")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")


def _train(add: Adder) -> None:
    add("data", help=DATA)
    add("--net", choices=("mlp", "cnn", "lenet5"), default="mlp", help="architecture (mlp)")
    add(
        "--hidden",
        type=_sizes,
        default=None,
        help="neurons per hidden layer (mlp 300-100, cnn 16-32, lenet5 20-50-500)",
    )
    add("--epochs", type=int, default=20, help="passes over the training data (20)")
    add("--dropout", type=float, default=0.0, help="fraction silenced in training (0)")
    add("--weight-decay", type=float, default=0.0, help="decoupled, as in AdamW (0)")
    _training(add)
    add("-o", "--output", default="model.npz", help="where the model is saved: .npz or .safetensors (model.npz)")


def _model_and_data(add: Adder) -> None:
    add("model", help="a saved network (.npz, .safetensors, .onnx)")
    add("data", help=DATA)


def _score(add: Adder) -> None:
    _model_and_data(add)
    add("--criterion", default="taylor", help="how to score (taylor); minprune formulas --criteria lists all")
    add("--seed", type=_seed, default=0, help="for criteria that draw (0)")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")
    add("-o", "--output", help="also write all scores as JSON to this file")


def _agreement(add: Adder) -> None:
    add("model", help="a saved network (.npz, .safetensors), or the document's example: worked, worked-linear")
    add("data", nargs="?", help=f"{DATA}; the example needs none")
    add("--criteria", type=lambda text: text.split(","), help="which, separated by commas (all that the network has)")
    add("--fractions", type=_fractions, help="removed, separated by commas (0.1,0.2,…,0.9)")
    add("--ranking", choices=("global", "per-layer"), default="global", help="whose lowest are removed (global)")
    add("--epochs", type=int, default=0, help="of fine-tuning for every criterion and fraction (0)")
    add("--scratch-epochs", type=int, default=0, help="for the network from scratch (20 more than --epochs, if any)")
    _training(add)
    add("-o", "--output", help="also draw it into this file (.png, .svg)")


def _prune(add: Adder) -> None:
    add("model", help="a saved network (.npz, .safetensors, .onnx)")
    add("data", nargs="?", help=DATA)
    add(
        "--data",
        dest="data_file",
        metavar="DATA",
        help="the same, by name: an .npz with an array x, and y if there are labels",
    )
    add("--labels", help="labels for inputs without any: .npy, .npz or IDX; with none the original's answers stand in")
    add("--loss", help="cross_entropy, mse or half_squared_error (classes cross_entropy, or mse behind a softmax)")
    add("--by", choices=("neuron", "weight"), default="neuron", help="remove neurons, or mask single weights (neuron)")
    add("--block", type=_block, help="mask weights in whole blocks of rows x columns, such as 16x1")
    add("--criterion", help="how to score (taylor; weights magnitude_l1); minprune formulas --criteria lists all")
    add("--strategy", choices=("global", "per-layer", "threshold", "budget"), help="how to choose (global)")
    add("--remove", type=_amount, help=REMOVE)
    add(
        "--max-loss", type=float, help="instead: as much as costs at most so much accuracy on the validation part: 0.01"
    )
    add("--runtime", type=float, help="instead: the fraction of the time of a call that may be left: 0.5")
    add(
        "--keep", type=_kept, help="a budget: the fraction to keep of neurons, params, macs, bytes or runtime: macs=0.5"
    )
    add("--rounds", type=int, default=1, help="in how many rounds (1)")
    schedules = ("linear", "cubic", "exponential")
    add("--schedule", choices=schedules, default="linear", help="how much each round removes (linear: the same)")
    add("--repair", choices=REPAIRS, help="make up for the removed neurons without training")
    add("--epochs", type=int, default=0, help="fine-tuning after each round (0)")
    add("--distill", type=float, help="fine-tune from the original's outputs too: their share (0; without labels 1)")
    _training(add)
    add("--dry-run", action="store_true", help="score and decide, say what would go, and write nothing")
    add("--resume", action="store_true", help="go on where the same command was stopped (OUTPUT.state says where)")
    add("--report", help="also write a page with figures, plan, scores and certificate: report.html")
    add(
        "-o",
        "--output",
        default="pruned.npz",
        help="where the smaller network is saved: .npz, .safetensors or .onnx (pruned.npz)",
    )


def _scan(add: Adder) -> None:
    _model_and_data(add)
    add("--criterion", default="taylor", help="how to score (taylor); minprune formulas --criteria lists all")
    add("--repair", choices=REPAIRS, help="make up for the removed neurons without training")
    add("--figure", help="also draw it, to this .png or .svg file")
    add("--seed", type=_seed, default=0, help="for criteria that draw (0)")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")


def _choose(add: Adder) -> None:
    _model_and_data(add)
    add("--max-loss", type=float, help="the smallest network is wanted that loses at most so much accuracy: 0.01")
    add("--max-runtime", type=float, help="upper limit of the seconds of a call: 50e-6")
    add("--max-bytes", type=float, help="upper limit of the bytes of all arrays in memory: 20000")
    add("--by", choices=("params", "macs", "bytes", "runtime"), default="params", help="what is to be small (params)")
    add("--criteria", type=lambda text: text.split(","), help="which to try, separated by commas (taylor,obs)")
    add("--epochs", type=int, default=0, help="fine-tuning of every candidate (0)")
    add("--batch", type=int, default=1, help="samples in a timed call (1)")
    _training(add)
    add("-o", "--output", help="also save the chosen network to this file (.npz, .safetensors)")
    add("--figure", help="also draw all candidates, to this .png or .svg file")


def _reduce(add: Adder) -> None:
    add("model", help="a saved network (.npz, .safetensors, .onnx)")
    add("--box", type=float, nargs=2, required=True, metavar=("LOW", "HIGH"), help="what every input lies between")
    add(
        "-o",
        "--output",
        default="reduced.npz",
        help="where the smaller network is saved: .npz, .safetensors or .onnx (reduced.npz)",
    )


def _evaluate(add: Adder) -> None:
    _model_and_data(add)
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")


def _compare(add: Adder) -> None:
    add("models", nargs="+", help="saved networks; all are compared with the first")
    add("--data", required=True, help=DATA)
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")


def _bench(add: Adder) -> None:
    add("model", nargs="?", help="a saved network (.npz, .safetensors, .onnx); without one 784-300-100-10")
    add("--batch", type=_counts, default=[1, 32, 256, 4096], help="how many samples at a time (1,32,256,4096)")
    add("--threads", type=_count, default=1, help="of the program and of onnxruntime (1)")
    add("--seconds", type=_seconds, default=0.5, help="of timing for each number of samples and peer (0.5)")


def _verify(add: Adder) -> None:
    add("model", help="a saved network (.npz, .safetensors) that was masked or pruned")
    add("--original", help="the network that it was made from (.npz, .safetensors): then every step is done again")
    add("--data", help=f"what a repair saw, and what to compare on: {DATA}")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")


def _explain(add: Adder) -> None:
    _model_and_data(add)
    add("group", help="the layer that makes the neuron: dense1")
    add("neuron", type=int, help="which of them, from 0")
    add("--criterion", default="taylor", help="whose score (taylor); minprune formulas --criteria lists all")
    add("--strategy", choices=("global", "per-layer", "threshold"), default="global", help="how to choose (global)")
    add("--remove", type=_amount, help="say whether it would go: fraction, or by group: dense1=0.3,conv2=0.5")
    add("--top", type=int, default=5, help="how many terms, samples and weights to list (5)")
    add("--seed", type=_seed, default=0, help="for criteria that draw (0)")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")
    add("-o", "--output", help="also draw it: figure.png or figure.svg")


def _formulas(add: Adder) -> None:
    add("--op", help="only this op")
    add("--criteria", action="store_true", help="the scores instead of the ops")
    add("--tex", action="store_true", help="as TeX")


def _step(add: Adder) -> None:
    add("model", nargs="?", help="a saved network (.npz); without one, the document's example")
    add("data", nargs="?", help=f"{DATA}; the example needs none")
    add("--linear", action="store_true", help="the document's example with a linear output")
    add("--sample", type=int, help="which training sample, from 0 (0)")
    add("--layer", help="follow only the neurons that this layer makes: dense1")
    add("--neuron", type=int, help="follow only this one of them, from 0")
    add(
        "--criteria",
        type=lambda text: text.split(","),
        help="scores; the first decides (the document's, taylor, truth)",
    )
    add("--remove", type=_amount, help="the fraction that goes (0.5; of the example two neurons), or by group")
    add("--all", action="store_true", help="print all steps, as when piped, instead of one at a time")
    add("--seed", type=int, default=0, help="for criteria that draw (0)")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")


def _explore(add: Adder) -> None:
    add("model", nargs="?", help="a saved network (.npz); without one, the document's example")
    add("--data", help=f"{DATA}; the example needs none")
    add("--linear", action="store_true", help="the document's example with a linear output")
    add("--sample", type=int, help="the training sample that is drawn, from 0 (0)")
    add("--samples", type=_count, default=8, help="how many, from that one on, the loss is a mean of (8)")
    add(
        "--layer",
        help="follow only the neurons that this layer makes (all, of a network of at most 100 numbers; else neuron 0 "
        "of the first)",
    )
    add("--neuron", type=int, help="follow only this one of them, from 0")
    add("--criteria", type=lambda text: text.split(","), help="scores (the document's, taylor, truth)")
    add("--remove", type=_amount, help="the fraction that goes (0.5; of the example two neurons), or by group")
    add("--seed", type=_seed, default=0, help="for criteria that draw (0)")
    add("--label", default="-1", help="label column of a CSV file, by name or number (the last)")
    add("-o", "--output", default="page.html", help="the page (page.html)")


def _data(add: Adder) -> None:
    add("name", nargs="?", help="which set to fetch; without one, list those that are known")


def _nothing(add: Adder) -> None:
    pass


def _listing(add: Adder) -> None:
    add("--out", default="minprune-listing", help="folder for the figures (minprune-listing)")
    add("--hidden", type=int, default=5, help="hidden neurons: 5 as in the text, 3 as in the listing (5)")
    add("--seed", type=_seed, default=42, help="of the starting weights (42)")


def _grade(add: Adder) -> None:
    add("files", nargs="*", help="your answers, or a folder of them; they are run. Without any: what there is to do")


COMMANDS: dict[str, tuple[str, str, Callable[[Adder], None]]] = {
    "demo": ("The whole cycle on handwritten digits, with figures.", "minprune demo --seeds 1", _demo),
    "train": ("Train a network.", "minprune train digits --hidden 64-32 --epochs 30 -o model.npz", _train),
    "score": ("Score the neurons of a network.", "minprune score model.npz digits --criterion taylor", _score),
    "agreement": (
        "Hold every score against the exact cost of each removal, and try its choices.",
        "minprune agreement model.npz digits --criteria taylor,magnitude_l2 --epochs 1 -o agreement.png",
        _agreement,
    ),
    "prune": (
        "Score, remove, repair and fine-tune.",
        "minprune prune model.npz digits --remove 0.5 --epochs 2 -o pruned.npz",
        _prune,
    ),
    "scan": (
        "Remove fractions of each layer alone, and see what they cost.",
        "minprune scan model.npz digits --criterion taylor --figure scan.png",
        _scan,
    ),
    "choose": (
        "Measure many smaller networks; choose the smallest that is good enough, or the best that is small enough.",
        "minprune choose model.npz digits --max-loss 0.01 --criteria taylor -o chosen.npz --figure pareto.png",
        _choose,
    ),
    "reduce": (
        "Take out what makes no difference for inputs in a box.",
        "minprune reduce model.npz --box 0 1 -o reduced.npz",
        _reduce,
    ),
    "evaluate": ("Measure accuracy, size and runtime.", "minprune evaluate model.npz digits", _evaluate),
    "compare": ("Measure networks side by side.", "minprune compare model.npz pruned.npz --data digits", _compare),
    "bench": (
        "Time a network on this machine: compiled by minprune, in NumPy, in onnxruntime.",
        "minprune bench model.npz --batch 1,64",
        _bench,
    ),
    "verify": (
        "Check a pruned network against its history and its certificates.",
        "minprune verify pruned.npz --original model.npz --data digits",
        _verify,
    ),
    "explain": (
        "Where a neuron's score comes from, what it answers to, and why it stays or goes.",
        "minprune explain model.npz digits dense1 3 --remove 0.5 -o neuron.png",
        _explain,
    ),
    "step": (
        "Follow a network number by number: forward, backward, scores, removal.",
        "minprune step model.npz digits --sample 3 --layer dense1 --neuron 2",
        _step,
    ),
    "explore": (
        "Write a network as one web page: step through it, switch neurons off and see what it costs.",
        "minprune explore model.npz --data digits --layer dense1 --neuron 2 -o page.html",
        _explore,
    ),
    "formulas": ("Print the formula sheet from the ops' own records.", "minprune formulas --op affine", _formulas),
    "data": ("Fetch a data set from its home.", "minprune data", _data),
    "worked": ("The document's 3-5-2 example (4.3), number by number.", "minprune worked", _nothing),
    "listing": ("The document's program (5.2), made to run.", "minprune listing --hidden 3", _listing),
    "grade": ("Judge your answers to the tutorials' exercises.", "minprune grade", _grade),
    "warmup": ("Compile all kernels ahead, for backend numba.", "minprune warmup", _nothing),
}
