"""Values of settings, as people type and read them. What a setting takes is told by its JSON Schema, ``accepts``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmgate.text import size

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "array": "a list: a,b,c"}
_LIMITS = (
    ("minimum", "from {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "to {}"),
    ("exclusiveMaximum", "below {}"),
)


def parsed(text: str, accepts: Mapping[str, Any]) -> Any:
    """What was typed, as a value of the setting's own type. Raises ValueError, saying what it takes."""
    try:
        match accepts.get("type"):
            case "boolean":
                return _WORDS[text.lower()]
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "array":
                return [part.strip() for part in text.split(",") if part.strip()]
            case _:
                return text
    except (ValueError, KeyError):
        raise ValueError(f"takes {accepted(accepts)}") from None


def accepted(schema: Mapping[str, Any]) -> str:
    """The values of a setting, in words."""
    if choices := schema.get("enum"):
        return " or ".join(map(str, choices))
    words = [_KINDS.get(str(schema.get("type")), "text")]
    words += [form.format(schema[name]) for name, form in _LIMITS if name in schema]
    return " ".join(words)


def bounded(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value lies within what the schema says; a number that is none does not."""
    if choices := schema.get("enum"):
        return value in choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        not math.isnan(value)
        and ("minimum" not in schema or value >= schema["minimum"])
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("maximum" not in schema or value <= schema["maximum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def shown(value: object) -> object:
    """``cell`` rounds numbers, which is not meant for settings: 0.25 is not 0.2."""
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else value


def sized(key: str, value: object) -> object:
    """The same, and behind a number of bytes how much that is: 33554432 (32 MiB)."""
    is_size = isinstance(value, int) and not isinstance(value, bool) and value >= 1024 and "bytes" in key
    return f"{value} ({_size(value)})" if is_size else shown(value)


def _size(count: Any) -> str:
    return (size(count) or "").replace(".0 ", " ")
