"""Pruning as a scikit-learn estimator, for pipelines and searches: extra ``sklearn``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DataError
from ..ops import Array
from ..pruning.deciding import Global, PerLayer
from ..pruning.schedule import prune
from ..scores import Criterion
from .sklearn_mlp import from_sklearn, to_sklearn  # tells, where scikit-learn is missing

# isort: split
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

STRATEGIES: dict[str, type[Global] | type[PerLayer]] = {"per_layer": PerLayer, "global": Global}


def _able_to(name: str) -> Callable[[NeuronPruner], bool]:
    """Whether the wrapped estimator has a method; `available_if` then lends it."""
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), name)


class NeuronPruner(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Fit a multilayer perceptron, remove the hidden neurons that matter least, and predict with what is left.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Is cloned and fitted.
    ratio : float
        The fraction of hidden neurons that goes, at least 0 and below 1.
    criterion : str or Criterion
        How neurons are scored; see `minprune.criteria`.
    strategy : {"per_layer", "global"}
        Remove the fraction from every layer, or rank the neurons of all layers together: that can leave a layer with
        one neuron where the ratio is large.
    repair : {None, "mean", "least_squares", "merge", "obs"} or a repair
        What the layers that read the removed neurons do to make up for them; see `minprune.remove`.
    rounds : int
        In how many parts to remove, scoring anew before each.
    refit : bool
        Train the smaller estimator on, with its own settings (a ``warm_start``), from the weights that stayed.
    random_state : int, RandomState or None
        For criteria that draw. The wrapped estimator has its own.

    Attributes
    ----------
    estimator_ : MLPClassifier or MLPRegressor
        The smaller one: see `minprune.to_sklearn`.
    plan_ : Plan
        Which neurons of the fitted estimator were removed.
    report_ : str
        Sizes and accuracy before and after the removal, on the training data, and the certificate.
    classes_ : array
        Of a classifier.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    Scores and repairs see all training data, each sample alike: there are no sample weights. One label per sample; a
    regressor may have several outputs.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> pruner = NeuronPruner(MLPClassifier((20,), solver="lbfgs", random_state=0), ratio=0.75).fit(x, y)
    >>> pruner.estimator_.hidden_layer_sizes, bool(pruner.score(x, y) > 0.9)
    ((5,), True)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        ratio: float = 0.5,
        criterion: str | Criterion = "taylor",
        strategy: str = "per_layer",
        repair: Any = "least_squares",
        rounds: int = 1,
        refit: bool = False,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.ratio = ratio
        self.criterion = criterion
        self.strategy = strategy
        self.repair = repair
        self.rounds = rounds
        self.refit = refit
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> NeuronPruner:
        """Fit a clone of the estimator, then prune it.

        Parameters
        ----------
        X : array (n_samples, n_features)
        y : array (n_samples,), or (n_samples, n_outputs) for a regressor
            Class labels of any kind, or numbers.

        Returns
        -------
        NeuronPruner
            Itself.

        Raises
        ------
        DataError
            For an unknown strategy, or a ratio that is no fraction.
        StructureError, PlanError
            When the fitted estimator has no network, or cannot be pruned so far.
        """
        strategy = self._strategy()
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=not is_classifier(self)
        )
        dense = clone(self.estimator).fit(X, y)
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        net = from_sklearn(dense)  # refuses several labels at once, before they are looked up
        t = np.searchsorted(dense.classes_, y) if is_classifier(dense) else np.asarray(y, np.float64)
        rng = int(check_random_state(self.random_state).randint(2**31 - 1))
        how = {"rounds": self.rounds, "repair": self.repair, "rng": rng, "progress": False}
        found = prune(net, (X, t), self.criterion, strategy, **how)
        self.plan_, self.report_ = found.plan, found.report()
        self.estimator_ = to_sklearn(found.net, like=dense)
        if self.refit:
            warm = self.estimator_.warm_start
            self.estimator_.set_params(warm_start=True).fit(X, y).set_params(warm_start=warm)
        return self

    def _strategy(self) -> Global | PerLayer:
        if self.strategy not in STRATEGIES:
            raise DataError(f"strategy is {self.strategy!r}, expected one of {', '.join(STRATEGIES)}")
        if not isinstance(self.ratio, float | int | np.floating) or not 0 <= self.ratio < 1:
            raise DataError(f"ratio is {self.ratio!r}, expected a fraction of at least 0 and below 1")
        return STRATEGIES[self.strategy](float(self.ratio))

    def _checked(self, X: Any) -> Array:
        check_is_fitted(self)
        return validate_data(self, X, dtype=(np.float64, np.float32), reset=False)

    def predict(self, X: Any) -> Array:
        """Classes, or numbers, for every sample."""
        X = self._checked(X)
        return self.estimator_.predict(X)

    @available_if(_able_to("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n_samples, n_classes), in the order of `classes_`."""
        X = self._checked(X)
        return self.estimator_.predict_proba(X)

    @available_if(_able_to("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities (n_samples, n_classes)."""
        X = self._checked(X)
        return self.estimator_.predict_log_proba(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of a classifier, R² of a regressor."""
        X = self._checked(X)
        return float(self.estimator_.score(X, y, sample_weight))

    @property
    def classes_(self) -> Array:
        """The classes, in the order of the columns of `predict_proba`."""
        return self.estimator_.classes_

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn should take this for: what the wrapped estimator is, for dense data and one label."""
        tags, wrapped = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = wrapped.estimator_type
        tags.classifier_tags, tags.regressor_tags = wrapped.classifier_tags, wrapped.regressor_tags
        tags.target_tags = wrapped.target_tags
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = False
        return tags
