"""The schema "minprune trace 1" as Python values, and the few lines that hold JSON against it."""

from __future__ import annotations

from typing import Any

NUMBER = "number"  # a JSON number, or the text "inf" or "-inf"
INT, TEXT, BOOL = int, str, bool


class Maybe:
    """Null, or what is in it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Each:
    """A list of equals."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Named:
    """An object whose names are free."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class OneOf:
    """One of several, or of several texts."""

    def __init__(self, *choices: Any) -> None:
        self.choices = choices


ARRAY = {"shape": Each(INT), "data": Each(NUMBER)}
TERM = {
    "tex": TEXT,
    "plugged": TEXT,
    "names": Each(TEXT),
    "factors": Each(NUMBER),
    "value": NUMBER,
    "exact": BOOL,
    "columns": Named(NUMBER),
}
DROP = Named(Each(INT))
ORDER = {"group": TEXT, "neuron": INT, "score": NUMBER, "goes": BOOL}
DETAIL: dict[str, list[Any]] = {
    "forward": [{}],
    "backward": [{"through": OneOf(TEXT, Each(TEXT)), "part": BOOL}],
    "scores": [{"of": Maybe(TEXT), "reduced": Maybe(NUMBER), "source": TEXT}],
    "decision": [{"criterion": Maybe(TEXT), "drop": DROP, "order": Each(ORDER), "why": TEXT}],
    "removal": [
        {"axis": INT, "dropped": Each(INT), "kept": Each(INT), "before": Each(INT), "after": Each(INT)},
        {"sizes": Named(Each(INT))},
    ],
    "check": [
        {
            "masked": Each(Each(NUMBER)),
            "removed": Each(Each(NUMBER)),
            "difference": NUMBER,
            "bound": NUMBER,
            "ok": BOOL,
            "inputs": TEXT,
        },
        {"plan": TEXT, "drop": DROP, "loss": NUMBER, "without": NUMBER},
    ],
}
ABOUT = {
    "kind": OneOf("value", "gradient", "neuron", "plan", "array", "network"),
    "name": TEXT,
    "index": Each(INT),
    "sample": Maybe(INT),
    "group": Maybe(TEXT),
    "neuron": Maybe(INT),
}
COMBINE = OneOf("sum", "max", "mean", "product", "root of the sum", "sum over samples / N", "order")
STEP = {
    "phase": OneOf(*DETAIL),
    **dict.fromkeys(("title", "says", "formula", "written", "plugged"), TEXT),
    "exact": BOOL,
    "result": Maybe(NUMBER),
    "terms": Each(TERM),
    "combine": COMBINE,
    "where": Named(TEXT),
    "shapes": Named(Each(INT)),
    "source": Maybe(INT),
    "about": ABOUT,
    "detail": OneOf(*(detail for details in DETAIL.values() for detail in details)),
}
NODE = {"name": TEXT, "kind": TEXT, "layer": TEXT, "inputs": Each(TEXT), "shape": Each(INT)}
GROUP = {"name": TEXT, "size": INT, "stays": TEXT, "values": Named(Each(INT))}
OPTION = OneOf(NUMBER, Each(INT))
OP = {
    "op": TEXT,
    "inputs": Named(Maybe(TEXT)),
    "options": Named(OPTION),
    "output": TEXT,
    "node": TEXT,
    "shape": Each(INT),
}
TRACE = {
    "format": OneOf("minprune trace 1"),
    "network": {
        "inputs": Named(Each(INT)),
        "nodes": Each(NODE),
        "groups": Each(GROUP),
        "output": TEXT,
        "loss": TEXT,
        "samples": INT,
        "dtype": TEXT,
    },
    "focus": {"layer": Maybe(TEXT), "neuron": Maybe(INT), "sample": Maybe(INT)},
    "sources": Each({"file": TEXT, "line": INT, "code": TEXT}),
    "steps": Each(STEP),
    "scores": Named({"formula": TEXT, "source": TEXT, "by_group": Named(Each(NUMBER))}),
    "values": Maybe(Named(ARRAY)),
    "gradients": Maybe(Named(ARRAY)),
    "program": Maybe(
        {
            "arrays": Named(ARRAY),
            "ops": Each(OP),
            "gates": Named(Each({"array": TEXT, "owner": Each(INT)})),
            "values": Named(TEXT),
            "output": TEXT,
            "losses": TEXT,
            "loss": TEXT,
        }
    ),
}


def faults(value: Any, schema: Any, at: str = "trace") -> list[str]:
    """Where a value does not follow a schema; [] where it does."""
    if isinstance(schema, Maybe):
        return [] if value is None else faults(value, schema.inner, at)
    if isinstance(schema, OneOf):
        found = [faults(value, choice, at) for choice in schema.choices]
        return [] if not all(found) else [f"{at}: {value!r} is none of {len(found)} choices"]
    if isinstance(schema, Each):
        if not isinstance(value, list):
            return [f"{at}: expected a list, got {value!r}"]
        return [fault for i, entry in enumerate(value) for fault in faults(entry, schema.inner, f"{at}[{i}]")]
    if isinstance(schema, Named):
        if not isinstance(value, dict):
            return [f"{at}: expected an object, got {value!r}"]
        return [fault for name, entry in value.items() for fault in faults(entry, schema.inner, f"{at}.{name}")]
    if isinstance(schema, dict):
        if not isinstance(value, dict) or value.keys() != schema.keys():
            return [f"{at}: expected an object with {', '.join(schema)}, got {value!r:.200}"]
        return [fault for name in schema for fault in faults(value[name], schema[name], f"{at}.{name}")]
    if schema == NUMBER:
        fits = (isinstance(value, int | float) and not isinstance(value, bool)) or value in ("inf", "-inf")
        return [] if fits else [f"{at}: expected a number, got {value!r}"]
    if isinstance(schema, str):
        return [] if value == schema else [f"{at}: expected {schema!r}, got {value!r}"]
    fits = isinstance(value, schema) and (schema is bool or not isinstance(value, bool))
    return [] if fits else [f"{at}: expected {schema.__name__}, got {value!r}"]
