"""Traces: every number against the golden files, every written formula against its result, and the JSON contract."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs
from replay import loss as replayed_loss
from replay import replay
from trace_schema import DETAIL, TRACE, faults

import minprune as mp
from minprune import worked
from minprune.errors import DataError, StructureError
from minprune.ops import LOSSES
from minprune.pruning.surgery import masked
from minprune.scores import CRITERIA as CRITERIA_OF_ALL
from minprune.tracing import PHASES, Source, Step, Trace
from minprune.tracing.program import program
from minprune.tracing.tracer import FORMAT

ROOT = Path(__file__).parent.parent
GOLDEN = {
    output: json.loads((ROOT / "tests" / "golden" / name).read_text())
    for output, name in (("sigmoid", "worked_example.json"), ("linear", "worked_example_linear.json"))
}
CRITERIA = ("inverse_sensitivity", "sensitivity", "taylor", "taylor_signed", "magnitude_l2", "magnitude_l1_outgoing")


def trace_of(net: Any, x: Any, y: Any, loss: str | None = None, **settings: Any) -> Trace:
    return mp.trace(net, x, y, loss, progress=False, **settings)


def of_example(output: str, **settings: Any) -> Trace:
    return trace_of(worked.network(output), worked.X, worked.TARGET, worked.LOSS, **settings)


WORKED = {
    output: of_example(output, plan=mp.Global(2), criteria=(*CRITERIA, "leave_one_out"))
    for output in ("sigmoid", "linear")
}


def of_network(name: str, n: int = 2) -> Trace:
    """A trace of a named example with all phases, small enough to be followed whole or by its first group."""
    net = EXAMPLES[name]()
    xs = inputs(net, n)
    x = xs if len(xs) > 1 else next(iter(xs.values()))
    y = np.random.default_rng(3).standard_normal(net(x).shape)
    focus = mp.Focus(layer="conv1", neuron=1, sample=0) if name == "nested" else None
    return trace_of(net, x, y, "mse", plan=mp.Global(1), focus=focus)


SMALL = ("mlp", "softmax inside", "leaky relu, dropout", "residual", "two inputs", "selects")
VARIED = (
    *SMALL,
    "conv1d",
    "grouped input",
    "average pooling",
    "cnn",
    "added and read",
    "added to itself",
    "concat with itself",
    "read in two places",
)
TRACES = {name: of_network(name, n=2 if name in SMALL else 1) for name in VARIED}


# --- the golden numbers ----------------------------------------------------------------------------------------------


def golden_steps(output: str) -> dict[tuple[str, str, tuple[int, ...]], float]:
    """What the golden file says of every step: by kind, name and index."""
    golden = GOLDEN[output]
    last = "sigmoid2" if output == "sigmoid" else "dense2"
    values = {"z1": "dense1", "h": "sigmoid1", "z2": "dense2", "o": last}
    slopes = {"dL_do": last, "dL_dz2": "dense2", "dL_dh": "sigmoid1", "dL_dz1": "dense1"}
    found: dict[tuple[str, str, tuple[int, ...]], float] = {}
    for short, name in values.items():
        found |= {("value", name, (0, j)): v for j, v in enumerate(golden["forward"][short])}
    for short, name in slopes.items():
        found |= {("gradient", name, (0, j)): v for j, v in enumerate(golden["sensitivity"][short])}
    for short, name in (("W1", "dense1.W"), ("b1", "dense1.b"), ("W2", "dense2.W"), ("b2", "dense2.b")):
        found |= {("gradient", name, i): v for i, v in np.ndenumerate(np.array(golden["gradients"][short]))}
    found |= {("gradient", "input", (0, i)): v for i, v in enumerate(golden["gradients"]["x"])}
    found |= {("value", name, index): golden["forward"]["loss"] for name, index in (("losses", (0,)), ("loss", ()))}
    names = {"magnitude_l2_incoming": "magnitude_l2"}
    for name, scores in (golden["scores"] | {"leave_one_out": golden["ablation_single"]}).items():
        found |= {("neuron", names.get(name, name), (j,)): v for j, v in enumerate(scores)}
    return found


def of_step(step: Step) -> tuple[str, str, tuple[int, ...]]:
    about = step.about
    return (
        about.kind,
        about.name,
        (about.neuron,) if about.kind == "neuron" and about.neuron is not None else about.index,
    )


@pytest.mark.parametrize("output", GOLDEN)
def test_every_step_with_a_number_of_the_worked_example_has_its_golden_number(output: str) -> None:
    expected = golden_steps(output)
    found = {of_step(s): s.result for s in WORKED[output].steps if s.phase in ("forward", "backward", "scores")}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=0, abs=1e-12), key


@pytest.mark.parametrize("output", GOLDEN)
def test_the_check_of_the_worked_example_has_the_golden_changes_of_the_loss(output: str) -> None:
    steps = [s for s in WORKED[output].steps if s.phase == "check" and "plan" in s.detail]
    assert [s.detail["plan"] for s in steps] == [*CRITERIA, "leave_one_out"]
    for step in steps:
        pair = ",".join(map(str, step.detail["drop"]["dense1"]))
        assert step.result == pytest.approx(GOLDEN[output]["ablation_pair"][pair], rel=0, abs=1e-12)


def shown_numbers(text: str) -> list[float]:
    """The results in a step's text: what stands alone behind the last sign of equality."""
    found = re.findall(r"^ *= ([−\d.]+)(?: · 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?$", text, flags=re.MULTILINE)
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    return [float(m.replace("−", "-")) * 10.0 ** int(e.translate(digits) or 0) for m, e in found]


