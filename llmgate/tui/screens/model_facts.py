"""What an upstream tells of a model, as lines: it is long, nested, and not to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmgate.text import as_json, clean

LINES = 12
"""Of a text, as a template or a license."""
ENTRIES = 80
"""Of one group."""
CELLS = 300
"""Characters of a value."""
TITLE = 30
"""Characters of a title; what tells entries apart is at their end: llama.attention.head_count_kv."""


def flattened(details: Mapping[str, Any]) -> list[tuple[str, object]]:
    """A line for each entry, title and value; those of a group are below its name, what is nested deeper is JSON."""
    told = [(_title(title), value) for title, value in _lines(details)]
    return [("TOLD BY AN UPSTREAM", " "), *told] if told else []


def _lines(details: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    texts: list[tuple[str, str]] = []
    for number, (name, value) in enumerate(details.items()):
        if number == ENTRIES:
            yield "", f"… and {len(details) - ENTRIES:,} more"
            break
        if isinstance(value, str) and "\n" in value.strip():
            texts.append((name, value.strip()))
        elif isinstance(value, Mapping) and value:
            yield from _group(name, value)
        else:
            yield name, _value(value)
    for name, text in texts:  # the longest last
        yield from _text(name, text)


def _group(name: str, entries: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield f"{name}:", f"{len(entries):,} entries"
    for number, (entry, value) in enumerate(entries.items()):
        if number == ENTRIES:
            yield "", f"… and {len(entries) - ENTRIES:,} more"
            return
        yield f"  {entry}", _value(value)


def _text(name: str, text: str) -> Iterator[tuple[str, object]]:
    lines = text.splitlines()
    for number, line in enumerate(lines[:LINES]):
        yield "" if number else name, _cut(line.expandtabs(4)) or " "
    if len(lines) > LINES:
        yield "", f"… and {len(lines) - LINES:,} more lines"


def _value(value: Any) -> str:
    """One value on a line."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value[:20]) and len(value) <= 20:
        return _cut(", ".join(value))
    return _cut(value.strip() if isinstance(value, str) else as_json(value))


def _cut(text: str) -> str:
    return text if len(text) <= CELLS else f"{text[:CELLS]}… ({len(text):,} characters)"


def _title(text: str) -> str:
    shown = clean(text)
    return shown if len(shown) <= TITLE else "…" + shown[1 - TITLE :]
