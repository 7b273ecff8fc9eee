"""Pictures for docs/benchmarks.md: a small writer of SVG, so that the same numbers always give the same file.

A picture brings its own background, light or dark as the reader's browser wants it: GitHub shows pictures on either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from bench.document import ROOT
from bench.figures import in_words

PLOTS: Final = ROOT / "docs" / "bench"
"""Where pictures are written; ``Part.plots`` names files below it."""

WIDTH: Final = 860
MARGIN: Final = 20
TEXT: Final = 13
"""Pixels, the height of ordinary text."""

LIGHT: Final = ("#0a61c9", "#c2410c", "#1f2328", "#8250df", "#b5307f", "#7a6500", "#0f7a5c", "#7d8590")
DARK: Final = ("#58a6ff", "#f58b4c", "#f0f6fc", "#bc8cff", "#ff7eb6", "#d6b73a", "#3fc29a", "#7d8590")
DASHES: Final = ("", "7 4", "1 4")
"""Lines differ also without colours, as far as there are few of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A named line. Lines of the same name have the same colour in all panels. Where y is NaN the line is broken."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes with its heading."""

    title: str
    lines: Sequence[Line]


def bars(path: Path, title: str, unit: str, rows: list[tuple[str, float]]) -> None:
    """Write horizontal bars on a logarithmic scale: ``cost per chunk beside the peers``.

    ``path``: the file, as a rule ``PLOTS / "name.svg"``; its folder is made. ``unit`` is written below the axis.
    ``rows`` are drawn in the order given: name and value, which must be above zero (others are left out, there is no
    place for them on such a scale). A name may begin with a group and a colon, ``100 streams: nginx``: consecutive
    rows of one group stand under its heading. Rows whose name begins with ``llmgate`` have a colour of their own.
    """
    kept = [(*_grouped(name), value) for name, value in rows if value > 0]
    if not kept:
        raise ValueError("no value above zero to draw")
    axis = _Axis.logarithmic([value for _, _, value in kept])
    left = MARGIN + max(_width(name) for _, name, _ in kept) + 10
    right = WIDTH - MARGIN - 60  # the value is written behind its bar
    top = y = 64.0
    body: list[str] = []
    for group, members in groupby(kept, key=lambda row: row[0]):
        if group:
            body.append(_text(MARGIN, y + 14, group, "strong"))
            y += 24
        for _, name, value in members:
            end = axis.place(value, left, right)
            color = 0 if name.startswith("llmgate") else len(LIGHT) - 1
            body.append(_text(left - 8, y + 14, name, "end"))
            body.append(f'<rect class="f{color}" x="{_n(left)}" y="{_n(y + 2)}" width="{_n(end - left)}" height="16"/>')
            body.append(_text(end + 6, y + 14, in_words(value)))
            y += 22
        y += 8
    grid = []
    for tick in axis.ticks:
        x = axis.place(tick, left, right)
        grid.append(_rule(x, top - 4, x, y))
        grid.append(_text(x, y + 16, _tick(tick), "small middle"))
    grid.append(_text((left + right) / 2, y + 36, f"{unit}, on a logarithmic scale", "small middle"))
    _write(path, title, y + 50, [*grid, *body])


def lines(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    panels: Sequence[Panel],
    *,
    columns: int = 1,
    floor: float | None = None,
) -> None:
    """Write panels of lines, so many ``columns`` to a row; the panels of a row have the same scales.

    Linear from zero without ``floor``; with it the y axis is logarithmic, and what is below the floor is drawn on it.
    """
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    body, top = _legend(names, 54.0)
    body.append(_text(MARGIN, top + 4, y_label, "small"))
    top += 40
    height, left, gap = (230 if columns == 1 else 190), MARGIN + 56, 64
    across = (WIDTH - MARGIN - 12 - left - (columns - 1) * gap) / columns
    for begin in range(0, len(panels), columns):
        row = panels[begin : begin + columns]
        points = [point for panel in row for line in panel.lines for point in line.points if not math.isnan(point[1])]
        values = [y for _, y in points]
        xs = _Axis.linear([x for x, _ in points])
        ys = _Axis.linear(values) if floor is None else _Axis.logarithmic([*values, floor], floor)
        for column, panel in enumerate(row):
            body += _panel(_Box(left + column * (across + gap), top, across, height), panel, xs, ys, names)
        top += height + gap
    body.append(_text(left + (WIDTH - MARGIN - left) / 2, top - gap + 38, x_label, "small middle"))
    _write(path, title, top - gap + 54, body)


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class _Axis:
    """From which value to which, and where a number is written."""

    low: float
    high: float
    ticks: list[float]
    is_log: bool

    @classmethod
    def linear(cls, values: Sequence[float]) -> _Axis:
        highest = max(values, default=1.0) or 1.0
        step = 10.0 ** math.floor(math.log10(highest))
        step = next(wide for wide in (step / 5, step / 2, step, 2 * step) if highest / wide <= 6)
        count = math.ceil(highest / step - 1e-9)
        return cls(0.0, step * count, [step * number for number in range(count + 1)], is_log=False)

    @classmethod
    def logarithmic(cls, values: Sequence[float], floor: float | None = None) -> _Axis:
        """Whole powers of ten, unless there is a floor."""
        first = math.floor(
            math.log10(min(value for value in values if value > 0)) if floor is None else round(math.log10(floor), 9)
        )
        last = max(first + 1, math.ceil(math.log10(max(values)) - 1e-9))
        ticks = [10.0**power for power in range(first, last + 1)]
        return cls(floor or ticks[0], ticks[-1], ticks, is_log=True)

    def place(self, value: float, begin: float, end: float) -> float:
        """Where a value stands between two pixels."""
        if self.is_log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return begin + share * (end - begin)


