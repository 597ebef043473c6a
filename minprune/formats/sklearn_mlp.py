"""scikit-learn's multilayer perceptrons as networks, and networks as perceptrons: extra ``sklearn``.

Its ``coefs_`` are (inputs, outputs), the transpose of our W. A classifier of two classes has one output z with the
probability σ(z) of the second class; here it has two, 0 and z, since softmax(0, z) = (1 − σ(z), σ(z)).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from ..errors import MissingPackageError, StructureError
from ..layers import Dense, Dropout, Identity, Layer, ReLU, Sigmoid, Softmax, Tanh
from ..nn import Graph, Sequential
from ..ops import Array

try:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
except ImportError as error:
    raise MissingPackageError(
        f"scikit-learn 1.6 or later is needed here ({error}): pip install 'minprune[sklearn]'"
    ) from None

ACTIVATIONS: dict[str, type[Layer]] = {"identity": Identity, "logistic": Sigmoid, "tanh": Tanh, "relu": ReLU}


def from_sklearn(estimator: Any, *, probabilities: bool = False) -> Graph:
    r"""Turn a fitted `MLPClassifier` or `MLPRegressor` into a network in float64.

    $z = x\, \mathrm{coef} + \mathrm{intercept} = x W^\top + b$, layer by layer.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted; is not changed.
    probabilities : bool
        End a classifier with a softmax, so that the network gives what ``predict_proba`` gives. Without one it gives
        logits, which is what the cross-entropy of `score`, `prune` and `fit` takes.

    Returns
    -------
    Graph
        Output k of a classifier belongs to ``estimator.classes_[k]``: labels for minprune are
        ``np.searchsorted(estimator.classes_, y)``. A regressor's outputs are ``predict``'s.

    Raises
    ------
    StructureError
        For anything else, an estimator that is not fitted, one class, several labels at once, or a Poisson loss.

    Examples
    --------
    >>> import minprune as mp
    >>> from sklearn.neural_network import MLPClassifier
    >>> x, y = np.eye(4), np.array(["cat", "dog", "cat", "dog"])
    >>> fitted = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(x, y)
    >>> net = from_sklearn(fitted)
    >>> list(net.nodes), fitted.classes_[net(x).argmax(axis=1)].tolist()
    (['dense1', 'relu1', 'dense2'], ['cat', 'dog', 'cat', 'dog'])
    """
    _check(estimator)
    if probabilities and not isinstance(estimator, MLPClassifier):
        raise StructureError("probabilities: a regressor has none")
    weights = [(coef.T, intercept) for coef, intercept in zip(estimator.coefs_, estimator.intercepts_, strict=True)]
    if estimator.out_activation_ == "logistic":
        W, b = weights[-1]
        weights[-1] = np.vstack([np.zeros_like(W), W]), np.append(np.zeros_like(b), b)
    layers: list[Layer] = []
    for W, _ in weights:
        layers += [Dense(W.shape[1], W.shape[0]), ACTIVATIONS[estimator.activation]()]
    layers[-1:] = [Softmax()] if probabilities else []
    net = Sequential(*layers, dtype=np.float64)
    for number, (W, b) in enumerate(weights, 1):
        net.params[f"dense{number}.W"], net.params[f"dense{number}.b"] = W, b
    return net


def _check(estimator: Any) -> None:
    """Refuse what is no fitted perceptron, or one that has no counterpart here."""
    name = type(estimator).__name__
    if not isinstance(estimator, MLPClassifier | MLPRegressor):
        raise StructureError(f"expected an MLPClassifier or MLPRegressor, got {name}")
    if not hasattr(estimator, "coefs_"):
        raise StructureError(f"this {name} is not fitted: call fit first")
    if isinstance(estimator, MLPRegressor):
        if estimator.out_activation_ != "identity":
            raise StructureError(f"this {name} ends with {estimator.out_activation_}; only squared_error has a network")
        return
    if estimator.out_activation_ == "logistic" and estimator.n_outputs_ > 1:
        raise StructureError(f"this {name} gives {estimator.n_outputs_} labels at once; expected one class per sample")
    if len(estimator.classes_) < 2:
        raise StructureError(f"this {name} saw one class only; there is nothing to tell apart")


def to_sklearn(net: Graph, like: Any) -> Any:
    """Turn a network back into an estimator: `like` with the network's weights and sizes.

    It predicts, scores, clones, pickles and trains on as any estimator. ``hidden_layer_sizes`` are the network's, so a
    clone that is fitted anew has the small shape, too. The optimiser's memory and the mark of the best loss so far are
    those of other shapes: they are forgotten, and ``partial_fit`` begins with fresh ones. What it tells of its training
    (``loss_curve_``, ``n_iter_`` …) is still that of `like`.

    Parameters
    ----------
    net : Graph
        From `from_sklearn`, pruned, repaired, trained: a chain of `Dense` layers with one kind of activation.
    like : MLPClassifier or MLPRegressor
        The fitted estimator that the network was made from; is not changed.

    Returns
    -------
    MLPClassifier or MLPRegressor
        With arrays of the dtype that those of `like` have.

    Raises
    ------
    StructureError
        For a network that is not such a chain, or does not read and give what `like` does.

    Examples
    --------
    >>> import minprune as mp
    >>> from sklearn.neural_network import MLPRegressor
    >>> x = np.linspace(-1, 1, 20)[:, None]
    >>> fitted = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(x, x[:, 0] ** 2)
    >>> small = to_sklearn(mp.remove(from_sklearn(fitted), mp.Plan({"dense1": [0, 4]})), like=fitted)
    >>> small.hidden_layer_sizes, small.predict(x).shape
    ((8,), (20,))
    """
    _check(like)
    weights = [(net.params[f"{name}.W"], _bias(net, name)) for name in _dense_chain(net, like)]
    if like.out_activation_ == "logistic" and len(weights[-1][1]) == 2:
        W, b = weights[-1]
        weights[-1] = W[1:] - W[:1], b[1:] - b[:1]  # softmax depends on the difference of two logits only
    if weights[0][0].shape[1] != like.n_features_in_ or len(weights[-1][1]) != like.n_outputs_:
        raise StructureError(
            f"the network reads {weights[0][0].shape[1]} features and gives {len(weights[-1][1])} outputs, "
            f"this {type(like).__name__} {like.n_features_in_} and {like.n_outputs_}"
        )
    dtype = like.coefs_[0].dtype
    small = deepcopy(like)
    small.set_params(hidden_layer_sizes=tuple(len(b) for _, b in weights[:-1]))
    small.coefs_ = [np.array(W.T, dtype, order="C") for W, _ in weights]
    small.intercepts_ = [np.array(b, dtype) for _, b in weights]
    small.n_layers_ = len(weights) + 1
    _forget_training(small)
    return small


def _forget_training(estimator: Any) -> None:
    """What an optimiser kept for arrays of other shapes: its moments, and the best weights and losses so far."""
    vars(estimator).pop("_optimizer", None)
    estimator.t_ = 0  # samples seen, from which a falling learning rate follows
    estimator._no_improvement_count = 0
    estimator._best_coefs = [coef.copy() for coef in estimator.coefs_]
    estimator._best_intercepts = [intercept.copy() for intercept in estimator.intercepts_]
    for name, worst in (("best_loss_", np.inf), ("best_validation_score_", -np.inf)):
        if getattr(estimator, name, None) is not None:
            setattr(estimator, name, worst)


def _bias(net: Graph, name: str) -> Array:
    return net.params[f"{name}.b"] if f"{name}.b" in net.params else np.zeros(len(net.params[f"{name}.W"]), net.dtype)


def _dense_chain(net: Graph, like: Any) -> list[str]:
    """The names of the dense layers, of a network that is dense, activation, dense … dense; dropout does nothing."""
    before = net.inputs[0]
    for name, node in net.nodes.items():
        if node.inputs != (before,):
            raise StructureError(f"{name} reads {', '.join(node.inputs)}: scikit-learn has only chains of layers")
        before = name
    layers = {name: node.layer for name, node in net.nodes.items() if not isinstance(node.layer, Dropout)}
    if isinstance(like, MLPClassifier) and isinstance(layers.get(net.output), Softmax):
        del layers[net.output]
    kinds = Dense, ACTIVATIONS[like.activation]
    for place, (name, layer) in enumerate(layers.items()):
        if not isinstance(layer, kinds[place % 2]):
            raise StructureError(
                f"{name} is {type(layer).__name__}, expected {kinds[place % 2].__name__}: this {type(like).__name__} "
                f"has dense layers, with {like.activation} between them"
            )
    if len(layers) % 2 == 0:
        raise StructureError(f"the network ends with {next(reversed(layers.values()))}, expected a dense layer")
    return list(layers)[::2]