@pytest.mark.parametrize("output", GOLDEN)
def test_every_result_on_the_screen_is_the_golden_number_to_twelve_decimals(output: str) -> None:
    found, expected = WORKED[output], golden_steps(output)
    for number, step in enumerate(found.steps):
        if of_step(step) in expected:
            *_, shown = shown_numbers(found.step_text(number))
            assert shown == pytest.approx(expected[of_step(step)], rel=0, abs=1e-12), step.title


def test_the_decision_of_the_documents_rule_takes_h1_and_h3() -> None:
    step = next(s for s in WORKED["sigmoid"].steps if s.title == "who goes by inverse_sensitivity")
    assert step.detail["drop"] == {"dense1": [0, 2]}
    assert [(entry["neuron"], entry["goes"]) for entry in step.detail["order"]] == [
        *((2, True), (0, True), (4, False), (3, False), (1, False))
    ]


# --- what is written is what is so -----------------------------------------------------------------------------------


def evaluated(tex: str) -> float:
    """The value of a formula with numbers in it."""
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", tex)
    text = re.sub(r"10\^\{(-?\d+)\}", r"10**(\1)", text)
    text = re.sub(r"e\^\{([^{}]*)\}", r"exp(\1)", text)
    text = re.sub(r"\^\{?(-?\d+)\}?", r"**\1", text)
    text = re.sub(r"\[([^\]]*) \\leq 0\]", r"float(\1 <= 0)", text)
    text = re.sub(r"\[([^\]]*) > 0\]", r"float(\1 > 0)", text)
    for tex_name, name in ((r"\cdot", "*"), (r"\sigma", "sigmoid"), (r"\infty", "inf"), (r"\,", " ")):
        text = text.replace(tex_name, name)
    text = re.sub(r"\\(tanh|log|max|sqrt)", r"\1", text).replace("sqrt{", "sqrt(").replace("}", ")")
    names = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "max": max, "inf": math.inf, "sqrt": math.sqrt}
    return float(eval(text, names | {"sigmoid": lambda x: 1 / (1 + math.exp(-x))}))


def written_steps(found: Trace) -> list[Step]:
    return [s for s in found.steps if s.phase in ("forward", "backward") and r"\cdots" not in s.plugged]


