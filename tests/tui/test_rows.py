"""The table on a small screen of its own: what stays where, whatever comes and goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from llmgate.tui.columns import Column
from llmgate.tui.widgets.rows import RowTable

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@dataclass(frozen=True)
class Thing:
    name: str
    size: int = 0


def things(*numbers: int) -> list[Thing]:
    return [Thing(f"t{number:04}", number) for number in numbers]


class Bench(App[None]):
    """A table, a place for the focus to go, and what the table has told."""

    CSS = "Input { height: 1; border: none; } Vertical { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        columns: tuple[Column[Thing], ...] = (
            Column("name", lambda thing: thing.name, 10, grow=1),
            Column("size", lambda thing: thing.size, 6, right=True, tone=lambda thing: "bad" if thing.size else "dim"),
            Column("more", lambda thing: thing.size, 6, wide=60),
        )
        self.table = RowTable[Thing](columns, lambda thing: thing.name, lambda: NOW, empty="Nothing at all.")
        self.told: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.table
        yield Input()

    def on_mount(self) -> None:
        self.table.focus()

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        self.told.append(self.cursor)

    def on_row_table_sorted(self, event: RowTable.Sorted) -> None:
        self.told.append(self.table.order)

    @property
    def cursor(self) -> str:
        return self.table.row.name if self.table.row is not None else ""

    @property
    def lines(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips()][:-1]

    def line_of(self, name: str) -> int:
        return next((number for number, line in enumerate(self.lines) if line.startswith(f" {name}")), -1)


@asynccontextmanager
async def bench(*numbers: int, size: tuple[int, int] = (40, 12)) -> AsyncIterator[tuple[Bench, Pilot[None]]]:
    app = Bench()
    async with app.run_test(size=size) as pilot:
        app.table.show(things(*numbers))
        await pilot.pause()
        yield app, pilot


async def show(app: Bench, pilot: Pilot[None], *numbers: int) -> None:
    app.table.show(things(*numbers))
    await pilot.pause()


async def test_the_cursor_stays_with_its_row_when_rows_come_and_go() -> None:
    async with bench(*range(5)) as (app, pilot):
        await pilot.press("j", "j")
        assert app.cursor == "t0002"
        await show(app, pilot, 10, 11, *range(5))
        assert (app.cursor, app.line_of("t0002")) == ("t0002", 5)
        await show(app, pilot, 2, 4)
        assert (app.cursor, app.line_of("t0002")) == ("t0002", 1)
        await show(app, pilot, 4, 5)
        assert app.cursor == "t0004"
        await show(app, pilot)
        assert app.cursor == ""
        assert "Nothing at all." in "".join(app.lines)
        await show(app, pilot, 7)
        assert (app.cursor, app.line_of("t0007")) == ("t0007", 1)


async def test_the_row_under_the_cursor_stays_on_its_line_in_a_long_list() -> None:
    async with bench(*range(100, 200)) as (app, pilot):
        await pilot.press("G", "k", "k", "k")
        line = app.line_of("t0196")
        assert line > 0
        await show(app, pilot, *range(50, 200))
        assert (app.cursor, app.line_of("t0196")) == ("t0196", line)
        await show(app, pilot, *range(150, 200))
        assert (app.cursor, app.line_of("t0196")) == ("t0196", line)
        await show(app, pilot, 196, 197)
        assert (app.cursor, app.line_of("t0196")) == ("t0196", 1)


async def test_rows_that_come_above_do_not_push_the_cursor_off_the_screen() -> None:
    async with bench(*range(100, 104)) as (app, pilot):
        await pilot.press("j")
        await show(app, pilot, *range(100), *range(100, 104))
        assert app.cursor == "t0101"
        assert app.line_of("t0101") > 0


async def test_who_has_scrolled_away_from_the_cursor_is_not_thrown_back() -> None:
    async with bench(*range(100)) as (app, pilot):
        app.table.scroll_to(y=50, animate=False, immediate=True)
        await pilot.pause()
        line = app.line_of("t0050")
        assert line == 1
        await show(app, pilot, *range(200, 210), *range(100))
        assert app.line_of("t0050") == line
        assert app.cursor == "t0000"


async def test_the_keys_of_vi_and_the_usual_ones_move() -> None:
    async with bench(*range(100)) as (app, pilot):
        seen = []
        for key in ("G", "g", "j", "down", "k", "pagedown", "pageup", "end", "home", "up"):
            await pilot.press(key)
            seen.append(app.cursor)
        assert seen == [
            "t0099", "t0000", "t0001", "t0002", "t0001", "t0010", "t0001", "t0099", "t0000", "t0000",
        ]  # fmt: skip
        await pilot.press("enter")
        assert app.told == ["t0000"]


async def test_the_mouse_chooses_and_sorts_and_scrolls() -> None:
    async with bench(3, 1, 2) as (app, pilot):
        await pilot.click(RowTable, offset=(2, 2))
        assert (app.cursor, app.told) == ("t0001", [])
        await pilot.click(RowTable, offset=(2, 2), times=2)
        assert app.told == ["t0001"]
        await pilot.click(RowTable, offset=(2, 9))
        assert app.cursor == "t0001"
        await pilot.click(RowTable, offset=(2, 0))
        assert [row.name for row in app.table.rows] == ["t0001", "t0002", "t0003"]
        await pilot.click(RowTable, offset=(2, 0))
        assert [row.name for row in app.table.rows] == ["t0003", "t0002", "t0001"]
        assert app.told[1:] == ["name ↑", "name ↓"]
        assert app.cursor == "t0001"
        await show(app, pilot, *range(100))
        await pilot.hover(RowTable)
        before = app.table.scroll_offset.y
        app.table.scroll_down(animate=False)
        await pilot.pause()
        assert app.table.scroll_offset.y > before or before > 0


async def test_columns_are_sorted_by_keys_and_the_order_is_turned_round() -> None:
    async with bench(2, 3, 1) as (app, pilot):
        orders = []
        for key in ("greater_than_sign", "S", "greater_than_sign", "greater_than_sign", "less_than_sign"):
            await pilot.press(key)
            orders.append((app.table.order, [row.size for row in app.table.rows]))
        assert orders == [
            ("name ↑", [1, 2, 3]),
            ("name ↓", [3, 2, 1]),
            ("size ↑", [1, 2, 3]),
            ("", [2, 3, 1]),
            ("size ↑", [1, 2, 3]),
        ]
        assert "SIZE↑" in app.lines[0]
        await show(app, pilot, 9, 5, 7)
        assert [row.size for row in app.table.rows] == [5, 7, 9]


async def test_hidden_rows_are_those_of_now_when_they_are_seen_again() -> None:
    async with bench(*range(5)) as (app, pilot):
        holder = app.query_one(Vertical)
        holder.display = False
        await pilot.pause()
        await show(app, pilot, 7, 8)
        holder.display = True
        await pilot.pause()
        assert [line.split()[0] for line in app.lines[1:3]] == ["t0007", "t0008"]
        assert not any("t0003" in line for line in app.lines)


async def test_another_size_shows_other_columns_and_still_the_cursor() -> None:
    async with bench(*range(50)) as (app, pilot):
        await pilot.press("G")
        await pilot.resize_terminal(70, 6)
        await pilot.pause()
        assert "MORE" in app.lines[0]
        assert app.line_of("t0049") > 0
        await pilot.resize_terminal(20, 3)
        await pilot.pause()
        assert app.line_of("t0049") > 0
        assert "MORE" not in app.lines[0]


async def test_only_lines_that_changed_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(*range(8)) as (app, pilot):
        drawn: list[int] = []
        render = app.table.render_line

        def noted(y: int) -> Strip:
            drawn.append(y)
            return render(y)

        monkeypatch.setattr(app.table, "render_line", noted)
        await show(app, pilot, *range(8))
        assert drawn == []
        app.table.show([*things(*range(4)), Thing("t0004", 99), *things(5, 6, 7)])
        await pilot.pause()
        assert set(drawn) == {5}


async def test_a_name_from_outside_is_text_and_nothing_else() -> None:
    async with bench() as (app, pilot):
        hostile = ["\x1b[2J", "\x9b2J", "\u202egnp", "[bold]b[/]", "日本語日本語日本語日本語日本語", "🎉" * 30, "a\nb"]
        app.table.show([Thing(name) for name in hostile])
        await pilot.pause()
        text = "\n".join(app.lines)
        assert "\\u001b[2J" in text
        assert "[bold]b[/]" in text
        assert not {"\x1b", "\x9b", "\u202e"} & set(text)
        assert [len(line) <= 40 for line in app.lines] == [True] * len(app.lines)


@pytest.mark.parametrize("theme", ["textual-dark", "ansi-dark"])
@pytest.mark.parametrize("plain", [False, True])
async def test_the_cursor_is_seen_without_colour(monkeypatch: pytest.MonkeyPatch, theme: str, plain: bool) -> None:
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    async with bench(1, 2, 3) as (app, pilot):
        app.theme = theme
        await pilot.press("j")
        await pilot.pause()

        def look(line: int) -> tuple[object, ...]:
            style = next(iter(app.table.render_line(line))).style
            assert style is not None
            return (style.reverse, style.underline) if plain or theme.startswith("ansi") else (style.bgcolor,)

        assert look(2) != look(1)
        app.query_one(Input).focus()
        await pilot.pause()
        assert look(2) != look(1)
