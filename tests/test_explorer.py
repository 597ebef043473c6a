"""The explorer: the page as text, and the page in a browser.

Tests whose names begin with "in a browser" need a Chromium; without one they are skipped, and in CI they fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs

import minprune as mp
from minprune import worked
from minprune.cli import main
from minprune.errors import DataError
from minprune.explorer import RULES
from minprune.explorer.chinese import to_chinese
from minprune.explorer.content import content
from minprune.explorer.drawing import columns
from minprune.explorer.examples import digits_pages
from minprune.explorer.making import page_of
from minprune.explorer.mathml import to_mathml
from minprune.explorer.words import WORDS
from minprune.ops import LOSSES, OPS
from minprune.pruning.surgery import masked
from minprune.scores import CRITERIA
from minprune.tracing.program import program
from minprune.tracing.steps import first_line
from minprune.tracing.text import exactly

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "minprune" / "explorer" / "assets"
GOLDEN = {
    output: json.loads((ROOT / "tests" / "golden" / name).read_text())
    for output, name in (("sigmoid", "worked_example.json"), ("linear", "worked_example_linear.json"))
}
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in ASSETS.glob("*.js")}
NEVER_IN_A_PROGRAM = {"batch_norm_train", "dropout", "kl_divergence"}  # it is of evaluation mode, and of one network
EXACT = {"rel": 0, "abs": 1e-9}
CJK = re.compile(r"[\u4e00-\u9fff]")


def trace_of(output: str = "sigmoid", **settings: Any) -> mp.tracing.Trace:
    settings = {"plan": mp.Global(2), "criteria": RULES} | settings
    return mp.trace(worked.network(output), worked.X, worked.TARGET, worked.LOSS, progress=False, **settings)


TRACE = trace_of()
PAGE = page_of(TRACE, "The example")
DATA = TRACE.as_dict()


class Elements(HTMLParser):
    """All elements of a page: (tag, attributes), and the visible text of outputs."""

    EMPTY = ("meta", "link", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.outputs: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.get_starttag_text().endswith("/>") or self.open[-1] == tag:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "output":
            self.outputs.append(data)


ELEMENTS = Elements(PAGE)


# --- the page as text ------------------------------------------------------------------------------------------------


def test_every_element_is_closed() -> None:
    assert ELEMENTS.open == []


def test_the_page_loads_nothing_and_is_small() -> None:
    assert len(PAGE.encode()) < 300_000
    assert re.findall(r"https?://[^\s\"']+", PAGE) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    assert "@import" not in PAGE
    assert not [tag for tag, attrs in ELEMENTS.found if attrs.get("src")]
    assert {attrs["href"][0] for _, attrs in ELEMENTS.found if "href" in attrs} == {"#", "d"}  # data:, the empty icon


def test_without_a_script_every_step_is_there_with_its_result() -> None:
    links = [attrs["id"] for tag, attrs in ELEMENTS.found if tag == "article"]
    assert links == [f"step={number}" for number in range(1, len(TRACE.steps) + 1)]
    assert ELEMENTS.outputs == [exactly(step.result) for step in TRACE.steps if step.result is not None]


def test_without_a_script_the_drawing_has_its_values() -> None:
    drawn = re.findall(r'<text class="v"[^>]*>([^<]*)</text>', PAGE)
    values = [value for tensor in TRACE.walk.values.values() for value in tensor.value.ravel()]
    assert drawn == [f"{v:.3g}".replace("-", "−") for v in [*values, float(TRACE.walk.loss.value)]]


def test_the_drawing_has_a_line_for_every_weight() -> None:
    lines = re.findall(r'<line class="(pos|neg|one)"', PAGE)
    weights = np.concatenate([np.ravel(worked.WEIGHTS[name]) for name in ("dense1.W", "dense2.W")])
    assert lines.count("pos") == (weights >= 0).sum()
    assert lines.count("neg") == (weights < 0).sum()
    assert lines.count("one") == 5 + 2 + 2  # sigmoids, and the outputs into the loss


def test_columns_stand_in_the_order_of_the_computation() -> None:
    placed = {column.name: column for column in columns(DATA["network"])}
    assert list(placed) == ["input", "dense1", "sigmoid1", "dense2", "sigmoid2", "losses"]
    edges = [column.x + column.width for column in placed.values()]
    assert all(edge < column.x for edge, column in zip(edges, [*placed.values()][1:], strict=False))


def test_branches_stand_below_each_other() -> None:
    net = EXAMPLES["residual"]()
    x = next(iter(inputs(net, 1).values()))
    found = mp.trace(net, x, net(x), "mse", criteria=(), progress=False).as_dict()
    placed = columns(found["network"])
    boxes = [(c.x, c.y, c.x + c.width, c.y + c.height) for c in placed]
    for i, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[i + 1 :]:
            assert c <= e or g <= a or d <= f or h <= b


def test_a_title_cannot_break_the_page() -> None:
    page = page_of(trace_of(plan=None, criteria=()), "</script><b>{{step}} & co")
    safe = "&lt;/script&gt;&lt;b&gt;{{step}} &amp; co"
    assert re.findall("<h1>(.*)</h1>", page) == [safe]
    assert re.findall("<title>(.*)</title>", page) == [f"{safe} · minprune"]
    assert Elements(page).open == []


def test_what_the_script_reads_cannot_end_the_script() -> None:
    data = PAGE.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert json.loads(data) == json.loads(json.dumps(content(DATA)))


def test_the_factors_of_a_named_term_multiply_to_its_value() -> None:
    for name in ("mlp", "residual", "conv1d", "average pooling"):
        net = EXAMPLES[name]()
        x = next(iter(inputs(net, 1).values()))
        found = mp.trace(net, x, net(x) + 1, "mse", criteria=(), progress=False)
        named = [term for step in found.steps for term in step.terms if term.names]
        assert named
        for term in named:
            assert prod(term.factors) == pytest.approx(term.value, rel=1e-12, abs=1e-15)


def test_a_step_names_the_cells_that_it_reads() -> None:
    steps = content(DATA)["steps"]
    assert steps[2]["reads"] == {"input": [0, 1, 2]}  # dense1[2]
    assert steps[7]["reads"] == {"dense1": [2]}  # sigmoid1[2]
    back = next(s for s in steps if s["phase"] == "backward" and s["about"]["name"] == "sigmoid1")
    assert back["reads"] == {"dense2": [0, 1]}


def test_a_page_that_would_be_too_large_is_refused_and_not_written(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(200, 300), mp.ReLU(), mp.Dense(300, 2), rng=0)
    x = np.random.default_rng(0).random((8, 200))
    with pytest.raises(DataError, match=r"^\S+page.html: the page would have [\d,]+ bytes, expected at most 1,000,000"):
        mp.explore(
            net, tmp_path / "page.html", x, x[:, :2], criteria=(), focus=mp.Focus("dense1", 0, 0), progress=False
        )
    assert list(tmp_path.iterdir()) == []


def test_explore_returns_the_trace_and_leaves_the_network_alone(tmp_path: Path) -> None:
    net = worked.network()
    found = mp.explore(net, tmp_path / "page.html", worked.X, worked.TARGET, worked.LOSS, progress=False)
    assert found.loss == worked.LOSS
    assert {name: values.tolist() for name, values in net.params.items()} == worked.WEIGHTS
    assert list(found.scores) == list(RULES)


# --- formulas and languages ------------------------------------------------------------------------------------------


FORMULAS = [formula for op in OPS for formula in (op.formula, *op.rules.values())]
FORMULAS += [criterion.formula for criterion in CRITERIA.values()]
FORMULAS += [text for step in TRACE.steps for text in (step.written, step.plugged) if text]


def test_every_formula_is_well_formed_mathml() -> None:
    for formula in FORMULAS:
        root = ET.fromstring(f"<p>{to_mathml(formula).replace(' form=prefix', '')}</p>")
        assert {child.tag for child in root} == {"math"}, formula
        for element in root.iter():
            arms = {"mfrac": 2, "msub": 2, "msup": 2, "mover": 2, "munder": 2, "msubsup": 3, "munderover": 3}
            assert len(element) == arms.get(element.tag, len(element)), formula


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (r"\begin{x}", r"\\begin, which the page does not know"),
        ("x_{1 + 2", "lacks a '}'"),
        ("x}", "too many"),
        (r"\bar", "ends where something should follow"),
    ],
)
def test_a_formula_that_is_not_understood_is_refused(formula: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_mathml(formula)


def test_a_sign_is_told_from_a_difference() -> None:
    assert '<mo form="infix">−</mo><mn>2</mn>' in to_mathml("1 - 2")
    assert "<mo form=prefix>−</mo><mn>2</mn>" in to_mathml(r"3 \cdot (-2)")


@pytest.mark.parametrize("documented", [*OPS, *CRITERIA.values(), mp.Global, mp.PerLayer, mp.Threshold, mp.Budget])
def test_what_an_op_a_score_or_a_strategy_says_has_a_chinese_sentence(documented: Any) -> None:
    chinese = to_chinese(first_line(documented))
    assert chinese is not None
    assert chinese.endswith("。") or "`" in chinese or "ⱼ" in chinese
    assert len(CJK.findall(chinese)) > 3


def test_every_sentence_of_the_example_is_chinese_too() -> None:
    for step in TRACE.steps:
        chinese = to_chinese(step.says)
        assert chinese is not None, step.says
        assert not re.search(r"[a-z] (the|of|how|loss|what|with|an?) ", chinese), chinese
        if re.search(r"\s(?!\d)[a-z]{2,}", step.title):
            assert CJK.search(to_chinese(step.title) or ""), step.title


def test_the_page_says_everything_twice_and_with_the_same_gaps() -> None:
    for english, chinese in WORDS.values():
        assert CJK.search(chinese)
        assert english.count("{}") == chinese.count("{}")


def test_every_word_that_the_scripts_ask_for_is_there() -> None:
    scripts = "\n".join(SCRIPTS.values()) + (ASSETS / "page.html").read_text(encoding="utf-8")
    asked = re.findall(r'word\("([a-z-]+)"', scripts) + re.findall(r'data-word="([a-z-]+)"', scripts)
    asked += re.findall(r'"((?:rule|legend)-[a-z]+)"', scripts) + re.findall(r"\{\{([a-z-]+)\}\}", scripts)
    assert set(asked) <= set(WORDS)
    assert len(set(asked)) > 40


def test_the_page_has_a_function_for_every_op_of_a_program() -> None:
    table = SCRIPTS["ops.js"].partition("const OPS = {")[2]
    known = set(re.findall(r"^  ([a-z_]+)[:,]", table, flags=re.MULTILINE))
    assert known == {op.name for op in OPS} - NEVER_IN_A_PROGRAM
    assert {op.name for op in LOSSES.values()} - NEVER_IN_A_PROGRAM <= known


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    assert main(["explore", "-o", str(path)]) == 0
    assert f"{path}: 105 steps" in capsys.readouterr().out
    assert "h1>The document’s example" in path.read_text(encoding="utf-8")


def test_the_command_follows_the_first_hidden_neuron_of_a_larger_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mp.save(mp.Sequential(mp.Dense(64, 12), mp.ReLU(), mp.Dense(12, 10), rng=0), "net.npz")
    assert main(["explore", "net.npz", "--data", "digits", "--samples", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == (tmp_path / "page.html").stat().st_size
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "followed here: dense1[0]" in page
    assert "2 samples; drawn is sample 0" in page


def test_the_command_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (("-o", str(tmp_path / "page.pdf")), "a page is saved as .html or .htm"),
        (("-o", str(tmp_path / "no" / "page.html")), "does not exist; make it first"),
        (("--sample", "3", "-o", str(tmp_path / "page.html")), "the document's example has one sample"),
    ):
        assert main(["explore", *words]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line


# --- in a browser ----------------------------------------------------------------------------------------------------


def chromium() -> str | None:
    """A Chromium that is installed, wherever."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("MINPRUNE_CHROMIUM") or next((path for path in found if path), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    program = chromium()
    if program is None and os.environ.get("CI") != "true":
        pytest.skip("there is no Chromium here")
    api = pytest.importorskip("playwright.sync_api", reason="there is no playwright here")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example's two pages as files."""
    folder = tmp_path_factory.mktemp("explorer")
    for output in GOLDEN:
        (folder / f"{output}.html").write_text(page_of(trace_of(output), output), encoding="utf-8")
    return {output: folder / f"{output}.html" for output in GOLDEN}


