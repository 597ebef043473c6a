"""Tutorials: cells become notebooks, notebooks are compared by what they tell, and all of them are in order."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from minprune.errors import FileError

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tutorials"
TUTORIALS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
EACH = pytest.mark.parametrize("path", TUTORIALS, ids=[path.stem for path in TUTORIALS])


def load_build() -> ModuleType:
    """The program `tutorials/build.py`, which is no part of the package."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("tutorials_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


build = load_build()

SMALL = """\
# %% [markdown]
# # A title
#
# Text with $x$.

# %%
x = 1 / 3
print(f"{x:.4f}")


# %% tags=["timing"]
print("now")
"""


# From cells to a notebook ---------------------------------------------------------------------------------------------


def test_comment_lines_become_text_and_the_rest_code() -> None:
    text, code, timed = build.read_cells(SMALL, "small.py")
    assert (text.kind, text.source) == ("markdown", "# A title\n\nText with $x$.")
    assert (code.kind, code.source, code.line) == ("code", 'x = 1 / 3\nprint(f"{x:.4f}")', 6)
    assert (timed.source, timed.tags) == ('print("now")', ("timing",))


def test_the_same_cells_make_the_same_notebook_and_it_is_valid() -> None:
    nbformat = pytest.importorskip("nbformat")
    first, second = (build.notebook_of(build.read_cells(SMALL, "small.py")) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    nbformat.validate(nbformat.from_dict(first))
    assert [cell["id"] for cell in first["cells"]] == ["cell-1", "cell-2", "cell-3"]
    assert first["cells"][2]["metadata"] == {"tags": ["timing"]}


@pytest.mark.parametrize(
    ("link", "in_the_notebook"),
    [
        ("[next](02_forward.py)", "[next](02_forward.ipynb)"),
        ("[fill](exercises/01_one_neuron.py)", "[fill](../exercises/01_one_neuron.py)"),
        ("[letters](notation.md)", "[letters](../notation.md)"),
        ("[web](https://example.org/a.py)", "[web](https://example.org/a.py)"),
        ("[below](#sets)", "[below](#sets)"),
    ],
)
def test_links_lead_from_the_notebooks_to_where_they_led(link: str, in_the_notebook: str) -> None:
    (cell,) = build.notebook_of(build.read_cells(f"# %% [markdown]\n# {link}\n", "t.py"))["cells"]
    assert cell["source"] == in_the_notebook


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\n# %%\n", "t.py:1: expected '# %%' or '# %% [markdown]' before anything else, got 'x = 1'"),
        ("x = 1\n", "t.py:1: expected '# %%'"),
        ("# %% [markdown]\n# text\nx = 1\n", "t.py:3: a cell of text holds lines that begin with '# ', got 'x = 1'"),
        ("# %%\n# %% [raw]\n", "t.py:2: a cell begins with '# %%' or '# %% [markdown]', got '# %% [raw]'"),
        ("# %%[markdown]\n", "t.py:1: expected '# %%'"),
    ],
)
def test_a_file_that_is_not_made_of_cells_is_refused_by_its_line(text: str, says: str) -> None:
    with pytest.raises(FileError, match=re.escape(says)):
        build.read_cells(text, "t.py")


# Comparing ------------------------------------------------------------------------------------------------------------


def notebook(*outputs: dict[str, Any], source: str = "print(x)", tags: tuple[str, ...] = ()) -> dict[str, Any]:
    cell = {"cell_type": "code", "source": source, "metadata": {"tags": [*tags]}, "outputs": [*outputs]}
    return {"cells": [cell]}


