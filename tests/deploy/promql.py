"""Which metrics and labels an expression of PromQL names: as much of the language as our own files use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"\b(up|llmgate_\w+)\b\s*(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)")
OF_EVERY_TARGET = frozenset({"instance", "job"})


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric in an expression, and what it must be: label, operator, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Every metric that an expression reads."""
    hidden = _STRING.sub(lambda found: '"' + "_" * (len(found[0]) - 2) + '"', expression)
    for found in _SELECTOR.finditer(hidden):
        braces = expression[found.start(2) : found.end(2)] if found[2] else ""
        yield Selector(found[1], tuple(match.groups() for match in _MATCHER.finditer(braces)))  # type: ignore[misc]


def grouped_by(expression: str) -> set[str]:
    """Every label by which something is put together."""
    return {
        label.strip() for _, labels in _GROUPING.findall(_STRING.sub('""', expression)) for label in labels.split(",")
    }


def named_in(text: str) -> set[str]:
    """Every label that a legend, or the text of an alert, shows."""
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))
