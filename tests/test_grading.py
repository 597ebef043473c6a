"""Grading: right answers are solved, wrong ones are told where, and the files say what the grader asks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import exercise_answers as answers
import numpy as np
import pytest

from minprune.cli import main
from minprune.errors import FileError
from minprune.grading.comparing import what_is_off
from minprune.grading.exercise import Exercise, judge
from minprune.grading.files import grade_file
from minprune.grading.lessons import EXERCISES, LESSONS

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "tutorials" / "exercises").glob("*.py"))
EACH = pytest.mark.parametrize("exercise", EXERCISES, ids=[exercise.name for exercise in EXERCISES])


@EACH
def test_a_right_answer_is_solved_whatever_inputs_are_drawn(exercise: Exercise) -> None:
    for seed in range(3):
        verdict = judge(exercise, getattr(answers, exercise.name), rng=seed)
        assert (verdict.state, verdict.says) == ("solved", "")


@EACH
def test_a_wrong_answer_is_told_where_it_is_off(exercise: Exercise) -> None:
    answer, says = answers.WRONG[exercise.name]
    verdict = judge(exercise, answer)
    assert verdict.state == "wrong"
    assert re.search(says, verdict.says), verdict.says
    assert "\n" not in verdict.says


def test_there_are_exercises_for_tutorials_1_to_7_and_for_8_10_and_12() -> None:
    assert [lesson[:2] for lesson in LESSONS] == ["01", "02", "03", "04", "05", "06", "07", "08", "10", "12"]
    assert [file.stem for file in FILES] == list(LESSONS)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_fresh_file_says_for_every_function_what_the_grader_asks(file: Path) -> None:
    verdicts = grade_file(file)
    assert {verdict.state for verdict in verdicts} == {"to do"}
    text = file.read_text(encoding="utf-8")
    assert re.findall(r"^def (\w+)", text, flags=re.MULTILINE) == [verdict.exercise.name for verdict in verdicts]
    for verdict in verdicts:
        assert f'"{verdict.exercise.task}"' in text


def test_an_answer_may_change_the_arrays_that_it_is_given() -> None:
    zeroed = next(exercise for exercise in EXERCISES if exercise.name == "smallest_zeroed")

    def in_place(W: np.ndarray, fraction: float) -> np.ndarray:
        W[...] = answers.smallest_zeroed(W, fraction)
        return W

    assert judge(zeroed, in_place).state == "solved"


@pytest.mark.parametrize(
    ("expected", "got", "says"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-7]), ""),
        (np.array([1.0, 2.0]), np.array([1.0, 2.001]), "at [1] expected 2, got 2.001"),
        (np.array([1.0, 2.0]), [np.nan, 2.0], "at [0] expected 1, got nan"),
        (np.array([np.inf, 2.0]), [np.inf, 2.0], ""),
        (np.array([1.0, 2.0]), [[1.0], [2.0, 3.0]], "expected an array of shape (2,), got rows of different lengths"),
        (np.array([2.0, 4.0]), [1.0, 2.0], "at [0] expected 2, got 1; all is 0.5 times as large"),
        (np.zeros(2), [0.0, 1.0], "at [1] expected 0, got 1"),
        (2.0, 4.0, "expected 2, got 4"),
        ((1.0, np.ones(2)), (1.0, np.ones(2)), ""),
        ((1.0, np.ones(2)), 1.0, "expected 2 results, got a number"),
        (1.0, np.ones(1), "expected a number, got shape (1,)"),
        (1.0, np.float64(1.0), ""),
    ],
)
def test_what_is_off_is_said_by_index_expected_and_got(expected: object, got: object, says: str) -> None:
    assert what_is_off(expected, got) == says


# Files and the command ------------------------------------------------------------------------------------------------


def filled(folder: Path, name: str = "01_one_neuron.py", end: str = "") -> Path:
    path = folder / name
    source = Path(answers.__file__).read_text(encoding="utf-8")
    path.write_text(source + end, encoding="utf-8")
    return path


def test_a_file_of_right_answers_is_all_solved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(filled(tmp_path, f"{lesson}_mine.py")) for lesson in LESSONS]
    assert main(["grade", *paths]) == 0
    assert capsys.readouterr().out.endswith(f"all {len(EXERCISES)} solved\n")


def test_a_folder_is_graded_whole_and_what_is_left_to_do_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "--json", str(ROOT / "tutorials" / "exercises")]) == 1
    said = capsys.readouterr()
    content = json.loads(said.out)
    assert (content["solved"], content["of"]) == (0, len(EXERCISES))
    assert content["exercises"][0] == {
        "lesson": "01_one_neuron",
        "exercise": "weighted_sum",
        "state": "to do",
        "says": "return z = w·x + b of one neuron, a number",
    }
    assert said.err == f"minprune grade: 0 of {len(EXERCISES)} solved\n"


def test_without_a_file_all_exercises_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade"]) == 0
    text = capsys.readouterr().out
    for exercise in EXERCISES:
        assert re.search(rf"^  {exercise.name} +to do: {re.escape(exercise.task)}$", text, flags=re.MULTILINE)


def test_one_wrong_answer_among_right_ones_is_named_with_its_line(tmp_path: Path) -> None:
    path = filled(tmp_path, end="\n\ndef cost_without(x, w, b, t):\n    return [][0]\n")
    line = len(path.read_text(encoding="utf-8").splitlines())
    states = [(verdict.exercise.name, verdict.state) for verdict in grade_file(path)]
    assert states == [("weighted_sum", "solved"), ("slope_by_weights", "solved"), ("cost_without", "wrong")]
    says = grade_file(path)[-1].says
    assert says.endswith(f"it raised IndexError in line {line}: list index out of range")


def test_a_function_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "02_forward.py"
    path.write_text("layer = 3\n", encoding="utf-8")
    assert [verdict.says for verdict in grade_file(path)] == [
        "there is no function layer in the file",
        "there is no function mean_loss in the file",
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("mine.py", "", "mine.py: expected a file called after its exercises, one of 01_one_neuron, 02_forward"),
        ("02_forward.py", "def layer(:\n", "02_forward.py:1: this is no Python: invalid syntax"),
        ("02_forward.py", "import numpy\n1 / 0\n", "02_forward.py:2: running the file raised ZeroDivisionError"),
        ("02_forward.py", "raise SystemExit(3)\n", "02_forward.py:1: running the file raised SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_graded_is_refused_by_name_and_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=re.escape(says)):
        grade_file(path)


def test_a_file_or_folder_without_exercises_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(tmp_path)]) == 1
    assert "no exercises in this folder; expected files such as 01_one_neuron.py" in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "01_one_neuron.py")]) == 1
    assert "01_one_neuron.py: there is no such file; exercises lie in tutorials/exercises" in capsys.readouterr().err
