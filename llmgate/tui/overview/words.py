"""How figures are written where there is little room, and marks that say the same as colours."""

from __future__ import annotations

from llmgate.text import precise
from llmgate.tui.widgets.panel import Look

MARKS: dict[Look, str] = {"good": "●", "warn": "▲", "bad": "✖", "dim": "○"}
"""Beside the colour: it must be seen without one, too."""


def number(value: float) -> str:
    """A figure in at most six cells."""
    if value >= 999_500:
        return f"{value / 1e6:.1f}M" if value < 99.95e6 else f"{value / 1e6:,.0f}M"
    if value >= 10_000:
        return f"{value / 1000:.1f}k" if value < 99_950 else f"{value / 1000:.0f}k"
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """A figure per second: with a decimal where it is small."""
    return number(value) if value >= 9.95 or value == 0 else f"{value:.1f}" if value >= 0.05 else "<0.1"


def short(model: str) -> str:
    """A model without the tag that it has where none is named."""
    return model.removesuffix(":latest") or model


def lasting(value: float | None) -> str:
    """A duration; "-" where there was none."""
    return "-" if value is None else precise(value)


def several(count: int, one: str, more: str = "") -> str:
    """``1 slot``, ``2 slots``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
