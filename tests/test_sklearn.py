"""scikit-learn: its perceptrons come in and go out, and a pruner that behaves as an estimator should."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import minprune as mp
from minprune.errors import DataError, PlanError, StructureError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5))
NUMBERS = np.column_stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] * X[:, 3]])
CLASSES = np.array(["ant", "bee", "cat"])[np.digitize(X[:, 0] + X[:, 1] ** 2, [0.3, 1.2])]


def classifier(y: Any = CLASSES, sizes: Any = (9, 7), **settings: Any) -> Any:
    how = {"hidden_layer_sizes": sizes, "solver": "lbfgs", "max_iter": 60, "random_state": 0}
    return MLPClassifier(**(how | settings)).fit(X, y)


def regressor(y: Any = NUMBERS, sizes: Any = (9, 7), **settings: Any) -> Any:
    how = {"hidden_layer_sizes": sizes, "solver": "lbfgs", "max_iter": 60, "random_state": 0}
    return MLPRegressor(**(how | settings)).fit(X, y)


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# in ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("y", [CLASSES, CLASSES == "bee", (CLASSES == "cat").astype(int) * 7])
def test_a_classifiers_network_gives_its_probabilities(activation: str, y: Any) -> None:
    fitted = classifier(y, activation=activation)
    net = mp.from_sklearn(fitted)
    assert net.dtype == np.float64
    np.testing.assert_allclose(softmax(net(X)), fitted.predict_proba(X), rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        mp.from_sklearn(fitted, probabilities=True)(X), fitted.predict_proba(X), rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(fitted.classes_[net(X).argmax(axis=1)], fitted.predict(X))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("y", [NUMBERS, NUMBERS[:, 0]])
def test_a_regressors_network_gives_its_predictions(activation: str, y: Any) -> None:
    fitted = regressor(y, activation=activation)
    found = mp.from_sklearn(fitted)(X)
    np.testing.assert_allclose(found.reshape(y.shape), fitted.predict(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(), (4,), 6, [3, 3, 3]])
def test_any_number_of_hidden_layers_comes_in_and_goes_out(sizes: Any) -> None:
    fitted = classifier(sizes=sizes)
    net = mp.from_sklearn(fitted)
    np.testing.assert_allclose(softmax(net(X)), fitted.predict_proba(X), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(mp.to_sklearn(net, fitted).predict_proba(X), fitted.predict_proba(X))


def test_single_precision_comes_in_as_double_and_goes_out_as_single() -> None:
    fitted = MLPRegressor(hidden_layer_sizes=(6,), max_iter=20, random_state=0).fit(X.astype(np.float32), NUMBERS)
    assert fitted.coefs_[0].dtype == np.float32
    net = mp.from_sklearn(fitted)
    np.testing.assert_allclose(net(X), fitted.predict(X), rtol=0, atol=1e-6)
    again = mp.to_sklearn(net, fitted)
    assert again.coefs_[0].dtype == again.intercepts_[0].dtype == np.float32
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_the_estimator_is_not_changed_by_what_becomes_of_its_network() -> None:
    fitted = regressor()
    before = fitted.predict(X)
    net = mp.from_sklearn(fitted)
    for array in net.params.values():
        array[...] = 0
    np.testing.assert_array_equal(fitted.predict(X), before)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: LogisticRegression(), "expected an MLPClassifier or MLPRegressor, got LogisticRegression"),
        (lambda: MLPClassifier(), "this MLPClassifier is not fitted: call fit first"),
        (lambda: classifier(np.ones(120)), "this MLPClassifier saw one class only"),
        (
            lambda: MLPClassifier((3,), solver="lbfgs").fit(*make_multilabel_classification(50, n_classes=4)),
            "this MLPClassifier gives 4 labels at once; expected one class per sample",
        ),
        (lambda: regressor(np.abs(NUMBERS), loss="poisson"), "this MLPRegressor ends with exp; only squared_error"),
    ],
)
def test_what_has_no_network_is_refused(make: Any, match: str) -> None:
    with pytest.raises(StructureError, match=match):
        mp.from_sklearn(make())


def test_a_regressor_has_no_probabilities() -> None:
    with pytest.raises(StructureError, match="probabilities: a regressor has none"):
        mp.from_sklearn(regressor(), probabilities=True)


# out ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("make", [classifier, lambda **how: classifier(CLASSES == "bee", **how), regressor])
def test_a_pruned_network_goes_back_and_computes_the_same(make: Any, activation: str) -> None:
    fitted = make(activation=activation)
    small = mp.remove(mp.from_sklearn(fitted), mp.Plan({"dense1": [0, 4], "dense2": [2]}))
    back = mp.to_sklearn(small, like=fitted)
    assert back.hidden_layer_sizes == (7, 6)
    assert [coef.shape for coef in back.coefs_] == [(5, 7), (7, 6), (6, fitted.n_outputs_)]
    if is_classifier(fitted):
        np.testing.assert_allclose(back.predict_proba(X), softmax(small(X)), rtol=0, atol=1e-12)
        assert set(back.predict(X)) <= set(fitted.classes_)
    else:
        np.testing.assert_allclose(back.predict(X), small(X), rtol=0, atol=1e-12)
    assert fitted.hidden_layer_sizes == (9, 7)


def test_two_logits_that_were_trained_become_their_difference() -> None:
    fitted = classifier(CLASSES == "bee")
    net = mp.from_sklearn(fitted)
    mp.fit(net, (X, (CLASSES == "bee").astype(int)), epochs=2, progress=False)
    assert net.params["dense3.W"][0].any()
    np.testing.assert_allclose(mp.to_sklearn(net, fitted).predict_proba(X), softmax(net(X)), rtol=0, atol=1e-12)


def test_a_network_that_ends_with_a_softmax_or_has_no_biases_goes_back() -> None:
    fitted = classifier(sizes=(4,))
    net = mp.from_sklearn(fitted, probabilities=True)
    np.testing.assert_array_equal(mp.to_sklearn(net, fitted).predict_proba(X), fitted.predict_proba(X))
    bare = mp.Sequential(mp.Dense(5, 3, bias=False), mp.ReLU(), mp.Dropout(0.5), mp.Dense(3, 3), dtype=np.float64)
    np.testing.assert_allclose(mp.to_sklearn(bare, fitted).predict_proba(X), softmax(bare(X)), rtol=0, atol=1e-12)


def half(fitted: Any, y: Any) -> Any:
    net = mp.from_sklearn(fitted)
    t = np.searchsorted(fitted.classes_, y) if is_classifier(fitted) else y
    return mp.to_sklearn(mp.prune(net, (X, t), strategy=mp.PerLayer(0.5), progress=False).net, like=fitted)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(("make", "y"), [(classifier, CLASSES), (regressor, NUMBERS)])
def test_a_pruned_estimator_scores_clones_pickles_and_trains_on(make: Any, y: Any, solver: str) -> None:
    fitted = make(solver=solver, max_iter=40, learning_rate_init=0.01)
    small = half(fitted, y)
    assert small.hidden_layer_sizes == (5, 4)
    assert np.isfinite(small.score(X, y))
    again = pickle.loads(pickle.dumps(small))
    np.testing.assert_array_equal(again.predict(X), small.predict(X))
    anew = clone(small).fit(X, y)
    assert [len(b) for b in anew.intercepts_[:-1]] == [5, 4]
    losses = [small.partial_fit(X, y).loss_ for _ in range(30)]  # the optimiser begins with moments of the new shapes
    assert losses[-1] < losses[0]
    assert [coef.shape for coef in small.coefs_[:2]] == [(5, 5), (5, 4)]
    assert not hasattr(half(fitted, y), "_optimizer")
    assert hasattr(fitted, "_optimizer")


def test_a_warm_start_after_pruning_stops_early_with_weights_of_the_new_shapes() -> None:
    """Early stopping ends with the best weights so far; those of the dense estimator must not come back."""
    how = {"early_stopping": True, "warm_start": True, "n_iter_no_change": 2, "max_iter": 30}
    fitted = classifier(solver="adam", **how)
    small = half(fitted, CLASSES)
    assert (small.best_validation_score_, small._no_improvement_count, small.t_) == (-np.inf, 0, 0)
    small.set_params(max_iter=2).fit(X, CLASSES)
    assert [coef.shape for coef in small.coefs_] == [(5, 5), (5, 4), (4, 3)]
    assert regressor(solver="adam", max_iter=2).best_loss_ < np.inf
    assert half(regressor(solver="adam", max_iter=2), NUMBERS).best_loss_ == np.inf


@pytest.mark.parametrize(
    ("net", "match"),
    [
        (
            lambda: mp.Sequential(mp.Dense(5, 4), mp.Tanh(), mp.Dense(4, 3)),
            "tanh1 is Tanh, expected ReLU: this MLPClassifier has dense layers, with relu between them",
        ),
        (lambda: mp.Sequential(mp.Dense(5, 4), mp.Dense(4, 3)), "dense2 is Dense, expected ReLU"),
        (lambda: mp.Sequential(mp.Dense(5, 3), mp.ReLU()), r"the network ends with ReLU\(\), expected a dense layer"),
        (
            lambda: mp.Sequential(mp.Dense(6, 3)),
            "the network reads 6 features and gives 3 outputs, this MLPClassifier 5 and 3",
        ),
        (lambda: mp.Sequential(mp.Dense(5, 2)), "reads 5 features and gives 2 outputs"),
        (lambda: mp.Sequential(mp.Residual(mp.Dense(5, 5))), "add1 reads dense1, input: scikit-learn has only chains"),
        (
            lambda: mp.remove(mp.from_sklearn(classifier()), mp.Plan({"input": [1]})),
            "input.select is Select, expected Dense",
        ),
    ],
)
def test_a_network_that_is_no_such_perceptron_is_refused(net: Any, match: str) -> None:
    with pytest.raises(StructureError, match=match):
        mp.to_sklearn(net(), like=classifier(sizes=(4,)))


# the pruner -----------------------------------------------------------------------------------------------------------


def pruner(make: Any = MLPClassifier, **settings: Any) -> Any:
    inner = make(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=100, random_state=0)
    return mp.NeuronPruner(inner, random_state=0, **settings)


LEFT_OUT = (
    "SCIPY_ARRAY_API is not set: not checking array_api input",
    "pandas is not installed: not checking estimators for pandas objects.",
)


def passes(check: Any, estimator: Any) -> None:
    """A check passes; nothing is left out but the above, where a machine lacks what it takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            check(estimator)
        except SkipTest as skipped:
            if str(skipped) not in LEFT_OUT:
                raise


