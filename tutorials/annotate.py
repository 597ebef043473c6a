"""Write the annotated document: every statement of the source, its verdict, and what this engine gives for it.

    python tutorials/annotate.py             # run everything, write document.md, document.zh.md and their figures
    python tutorials/annotate.py --check     # run everything, write nothing, and compare with what is there

The texts lie in `annotated/*.toml`, one file for each part of the source, both languages side by side. Where they quote
a number they name it, ``<<B3.rho_taylor:.2f>>``, and it is put in from the run: `annotated/example.py`, `program.py`,
`concepts.py` and `claims.py` compute them. In a comparison numbers may differ by one unit of their last digit, as in
`build.py`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from annotated import claims, concepts, drawings, example, program
from annotated.digits import Study
from build import same_text

from minprune.errors import FileError
from minprune.files import atomic_write
from minprune.progress import bar

FOLDER = Path(__file__).resolve().parent
DOCUMENTS = {"en": "document.md", "zh": "document.zh.md"}
VERDICTS = {
    "holds": ("holds", "成立"),
    "holds if": ("holds if", "有条件成立"),
    "errs": ("errs", "有误"),
    "claim": ("claim", "待检验的断言"),
}
NUMBER = re.compile(r"<<([\w.]+)(?::([^>]*))?>>")
BROKEN = re.compile(
    r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])"
)  # a line end is no blank there
WORDS = {
    "en": {"code": "Code", "tutorial": "Tutorial", "section": "section", "colon": ": "},
    "zh": {"code": "代码", "tutorial": "教程", "section": "原文", "colon": "："},
}


def parts() -> list[dict[str, Any]]:
    """The texts, in the order of the source."""
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "annotated").glob("*.toml"))]


def numbers(study: Study) -> dict[str, dict[str, Any]]:
    """Every number that a text may name, by statement."""
    runs: dict[str, Callable[[], Mapping[str, Mapping[str, Any]]]] = {
        "the example": example.numbers,
        "the program": lambda: {"E": program.numbers()},
        "concepts": lambda: concepts.numbers(study),
        "claims": lambda: claims.numbers(study),
    }
    found = []
    with bar("annotations", len(runs), show=True) as advance:
        for name, run in runs.items():
            found.append(run())
            advance(text=name)
    return _joined(*found)


def _joined(*parts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Several maps of maps as one; no number may have two sources."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for statement, values in part.items():
            mine = found.setdefault(statement, {})
            assert not mine.keys() & values.keys(), (statement, mine.keys() & values.keys())
            mine.update(values)
    return found


def filled(text: str, values: Mapping[str, Mapping[str, Any]], where: str) -> str:
    """The text with its numbers.

    Raises
    ------
    FileError
        For a number that no run gives.
    """

    def number(match: re.Match[str]) -> str:
        statement, _, name = match[1].partition(".")
        if name not in values.get(statement, {}):
            raise FileError(f"{where}: no run gives <<{match[1]}>>; there are {', '.join(values.get(statement, {}))}")
        value = values[statement][name]
        return format(value, match[2] or ("," if isinstance(value, int) else ""))

    return NUMBER.sub(number, text.strip())


def tutorial(number: str) -> str:
    """A link to a tutorial's notebook, with its title."""
    found = sorted(FOLDER.glob(f"{number}_*.py"))
    if not found:
        raise FileError(f"there is no tutorial {number} in {FOLDER.name}")
    title = re.search(r"^# # (?:\d+ · )?(.+)$", found[0].read_text(encoding="utf-8"), flags=re.MULTILINE)
    return f"[{number} {title[1] if title else found[0].stem}](notebooks/{found[0].stem}.ipynb)"


def code(path: str) -> str:
    """A link to a file of the package, which must be there."""
    if not (FOLDER.parent / path).exists():
        raise FileError(f"there is no {path} to link to")
    return f"[{path.removeprefix('minprune/')}](../{path})"


def statement(entry: Mapping[str, Any], language: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """One statement: heading, what the source says, what the engine gives, where to look."""
    words, name = WORDS[language], entry["id"]
    verdict = VERDICTS[entry["verdict"]][language == "zh"]
    said = f"> {entry['quote']}"
    if language == "en":
        said += f"\n>\n> {entry['says']}"
    links = [f"{words['code']}{words['colon']}{', '.join(map(code, entry['code']))}"] if entry.get("code") else []
    links += (
        [f"{words['tutorial']}{words['colon']}{', '.join(map(tutorial, entry['tutorials']))}"]
        if entry.get("tutorials")
        else []
    )
    picture = ""
    if "figure" in entry:
        name_of = f"figures/{entry['figure']}"
        picture = f"[![{entry[f'{language}_title']}]({name_of}.png)]({name_of}.svg)"  # a click opens what prints well
    pieces = (
        f"### {name} · {entry[f'{language}_title']} · **{verdict}**",
        f"{said}\n>\n> <sub>({words['section']} {entry['where']})</sub>",
        filled(entry[language], values, f"{name}, {language}"),
        picture,
        " · ".join(links),
    )
    return "\n\n".join(piece for piece in pieces if piece)


def written(language: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole document in one language."""
    first, *sections = parts()
    verdicts = Counter(entry["verdict"] for part in sections for entry in part["statement"])
    counted = {"count": {"all": verdicts.total(), **{name.replace(" ", "_"): n for name, n in verdicts.items()}}}
    texts = [filled(first[language], {**values, **counted}, f"introduction, {language}")]
    for part in sections:
        texts.append(f"## {part[language]}")
        texts += [statement(entry, language, values) for entry in part["statement"]]
    text = "\n\n".join(texts) + "\n"
    return BROKEN.sub("", text) if language == "zh" else text


def differences(language: str, made: str) -> Iterator[str]:
    """Where the document that is there says another thing."""
    path = FOLDER / DOCUMENTS[language]
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if same_text(old, made):
        return
    for number, (was, now) in enumerate(zip(old.splitlines(), made.splitlines(), strict=False), 1):
        if not same_text(was, now):
            yield f"{path.name}:{number}: it was {was[:160]!r}, is {now[:160]!r}"
            return
    yield f"{path.name}: it has {len(old.splitlines())} lines, should have {len(made.splitlines())}"


def main() -> int:
    """Write, or compare; 0 where all is well, else 1."""
    parser = argparse.ArgumentParser(description="Write the annotated document.")
    parser.add_argument("--check", action="store_true", help="compare with the documents that are there; write nothing")
    check = parser.parse_args().check
    study = Study()
    values = numbers(study)
    made = {language: written(language, values) for language in DOCUMENTS}
    if check:
        wrong = [difference for language, text in made.items() for difference in differences(language, text)]
        wrong += [f"{path.name} is missing" for path in drawings.paths(FOLDER / "figures") if not path.exists()]
        print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
        return 1 if wrong else 0
    for language, text in made.items():
        with atomic_write(FOLDER / DOCUMENTS[language]) as file:
            file.write(text.encode())
    drawings.draw(study, FOLDER / "figures")
    print(*DOCUMENTS.values(), *(path.name for path in drawings.paths(FOLDER / "figures")), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