def _panel(box: _Box, panel: Panel, xs: _Axis, ys: _Axis, names: list[str]) -> list[str]:
    bottom, right = box.y + box.height, box.x + box.width
    body = [_text(box.x, box.y - 8, panel.title, "strong")]
    for tick in ys.ticks:
        y = ys.place(tick, bottom, box.y)
        least = "≤ " if ys.is_log and tick == ys.low else ""
        body += [_rule(box.x, y, right, y), _text(box.x - 6, y + 4, least + _tick(tick), "small end")]
    for tick in xs.ticks:
        x = xs.place(tick, box.x, right)
        body += [_rule(x, bottom, x, bottom + 4), _text(x, bottom + 18, _tick(tick), "small middle")]
    for line in panel.lines:
        for is_gap, piece in groupby(line.points, key=lambda point: math.isnan(point[1])):
            if is_gap:
                continue
            drawn = [f"{_n(xs.place(x, box.x, right))},{_n(ys.place(y, bottom, box.y))}" for x, y in piece]
            body.append(_line(names, line.name, drawn if len(drawn) > 1 else 2 * drawn))
    return body


def _legend(names: list[str], y: float) -> tuple[list[str], float]:
    """Which line is whose, in as many rows as it takes; and where the next row would be."""
    body, x = [], float(MARGIN)
    for name in names:
        wide = 32 + _width(name) + 18
        if x + wide > WIDTH - MARGIN and x > MARGIN:
            x, y = float(MARGIN), y + 20
        body += [_line(names, name, [f"{_n(x)},{_n(y)}", f"{_n(x + 26)},{_n(y)}"]), _text(x + 32, y + 4, name)]
        x += wide
    return body, y + 24


def _line(names: list[str], name: str, points: Sequence[str]) -> str:
    return f'<polyline class="s{names.index(name)}"{_dash(names, name)} points="{" ".join(points)}"/>'


def _dash(names: list[str], name: str) -> str:
    dash = DASHES[names.index(name)] if len(names) <= len(DASHES) else ""
    return f' stroke-dasharray="{dash}"' if dash else ""


def _grouped(name: str) -> tuple[str, str]:
    group, colon, rest = name.partition(": ")
    return (group, rest) if colon else ("", name)


def _width(text: str) -> float:
    """About how wide a text is; fonts differ."""
    return len(text) * TEXT * 0.58


def _n(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.6g}"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="rule" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _colors(colors: Sequence[str]) -> str:
    return "".join(f".f{number}{{fill:{color}}}.s{number}{{stroke:{color}}}" for number, color in enumerate(colors))


def _write(path: Path, title: str, height: float, body: list[str]) -> None:
    style = (
        f"text{{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;font-size:{TEXT}px;fill:#24292f}}"
        ".title{font-size:16px;font-weight:600}.strong{font-weight:600}.small{font-size:12px}"
        ".end{text-anchor:end}.middle{text-anchor:middle}.rule{stroke:#d0d7de}.back{fill:#fff;stroke:#d0d7de}"
        f"polyline{{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}}{_colors(LIGHT)}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.rule{stroke:#30363d}.back{fill:#0d1117;stroke:#30363d}"
        f"{_colors(DARK)}}}"
    )
    tall = math.ceil(height)
    size = f'viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}" height="{tall}"'
    picture = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
        f"<title>{escape(title)}</title><style>{style}</style>",
        f'<rect class="back" x="0.5" y="0.5" width="{WIDTH - 1}" height="{tall - 1}" rx="6"/>',
        _text(MARGIN, 30, title, "title"),
        *body,
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(picture) + "\n", encoding="utf-8")
