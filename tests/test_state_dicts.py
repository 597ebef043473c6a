"""Weights from PyTorch: the same outputs after loading, and one message that explains whatever does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import minprune as mp
from minprune.errors import DataError, DtypeError, FileError, StructureError


class Residual(nn.Module):
    """Batch-norm, a shortcut that is declared first but comes last here, and two blocks of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(3, 8, 1, stride=2, bias=False)
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + self.shortcut(x)
        return self.fc(self.depthwise(torch.relu(y)).mean(dim=(2, 3)))


def residual(width: int = 8) -> mp.Graph:
    body = mp.Sequential(
        *(mp.Conv2d(3, width, 3, stride=2, padding=1, bias=False), mp.BatchNorm(width), mp.ReLU()),
        *(mp.Conv2d(width, width, 3, padding=1, bias=False), mp.BatchNorm(width)),
        input_shape=(3, 10, 10),
    )
    return mp.Sequential(
        *(mp.Residual(body, mp.Conv2d(3, width, 1, stride=2, bias=False)), mp.ReLU()),
        *(mp.Conv2d(width, width, 3, groups=width), mp.GlobalAvgPool2d(), mp.Dense(width, 4)),
        input_shape=(3, 10, 10),
    )


def torch_mlp() -> Any:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))


def mlp() -> mp.Graph:
    return mp.Sequential(
        mp.Dense(6, 5), mp.ReLU(), mp.Dense(5, 5), mp.Tanh(), mp.Dense(5, 3, bias=False), input_shape=(6,)
    )


def torch_cnn() -> Any:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, (3, 2), padding=1, dilation=(1, 2)), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 8, 3, groups=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)),
    )


def cnn() -> mp.Graph:
    return mp.Sequential(
        *(mp.Conv2d(2, 6, (3, 2), padding=1, dilation=(1, 2)), mp.BatchNorm(6), mp.ReLU(), mp.MaxPool2d(2)),
        *(mp.Conv2d(6, 8, 3, groups=2, bias=False), mp.BatchNorm(8), mp.ReLU(), mp.Flatten(), mp.Dense(32, 3)),
        input_shape=(2, 8, 8),
    )


CASES: dict[str, tuple[Any, Any]] = {
    "mlp": (torch_mlp, mlp),
    "cnn": (torch_cnn, cnn),
    "residual": (Residual, residual),
}


def trained(make: Any) -> Any:
    """In evaluation mode, with running statistics and batch-norm weights that are not the starting ones."""
    torch.manual_seed(0)
    module = make()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for array in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                array.uniform_(0.5, 1.5)
    return module.eval()


def difference(module: Any, net: mp.Graph) -> float:
    """The largest, over the size of the outputs."""
    (shape,) = net.input_shapes.values()  # type: ignore[union-attr]
    x = np.random.default_rng(0).standard_normal((16, *shape)).astype(np.float32)
    with torch.no_grad():
        y = module(torch.from_numpy(x)).numpy()
    return float(np.abs(net(x) - y).max() / np.abs(y).max())


@pytest.mark.parametrize("case", CASES)
def test_a_network_computes_what_the_torch_module_does(case: str) -> None:
    make, declare = CASES[case]
    module, net = trained(make), declare()
    before = {name: array.copy() for name, array in net.arrays.items()}
    assert difference(module, net) > 0.1
    assert difference(module, mp.load_weights(net, module.state_dict())) < 1e-5
    assert difference(module.double().float(), mp.load_weights(net.astype(np.float64), module.state_dict())) < 1e-5
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, before[name])  # the network given is not changed