@pytest.mark.parametrize("name", [*TRACES, "worked"])
def test_the_numbers_that_are_plugged_in_give_the_result(name: str) -> None:
    found = WORKED["sigmoid"] if name == "worked" else TRACES[name]
    for step in written_steps(found):
        assert step.result is not None
        size = max([abs(term.value) for term in step.terms if math.isfinite(term.value)], default=0.0)
        value = evaluated(step.plugged)
        assert value == pytest.approx(step.result, rel=1e-4, abs=2e-5 * max(size, 1e-3)), (step.title, step.plugged)
        if step.exact:
            assert value == pytest.approx(step.result, rel=1e-12, abs=1e-14), (step.title, step.plugged)


@pytest.mark.parametrize("name", TRACES)
def test_the_terms_of_a_step_give_its_result(name: str) -> None:
    found = TRACES[name]
    for step in found.steps:
        if step.phase not in ("forward", "backward"):
            continue
        values = [term.value for term in step.terms]
        made = max(values) if step.combine == "max" else sum(values)
        if step.combine == "sum over samples / N":
            made /= found.walk.samples
        assert made == pytest.approx(step.result, rel=1e-10, abs=1e-12), step.title
        for term in step.terms:
            if math.isfinite(term.value):
                assert math.prod(term.factors) == pytest.approx(term.value, rel=1e-12, abs=1e-300)


def named_entry(found: Trace, step: Step, name: str, names: tuple[str, ...]) -> float | None:
    """What a factor's name stands for, looked up in the network and the recorded gradients."""
    match = re.fullmatch(r"(\\?[A-Za-z]+)_\{([\d,-]+)\}", name)
    if match is None:
        return None
    letter, index = match[1].removeprefix("\\"), tuple(map(int, match[2].split(",")))
    value = step.where.get(letter, "")
    n = step.about.sample
    if n is None:  # a gradient by an array: the sample is the first index of g, where there are several
        n = int(re.findall(r"\d+", names[0])[0]) if found.walk.samples > 1 else 0
    if value in found.net.arrays:
        return float(found.net.arrays[value][index])
    if min(index) < 0:  # outside of an image
        return 0.0
    if letter == "g":
        gradients = found.walk.gradients
        losses = found.walk.losses
        line = found.walk.names.index(value.removeprefix("∂ℓ/∂"))
        tensors = {tensor.index: tensor for tensor in gradients}
        array = np.ones_like(losses.value) if line == losses.index else gradients[tensors[line]]
    elif value in found.walk.values:
        array = found.walk.values[value].value
    else:
        return None
    full = index if len(index) == array.ndim else (n, *index)
    return float(array[full])


@pytest.mark.parametrize("name", [*TRACES, "worked"])
def test_a_factor_is_what_its_name_says(name: str) -> None:
    found = WORKED["sigmoid"] if name == "worked" else TRACES[name]
    seen = 0
    for step in found.steps:
        if step.phase not in ("forward", "backward") or step.combine == "max":
            continue
        for term in step.terms:
            for factor_name, factor in zip(term.names, term.factors, strict=bool(term.names)):
                value = named_entry(found, step, factor_name, term.names)
                if value is not None:
                    seen += 1
                    assert factor == pytest.approx(value, rel=1e-12, abs=1e-300), (step.title, term.tex)
    assert seen > 50


def test_a_slope_is_called_by_its_weight_and_a_rule_for_single_entries_is_written_out() -> None:
    steps = {step.title: step for step in WORKED["sigmoid"].steps}
    assert steps["∂ℓ/∂sigmoid1[0]"].written == r"\bar{x}_{0} = g_{0}\, W_{0,0} + g_{1}\, W_{1,0}"
    assert steps["∂ℓ/∂dense1[3]"].written == r"\bar{x}_{3} = g_{3}\, y_{3} (1 - y_{3})"
    assert steps["∂L/∂dense2.W[1,3]"].written == r"\bar{W}_{1,3} = g_{1}\, x_{3}"
    assert steps["dense1[0]"].plugged == r"0.3 \cdot 1 + 0.3 \cdot 2 + 0.1 \cdot 3 - 0.1"
    assert steps["dense1[0]"].exact
    assert not steps["dense2[0]"].exact