@parametrize_with_checks([pruner()])
def test_the_pruner_of_a_classifier_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    passes(check, estimator)


@pytest.mark.slow
@parametrize_with_checks([pruner(MLPRegressor), pruner(strategy="global", refit=True)])
def test_other_pruners_pass_scikit_learns_checks(estimator: Any, check: Any) -> None:
    passes(check, estimator)


@pytest.mark.parametrize("strategy", ["global", "per_layer"])
@pytest.mark.parametrize(("make", "y"), [(MLPClassifier, CLASSES), (MLPRegressor, NUMBERS)])
def test_the_pruner_predicts_with_the_fraction_of_neurons_that_is_left(make: Any, y: Any, strategy: str) -> None:
    fitted = pruner(make, ratio=0.75, strategy=strategy).fit(X, y)
    assert fitted.estimator_.hidden_layer_sizes == (5,)
    assert len(fitted.plan_.drop["dense1"]) == 15
    assert "dense1 20 → 5" in fitted.report_
    dense = clone(fitted.estimator).fit(X, y)
    net = mp.from_sklearn(dense)
    t = np.searchsorted(dense.classes_, y) if make is MLPClassifier else y
    by_hand = mp.prune(net, (X, t), "taylor", mp.Global(0.75), repair="least_squares", progress=False).net
    np.testing.assert_array_equal(fitted.predict(X), mp.to_sklearn(by_hand, dense).predict(X))
    assert fitted.score(X, y) == fitted.estimator_.score(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_the_pruner_takes_names_of_classes_and_tells_what_it_is() -> None:
    fitted = pruner().fit(X, CLASSES)
    assert fitted.classes_.tolist() == ["ant", "bee", "cat"]
    assert set(fitted.predict(X)) <= set(CLASSES)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X), rtol=1e-12)
    assert is_classifier(fitted)
    assert is_regressor(pruner(MLPRegressor))
    assert not hasattr(pruner(MLPRegressor), "predict_proba")
    with pytest.raises(NotFittedError):
        pruner().predict(X)


