"""What a benchmark finds: figures with their runs, in parts that become sections of docs/benchmarks.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """The runs of one measurement of one product; ``goal`` is what it should reach, as it is written in the table."""

    what: str
    product: str
    unit: str
    values: list[float]
    goal: str = ""

    @property
    def middle(self) -> float:
        return statistics.median(self.values)

    def row(self) -> str:
        low, middle, high = (in_words(value) for value in (min(self.values), self.middle, max(self.values)))
        runs = len(self.values)
        return f"| {self.what} | {self.product} | {low} | **{middle}** | {high} | {self.unit} | {runs} | {self.goal} |"


HEAD = "| what | product | min | median | max | unit | runs | goal |\n|---|---|--:|--:|--:|---|--:|---|"


@dataclass(frozen=True, slots=True)
class Part:
    """A section. ``text``: Markdown, how it was measured and what it shows, written by the program that measured it;
    ``plots``: pictures below docs/bench/ with what they show; ``found``: more, for other parts and for the README."""

    name: str
    title: str
    text: str
    figures: list[Figure] = field(default_factory=list)
    plots: list[tuple[str, str]] = field(default_factory=list)
    measured_at: str = ""
    found: dict[str, Any] = field(default_factory=dict)

    def section(self) -> str:
        table = "\n".join([HEAD, *(figure.row() for figure in self.figures)]) if self.figures else ""
        plots = "\n\n".join(f"![{what}](bench/{file})" for file, what in self.plots)
        told = [f"## {self.title}", f"Measured {self.measured_at}.", self.text.strip(), table, plots]
        return "\n\n".join(part for part in told if part)

    def save(self, folder: Path) -> None:
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def load_part(file: Path) -> Part:
    """A part as it was saved."""
    content = json.loads(file.read_text(encoding="utf-8"))
    figures = [Figure(**figure) for figure in content.pop("figures")]
    plots = [(name, what) for name, what in content.pop("plots")]
    return Part(**content, figures=figures, plots=plots)


def figure_of(figures: Sequence[Figure], what: str, product: str) -> Figure | None:
    """The one of these that is about this."""
    return next((one for one in figures if (one.what, one.product) == (what, product)), None)


def in_words(value: float) -> str:
    """A figure with about three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