def test_a_slope_without_a_name_stays_a_derivative() -> None:
    net = mp.Sequential(mp.Dense(2, 2), mp.Softmax(), dtype=np.float64, rng=1)
    found = trace_of(net, [[1.0, 2.0]], [[0.0, 1.0]], "mse")
    step = next(s for s in found.steps if s.title == "∂ℓ/∂dense1[1]")
    names = [rf"g_{{{q}}}\, \frac{{\partial y_{{{q}}}}}{{\partial x_{{1}}}}" for q in (0, 1)]
    assert step.written == rf"\bar{{x}}_{{1}} = {' + '.join(names)}"


def test_gradients_by_arrays_are_of_the_mean_loss_and_values_of_their_own_samples() -> None:
    found = TRACES["mlp"]
    rec = mp.record(found.net, found.x, found.y, "mse")
    for step in found.steps:
        if step.phase == "backward" and step.about.name in rec.grads:
            assert step.result == pytest.approx(rec.grads[step.about.name][step.about.index], rel=1e-12, abs=1e-15)
        if step.phase == "backward" and step.about.name == "relu1":
            n, j = step.about.index
            assert step.result == pytest.approx(rec["dense1"].grad_a[n, j], rel=1e-12, abs=1e-15)


def test_a_value_that_is_read_twice_gets_the_parts_and_their_sum() -> None:
    found = TRACES["added and read"]
    steps = [s for s in found.steps if s.phase == "backward" and s.about.name == "r" and s.about.index == (0, 1)]
    assert [s.title.partition("r[1]")[2] for s in steps] == [
        *(", the part through k", ", the part through sum", ", the part through g", ", all together")
    ]
    assert sum(s.result or 0 for s in steps[:3]) == pytest.approx(steps[3].result, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_written_out(loss: str) -> None:
    net = mp.Sequential(mp.Dense(2, 3), dtype=np.float64, rng=0)
    y = [2] if loss == "cross_entropy" else [[0.5, 0.0, 1.0]]
    found = trace_of(net, [[1.0, -2.0]], y, loss)
    (step,) = [s for s in found.steps if s.about.name == "losses" and s.phase == "forward"]
    assert evaluated(step.plugged) == pytest.approx(step.result, rel=1e-5)
    assert step.formula == LOSSES[loss].formula


@pytest.mark.parametrize("name", [*TRACES, "worked"])
def test_a_trace_reads_as_text_without_tex(name: str) -> None:
    found = WORKED["sigmoid"] if name == "worked" else TRACES[name]
    text = found.to_text()
    assert "\\" not in text
    assert "$" not in text
    places = [text.index(f"\n{phase.upper()}:") if phase != "forward" else 0 for phase in PHASES]
    assert places == sorted(places)
    assert max(map(len, text.splitlines())) <= 100 + text.count("\u0304")


def test_a_long_sum_shows_its_largest_terms_and_says_so() -> None:
    net = mp.Sequential(mp.Dense(40, 1), dtype=np.float64, rng=0)
    found = trace_of(net, np.arange(1.0, 41)[None], [[0.0]], "mse", focus=mp.Focus("dense1"), criteria=())
    assert r"\cdots" in found.steps[0].written
    assert len(found.steps[0].terms) == 41
    assert "(of 41 terms the 12 largest are written out)" in found.step_text(0)
    x = np.zeros((1, 40))
    x[0, 7] = 1
    sparse = trace_of(net, x, [[0.0]], "mse", focus=mp.Focus("dense1"), criteria=())
    assert sparse.steps[0].written == "z_{0} = W_{0,7} x_{7}"
    assert "(of 41 terms those that are not 0 are written out)" in sparse.step_text(0)


def test_shapes_and_letters_say_what_a_formula_is_about() -> None:
    step = WORKED["sigmoid"].steps[0]
    assert step.where == {"x": "input", "W": "dense1.W", "b": "dense1.b", "z": "dense1"}
    assert step.shapes == {"x": (1, 3), "W": (5, 3), "b": (5,), "z": (1, 5)}


def test_a_source_is_where_the_code_stands() -> None:
    sources = {step.source for step in WORKED["sigmoid"].steps}
    for source in sources:
        assert source is not None
        lines = (ROOT / source.file).read_text(encoding="utf-8").splitlines()
        assert lines[source.line - 1].strip() == source.code.splitlines()[0].strip()
    assert any("return affine(c.x, c.W, c.b)" in source.code for source in sources if source)


def test_code_that_nobody_kept_has_no_source() -> None:
    assert Source.of(eval("lambda x: x")) is None


# --- decision, removal, check ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRACES)
def test_the_removal_tells_of_every_array_that_shrinks(name: str) -> None:
    found = TRACES[name]
    decision = next(s for s in found.steps if s.phase == "decision")
    small = mp.remove(found.net, mp.Plan(decision.detail["drop"]))
    told = {s.about.name: s.detail for s in found.steps if s.phase == "removal" and s.about.kind == "array"}
    for array, detail in told.items():
        assert found.net.arrays[array].shape == detail["before"]
        if array in small.arrays:
            assert small.arrays[array].shape == detail["after"]
    changed = {a for a, v in found.net.arrays.items() if a in small.arrays and small.arrays[a].shape != v.shape}
    assert changed <= told.keys()
    check = next(s for s in found.steps if s.title == "masked ≡ removed")
    assert check.detail["ok"]
    np.testing.assert_allclose(check.detail["removed"], small(found.x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(check.detail["masked"], check.detail["removed"], rtol=0, atol=check.detail["bound"])


def test_a_plan_that_was_given_is_carried_out() -> None:
    found = of_example("sigmoid", plan=mp.Plan({"dense1": [1, 3]}), criteria=())
    decision, *_ = (s for s in found.steps if s.phase == "decision")
    assert decision.detail["criterion"] is None
    assert decision.detail["why"].startswith("by hand: drops 2 neurons")
    assert found.steps[-1].result == pytest.approx(GOLDEN["sigmoid"]["ablation_pair"]["1,3"], abs=1e-12)
    assert "by hand" in found.to_text()


def test_a_large_decision_shows_its_boundary() -> None:
    net = mp.Sequential(mp.Dense(2, 60), mp.ReLU(), mp.Dense(60, 1), rng=0)
    found = trace_of(net, [[1.0, 2.0]], [[0.5]], plan=mp.Global(0.5), criteria=("magnitude_l2",))
    text = found.step_text(next(i for i, s in enumerate(found.steps) if s.phase == "decision"))
    assert re.search(r"… 17 lower\n.*goes\n", text)
    assert "… 18 higher" in text
    assert "parameters 241 → 121" in text
    assert "bytes 964 → 484" in text  # of float32, as it was given


def test_without_a_plan_the_trace_ends_with_the_scores() -> None:
    assert of_example("sigmoid").steps[-1].phase == "scores"


def test_nobody_goes_and_nothing_shrinks() -> None:
    found = of_example("sigmoid", plan=mp.Global(0))
    removal = [s for s in found.steps if s.phase == "removal"]
    assert [s.title for s in removal] == ["what is left"]
    assert found.steps[-1].result == 0
    assert "The loss without nothing" in found.to_text()


def test_a_criterion_that_tells_no_terms_still_tells_its_score() -> None:
    found = of_example("sigmoid", criteria=("random",), rng=3)
    step = next(s for s in found.steps if s.phase == "scores")
    assert step.terms == ()
    assert step.result == mp.score(worked.network(), criterion="random", rng=3)["dense1"][0]


# --- focus -----------------------------------------------------------------------------------------------------------


def test_a_focus_shows_the_neurons_own_steps_and_the_loss() -> None:
    found = of_example("sigmoid", focus=mp.Focus("dense1", 2), plan=mp.Global(2))
    about = [(s.about.group, s.about.neuron) for s in found.steps if s.phase in ("forward", "backward", "scores")]
    assert set(about) == {("dense1", 2), (None, None)}
    names = {s.about.name for s in found.steps if s.about.group is None and s.phase in ("forward", "backward")}
    assert names == {"losses", "loss"}
    everything = {(s.phase, s.title): s.result for s in of_example("sigmoid", plan=mp.Global(2)).steps}
    for step in found.steps:
        assert everything[step.phase, step.title] == step.result
    why = next(s for s in found.steps if s.phase == "decision").detail["why"]
    assert why.startswith("dense1[2] goes: score 11.12, 1st lowest of 5")


def test_a_focus_on_a_sample_follows_it_alone_and_scores_by_all() -> None:
    net = EXAMPLES["mlp"]()
    (x,) = inputs(net, 4).values()
    y = np.random.default_rng(0).standard_normal((4, 3))
    found = trace_of(net, x, y, "mse", focus=mp.Focus("dense1", 0, sample=2))
    samples = {s.about.sample for s in found.steps if s.phase in ("forward", "backward")}
    assert samples == {2, None}
    scores = [s for s in found.steps if s.phase == "scores" and s.about.name == "taylor"]
    assert [len(s.terms) for s in scores] == [4]
    assert scores[0].result == pytest.approx(mp.score(net, (x, y), loss="mse")["dense1"][0], rel=1e-12)


def test_a_filter_behind_a_flatten_is_followed_through_its_block() -> None:
    found = TRACES["cnn"]
    small = trace_of(found.net, found.x, found.y, "mse", focus=mp.Focus("conv1", 1, sample=0))
    values = {s.about.name for s in small.steps if s.phase == "forward"}
    assert {"conv1", "relu1", "losses", "loss"} <= values
    assert all(s.about.index[1] == 1 for s in small.steps if s.about.name in ("conv1", "relu1"))


@pytest.mark.parametrize(
    ("focus", "error", "message"),
    [
        (mp.Focus(neuron=1), DataError, r"focus: neuron 1 of which layer\? Name it: input, dense1, dense2"),
        (mp.Focus("dense7"), StructureError, "no group is called 'dense7'"),
        (mp.Focus("dense1", 5), StructureError, "dense1: no neuron 5; expected 0 to 4"),
        (mp.Focus(sample=1), DataError, "focus: no sample 1; expected 0 to 0"),
    ],
)
def test_a_focus_on_what_is_not_there_is_refused(focus: mp.Focus, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        of_example("sigmoid", focus=focus)


def test_a_network_too_large_to_read_is_refused_and_says_what_to_do() -> None:
    net = mp.Sequential(mp.Dense(60, 60), mp.ReLU(), mp.Dense(60, 2), rng=0)
    x, y = np.ones((1, 60)), [1]
    with pytest.raises(DataError, match=r"trace: 4,\d\d\d entries to follow, expected at most 3,000; .*focus=Focus\("):
        trace_of(net, x, y)
    assert len(trace_of(net, x, y, focus=mp.Focus("dense1", 3)).steps) < 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criteria": "taylor"}, r"trace: criteria is 'taylor', expected a list of names: \['taylor'\]"),
        ({"criteria": ("tailor",)}, "trace: unknown criterion 'tailor'; expected one of inverse_sensitivity"),
        ({"plan": 0.5}, r"trace: plan is 0.5, expected a Plan or a strategy such as Global\(2\)"),
        ({"plan": mp.Global(1), "criteria": ()}, "trace: a strategy decides by scores; name a criterion"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        mp.trace(worked.network(), worked.X, worked.TARGET, progress=False, **settings)


def test_numbers_that_are_not_finite_are_refused_by_name() -> None:
    net = worked.network()
    net.params["dense1.b"] = [0.0, np.inf, 0.0, 0.0, 0.0]
    with pytest.raises(DataError, match=r"trace: dense1\.b holds a number that is not finite"):
        trace_of(net, worked.X, worked.TARGET, worked.LOSS)


def test_the_network_is_not_changed_and_float32_is_followed_in_float64() -> None:
    net = worked.network(dtype=np.float32)
    before = {name: array.copy() for name, array in net.arrays.items()}
    found = trace_of(net, worked.X, worked.TARGET, worked.LOSS, plan=mp.Global(2))
    assert all((net.arrays[name] == array).all() for name, array in before.items())
    assert (found.dtype, found.net.dtype) == ("float32", np.float64)
    assert found.steps[0].result == float(np.float32(0.3)) * 3 + float(np.float32(0.1)) * 3 - float(np.float32(0.1))


def test_nodes_may_be_called_what_the_trace_calls_its_own_values() -> None:
    net = mp.Graph({"losses": (mp.Dense(2, 2), "targets"), "loss": (mp.Tanh(), "losses")}, inputs=("targets",))
    found = trace_of(net, [[1.0, 2.0]], [[0.0, 1.0]], "mse")
    assert [name for name in found.walk.names if name.endswith("'")] == ["targets'", "losses'", "loss'"]
    assert replayed_loss(json.loads(found.to_json())["program"]) == pytest.approx(float(found.walk.loss.value))


# --- the JSON contract -----------------------------------------------------------------------------------------------


def read(found: Trace) -> dict[str, Any]:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    return json.loads(found.to_json(), parse_constant=refuse)


@pytest.mark.parametrize("name", [*TRACES, "worked", "linear"])
def test_the_json_follows_its_schema(name: str) -> None:
    content = read({"worked": WORKED["sigmoid"], "linear": WORKED["linear"], **TRACES}[name])
    assert faults(content, TRACE) == []
    assert content["format"] == FORMAT
    for step in content["steps"]:
        assert any(not faults(step["detail"], detail) for detail in DETAIL[step["phase"]]), step["title"]
        assert step["source"] is None or step["source"] < len(content["sources"])
    assert [p for p in PHASES if any(s["phase"] == p for s in content["steps"])] == list(
        dict.fromkeys(step["phase"] for step in content["steps"])
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "minprune trace 2"),
        (("steps", 0, "result"), "0.5"),
        (("steps", 0, "terms", 0, "factors", 0), None),
        (("steps", 0, "about", "sample"), True),
        (("network", "samples"), 1.5),
        (("program", "ops", 0, "inputs"), []),
    ],
)
def test_the_schema_refuses_what_does_not_follow_it(path: tuple[Any, ...], value: Any) -> None:
    content = read(WORKED["sigmoid"])
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert faults(content, TRACE)


def test_numbers_survive_json_to_the_last_bit() -> None:
    found = TRACES["mlp"]
    for step, told in zip(found.steps, read(found)["steps"], strict=True):
        assert told["result"] == step.result
        assert [t["value"] for t in told["terms"]] == [t.value for t in step.terms]


def test_infinite_numbers_are_texts() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense2.W"] = [[1.0, 0.0]]  # nobody reads the second neuron: s = 0
    content = read(trace_of(net, [[1.0]], [[0.5]], criteria=("inverse_sensitivity",)))
    assert content["scores"]["inverse_sensitivity"]["by_group"]["dense1"][1] == "inf"
    assert [s["result"] for s in content["steps"] if s["phase"] == "scores"][1] == "inf"
    pool = mp.Sequential(
        mp.Conv2d(1, 1, 1), mp.MaxPool2d(2, padding=1), mp.Flatten(), mp.Dense(4, 1), input_shape=(1, 2, 2)
    )
    found = trace_of(pool, np.ones((1, 1, 2, 2)), [[0.5]])
    corner = next(s for s in read(found)["steps"] if s["about"]["name"] == "maxpool1")
    assert [term["value"] for term in corner["terms"]][:3] == ["-inf"] * 3
    assert faults(read(found), TRACE) == []
    assert "max(−∞, −∞, −∞, " in found.to_text()


def test_values_and_gradients_are_those_of_a_recording() -> None:
    found = TRACES["cnn"]
    content, rec = read(found), mp.record(found.net, found.x, found.y, "mse")
    for name, array in content["values"].items():
        expected = rec.tensors[name].value
        assert array["shape"] == list(expected.shape)
        assert array["data"] == expected.ravel().tolist()
    for name, gradient in rec.grads.items():
        np.testing.assert_allclose(content["gradients"][name]["data"], gradient.ravel(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(content["gradients"]["conv1"]["data"], rec["conv1"].grad_z.ravel(), atol=1e-15)


def test_a_network_of_many_numbers_has_no_program() -> None:
    net = mp.Sequential(mp.Dense(400, 300), mp.ReLU(), mp.Dense(300, 2), rng=0)
    content = read(trace_of(net, np.ones((1, 400)), [0], focus=mp.Focus("dense2", 0), criteria=()))
    assert (content["program"], content["values"], content["gradients"]) == (None, None, None)
    assert faults(content, TRACE) == []


# --- the op program --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", GOLDEN)
def test_masking_in_the_replayed_program_gives_the_golden_ablations(output: str) -> None:
    ops, golden = read(WORKED[output])["program"], GOLDEN[output]
    dense = replayed_loss(ops)
    assert dense == pytest.approx(golden["forward"]["loss"], rel=0, abs=1e-9)
    for j, change in enumerate(golden["ablation_single"]):
        assert replayed_loss(ops, {"dense1": [j]}) - dense == pytest.approx(change, rel=0, abs=1e-9)
    for pair, change in golden["ablation_pair"].items():
        gone = {"dense1": [int(j) for j in pair.split(",")]}
        assert replayed_loss(ops, gone) - dense == pytest.approx(change, rel=0, abs=1e-9)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_program_of_any_network_replays_its_values_and_its_masks(name: str) -> None:
    net = EXAMPLES[name]()
    x = inputs(net, 1)
    y = np.random.default_rng(3).standard_normal(net(x).shape)
    found = program(net, x, y, "mse")
    assert found is not None
    values, rec = replay(found), mp.record(net, x, y, "mse")
    for node, value in found["values"].items():
        if node in net.nodes:
            np.testing.assert_allclose(values[value].data, rec.tensors[node].value.ravel(), rtol=1e-9, atol=1e-9)
    group = [g for g in net.neurons.values() if not g.stays and g.size > 1][-1]
    gone = {group.name: [group.size - 1]}
    expected = mp.record(masked(net, mp.Plan(gone)), x, y, "mse").loss
    assert replayed_loss(found, gone) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_program_replays_cross_entropy_of_labels_and_of_rows() -> None:
    net = EXAMPLES["mlp"]()
    (x,) = inputs(net, 3).values()
    for y in (np.array([0, 2, 1]), np.array([[0.5, 0.5, 0], [0, 0, 1.0], [0.2, 0.3, 0.5]])):
        found = trace_of(net, x, y, "cross_entropy", criteria=())
        assert replayed_loss(read(found)["program"]) == pytest.approx(float(found.walk.loss.value), rel=1e-12)


def test_a_gate_that_was_closed_stays_closed_in_the_program() -> None:
    closed = mp.mask(worked.network(), mp.Plan({"dense1": [0, 2]}))
    found = trace_of(closed, worked.X, worked.TARGET, worked.LOSS)
    change = replayed_loss(read(found)["program"]) - GOLDEN["sigmoid"]["forward"]["loss"]
    assert change == pytest.approx(GOLDEN["sigmoid"]["ablation_pair"]["0,2"], abs=1e-9)
    gate = next(s for s in found.steps if s.about.name == "sigmoid1.gate")
    assert (gate.written, gate.result) == ("y_{0} = m_{0} a_{0}", 0)


@pytest.mark.parametrize("name", CRITERIA_OF_ALL)
def test_every_criterion_is_told_in_words_and_terms(name: str) -> None:
    net = mp.Sequential(mp.Dense(3, 5), mp.BatchNorm(5), mp.Sigmoid(), mp.Dense(5, 2), rng=0)
    found = trace_of(net, worked.X, worked.TARGET, worked.LOSS, criteria=(name,), focus=mp.Focus("dense1", 1))
    (step,) = [s for s in found.steps if s.phase == "scores"]
    assert step.formula == CRITERIA_OF_ALL[name].formula
    assert "$" not in step.says
    assert "\\" not in found.to_text()
    assert faults(read(found), TRACE) == []
    if step.terms:
        assert evaluated(step.plugged.rpartition(r"\to")[2]) == pytest.approx(step.result, rel=1e-4, abs=1e-6)