def test_a_ratio_of_0_is_the_estimator_itself() -> None:
    fitted = pruner(ratio=0.0).fit(X, CLASSES)
    np.testing.assert_array_equal(fitted.predict_proba(X), clone(fitted.estimator).fit(X, CLASSES).predict_proba(X))


def test_refitting_trains_what_is_left() -> None:
    bare, tuned = (pruner(ratio=0.8, repair=None, refit=refit).fit(X, CLASSES) for refit in (False, True))
    assert tuned.score(X, CLASSES) > bare.score(X, CLASSES) + 0.1
    assert tuned.estimator_.hidden_layer_sizes == (4,)
    assert tuned.estimator_.warm_start is False


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"ratio": 1.0}, DataError, "ratio is 1.0, expected a fraction of at least 0 and below 1"),
        ({"ratio": "half"}, DataError, "ratio is 'half', expected a fraction"),
        ({"strategy": "best"}, DataError, "strategy is 'best', expected one of per_layer, global"),
        ({"criterion": "luck"}, DataError, "luck"),
        ({"repair": "glue"}, PlanError, "unknown repair 'glue'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        pruner(**settings).fit(X, CLASSES)


def test_several_labels_at_once_are_refused() -> None:
    x, y = make_multilabel_classification(50, n_classes=4, random_state=0)
    with pytest.raises(StructureError, match="gives 4 labels at once"):
        pruner().fit(x, y)


def test_a_search_over_the_ratio_runs_in_a_pipeline_on_digits() -> None:
    digits = mp.data.digits()
    (x, y), (x_test, y_test) = digits.train, digits.test
    inner = MLPClassifier((32,), solver="lbfgs", max_iter=40, random_state=0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mp.NeuronPruner(inner, random_state=0)),
        {"neuronpruner__ratio": [0.25, 0.9]},
        cv=2,
    )
    search.fit(x[:600], y[:600])
    assert search.best_params_ == {"neuronpruner__ratio": 0.25}
    assert search.best_estimator_[-1].estimator_.hidden_layer_sizes == (24,)
    assert search.score(x_test, y_test) > 0.85


def test_the_examples_data_run_with_every_criterion_that_needs_a_gradient() -> None:
    x, y = load_iris(return_X_y=True)
    for criterion in ("taylor2", "curvature", "fisher", "sensitivity"):
        assert pruner(criterion=criterion).fit(x, y).score(x, y) > 0.9


# without scikit-learn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["from_sklearn", "to_sklearn", "NeuronPruner"])
def test_without_scikit_learn_one_line_says_what_to_install(name: str) -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import minprune as mp\n"
        f"try: mp.{name}\n"
        "except mp_errors.MissingPackageError as error: print(isinstance(error, ImportError), error)"
    ).replace("import minprune as mp\n", "import minprune as mp, minprune.errors as mp_errors\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True scikit-learn 1.6 or later is needed here (")
    assert done.stdout.endswith("): pip install 'minprune[sklearn]'\n")