@pytest.fixture
def tab(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """A page that is open, and that has to stay without errors and without requests."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, locale="en-GB")
    page, bad = context.new_page(), []
    page.on("console", lambda message: bad.append(message.text))
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("request", lambda request: bad.append(request.url) if not request.url.startswith("file:") else None)
    page.set_default_timeout(5_000)
    page.goto(pages["sigmoid"].as_uri())
    yield page
    context.close()
    assert bad == []


def shown(tab: Any) -> int:
    """The step that is shown; there is exactly one."""
    visible = tab.eval_on_selector_all(".step", "all => all.filter(s => s.offsetParent).map(s => +s.dataset.step)")
    assert len(visible) == 1
    return int(visible[0])


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+∞", "inf").replace("-∞", "-inf"))


def loss_now(tab: Any) -> float:
    return number(tab.inner_text("#loss-now"))


def test_in_a_browser_the_page_checks_its_own_arithmetic(tab: Any) -> None:
    assert re.fullmatch(
        r"This page computed \d+ numbers of the trace again; .* is \d\.\de−1\d\.", tab.inner_text("#checked")
    )
    assert "ok" in tab.get_attribute("#checked", "class")


def test_in_a_browser_arithmetic_that_differs_is_told_and_not_used(tab: Any, pages: dict[str, Path]) -> None:
    broken = pages["sigmoid"].with_name("broken.html")
    text = pages["sigmoid"].read_text(encoding="utf-8")
    broken.write_text(
        text.replace("sigmoid: each(sigmoid)", "sigmoid: each((x) => sigmoid(x) + 1e-8)"), encoding="utf-8"
    )
    tab.goto(broken.as_uri())
    assert "do not trust what it computes" in tab.inner_text("#checked")
    assert not tab.is_visible("#what-if")


def test_in_a_browser_one_goes_forward_and_back_through_everything(tab: Any) -> None:
    look = """() => { const all = [...document.querySelectorAll(".step")].filter((s) => s.offsetParent);
        return [all.map((s) => +s.dataset.step), all[0].querySelector("output")?.textContent || "", location.hash] }"""
    results = ["" if step.result is None else exactly(step.result) for step in TRACE.steps]
    for at, result in enumerate(results, 1):
        if at > 1:
            tab.keyboard.press("ArrowRight")
            assert tab.evaluate(look) == [[at], result, f"#step={at}"]
    tab.keyboard.press("ArrowRight")
    assert shown(tab) == len(results)
    back = tab.evaluate(
        f"""() => {{ const look = {look}, found = [];
        while (!document.querySelector("#previous").disabled) {{
            document.querySelector("#previous").click(); found.push(look().slice(0, 2)); }}
        return found }}"""
    )
    assert back == [[[at], result] for at, result in list(enumerate(results, 1))[-2::-1]]


def test_in_a_browser_the_drawing_knows_only_what_was_computed(tab: Any) -> None:
    def unknown() -> list[str]:
        return tab.eval_on_selector_all("#net .cell.unknown", "all => all.map(c => c.dataset.v + c.dataset.i)")

    tab.keyboard.press("Home")
    assert "dense10" not in unknown()
    assert "dense11" in unknown()
    tab.evaluate("go(16)")  # the loss: all is known
    assert unknown() == []
    tab.evaluate("go(17)")  # the first slope
    assert set(unknown()) > {"sigmoid21", "dense20", "input0"}
    assert "sigmoid20" not in unknown()


def test_in_a_browser_a_link_leads_to_a_step(tab: Any, pages: dict[str, Path]) -> None:
    tab.goto("about:blank")
    tab.goto(pages["sigmoid"].as_uri() + "#step=12")
    assert shown(tab) == 12
    tab.evaluate("location.hash = '#step=40'")
    tab.wait_for_function("document.querySelector('.step.current').dataset.step === '40'")
    assert shown(tab) == 40
    assert tab.get_attribute(".step.current .number", "href") == "#step=40"
    tab.evaluate("location.hash = '#step=4000'")
    tab.wait_for_function("document.querySelector('.step.current').dataset.step !== '40'")
    assert shown(tab) == len(TRACE.steps)


@pytest.mark.parametrize("output", GOLDEN)
def test_in_a_browser_masked_neurons_give_the_golden_losses(tab: Any, pages: dict[str, Path], output: str) -> None:
    tab.goto(pages[output].as_uri())
    golden = GOLDEN[output]
    dense = golden["forward"]["loss"]
    assert loss_now(tab) == pytest.approx(dense, **EXACT)
    for j, change in enumerate(golden["ablation_single"]):
        tab.click(f'.neurons button[data-neuron="{j}"]')
        assert loss_now(tab) == pytest.approx(dense + change, **EXACT)
        tab.click("#restore")
    for pair, change in golden["ablation_pair"].items():
        for j in pair.split(","):
            tab.click(f'#net .ball[data-v="dense1"][data-neuron="{j}"]')  # in the drawing this time
        assert loss_now(tab) == pytest.approx(dense + change, **EXACT)
        assert tab.evaluate("whatIf.loss") == pytest.approx(dense + change, rel=0, abs=1e-12)
        tab.click("#restore")
    assert loss_now(tab) == pytest.approx(dense, **EXACT)


def test_in_a_browser_the_rules_can_be_switched(tab: Any) -> None:
    for name, scores in TRACE.scores.items():
        tab.check(f'#rules input[value="{name}"]')
        rows = tab.eval_on_selector_all(".neurons .score span", "all => all.map(s => s.textContent)")
        assert [number(row) for row in rows] == pytest.approx(scores["dense1"], rel=1e-3)
        live = tab.evaluate("whatIf.whole(whatIf.rule)")
        assert live == pytest.approx(scores["dense1"].tolist(), rel=1e-8)
        tab.click("#apply")
        dropped = [
            j for j in range(5) if tab.get_attribute(f'[data-neuron="{j}"][aria-pressed]', "aria-pressed") == "true"
        ]
        assert dropped == mp.decide(scores, mp.Global(2)).drop["dense1"]
        (check,) = [step for step in TRACE.steps if step.detail.get("plan") == name]
        assert loss_now(tab) == pytest.approx(check.detail["without"], **EXACT)
        tab.click("#restore")


def test_in_a_browser_scores_are_taken_again_when_neurons_are_gone(tab: Any) -> None:
    closed = mp.mask(worked.network(), mp.Plan({"dense1": [0, 2]}))
    tab.click("#apply")  # h1 and h3, by the document's rule
    for name in RULES:
        expected = mp.score(closed, (worked.X, worked.TARGET), name, loss=worked.LOSS)["dense1"]
        tab.check(f'#rules input[value="{name}"]')
        live = tab.evaluate("whatIf.scored(whatIf.gone).scores.map(s => Number.isNaN(s) ? null : s)")
        assert [live[j] for j in (1, 3, 4)] == pytest.approx([expected[j] for j in (1, 3, 4)], rel=1e-7)
        assert live[0] is None


def test_in_a_browser_the_drawing_shows_what_is_left(tab: Any) -> None:
    tab.click("#apply")
    without = masked(worked.network(), mp.Plan({"dense1": [0, 2]}))(worked.X)[0]
    drawn = tab.eval_on_selector_all('#net .cell[data-v="sigmoid2"] .v', "all => all.map(t => t.textContent)")
    assert [number(text) for text in drawn] == pytest.approx(without, abs=5e-4)
    assert tab.eval_on_selector_all("#net .ball.gone", "all => all.map(c => c.dataset.v + c.dataset.i)") == [
        "dense10",
        "dense12",
        "sigmoid10",
        "sigmoid12",
    ]
    assert "2 masked: loss 0.104341 → 0.322879" in tab.inner_text("#live")


def test_in_a_browser_the_keyboard_is_enough(tab: Any) -> None:
    def focused(script: str) -> Any:
        return tab.evaluate(f"document.activeElement.{script}")

    tab.keyboard.press("End")
    assert shown(tab) == len(TRACE.steps)
    tab.keyboard.press("Home")
    tab.keyboard.press("PageDown")
    assert shown(tab) == 11
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(focused("id || document.activeElement.className || document.activeElement.tagName"))
        if focused("dataset.neuron") == "1":
            break
    assert {"slider", "next", "apply"} <= set(reached)
    tab.keyboard.press("Space")
    assert focused("getAttribute('aria-pressed')") == "true"
    assert loss_now(tab) == pytest.approx(
        GOLDEN["sigmoid"]["forward"]["loss"] + GOLDEN["sigmoid"]["ablation_single"][1], **EXACT
    )
    assert "loss 0.0944499, change −0.00989095" in tab.inner_text("#said")
    tab.focus("#slider")
    tab.keyboard.press("ArrowRight")
    assert shown(tab) == 12
    assert tab.get_attribute("#slider", "aria-valuetext").startswith("12 / 105, Forward: dense2[1]")


def test_in_a_browser_a_step_is_read_out(tab: Any) -> None:
    assert tab.get_attribute("#said", "aria-live") == "polite"
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#said") == "2 / 105. dense1[1] = −1"


def test_in_a_browser_a_square_of_the_grid_becomes_a_product(tab: Any) -> None:
    squares = tab.query_selector_all(".step.current .grid button")
    assert len(squares) == 4  # three products and a bias
    squares[0].focus()
    tab.keyboard.press("ArrowRight")
    assert shown(tab) == 1  # the arrow went to the next square, not to the next step
    product = tab.inner_text(".step.current .product").split()
    assert product == ["W₀,₁", "0.3", "·", "x₁", "2", "=", "W₀,₁", "x₁", "0.6"]
    assert tab.inner_text(".step.current .source .runs").strip() == "return affine(c.x, c.W, c.b)"


def test_in_a_browser_the_page_speaks_chinese(tab: Any) -> None:
    tab.click("text=中文")
    assert tab.evaluate("document.documentElement.lang") == "zh-Hans"
    assert tab.inner_text("#h-what-if") == "如果一个神经元离开？"
    assert tab.inner_text(".step.current .says") == "每个神经元对输入加权求和，再加上偏置。"
    assert "本页重新计算了" in tab.inner_text("#checked")
    english = tab.evaluate("[...document.querySelectorAll('.en')].filter(e => e.offsetParent).length")
    assert english == 0
    tab.keyboard.press("End")
    assert tab.inner_text(".step.current h4") == "leave_one_out 的选择使损失如何变化"


@pytest.mark.parametrize("width", [320, 390])
def test_in_a_browser_a_phone_never_scrolls_sideways(tab: Any, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 700})
    for step in (1, 12, 16, 22, 41, 66, 91, 97, 100, 105):
        tab.evaluate(f"go({step})")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, step


def test_in_a_browser_nothing_moves_for_those_who_ask_for_it(tab: Any) -> None:
    moving = "getComputedStyle(document.querySelector('#net circle')).transitionDuration"
    assert tab.evaluate(moving) != "0s"
    tab.emulate_media(reduced_motion="reduce")
    assert tab.evaluate(moving) == "0s"


def test_in_a_browser_the_page_is_dark_where_the_system_is(tab: Any) -> None:
    def lightness(element: str, what: str) -> float:
        colour = tab.evaluate(f"getComputedStyle(document.querySelector('{element}')).{what}")
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3 / 255

    for scheme, is_light in (("light", True), ("dark", False)):
        tab.emulate_media(color_scheme=scheme)
        assert (lightness("html", "backgroundColor") > 0.5) is is_light
        assert abs(lightness("html", "backgroundColor") - lightness("html", "color")) > 0.6
        assert abs(lightness(".step", "backgroundColor") - lightness(".says", "color")) > 0.4


def test_in_a_browser_numbers_in_circles_stand_out_from_their_fill(tab: Any) -> None:
    paint = """() => {
        const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const light = (colour) => { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((c) => c / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05 };
        return [...document.querySelectorAll("#net .ball:not(.unknown)")].map((ball) => {
            const [a, b] = [["circle"], [".v"]].map(([part]) => light(getComputedStyle(ball.querySelector(part)).fill));
            return Math.max(a, b) / Math.min(a, b) }) }"""
    tab.emulate_media(reduced_motion="reduce", color_scheme="light")
    for step in (16, 65, 66):
        tab.evaluate(f"go({step})")
        contrasts = tab.evaluate(paint)
        assert len(contrasts) > 5
        assert min(contrasts) > 3.9, step


def test_in_a_browser_a_removal_marks_who_is_gone(tab: Any) -> None:
    removal = next(number for number, step in enumerate(TRACE.steps, 1) if step.phase == "removal")
    tab.evaluate(f"go({removal})")
    gone = tab.eval_on_selector_all('#net .ball.gone[data-v="dense1"]', "all => all.map(c => +c.dataset.i)")
    assert gone == [0, 2]


def test_in_a_browser_without_scripts_all_steps_can_be_read(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["sigmoid"].as_uri())
    assert page.locator(".step:visible").count() == len(TRACE.steps)
    assert not page.is_visible("#what-if")
    assert "0.2185386084191" in page.inner_text("[id='step=101']")
    page.click("text=中文")  # the languages need no script either
    assert "只让" not in page.inner_text("[id='step=1']")
    assert "每个神经元对输入加权求和" in page.inner_text("[id='step=1']")
    context.close()


def test_in_a_browser_the_program_of_any_network_is_replayed(tab: Any) -> None:
    for name, make in EXAMPLES.items():
        net = make().astype(np.float64)
        x = inputs(net, 1)
        y = np.random.default_rng(3).standard_normal(net(x).shape)
        found, rec = program(net, x, y, "mse"), mp.record(net, x, y, "mse")
        group = [g for g in net.neurons.values() if not g.stays and g.size > 1][-1]
        gone = {group.name: [group.size - 1]}
        values, without = tab.evaluate(
            "([text, gone]) => { const p = JSON.parse(text), r = new Replay(p), v = r.run();"
            " return [Object.entries(p.values).map(([n, k]) => [n, Array.from(v[k].data)]), r.loss(gone)] }",
            [json.dumps(found), gone],
        )
        for node, value in values:
            if node in net.nodes:
                np.testing.assert_allclose(value, rec.tensors[node].value.ravel(), rtol=1e-9, atol=1e-9, err_msg=name)
        expected = mp.record(masked(net, mp.Plan(gone)), x, y, "mse").loss
        assert without == pytest.approx(expected, rel=1e-9, abs=1e-9), name


def test_in_a_browser_cross_entropy_is_replayed_for_labels_and_rows(tab: Any) -> None:
    net = EXAMPLES["mlp"]().astype(np.float64)
    x = inputs(net, 3)
    for y in (np.array([0, 2, 1]), np.array([[0.5, 0.5, 0], [0, 0, 1.0], [0.2, 0.3, 0.5]])):
        found = program(net, x, y, "cross_entropy")
        loss = tab.evaluate("text => new Replay(JSON.parse(text)).loss()", json.dumps(found))
        assert loss == pytest.approx(mp.record(net, x, y, "cross_entropy").loss, rel=1e-12)


def test_in_a_browser_the_pages_of_digits_are_explored_on_a_phone_too(tab: Any, tmp_path: Path) -> None:
    for path in digits_pages(tmp_path):
        assert path.stat().st_size < 1_000_000
        tab.set_viewport_size({"width": 1200, "height": 900})
        tab.goto(path.as_uri())
        assert "ok" in tab.get_attribute("#checked", "class")
        full, one = loss_now(tab), tab.evaluate("whatIf.truth[0]")
        tab.click('.neurons button[data-neuron="0"]')
        assert loss_now(tab) == pytest.approx(full + one, **EXACT)
        tab.set_viewport_size({"width": 390, "height": 844})
        for at in range(1, int(tab.get_attribute("#slider", "max")) + 1, 17):
            tab.evaluate(f"go({at})")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390, (path.name, at)


def test_a_chromium_is_found_where_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINPRUNE_CHROMIUM", "/somewhere/chrome")
    assert chromium() == "/somewhere/chrome"
    monkeypatch.delenv("MINPRUNE_CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium() is None
