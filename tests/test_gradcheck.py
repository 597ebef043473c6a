"""The checker of gradients: it agrees with what is right, and it catches what is wrong, entry by entry."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs
from op_cases import eighths

import minprune as mp
from minprune.errors import MinpruneError, ShapeError
from minprune.gradcheck import Finding, Report, check, check_op
from minprune.ops import Affine, Array, Call, Mul, Op, ReLU, Sigmoid, Tanh, rule
from minprune.witnesses import at_kink, central_difference, complex_step, exact_difference

WITNESSES = {"complex step", "central difference", "exact rationals"}


# Broken ops ---------------------------------------------------------------------------------------------------------


def broken(arg: str, wrong: Any) -> type[Op]:
    """An affine op with one wrong rule."""
    members = {f"grad_{name}": getattr(Affine, f"grad_{name}") for name in Affine.args}
    members[f"grad_{arg}"] = rule("wrong")(wrong)
    copied = {name: getattr(Affine, name) for name in ("name", "args", "formula", "shapes", "forward", "terms")}
    return type("Broken", (Op,), {**copied, **members})


def affine_arguments() -> tuple[Array, Array, Array]:
    return eighths(3, 2), eighths(2, 2, seed=1), eighths(2, seed=2)


def wrong_findings(report: Report) -> dict[str, Finding]:
    return {finding.witness: finding for finding in report.findings if not finding.ok}


def test_the_right_rules_pass_all_three_witnesses() -> None:
    report = check_op(Affine, *affine_arguments())
    assert report.ok
    assert report.raise_if_wrong() is report
    assert {(f.argument, f.witness) for f in report.findings} == {(a, w) for a in "xWb" for w in WITNESSES}
    assert {f.argument: f.entries for f in report.findings} == {"x": 6, "W": 4, "b": 2}


@pytest.mark.parametrize(
    ("arg", "wrong"),
    [
        ("x", lambda c, g: -(g @ c.W)),
        ("x", lambda c, g: g @ c.W.T),
        ("W", lambda c, g: (g.T @ c.x).T),
        ("b", lambda c, g: g.mean(axis=0)),
        ("b", lambda c, g: g[0]),
    ],
    ids=["wrong sign", "W transposed", "gradient transposed", "mean for sum", "forgotten sum over the batch"],
)
def test_every_witness_catches_a_wrong_rule(arg: str, wrong: Any) -> None:
    report = check_op(broken(arg, wrong), *affine_arguments())
    assert not report.ok
    found = wrong_findings(report)
    assert set(found) == WITNESSES
    assert {finding.argument for finding in found.values()} == {arg}
    with pytest.raises(MinpruneError, match=rf"affine: the gradient by {arg} is wrong at \(\d"):
        report.raise_if_wrong()


def test_every_witness_names_the_entry_that_is_wrong() -> None:
    def one_entry_off(c: Call, g: Array) -> Array:
        bar = g.T @ c.x
        bar[1, 0] += 0.125
        return bar

    report = check_op(broken("W", one_entry_off), *affine_arguments())
    found = wrong_findings(report)
    assert set(found) == WITNESSES
    for finding in found.values():
        assert finding.index == (1, 0)
        assert finding.backward - finding.witnessed == pytest.approx(0.125, abs=1e-6)
    assert "WRONG" in str(report)
    assert "(1, 0)" in str(report)


def test_the_exact_witness_catches_the_last_bit() -> None:
    off = broken("W", lambda c, g: np.nextafter(g.T @ c.x, np.inf))
    assert set(wrong_findings(check_op(off, *affine_arguments()))) == {"exact rationals"}


def test_a_gradient_that_is_no_number_is_wrong() -> None:
    report = check_op(broken("W", lambda c, g: np.full((2, 2), np.nan)), *affine_arguments())
    assert set(wrong_findings(report)) == WITNESSES


def test_a_gradient_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"the gradient by b has shape \(3, 2\), expected \(2,\)"):
        check_op(broken("b", lambda c, g: g), *affine_arguments())


# Witnesses ----------------------------------------------------------------------------------------------------------


def cubed(arrays: Any) -> Any:
    return (arrays["x"] ** 3).sum() * arrays["y"].sum()


def test_witnesses_see_the_derivative_by_one_argument_with_the_others_at_rest() -> None:
    arrays = {"x": np.array([[1.0, -2.0]]), "y": np.array([0.5, 1.5])}
    assert complex_step(cubed, arrays, "x") == pytest.approx(np.array([[6.0, 24.0]]), rel=1e-15)
    assert central_difference(cubed, arrays, "x") == pytest.approx(np.array([[6.0, 24.0]]), rel=1e-8)
    assert np.array_equal(exact_difference(cubed, arrays, "y"), [Fraction(-7), Fraction(-7)])
    assert np.array_equal(arrays["x"], [[1.0, -2.0]])


def test_the_central_step_grows_with_the_number() -> None:
    assert central_difference(lambda a: (a["x"] ** 2).sum(), {"x": np.array([1e8])}, "x") == pytest.approx(2e8)


def absolute(arrays: Any) -> Any:
    return np.abs(arrays["x"]).sum()


@pytest.mark.parametrize(("witness", "near"), [("central difference", 5e-7), ("exact rationals", 0.0)])
def test_a_kink_within_the_step_is_told_from_a_wrong_gradient(witness: str, near: float) -> None:
    assert at_kink(absolute, {"x": np.array([near])}, "x", witness, (0,), 1.0)
    assert not at_kink(absolute, {"x": np.array([0.5])}, "x", witness, (0,), -1.0)
    assert not at_kink(absolute, {"x": np.array([0.5])}, "x", "complex step", (0,), -1.0)


@pytest.mark.parametrize(("jump", "explains"), [(0.01, True), (1e-5, False)])
def test_slopes_far_apart_are_a_kink_even_where_the_gradient_is_not_between_them(jump: float, explains: bool) -> None:
    """Several kinks at one place: each rule keeps to its own side, and together they are on neither."""

    def bent(arrays: Any) -> Any:
        x = arrays["x"]
        return (x + jump * x * (x > 0)).sum()

    assert at_kink(bent, {"x": np.zeros(1)}, "x", "central difference", (0,), 0.5) == explains


def test_entries_at_a_kink_are_counted_and_left_out() -> None:
    report = check_op(ReLU, np.array([[0.0, 0.5, -0.5, 0.0]]))
    assert report.ok
    kinks = {finding.witness: finding.kinks for finding in report.findings}
    assert kinks == {"complex step": 0, "central difference": 2, "exact rationals": 2}


def test_a_wrong_convention_at_a_kink_is_left_to_the_complex_step() -> None:
    class Generous(Op):
        name, args, formula, shapes, forward, terms = "generous", ("x",), "y", "x -> y", ReLU.forward, ReLU.terms

        @rule("g")
        def grad_x(c: Call, g: Array) -> Array:
            return g * (c.x >= 0)

    report = check_op(Generous, np.array([[0.0, 0.5]]))
    assert set(wrong_findings(report)) == {"complex step"}


# Ops ----------------------------------------------------------------------------------------------------------------


def test_a_transcendental_op_is_not_asked_for_rationals_and_the_report_says_so() -> None:
    report = check_op(Sigmoid, eighths(2, 2))
    assert report.ok
    assert report.unasked == {"exact rationals": "sigmoid is transcendental"}
    assert str(report).endswith("exact rationals not asked: sigmoid is transcendental")


def test_a_witness_can_be_skipped_for_a_reason() -> None:
    report = check_op(Tanh, eighths(2, 2), skip={"central difference": "slow today"})
    assert {finding.witness for finding in report.findings} == {"complex step"}
    assert "central difference not asked: slow today" in str(report)


def test_numbers_that_round_are_compared_with_rationals_to_rounding() -> None:
    x, W, b = (np.random.default_rng(0).standard_normal(shape) for shape in ((3, 2), (2, 2), 2))
    report = check_op(Affine, x, W, b)
    assert report.ok
    assert {f.allowed for f in report.findings if f.witness == "exact rationals"} == {1e-12}


def test_errors_are_relative_to_the_largest_gradient() -> None:
    a, b = (1e6 * np.random.default_rng(seed).standard_normal(3) for seed in (0, 1))
    report = check_op(Mul, a, b)
    assert report.ok, str(report)
    assert max(abs(f.backward - f.witnessed) for f in report.findings) > 1e-6


def test_an_empty_argument_has_nothing_to_compare() -> None:
    report = check_op(ReLU, eighths(0, 3))
    assert report.ok
    assert {finding.entries for finding in report.findings} == {0}


def test_the_same_seed_draws_the_same_upstream_gradient() -> None:
    one, same, other = (str(check_op(Tanh, eighths(2, 2), rng=seed)) for seed in (0, 0, 1))
    assert one == same
    assert one != other


# Networks -----------------------------------------------------------------------------------------------------------


def on_eighths(net: mp.Graph) -> mp.Graph:
    """The network with weights of its own that are small odd multiples of 1/8."""
    for seed, name in enumerate(net.params):
        net.params[name] = eighths(*net.params[name].shape, seed=seed)
    return net


def small_nets() -> dict[str, mp.Graph]:
    two = mp.Graph(
        {"a": (mp.Dense(2, 2), "x1"), "b": (mp.Dense(3, 2), "x2"), "y": (mp.Add(), "a", "b")}, inputs=("x1", "x2")
    )
    return {
        "dense": mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2)),
        "smooth": mp.Sequential(mp.Dense(3, 4), mp.Tanh(), mp.Dense(4, 3), mp.Sigmoid(), mp.Dense(3, 2)),
        "residual": mp.Sequential(
            mp.Dense(3, 4), mp.Residual(mp.Sequential(mp.Dense(4, 4), mp.ReLU())), mp.Dense(4, 2)
        ),
        "two inputs": two,
        "images": mp.Sequential(
            *(mp.Conv2d(1, 2, 3, padding=1), mp.BatchNorm(2), mp.ReLU(), mp.MaxPool2d(2)),
            *(mp.Conv2d(2, 2, 2), mp.LeakyReLU(0.25), mp.AvgPool2d(2), mp.Flatten(), mp.Dense(2, 2)),
            input_shape=(1, 6, 6),
        ),
    }


def inputs_of(net: mp.Graph, n: int) -> Any:
    assert net.input_shapes is not None
    arrays = {name: eighths(n, *shape, seed=7) for name, shape in net.input_shapes.items()}
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


@pytest.mark.parametrize("loss", ["half_squared_error", "mse", "cross_entropy"])
@pytest.mark.parametrize("name", list(small_nets()))
def test_every_gradient_of_a_network_agrees_with_its_witnesses(name: str, loss: str) -> None:
    net = small_nets()[name]
    y = np.array([0, 1]) if loss == "cross_entropy" else eighths(2, 2, seed=8)
    before = {key: value.copy() for key, value in net.arrays.items()}
    report = check(net, inputs_of(net, 2), y, loss, progress=False)
    assert report.ok, str(report)
    entries = {f.argument: f.entries for f in report.findings if f.witness == "complex step"}
    sizes = {key: 2 * int(np.prod(shape)) for key, shape in net.input_shapes.items()}
    assert entries == {key: value.size for key, value in net.params.items()} | sizes
    assert all(np.array_equal(net.arrays[key], value) for key, value in before.items())


def test_a_network_of_small_eighths_has_exactly_the_rational_gradients() -> None:
    net = on_eighths(mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2)))
    report = mp.check(net, eighths(4, 3, seed=5), eighths(4, 2, seed=6), "half_squared_error", progress=False)
    exactly = [finding for finding in report.findings if finding.witness == "exact rationals"]
    assert report.ok, str(report)
    assert {finding.allowed for finding in exactly} == {0.0}
    assert {finding.argument for finding in exactly} == {*net.params, "input"}


@pytest.mark.parametrize(("samples", "allowed"), [(4, 0.0), (3, 1e-12)])
def test_a_mean_over_three_samples_is_compared_to_rounding(samples: int, allowed: float) -> None:
    net = mp.Sequential(mp.Dense(2, 2), dtype=np.float64)
    net.params["dense1.W"] = eighths(2, 2)
    report = check(net, eighths(samples, 2, seed=1), eighths(samples, 2, seed=2), "mse", progress=False)
    assert report.ok, str(report)
    assert {f.allowed for f in report.findings if f.witness == "exact rationals"} == {allowed}


def test_fresh_zero_biases_on_black_images_are_kinks_not_errors() -> None:
    net = mp.Sequential(mp.Conv2d(1, 2, 2), mp.ReLU(), mp.Flatten(), mp.Dense(8, 2), input_shape=(1, 3, 3))
    x = np.zeros((2, 1, 3, 3))
    x[1] = eighths(1, 3, 3)
    report = check(net, x, np.array([0, 1]), progress=False)
    assert report.ok, str(report)
    assert sum(finding.kinks for finding in report.findings) > 0


def test_the_loss_follows_the_targets_where_none_is_named() -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    assert check(net, eighths(2, 3), np.array([0, 1]), progress=False).subject.endswith("cross_entropy")
    assert check(net, eighths(2, 3), eighths(2, 2), progress=False).subject.endswith("mse")


def test_a_network_that_refuses_rationals_says_why() -> None:
    net = mp.Sequential(mp.Dense(3, 2), mp.Tanh())
    report = check(net, eighths(2, 3), eighths(2, 2), progress=False)
    assert "tanh is transcendental" in report.unasked["exact rationals"]


def test_a_network_that_is_too_large_for_rationals_says_so() -> None:
    net = mp.Sequential(mp.Dense(12, 14), mp.ReLU(), mp.Dense(14, 2))
    report = check(net, eighths(32, 12), eighths(32, 2), progress=False)
    assert report.ok
    assert "multiplications of fractions take too long; check fewer samples" in report.unasked["exact rationals"]


def test_check_catches_a_wrong_rule_in_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tanh, "grad_x", staticmethod(lambda c, g: g * (1 - c.out)))
    net = mp.Sequential(mp.Dense(3, 2), mp.Tanh(), mp.Dense(2, 2))
    report = check(net, eighths(2, 3), eighths(2, 2), progress=False)
    found = {finding.argument for finding in report.findings if not finding.ok}
    assert found == {"dense1.W", "dense1.b", "input"}
    with pytest.raises(MinpruneError, match=r"the gradient by dense1\.W is wrong at \("):
        report.raise_if_wrong()


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(mp.Sequential(mp.Dense(1, 1)), [[1.0]], [[0.5]]).ok
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_gradient_of_every_kind_of_network_agrees_with_its_witnesses(name: str) -> None:
    net = EXAMPLES[name]()
    x = inputs(net, 3)
    y = np.random.default_rng(2).standard_normal((3, net(x).shape[1]))
    mp.check(net, x, y, progress=False).raise_if_wrong()