@pytest.mark.parametrize("case", CASES)
def test_files_and_mappings_of_arrays_do_as_well(case: str, tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.torch")
    module, declare = trained(CASES[case][0]), CASES[case][1]
    state = module.state_dict()
    theirs.save_file(state, tmp_path / "a.safetensors")  # the file is in an order of its own: by kind, then by name
    np.savez(tmp_path / "a.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    sources = [str(tmp_path / "a.npz"), {name: tensor.numpy() for name, tensor in state.items()}]
    for source in sources:
        assert difference(module, mp.load_weights(declare(), source)) < 1e-5
    assert set(mp.weight_mapping(declare(), tmp_path / "a.safetensors").values()) == {
        name for name in state if not name.endswith("num_batches_tracked")
    }


def test_the_mapping_tells_who_takes_what() -> None:
    assert mp.weight_mapping(residual(), Residual().state_dict()) == {
        "conv1.W": "conv1.weight",
        "batchnorm1.gamma": "bn1.weight",
        "batchnorm1.beta": "bn1.bias",
        "conv2.W": "conv2.weight",
        "batchnorm2.gamma": "bn2.weight",
        "batchnorm2.beta": "bn2.bias",
        "conv3.W": "shortcut.weight",
        "conv4.W": "depthwise.weight",
        "conv4.b": "depthwise.bias",
        "dense1.W": "fc.weight",
        "dense1.b": "fc.bias",
        "batchnorm1.mean": "bn1.running_mean",
        "batchnorm1.var": "bn1.running_var",
        "batchnorm2.mean": "bn2.running_mean",
        "batchnorm2.var": "bn2.running_var",
    }


def test_a_mapping_by_hand_overrules_the_order() -> None:
    net = mp.Sequential(mp.Dense(3, 3), mp.Dense(3, 3), mp.Dense(3, 2))
    a, b, c = (np.full((n, 3), float(n + k)) for n, k in ((3, 0), (3, 1), (2, 0)))
    state = {"a.weight": a, "a.bias": a[:, 0], "b.weight": b, "b.bias": b[:, 0], "c.kernel": c, "c.bias": c[:, 0]}
    mapping = {"dense1": "b", "dense3.W": "c.kernel", "dense3.b": "c.bias"}
    loaded = mp.load_weights(net, state, mapping)
    for name, wanted in (("dense1", b), ("dense2", a), ("dense3", c)):
        np.testing.assert_array_equal(loaded.params[f"{name}.W"], wanted)
        np.testing.assert_array_equal(loaded.params[f"{name}.b"], wanted[:, 0])
    assert mp.weight_mapping(net, state, mapping)["dense2.W"] == "a.weight"


def test_the_order_of_layers_of_one_shape_is_kept() -> None:
    net = mp.Sequential(mp.Dense(2, 2, bias=False), mp.Dense(2, 2, bias=False))
    state = {"z.weight": np.full((2, 2), 1.0), "a.weight": np.full((2, 2), 2.0)}
    assert mp.weight_mapping(net, state) == {"dense1.W": "z.weight", "dense2.W": "a.weight"}


def test_a_safetensors_file_is_read_by_the_numbers_in_its_names(tmp_path: Path) -> None:
    """Its writers sort by name, so that 10 comes before 2: taken in that order all weights would go wrong."""
    theirs = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    module = nn.Sequential(*[nn.Linear(4, 4) for _ in range(12)])
    theirs.save_file(module.state_dict(), tmp_path / "a.safetensors")
    net = mp.Sequential(*[mp.Dense(4, 4) for _ in range(12)], input_shape=(4,))
    loaded = mp.load_weights(net, tmp_path / "a.safetensors")
    assert difference(module, loaded) < 1e-5
    np.testing.assert_array_equal(loaded.params["dense3.W"], module[2].weight.detach().numpy())


def test_two_modules_of_one_shape_in_a_safetensors_file_need_a_mapping_where_numbers_do_not_tell(
    tmp_path: Path,
) -> None:
    theirs = pytest.importorskip("safetensors.torch")
    state = {"encoder.weight": torch.ones(3, 3), "decoder.weight": torch.zeros(3, 3)}
    theirs.save_file(state, tmp_path / "a.safetensors")
    net = mp.Sequential(mp.Dense(3, 3, bias=False), mp.Dense(3, 3, bias=False))
    match = r"decoder, encoder are of one shape, and the file does not keep their order: map them"
    with pytest.raises(StructureError, match=match):
        mp.load_weights(net, tmp_path / "a.safetensors")
    assert mp.load_weights(net, state).params["dense1.W"].all()
    loaded = mp.load_weights(net, tmp_path / "a.safetensors", {"dense1": "encoder"})
    assert loaded.params["dense1.W"].all()
    assert not loaded.params["dense2.W"].any()


def test_a_pruned_network_goes_back_into_a_smaller_module() -> None:
    module = trained(torch_mlp)
    net = mp.load_weights(mlp(), module.state_dict())
    names = mp.weight_mapping(net, module.state_dict())
    small = mp.remove(net, mp.Plan({"dense1": [0, 3], "dense2": [2]}))
    smaller = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3, bias=False))
    smaller.load_state_dict({theirs: torch.from_numpy(small.arrays[ours]) for ours, theirs in names.items()})
    assert difference(smaller, small) < 1e-5


def test_weights_that_a_mask_does_not_keep_stay_0() -> None:
    net = mp.Sequential(mp.Dense(3, 2, bias=False))
    kept = np.array([[True, False, True], [False, True, True]])
    masked = mp.mask(net, mp.WeightPlan({"dense1.W": kept}))
    loaded = mp.load_weights(masked, {"weight": np.ones((2, 3))})
    np.testing.assert_array_equal(loaded.params["dense1.W"], kept)
    np.testing.assert_array_equal(loaded.masks["dense1.W"], kept)


# what does not fit ----------------------------------------------------------------------------------------------------


def zeros(**shapes: tuple[int, ...]) -> dict[str, Any]:
    return {name.replace("__", "."): np.zeros(shape) for name, shape in shapes.items()}


