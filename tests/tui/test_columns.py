"""What stands in tables, and how wide: without a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from llmgate.tui.columns import Column, fitted, laid_out, ordered, written

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Thing:
    name: str
    size: int | None = None
    at: datetime | None = None


COLUMNS: tuple[Column[Thing], ...] = (
    Column("name", lambda thing: thing.name, 10, grow=1),
    Column("size", lambda thing: thing.size, 5, right=True),
    Column("at", lambda thing: thing.at, 14, wide=60),
)


@given(st.text(), st.integers(0, 40), st.booleans())
def test_a_text_takes_exactly_its_cells_whatever_it_is(text: str, width: int, right: bool) -> None:
    assert cell_len(fitted(written(text, NOW), width, right=right)) == width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short   "),
        ("much too long", "much to…"),
        ("日本語日本語", "日本語 …"),
        ("🎉🎉🎉🎉🎉", "🎉🎉🎉 …"),
        ("e\u0301a", "e\u0301a      "),
    ],
)
def test_what_is_too_long_ends_with_an_ellipsis_and_wide_letters_are_not_cut_in_half(text: str, shown: str) -> None:
    assert fitted(text, 8) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("a\x9b2Jb", "a\\u009b2Jb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\nb\tc", "a\\u000ab\\u0009c"),
        ("[bold]x[/]", "[bold]x[/]"),
        ("", "-"),
        (None, "-"),
        (True, "yes"),
    ],
)
def test_nothing_that_stands_in_a_table_commands_a_terminal(text: object, shown: str) -> None:
    assert written(text, NOW) == shown


def test_what_is_left_of_a_line_goes_to_what_grows_and_wide_columns_need_their_room() -> None:
    assert [(column.title, width) for column, width in laid_out(COLUMNS, 40)] == [("name", 33), ("size", 5)]
    assert [width for _, width in laid_out(COLUMNS, 60)] == [37, 5, 14]
    assert [width for _, width in laid_out(COLUMNS, 3)] == [10, 5]
    assert laid_out(COLUMNS, 0)[0][1] == 10


def test_rows_are_ordered_by_kind_and_what_has_no_value_is_last_either_way() -> None:
    rows = [
        Thing("b", 2, NOW),
        Thing("A", None, NOW - timedelta(days=1)),
        Thing("c", 10),
    ]
    names = [thing.name for thing in ordered(rows, None, down=True)]
    assert names == ["b", "A", "c"]
    assert [thing.name for thing in ordered(rows, COLUMNS[0], down=False)] == ["A", "b", "c"]
    assert [thing.name for thing in ordered(rows, COLUMNS[1], down=False)] == ["b", "c", "A"]
    assert [thing.name for thing in ordered(rows, COLUMNS[1], down=True)] == ["c", "b", "A"]
    assert [thing.name for thing in ordered(rows, COLUMNS[2], down=False)] == ["A", "b", "c"]