def says(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("loss 0.1043", "loss 0.1043", True),
        ("loss 0.1043", "loss 0.1044", True),  # another rounding
        ("loss 0.1043", "loss 0.1045", False),
        ("loss 0.1043", "cost 0.1043", False),
        ("loss 0.1043", "loss -0.1043", False),
        ("a  1.0\nb", "a 1.0 b", True),  # columns widen and narrow
        ("5 neurons", "6 neurons", False),  # whole numbers are counted, not rounded
        ("difference 1.1e-16", "difference 2e-17", True),
        ("difference 1.1e-16", "difference 1e-3", False),
        ("3.10e-05", "3.11e-05", True),
        ("3.10e-05", "3.12e-05", False),
        ("0.999999", "1", True),
        ("h1, h2", "h1, h3", False),
    ],
)
def test_texts_are_the_same_up_to_blanks_and_the_last_digit(old: str, new: str, same: bool) -> None:
    assert build.same_text(old, new) is same
    assert len([*build.differences(notebook(says(old)), notebook(says(new)))]) == (0 if same else 1)


def test_a_difference_is_named_by_cell_and_line() -> None:
    old, new = notebook(says("one 1.5\ntwo 2.5\n")), notebook(says("one 1.5\ntwo 3.5\n"))
    assert [*build.differences(old, new)] == ["cell 1 prints: it was 'two 2.5', is 'two 3.5'"]
    assert [*build.differences(notebook(), notebook(source="print(y)"))] == ["cell 1: it was 'print(x)', is 'print(y)'"]
    assert [*build.differences(notebook(), {"cells": []})] == ["it has 1 cells, the tutorial 0"]
    assert [*build.differences(notebook(), notebook(tags=("timing",)))] == ["cell 1: its tags were [], are ['timing']"]


def test_pictures_and_what_is_marked_as_timing_are_not_compared() -> None:
    def picture(data: str, name: str) -> dict[str, Any]:
        return {"output_type": "display_data", "data": {"image/png": data, "text/plain": f"figure: {name}"}}

    assert not [*build.differences(notebook(picture("AAAA", "a")), notebook(picture("BBBB", "a")))]
    assert [*build.differences(notebook(picture("AAAA", "a")), notebook(picture("AAAA", "b")))]
    timed = [notebook(says(text), tags=("timing",)) for text in ("took 1 s", "took 2 h")]
    assert not [*build.differences(*timed)]


# Running --------------------------------------------------------------------------------------------------------------


