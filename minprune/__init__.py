"""minprune: importance-scored neuron pruning that you can read, check and use.

Every public name is imported when it is first used: ``import minprune as mp`` itself costs no more than NumPy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name -> the module it lives in. No module bears the name of a public function.
_HOMES = {
    "nn": ("Graph", "Sequential", "Residual", "Concat"),
    "layers": (
        *("Dense", "Conv1d", "Conv2d", "BatchNorm", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "Flatten", "Dropout"),
        *("Identity", "ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Softmax", "Add"),
    ),
    "recording": ("record",),
    "gradcheck": ("check",),
    "scores": ("score", "criteria"),
    "scores.quadratic": ("quadratic_model", "QuadraticModel"),
    "scores.shapley": ("shapley_values",),
    "train": ("fit",),
    "penalties": ("GroupLasso", "BatchNormL1"),
    "distillation": ("Distillation",),
    "optim": ("SGD", "Adam", "AdamW", "OptimizerState"),
    "learning_rates": ("Cosine", "Step", "OneCycle"),
    "pruning.schedule": ("prune", "FineTune"),
    "pruning.growing": ("grow",),
    "pruning.turnover": ("drop_and_grow",),
    "pruning.while_training": ("prune_while_training",),
    "pruning.plan": ("Plan",),
    "pruning.weights.plan": ("WeightPlan",),
    "pruning.weights.schedule": ("prune_weights",),
    "sparse_networks": ("sparsify", "storage"),
    "pruning.deciding": ("decide", "Global", "PerLayer", "Threshold"),
    "pruning.sets": ("choose_set",),
    "pruning.bounding": ("best_set",),
    "pruning.budget": ("Budget",),
    "pruning.repairs.least_squares": ("LeastSquares",),
    "pruning.repairs.brain_surgeon": ("OptimalBrainSurgeon",),
    "pruning.surgery": ("mask", "remove"),
    "pruning.exact.intervals": ("interval_bounds",),
    "pruning.exact.reduction": ("reduce_exactly",),
    "evaluation": ("evaluate",),
    "comparison": ("compare",),
    "truth": ("agreement",),
    "choosing.scanning": ("sensitivity_scan",),
    "choosing.search": ("choose",),
    "explaining.explanation": ("explain",),
    "tracing": ("trace", "Focus"),
    "explorer": ("explore",),
    "verification": ("verify",),
    "formats": ("save", "load"),
    "formats.state_dicts": ("load_weights", "weight_mapping"),
    "formats.sklearn_mlp": ("from_sklearn", "to_sklearn"),
    "formats.sklearn_pruner": ("NeuronPruner",),
    "backends": ("backend",),
}
# Public names that are not those of what they stand for: `compile` is one of Python's own.
_CALLED = {"compile": ("runtime.program", "compile_network")}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("data", "ops")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _CALLED:
        module, called = _CALLED[name]
        return getattr(import_module(f".{module}", __name__), called)
    if name not in _HOME:
        raise AttributeError(f"minprune has no {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_HOME, *_CALLED, *_MODULES, "__version__"])
