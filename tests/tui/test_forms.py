"""What every form does: in a small terminal, when it is left, and when the daemon refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from textual.containers import VerticalScroll
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input

from llmgate.connection import Connection
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.dialogs.filling import Filling
from llmgate.tui.screens.users import Users
from tests.admin.harness import PASSWORD, Site
from tests.tui.harness import Hand, dashboard


@pytest.fixture
async def small(site: Site, home: Path) -> AsyncIterator[Hand]:
    async with dashboard(site, home, size=(80, 24)) as hand:
        yield hand


async def opened(hand: Hand, place: str, key: str, title: str) -> Filling:
    await hand.go(place)
    await hand.press(key)
    await hand.seen(title)
    dialog = hand.app.screen
    assert isinstance(dialog, Filling)
    return dialog


def is_seen(body: VerticalScroll, field: Widget) -> bool:
    return body.region.contains_region(field.region)


async def test_the_field_with_the_focus_is_seen_however_long_the_form(small: Hand) -> None:
    await small.pilot.resize_terminal(80, 18)
    dialog = await opened(small, "keys", "n", "New")
    body = dialog.query_one(VerticalScroll)
    assert body.virtual_size.height > body.size.height
    fields = len(dialog.focus_chain)
    for key in ["tab"] * fields + ["shift+tab"] * fields:
        await small.press(key)
        focused = small.app.focused
        assert focused is not None
        if focused in body.walk_children():
            await small.until(partial(is_seen, body, focused), f"{focused} in the form")
        assert dialog.region.contains_region(focused.region), focused
        assert small.lines[-1].startswith(" esc Cancel")
    assert any("$ llmgate keys create" in line for line in small.lines)


async def test_arrows_go_from_line_to_line(small: Hand) -> None:
    dialog = await opened(small, "users", "n", "New user")
    for key, field in (("down", "field-password"), ("down", "again-password"), ("up", "field-password")):
        await small.press(key)
        focused = small.app.focused
        assert focused is not None
        assert focused.id == field
    assert dialog.is_current


async def test_what_was_typed_is_not_thrown_away_by_escape_alone(small: Hand) -> None:
    dialog = await opened(small, "users", "n", "New user")
    await small.press("escape")
    await small.gone("New user")
    dialog = await opened(small, "users", "n", "New user")
    await small.write("grace")
    await small.press("escape")
    await small.seen("Throw away what you typed?")
    await small.press("enter")
    await small.gone("Throw away")
    assert dialog.query_one("#field-name", Input).value == "grace"
    await small.press("escape")
    await small.seen("Throw away what you typed?")
    await small.press("right", "enter")
    await small.gone("New user")


async def test_a_form_is_sent_once_however_often_enter_is_pressed(small: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    send = Connection.send

    async def counted(self: Connection, method: str, path: str, **more: Any) -> httpx.Response:
        sent.append(f"{method} {path}")
        return await send(self, method, path, **more)

    await opened(small, "users", "n", "New user")
    monkeypatch.setattr(Connection, "send", counted)
    await small.enter(name="grace", password=PASSWORD)
    await small.press("tab")
    await small.write(PASSWORD)
    for _ in range(3):
        small.app.post_message(Key("enter", None))
    await small.hears("Created the user grace.")
    await small.filled(Users, again=True)
    assert sent.count("POST /admin/v1/users") == 1


async def test_what_the_daemon_refuses_changes_nothing_in_the_form(small: Hand) -> None:
    dialog = await opened(small, "users", "n", "New user")
    await small.enter(name="ada", password=PASSWORD)
    await small.press("tab")
    await small.write(PASSWORD)
    await small.press("enter")
    await small.seen("There is already a user")
    values = {line.id: line.value for line in dialog.query(Input)}
    assert values == {"field-name": "ada", "field-password": PASSWORD, "again-password": PASSWORD}
    assert PASSWORD not in small.text
    await small.enter(name="grace")
    await small.gone("There is already a user")
    await small.press("ctrl+s")
    await small.hears("Created the user grace.")


async def test_a_question_that_hurts_most_wants_the_name(small: Hand) -> None:
    await small.go("users")
    listing = await small.filled(Users)
    await small.press("G", "d")
    await small.seen("Type ada to go on:")
    question = small.app.screen
    assert isinstance(question, Confirm)
    await small.press("a", "d", "enter")
    assert small.app.screen is question
    await small.press("a", "enter")
    assert small.app.screen is question
    await small.press("enter")
    await small.hears("Deleted the user ada.")
    await small.until(lambda: [user.name for user in listing.table.rows] == ["root"], "the other gone")
    assert small.app.focused is listing.table


async def test_everything_about_a_thing_is_read_to_its_end(small: Hand) -> None:
    await small.site.made("keys", name="robot", routes=["chat", "manage"], cidrs=["127.0.0.0/8"])
    await small.go("keys")
    await small.seen("robot")
    await small.press("enter")
    await small.seen("$ llmgate keys show")
    body = small.app.screen.query_one(VerticalScroll)
    await small.until(lambda: body.max_scroll_y > 0, "more than fits")
    await small.press("G")
    await small.until(lambda: body.scroll_offset.y == body.max_scroll_y, "the end")
    await small.press("k", "g", "j", "k")
    await small.until(lambda: body.scroll_offset.y == 0, "the beginning")
    await small.press("q")
    await small.gone("$ llmgate keys show")


async def test_a_dialog_that_is_done_behind_another_goes_when_it_is_seen(small: Hand) -> None:
    dialog = await opened(small, "users", "n", "New user")
    small.app.push_screen(Confirm("On top?", "Yes"))
    await small.seen("On top?")
    dialog.dismiss(None)
    await small.pilot.pause()
    await small.seen("On top?")
    await small.press("escape")
    await small.gone("New user")
    assert len(small.app.screen_stack) == 1