def made(folder: Path, text: str) -> Path:
    path = folder / "01_small.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_tutorial_is_built_checked_and_found_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(tmp_path, SMALL)
    assert build.main(["--check"], tmp_path) == 1
    assert (
        "01_small.ipynb: there is no such notebook; run python tutorials/build.py --only 01" in capsys.readouterr().err
    )
    assert build.main([], tmp_path) == 0
    target = tmp_path / "notebooks" / "01_small.ipynb"
    before = target.read_bytes()
    cells = json.loads(before)["cells"]
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2]
    assert cells[1]["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["0.3333\n"]}]
    path.write_text(SMALL.replace("1 / 3", "2 / 3"), encoding="utf-8")
    assert build.main(["--check"], tmp_path) == 1
    assert "01_small.ipynb: cell 2: it was 'x = 1 / 3', is 'x = 2 / 3'" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_a_notebook_that_has_lost_its_tutorial_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02_gone.ipynb").write_text("{}")
    assert build.main([], made(tmp_path, "# %% [markdown]\n# Text.\n").parent) == 1
    assert capsys.readouterr().err == "02_gone.ipynb: there is no tutorial of this name; delete it\n"
    assert build.main(["--only", "01"], tmp_path) == 0


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("x = 1\nassert x == 2", "01_small.py:1: assert x == 2: AssertionError"),
        ("import sys\nprint('careful', file=sys.stderr)", "must run without a warning, got 'careful'"),
    ],
)
def test_a_number_that_is_wrong_or_a_warning_stops_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, complaint: str
) -> None:
    made(tmp_path, f"# %%\n{code}\n")
    assert build.main([], tmp_path) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "notebooks").exists()


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "nbclient", None)
    made(tmp_path, SMALL)
    assert build.main([], tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nbclient and ipykernel are needed to build notebooks")
    assert line.endswith("pip install 'minprune[tutorials]'")


def test_a_number_that_no_tutorial_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--only", "99"]) == 1
    assert "no tutorial of number '99'" in capsys.readouterr().err


def test_a_figure_of_a_notebook_is_kept_with_its_name(tmp_path: Path) -> None:
    code = "from minprune.plots import running_sum, show\n\nshow(running_sum({'a': 1.0}), 'a-sum')"
    assert build.main([], made(tmp_path, f"# %%\n{code}\n").parent) == 0
    (output,) = json.loads((tmp_path / "notebooks" / "01_small.ipynb").read_text())["cells"][0]["outputs"]
    assert output["data"]["text/plain"] == ["figure: a-sum"]
    assert output["data"]["image/png"].startswith("iVBORw0KGgo")


# The tutorials that there are -----------------------------------------------------------------------------------------


def test_the_readme_lists_all_tutorials_in_order() -> None:
    rows = re.findall(r"^\| (\d+) \| \[[^\]]+\]\((\w+)\.py\) · \[notebook\]\(notebooks/(\w+)\.ipynb\)", readme(), re.M)
    assert [int(number) for number, _, _ in rows] == list(range(1, 14))
    assert [name for _, name, _ in rows] == [path.stem for path in TUTORIALS]
    assert all(name == twin and name.startswith(f"{int(number):02}_") for number, name, twin in rows)


def readme() -> str:
    return (FOLDER / "README.md").read_text(encoding="utf-8")


@EACH
def test_a_notebook_holds_the_cells_of_its_tutorial_and_their_results(path: Path) -> None:
    cells = build.read_cells(path.read_text(encoding="utf-8"), path.name)
    held = json.loads((FOLDER / "notebooks" / f"{path.stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    wanted = [(cell["cell_type"], cell["source"]) for cell in build.notebook_of(cells)["cells"]]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in held] == wanted
    counts = [cell["execution_count"] for cell in held if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


@EACH
def test_every_page_that_a_tutorial_or_its_notebook_links_to_is_there(path: Path) -> None:
    cells = build.read_cells(path.read_text(encoding="utf-8"), path.name)
    twins = build.notebook_of(cells)["cells"]
    for folder, texts in ((FOLDER, [c.source for c in cells]), (FOLDER / "notebooks", [c["source"] for c in twins])):
        for target in re.findall(r"\]\(([^)#]+)\)", "\n".join(texts)):
            if "://" not in target:
                assert (folder / target).exists(), target


@EACH
def test_a_tutorial_asserts_and_asks(path: Path) -> None:
    cells = build.read_cells(path.read_text(encoding="utf-8"), path.name)
    code = "\n".join(cell.source for cell in cells if cell.kind == "code")
    text = "\n".join(cell.source for cell in cells if cell.kind == "markdown")
    assert code.count("assert ") >= 5
    assert "**Predict" in text
    assert cells[0].kind == "markdown"
    assert re.match(rf"# {int(path.name[:2])} · ", cells[0].source)


@pytest.mark.parametrize("path", TUTORIALS[:7], ids=[path.stem for path in TUTORIALS[:7]])
def test_every_number_that_is_quoted_of_the_small_networks_stands_in_the_code(path: Path) -> None:
    cells = build.read_cells(path.read_text(encoding="utf-8"), path.name)
    asserted = {float(n) for c in cells if c.kind == "code" for n in re.findall(r"\d+\.\d+", c.source)}
    for cell in cells:
        if cell.kind == "markdown":
            quoted = re.findall(r"(?<![\d.])\d+\.\d{2,}(?!\.?\d)", cell.source)
            assert not [number for number in quoted if float(number) not in asserted], f"{path.name}:{cell.line}"


@pytest.mark.slow
@EACH
def test_a_tutorial_runs_from_anywhere_without_a_display_and_without_a_warning(path: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert {file.name for file in tmp_path.iterdir()} <= {"minprune-tutorials"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 30  # seconds of one core
