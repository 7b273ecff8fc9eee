"""What every list does: filter, pages, faults, copying, and where the focus is."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from textual.widgets import Input

from llmgate.errors import DaemonTimeout, InvalidRequest, StoreUnavailable
from llmgate.tui.screens.tokens import Tokens, TokensSection
from llmgate.tui.screens.users import Sessions, Users
from llmgate.tui.widgets.rows import RowTable
from tests.admin.harness import PASSWORD, Site
from tests.tui.harness import Hand


async def labels(site: Site, *names: str) -> dict[str, str]:
    """Registration tokens with these labels; their ids."""
    return {name: (await site.made("tokens", label=name))["id"] for name in names}


async def test_letters_are_letters_while_a_filter_is_typed(hand: Hand) -> None:
    await hand.site.made("users", name="qnde3", password=PASSWORD)
    await hand.go("users")
    listing = await hand.filled(Users)
    await hand.press("slash", "q", "n", "d", "e", "3")
    await hand.until(lambda: [user.name for user in listing.table.rows] == ["qnde3"], "the one that fits")
    assert hand.app.screen.query_one(Input).value == "qnde3"
    await hand.press("space", "slash", "question_mark", "C")
    assert hand.app.screen.query_one(Input).value == "qnde3 /?C"
    assert hand.app.frozen_for is None
    await hand.until(lambda: not listing.table.rows, "no rows")
    await hand.seen("Nothing fits the filter.")
    await hand.press("escape")
    await hand.until(lambda: len(listing.table.rows) == 3, "all rows")
    assert hand.app.focused is listing.table
    assert "/" not in [line[:1] for line in hand.lines]


async def test_a_filter_in_force_stays_seen_and_escape_takes_it_away(hand: Hand) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)
    await hand.press("slash", "a", "d", "enter")
    await hand.until(lambda: [user.name for user in listing.table.rows] == ["ada"], "the one that fits")
    assert hand.app.focused is listing.table
    await hand.seen("/ad")
    await hand.press("slash", "a", "down")
    assert hand.app.screen.query_one(Input).value == "ada"
    await hand.press("escape")
    await hand.until(lambda: len(listing.table.rows) == 2, "all rows")


async def test_filters_are_completed_and_what_is_wrong_with_them_is_said(hand: Hand) -> None:
    await hand.go("users")
    await hand.press("v")
    listing = await hand.filled(Sessions)
    await hand.press("slash", "l", "i", "tab")
    line = hand.app.screen.query_one("#view-1").query_one(Input)
    assert line.value == "live:yes"
    await hand.press("ctrl+u")
    await hand.write("live:perhaps")
    await hand.seen("live is one of: yes, no.")
    await hand.press("ctrl+u")
    await hand.write("user:nobody")
    await hand.seen("There is no such user.")
    await hand.until(lambda: not listing.table.rows, "rows that do not fit gone")
    await hand.press("ctrl+u")
    await hand.write("live:no")
    await hand.gone("There is no such user.")
    await hand.press("ctrl+u")
    await hand.press("enter")
    await hand.until(lambda: len(listing.table.rows) > 1, "all rows")


async def test_pages_are_turned_and_one_that_has_gone_is_not_left_empty(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgate.tui.listing.PAGE", 3)
    ids = await labels(hand.site, "one", "two", "three", "four", "five")
    await hand.go("tokens")
    listing = await hand.filled(Tokens)
    first = [token.id for token in listing.table.rows]
    await hand.seen("1 to 3")
    await hand.press("left_square_bracket")
    await hand.press("G", "right_square_bracket")
    await hand.seen("4 to 5")
    second = [token.id for token in listing.table.rows]
    assert sorted(first + second) == sorted(ids.values())
    assert listing.table.row is listing.table.rows[0]
    await hand.press("right_square_bracket")
    await hand.seen("4 to 5")
    for token in second:
        await hand.site.admin.delete(f"/admin/v1/tokens/{token}")
    await hand.until(lambda: [token.id for token in listing.table.rows] == first, "the page before")
    await hand.seen("3 in all")


@pytest.mark.parametrize("failure", [StoreUnavailable(), DaemonTimeout("Too slow."), InvalidRequest("What?")])
async def test_a_list_that_cannot_be_had_for_a_moment_keeps_its_rows(
    hand: Hand, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)
    fetch = listing.fetch

    async def fails(*arguments: Any, **filters: Any) -> Any:
        raise failure

    monkeypatch.setattr(listing, "fetch", fails)
    await hand.press("r")
    await hand.seen(getattr(failure, "message", ""))
    assert [user.name for user in listing.table.rows] == ["root", "ada"]
    monkeypatch.setattr(listing, "fetch", fetch)
    await hand.press("r")
    await hand.seen("2 in all")
    await hand.seen("● live")


async def test_an_id_is_handed_to_the_clipboard_of_the_terminal(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    assert hand.app._driver is not None
    monkeypatch.setattr(hand.app._driver, "write", sent.append)
    await hand.go("users")
    listing = await hand.filled(Users)
    await hand.press("y")
    assert listing.table.row is not None
    wanted = base64.b64encode(listing.table.row.id.encode()).decode()
    assert f"\x1b]52;c;{wanted}\a" in sent
    await hand.hears(f"Copied {listing.table.row.id}")


async def test_the_focus_is_on_the_rows_after_every_dialog(hand: Hand) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)
    for key, title in (
        ("n", "New user"),
        ("e", "Change the user"),
        ("d", "Delete the user"),
        ("enter", "Users: "),
        ("question_mark", "Help:"),
        ("C", "Contexts"),
    ):
        await hand.press(key)
        await hand.seen(title)
        await hand.press("escape")
        await hand.until(lambda: hand.app.focused is listing.table, f"the focus after {title}")
    await hand.press("ctrl+p")
    await hand.seen("Search")
    await hand.press("escape")
    await hand.until(lambda: hand.app.focused is listing.table, "the focus after the palette")


async def test_the_mouse_opens_sorts_and_goes_elsewhere(hand: Hand) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)
    await hand.pilot.click(RowTable, offset=(2, 0))
    assert [user.name for user in listing.table.rows] == ["ada", "root"]
    await hand.seen("sorted by name ↑")
    await hand.pilot.click(RowTable, offset=(2, 1), times=2)
    await hand.seen("Users: ada")
    await hand.press("escape")
    place = next(place for place in hand.app.screen.query("Place") if getattr(place, "_mode", "") == "tokens")
    await hand.pilot.click(place)
    await hand.until(lambda: isinstance(hand.app.screen, TokensSection), "the tokens")