FC1 = {"fc1__weight": (4, 3), "fc1__bias": (4,)}
FC2 = {"fc2__weight": (2, 4), "fc2__bias": (2,)}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (
            zeros(**FC1),
            r"dense2 needs weight \(2, 4\), bias \(2,\); no such module is left\. What fits: dense1\.W ← fc1",
        ),
        ({}, r"dense1 needs .* no such module is left; dense2 needs .*\. What fits: nothing"),
        (
            zeros(**FC1, fc2__weight=(4, 2), fc2__bias=(2,)),
            r"fc2\.weight \(4, 2\) \(transposed\?\); .* takes fc2\.weight \(4, 2\); .*What fits: dense1\.W ← ",
        ),
        (
            zeros(**FC1, fc2__weight=(2, 2, 2), fc2__bias=(2,)),
            r"fc2\.weight \(2, 2, 2\) \(the same number of entries, reshaped\?\)",
        ),
        (zeros(**FC1, fc2__weight=(2, 5), fc2__bias=(2,)), r"fc2\.weight \(2, 5\) \(another size\)"),
        (zeros(**FC1, fc2__weight=(2, 4)), r"the next left over has no fc2\.bias; nothing here takes fc2\.weight"),
        (
            zeros(**FC1, fc2__weight=(2, 4), fc2__bias=(2,), fc2__weight_g=(2, 1)),
            r"the next left over has fc2\.weight_g \(2, 1\), for which there is no place",
        ),
        (zeros(**FC1, **FC2, more__weight=(7, 7)), r"network: nothing here takes more\.weight \(7, 7\)\. What fits"),
        (zeros(**FC1, **FC2, scale=(1,)), r"nothing here takes scale \(1,\)"),
    ],
)
def test_all_that_does_not_fit_is_told_at_once(state: dict[str, Any], match: str) -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.Dense(4, 2))
    with pytest.raises(StructureError, match=match) as caught:
        mp.load_weights(net, state)
    assert "\n" not in str(caught.value)


def test_batch_norm_takes_no_linear_layers_arrays() -> None:
    net = mp.Sequential(mp.BatchNorm(3), mp.Dense(3, 3))
    state = zeros(fc__weight=(3, 3), fc__bias=(3,), norm__weight=(3,), norm__bias=(3,))
    with pytest.raises(StructureError, match=r"batchnorm1 needs weight \(3,\), bias .*; no such module is left"):
        mp.load_weights(net, state)


@pytest.mark.parametrize(
    ("mapping", "match"),
    [
        ({"dense9": "fc1"}, "the mapping names dense9, which is no layer with weights and no array here"),
        ({"dense1": "fc9"}, r"the mapping takes dense1\.W from fc9\.weight, which is not there"),
        ({"dense1": "fc2"}, r"dense1\.W \(4, 3\) ← fc2\.weight \(2, 4\): another size"),
        ({"dense1.W": "fc1.weight"}, r"dense1\.b is not in the mapping, other arrays of its layer are"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(mapping: dict[str, str], match: str) -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.Dense(4, 2))
    with pytest.raises(StructureError, match=match):
        mp.load_weights(net, zeros(**FC1, **FC2), mapping)


def test_a_long_list_of_misfits_is_cut_short() -> None:
    net = mp.Sequential(mp.Dense(3, 4))
    state = zeros(**FC1) | {f"a{n}.weight": np.zeros(2) for n in range(20)}
    with pytest.raises(StructureError, match=r"a11\.weight \(2,\); and 8 more\. What fits: dense1\.W"):
        mp.load_weights(net, state)


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (np.full((2, 3), np.nan), DataError, "fc.weight: holds a number that is not finite, or too large for float32"),
        (np.full((2, 3), 1e300), DataError, "fc.weight: holds a number that is not finite, or too large for float32"),
        (np.ones((2, 3), complex), DtypeError, "fc.weight: expected real numbers, got complex128"),
        (torch.ones(2, 3, dtype=torch.bfloat16), DtypeError, r"must be arrays or plain CPU tensors .* BFloat16"),
        (torch.ones(2, 3, requires_grad=True), DtypeError, r"must be arrays or plain CPU tensors .* requires grad"),
    ],
)
def test_numbers_that_cannot_be_weights_are_refused(value: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        mp.load_weights(mp.Sequential(mp.Dense(3, 2, bias=False)), {"fc.weight": value})


def test_bfloat16_is_read_from_a_file(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.torch")
    W = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3) / 4
    theirs.save_file({"fc.weight": W}, tmp_path / "a.safetensors")
    loaded = mp.load_weights(mp.Sequential(mp.Dense(3, 2, bias=False)), tmp_path / "a.safetensors")
    np.testing.assert_array_equal(loaded.params["dense1.W"], W.float().numpy())


def test_sources_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    with pytest.raises(FileError, match=r"model\.pt: weights are read from \.safetensors and \.npz; torch\.load what"):
        mp.load_weights(net, tmp_path / "model.pt")
    with pytest.raises(
        DataError, match=r"expected a path, or arrays by name as module\.state_dict\(\) gives, got Linear"
    ):
        mp.load_weights(net, nn.Linear(3, 2))  # type: ignore[arg-type]
    with pytest.raises(FileError, match=r"nothing\.npz"):
        mp.load_weights(net, tmp_path / "nothing.npz")
