"""What pydantic finds wrong with a field, in the words of a person who fills in a form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from llmgate.values import accepted

_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"})
_WORDS = {
    "missing": "is needed",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} of them",
    "too_short": "at least {min_length} of them",
}


def plainly(error: Mapping[str, Any], kind: type[BaseModel]) -> str:
    """One error of a request of this kind; pydantic's own words where there are no better ones."""
    told = str(error["msg"])
    if error["type"] in _BOUNDS:
        takes = _properties(kind).get(str(error["loc"][0])) if len(error["loc"]) == 1 else None
        return f"write {accepted(takes)}" if takes else told
    words = _WORDS.get(error["type"])
    return words.format_map(error.get("ctx", {})) if words else told


@lru_cache(maxsize=32)
def _properties(kind: type[BaseModel]) -> dict[str, Mapping[str, Any]]:
    """The JSON Schema of each field; of one that may be null, that of its value."""
    fields = kind.model_json_schema().get("properties", {})
    return {
        name: next((part for part in field.get("anyOf", ()) if part.get("type") != "null"), field)
        for name, field in fields.items()
    }
