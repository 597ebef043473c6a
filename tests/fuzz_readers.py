"""What is fuzzed: every reader of files, with good files of each kind to begin from."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import opaque_cases

import minprune as mp
from minprune.checkpoints import restore_training
from minprune.datasets import idxfile
from minprune.datasets.npzfile import read_npy
from minprune.formats import state_dicts
from minprune.formats.state_files import Kept, StateFile
from minprune.pruning.standing import Progress, Standing

KEPT = (  # networks with nodes that are executed while they are read
    *("lstm that starts at zeros for every sample", "attention with a softmax over a mask", "looked up", "expanded"),
    *("top values and where they are", "transposed convolution", "repeated", "running sum", "reflected"),
)
SMALL = 40_000  # bytes: larger real models take longer to mutate than they teach


@dataclass(frozen=True)
class Reader:
    """A reader, the kind of mutation that fits its files, and good files: their suffix and bytes."""

    kind: str
    read: Callable[[Path], Any]
    seeds: tuple[tuple[str, bytes], ...]


def readers(folder: Path) -> dict[str, Reader]:
    """All readers, by name; `folder` is for the files that are made on the way."""
    nets = _networks()
    state = nets["mlp"]
    return {
        "network .npz": Reader("zip", mp.load, _saved(nets, folder, ".npz")),
        "network .safetensors": Reader("safetensors", mp.load, _saved(nets, folder, ".safetensors")),
        "network .onnx": Reader("onnx", mp.load, _onnx(nets, folder)),
        "data .npz": Reader("zip", mp.data.load, _archives(folder)),
        "data IDX": Reader("idx", idxfile.read, _idx()),
        "data .csv": Reader("csv", mp.data.load, _tables()),
        "plan .json": Reader("json", mp.Plan.load, _plans(nets, folder)),
        "weight plan .json": Reader("json", mp.WeightPlan.load, _weight_plans(nets, folder)),
        "weights .safetensors": Reader("safetensors", lambda p: mp.load_weights(state, p), _weights(state, folder)),
        "weights .npz": Reader("zip", lambda p: mp.load_weights(state, p), _weights_npz(state, folder)),
        "labels .npy": Reader("npy", read_npy, _npy(folder)),
        "state of a pruning": Reader("safetensors", _resume, _states(nets["cnn"], folder)),
    }


def _resume(path: Path) -> None:
    """All that --resume takes from a state file."""
    kept = StateFile(path, "job").kept()
    assert kept is not None
    net = mp.Sequential(mp.Dense(4, 2), rng=0)
    stands, rng = Progress(Standing(net, {}, net, None)), np.random.default_rng(0)
    stands.restore(kept, mp.Global(0.5), "linear", rng)
    if "fit" in kept.parts:
        restore_training(kept.parts["fit"], stands.now.small, rng)


class _Noting(StateFile):
    """Keeps the bytes of every state, too."""

    def keep(self, now: Kept) -> None:
        super().keep(now)
        (self.path.parent / f"{len(os.listdir(self.path.parent))}.kept").write_bytes(self.path.read_bytes())


def _states(net: Any, folder: Path) -> tuple[tuple[str, bytes], ...]:
    x, y = np.random.default_rng(0).random((12, 1, 6, 6), np.float32), np.arange(12) % 3
    inner = folder / "states"
    inner.mkdir()
    how = {"rounds": 2, "finetune": mp.FineTune(1), "progress": False}
    mp.prune(net, (x, y), keeper=_Noting(inner / "work.state", "job"), **how)
    return tuple((".state", path.read_bytes()) for path in sorted(inner.glob("*.kept")))


def _npy(folder: Path) -> tuple[tuple[str, bytes], ...]:
    np.save(folder / "y.npy", np.arange(12))
    return ((".npy", (folder / "y.npy").read_bytes()),)


def _networks() -> dict[str, Any]:
    mlp = mp.Sequential(mp.Dense(4, 5), mp.ReLU(), mp.Dense(5, 3), rng=0)
    cnn = mp.Sequential(
        *(mp.Conv2d(1, 3, 3), mp.BatchNorm(3), mp.ReLU(), mp.MaxPool2d(2), mp.Flatten(), mp.Dense(12, 3)),
        input_shape=(1, 6, 6),
        rng=0,
    )
    residual = mp.Sequential(mp.Residual(mp.Sequential(mp.Dense(4, 5), mp.Tanh(), mp.Dense(5, 4))), mp.Softmax(), rng=0)
    pruned = mp.remove(mlp, mp.Plan({"dense1": [0, 3]}), repair="mean", data=np.eye(4, dtype=np.float32))
    weights = mp.score(mlp, criterion="magnitude_l1", by="weight")
    masked = mp.mask(mlp, mp.decide(weights, mp.Global(0.8)))
    nets = {"mlp": mlp, "cnn": cnn, "residual": residual, "pruned": pruned, "masked": masked}
    with tempfile.TemporaryDirectory() as folder:
        return nets | {"kept": mp.load(opaque_cases.network(KEPT[0], Path(folder))[0])}


def _saved(nets: dict[str, Any], folder: Path, suffix: str) -> tuple[tuple[str, bytes], ...]:
    found = []
    for net in nets.values():
        mp.save(net, folder / f"seed{suffix}", {"classes": ["a", "b"]})
        found.append((suffix, (folder / f"seed{suffix}").read_bytes()))
    return tuple(found)


def _onnx(nets: dict[str, Any], folder: Path) -> tuple[tuple[str, bytes], ...]:
    """Our own exports, and the real models that are small enough, where there are some."""
    own = _saved({name: net for name, net in nets.items() if name != "masked"}, folder, ".onnx")
    models = os.environ.get("MINPRUNE_MODELS", "")
    paths = sorted(Path(models).glob("*.onnx")) if models else []
    real = [path.read_bytes() for path in paths if path.stat().st_size < SMALL]
    kept = [opaque_cases.network(label, folder)[0].read_bytes() for label in KEPT]
    return (*own, *((".onnx", content) for content in (*real, *kept)))


def _archives(folder: Path) -> tuple[tuple[str, bytes], ...]:
    x, y = np.arange(48, dtype=np.float32).reshape(12, 4), np.arange(12) % 3
    path, found = folder / "seed.npz", []
    for save in (np.savez, np.savez_compressed):
        save(path, x=x, y=y)
        found.append((".npz", path.read_bytes()))
    np.savez_compressed(path, x_train=(x.astype(np.uint8)), y_train=y, x_test=x.astype(np.uint8), y_test=y)
    return (*found, (".npz", path.read_bytes()))


def _idx() -> tuple[tuple[str, bytes], ...]:
    head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (3, 4, 5))
    plain = head + bytes(range(60))
    return (".idx", plain), (".idx.gz", gzip.compress(plain, mtime=0))


def _tables() -> tuple[tuple[str, bytes], ...]:
    named = "width,height,kind\n1,2.5,tree\n3,4,herb\n-1e3,0,tree\n"
    return (".csv", named.encode()), (".csv", b"1,2,0\n3,4,1\n5,6,0\n")


def _plans(nets: dict[str, Any], folder: Path) -> tuple[tuple[str, bytes], ...]:
    mp.decide(mp.score(nets["mlp"], criterion="magnitude_l2"), mp.Global(0.5)).save(folder / "plan.json")
    mp.Plan({"dense1": [0, 2]}).save(folder / "hand.json")
    return tuple((".json", (folder / name).read_bytes()) for name in ("plan.json", "hand.json"))


def _weight_plans(nets: dict[str, Any], folder: Path) -> tuple[tuple[str, bytes], ...]:
    weights = mp.score(nets["mlp"], criterion="magnitude_l1", by="weight")
    mp.decide(weights, mp.Global(0.8)).save(folder / "weights.json")
    return ((".json", (folder / "weights.json").read_bytes()),)


def _torch_names(net: Any) -> dict[str, Any]:
    return {name.replace("dense1", "0").replace("dense2", "2").replace(".W", ".weight").replace(".b", ".bias"): array
            for name, array in net.arrays.items()}  # fmt: skip


def _weights(net: Any, folder: Path) -> tuple[tuple[str, bytes], ...]:
    from minprune.formats.safetensors_file import ordered, pack

    assert state_dicts.READERS.keys() == {".safetensors", ".npz"}, "a new reader of weights: fuzz it too"
    with (folder / "w.safetensors").open("wb") as file:
        pack(file, ordered(_torch_names(net)), {"format": "pt"})
    return ((".safetensors", (folder / "w.safetensors").read_bytes()),)


def _weights_npz(net: Any, folder: Path) -> tuple[tuple[str, bytes], ...]:
    np.savez(folder / "w.npz", **_torch_names(net))
    return ((".npz", (folder / "w.npz").read_bytes()),)
