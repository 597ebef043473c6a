"""The annotated document: every statement once, in two languages, and no number that was typed by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TUTORIALS = ROOT / "tutorials"
COUNTS = {"A": 8, "B": 11, "C": 5, "D": 7, "E": 12, "F": 12}
# What is no result and may be typed: formulas, code, quotations, places of the source, versions, tutorials, years.
GIVEN = re.compile(r"<<[^>]*>>|\$[^$]*\$|`[^`]*`|\[[^\]]*\]\([^)]*\)|arXiv [\d.]+|2\.6\.5|2\.1[05]|2\.20")
MEASURED = re.compile(r"\d+\.\d{2,}|\d+(?:\.\d+)? %|\d{1,3},\d{3}")
CHOSEN = {"1,797", "30 %", "50 %", "70 %", "0.25"}  # what was set or is known, not measured


@pytest.fixture(scope="module")
def annotate() -> ModuleType:
    sys.path.insert(0, str(TUTORIALS))
    try:
        import annotate
    finally:
        sys.path.remove(str(TUTORIALS))
    return annotate


@pytest.fixture(scope="module")
def statements(annotate: ModuleType) -> list[dict[str, Any]]:
    return [entry for part in annotate.parts()[1:] for entry in part["statement"]]


def test_every_statement_of_the_source_stands_there_once(statements: list[dict[str, Any]]) -> None:
    assert Counter(entry["id"] for entry in statements) == Counter(
        f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)
    )


def test_every_statement_is_told_in_both_languages_with_a_quotation_and_a_verdict(
    annotate: ModuleType, statements: list[dict[str, Any]]
) -> None:
    chinese = re.compile(r"[\u4e00-\u9fff]")
    for entry in statements:
        assert entry["verdict"] in annotate.VERDICTS, entry["id"]
        assert (
            chinese.search(entry["quote"]) or "“" in entry["quote"] or "$" in entry["quote"] or "`" in entry["quote"]
        ), entry["id"]
        assert chinese.search(entry["zh"]), entry["id"]
        assert not chinese.search(entry["en"]) or entry["id"] == "F12", entry["id"]  # a book's title


def test_both_languages_name_the_same_numbers(annotate: ModuleType, statements: list[dict[str, Any]]) -> None:
    for entry in statements:
        english, chinese = (sorted(set(annotate.NUMBER.findall(entry[language]))) for language in ("en", "zh"))
        assert english == chinese, entry["id"]


def test_no_result_is_typed_by_hand(annotate: ModuleType) -> None:
    first, *sections = annotate.parts()
    texts = [first, *(entry for part in sections for entry in part["statement"])]
    for entry in texts:
        for language in ("en", "zh"):
            found = set(MEASURED.findall(GIVEN.sub("", entry[language]))) - CHOSEN
            assert not found, f"{entry.get('id', 'introduction')}, {language}: {found} should come from a run"


def test_a_number_that_no_run_gives_is_refused_by_name(annotate: ModuleType) -> None:
    assert annotate.filled("ρ = <<B3.rho:.2f>>, <<B3.n>> neurons", {"B3": {"rho": 0.123, "n": 1200}}, "B3") == (
        "ρ = 0.12, 1,200 neurons"
    )
    with pytest.raises(annotate.FileError, match=r"B3, en: no run gives <<B3\.gone>>; there are rho"):
        annotate.filled("<<B3.gone>>", {"B3": {"rho": 0.1}}, "B3, en")


def test_what_the_annotations_link_to_is_there(annotate: ModuleType, statements: list[dict[str, Any]]) -> None:
    for entry in statements:
        for path in entry.get("code", ()):
            assert annotate.code(path)
        for number in entry.get("tutorials", ()):
            assert annotate.tutorial(number)
    with pytest.raises(annotate.FileError, match=r"there is no minprune/gone\.py to link to"):
        annotate.code("minprune/gone.py")
    with pytest.raises(annotate.FileError, match="there is no tutorial 99 in tutorials"):
        annotate.tutorial("99")


@pytest.mark.parametrize("name", ["document.md", "document.zh.md"])
def test_every_link_of_the_written_document_leads_somewhere(name: str) -> None:
    text = (TUTORIALS / name).read_text(encoding="utf-8")
    links = {target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}
    assert len(links) > 40
    assert [target for target in links if not (TUTORIALS / target).exists()] == []
    assert "<<" not in text


def test_a_changed_number_is_told_with_its_line(
    annotate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotate, "FOLDER", tmp_path)
    (tmp_path / "document.md").write_text("# a\nρ is 0.97 of 96\n", encoding="utf-8")
    assert list(annotate.differences("en", "# a\nρ is 0.98 of 96\n")) == []  # one unit of the last digit
    assert list(annotate.differences("en", "# a\nρ is 0.99 of 96\n")) == [
        "document.md:2: it was 'ρ is 0.97 of 96', is 'ρ is 0.99 of 96'"
    ]
    assert list(annotate.differences("en", "# a\nρ is 0.97 of 95\n"))


@pytest.mark.slow
def test_the_written_document_is_what_the_engine_gives() -> None:
    done = subprocess.run(
        [sys.executable, str(TUTORIALS / "annotate.py"), "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
