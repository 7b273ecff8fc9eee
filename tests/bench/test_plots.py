"""The pictures: what is drawn where, and that names cannot break them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.dom import minidom

import pytest

from bench.plots import Line, Panel, bars, lines


def drawn(path: Path) -> minidom.Document:
    """The picture, which must be well-formed."""
    return minidom.parse(str(path))  # noqa: S318 - we have just written it


def texts(picture: minidom.Document) -> list[str]:
    return [element.firstChild.data for element in picture.getElementsByTagName("text")]  # type: ignore[union-attr]


def test_bars_are_as_long_as_the_logarithm(tmp_path: Path) -> None:
    file = tmp_path / "new" / "bars.svg"
    bars(file, "Cost", "µs", [("busy: nginx", 10.0), ("busy: llmgate", 100.0), ("idle: nginx", 1000.0), ("none", 0.0)])
    picture = drawn(file)
    found = [element for element in picture.getElementsByTagName("rect") if element.getAttribute("class") != "back"]
    widths = [float(element.getAttribute("width")) for element in found]
    assert widths[0] == 0
    assert widths[2] == pytest.approx(2 * widths[1], abs=0.2)
    assert [element.getAttribute("class") for element in found] == ["f7", "f0", "f7"]
    assert {"busy", "idle", "nginx", "llmgate", "1,000", "µs, on a logarithmic scale"} <= set(texts(picture))
    assert "none" not in texts(picture)


def test_text_is_escaped(tmp_path: Path) -> None:
    title = 'a <b> & "c"</svg>'
    bars(tmp_path / "bars.svg", title, "<i>", [("<script>", 2.0)])
    lines(tmp_path / "lines.svg", title, "<x>", "<y>", [Panel("<p>", [Line("<l>", [(0, 0), (1, 1)])])])
    for name in ("bars.svg", "lines.svg"):
        picture = drawn(tmp_path / name)
        assert title in texts(picture)
        assert not picture.getElementsByTagName("script")
    assert {"<x>", "<y>", "<p>", "<l>"} <= set(texts(drawn(tmp_path / "lines.svg")))


def test_lines_break_at_gaps_and_stop_at_the_floor(tmp_path: Path) -> None:
    points = [(0.0, 100.0), (1.0, math.nan), (2.0, 0.0), (4.0, 0.1)]
    lines(tmp_path / "a.svg", "Waits", "minutes", "s", [Panel("one", [Line("ours", points)])], floor=0.1)
    _, first, second = re.findall(r'points="([^"]*)"', (tmp_path / "a.svg").read_text(encoding="utf-8"))
    top, low = ([tuple(map(float, point.split(","))) for point in piece.split()] for piece in (first, second))
    assert top[0] == top[1]  # one point alone is a dot
    assert low[0][1] == low[1][1] > top[0][1]
    assert "≤ 0.1" in texts(drawn(tmp_path / "a.svg"))


def test_the_same_numbers_give_the_same_file(tmp_path: Path) -> None:
    panels = [Panel("a", [Line(f"client {n}", [(0, 0), (1, n)]) for n in range(8)])]
    for name in ("a.svg", "b.svg"):
        lines(tmp_path / name, "Service", "minutes", "tokens", panels, columns=2)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="above zero"):
        bars(tmp_path / "bars.svg", "Cost", "µs", [("nginx", 0.0)])
