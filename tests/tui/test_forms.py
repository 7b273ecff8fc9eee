"""What every form does: in a small terminal, when it is left, and when the daemon refuses."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from textual._styles_cache import StylesCache
from textual.containers import VerticalScroll
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from llmgate.connection import Connection
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.dialogs.facts import Facts
from llmgate.tui.dialogs.filling import Filling
from llmgate.tui.dialogs.secret import Secret
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.screens.keys import Keys
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
    assert "Keep editing" in small.text
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


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent from now on, as it is sent."""
    sent: list[str] = []
    send = Connection.send

    async def noted(self: Connection, method: str, path: str, **more: Any) -> httpx.Response:
        sent.append(f"{method} {path}")
        return await send(self, method, path, **more)

    monkeypatch.setattr(Connection, "send", noted)
    return sent


async def test_enter_held_down_makes_one_thing_and_does_not_take_its_secret_away(
    small: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = counted(monkeypatch)
    await opened(small, "tokens", "n", "New registration token")
    await small.enter(label="once")
    for _ in range(400):
        small.app.post_message(Key("enter", None))
        await small.pilot.pause(0.001)
        if isinstance(small.app.screen, Secret):
            break
    for _ in range(20):
        small.app.post_message(Key("enter", None))
    await small.until(lambda: bool(small.app.clipboard), "the secret copied")
    await small.pilot.pause()
    assert isinstance(small.app.screen, Secret)
    assert sent.count("POST /admin/v1/tokens") == 1
    await small.press("tab", "enter")
    await small.gone("Hand it over now")


HOSTILE = "[reverse]b[/] \x1b[31mc"


async def nothing(client: Any, body: Any, force: bool) -> None:
    """Where nothing is sent."""


def form(*fields: Field) -> Form:
    return Form("A form", "users update", fields, nothing, target=("ada",), changes=True)


async def test_a_choice_that_is_none_of_those_is_shown_as_it_is(small: Hand) -> None:
    choice = Field("role", "role", "--role", Kind.CHOICE, was=HOSTILE, choices=("", "user"))
    small.app.push_screen(Filling(form(choice), small.app.link.client))
    await small.seen("[reverse]b[/] \\u001b[31mc")
    assert small.app.screen.query_one(Select).value == HOSTILE
    await small.press("enter")
    await small.seen("(none)")
    assert "\x1b" not in small.text


async def test_what_cannot_be_shown_is_neither_pasted_nor_sent_as_a_change(small: Hand) -> None:
    switch = Field("disabled", "disabled", "--disable/--enable", Kind.SWITCH, was="off")
    small.app.push_screen(Filling(form(Field("name", "name", "--name", was="a\u200db"), switch), small.app.link.client))
    await small.seen("a\\u200db")
    small.app.screen.query_one("#field-disabled", Select).value = "on"
    await small.seen("--disable")
    await small.says_twin("llmgate users update --disable ada")
    await small.write("x\x1b]52;c;cHduZWQ=\x07y")
    line = small.app.screen.query_one("#field-name", Input)
    await small.until(lambda: line.value.endswith("y"), "what was pasted")
    assert line.value.isprintable()


async def test_titles_of_facts_are_harmless(small: Hand) -> None:
    small.app.push_screen(Facts("About it", [("\x1b]52;c;cHduZWQ=\x07", "value")], "llmgate users show ada"))
    await small.seen("value")
    assert "\x1b" not in small.text


async def test_however_long_a_question_its_buttons_are_seen(small: Hand) -> None:
    name = "hf.co/" + "x" * 300
    places = ", ".join(f"gpu{number}" for number in range(120))
    question = Confirm(f"Remove {name} from {places}?", "Delete", f"llmgate models delete {name}", typed=name)
    small.app.push_screen(question)
    await small.seen("Are you sure?")
    await small.seen("Cancel")
    for widget in question.query("Button, Input"):
        assert question.region.contains_region(widget.region), widget
    assert "to go on:" not in small.text
    await small.press("pagedown", "pagedown", "pagedown")
    await small.seen("to go on:")


async def test_a_button_that_cannot_be_pressed_is_one_line_in_the_colours_of_the_terminal(small: Hand) -> None:
    small.app.theme = "ansi-dark"
    small.app.push_screen(Confirm("Delete it?", "Delete", typed="it"))
    await small.seen("Delete it?")
    button = small.app.screen.query_one("#do", Button)
    await small.until(lambda: button.size.width > 0, "the button")
    assert button.outer_size.height == 1
    assert button.styles.border_top[0] in ("", "none")
    assert button.content_size.height == 1


async def test_a_form_begins_with_what_is_now_and_asks_before_it_overwrites(small: Hand) -> None:
    made = await small.site.made("keys", name="shared", models=["a", "b"], requests_per_minute=10)
    path = f"/admin/v1/keys/{made['id']}"
    await small.go("keys")
    await small.on(Keys, made["id"])
    await small.press("space")  # nothing is refreshed from here on
    await small.site.admin.patch(path, json={"requests_per_minute": 99})
    await small.press("e")
    await small.seen("Change the key shared")
    assert small.app.screen.query_one("#field-requests_per_minute", Input).value == "99"
    await small.site.admin.patch(path, json={"models": ["a"], "weight": 2})
    await small.enter(models="a b c")
    await small.press("enter")
    await small.seen("Somebody has changed it meanwhile: models is a now.")
    await small.says_twin("llmgate keys update --model a --model b --model c shared")
    await small.press("enter")
    await small.gone("Somebody has changed it")
    assert (await small.site.admin.get(path)).json()["models"] == ["a"]
    await small.site.admin.patch(path, json={"models": ["z"]})
    await small.press("ctrl+s")
    await small.seen("models is z now")
    await small.press("right", "enter")
    await small.hears("Changed the key shared.")
    now = (await small.site.admin.get(path)).json()
    assert (now["models"], now["weight"]) == (["a", "b", "c"], 2)


async def test_what_is_gone_is_not_edited(small: Hand) -> None:
    made = await small.site.made("keys", name="shared")
    await small.go("keys")
    await small.on(Keys, made["id"])
    await small.press("space")
    await small.site.admin.delete(f"/admin/v1/keys/{made['id']}")
    await small.press("e")
    await small.hears("There is no key")
    assert not isinstance(small.app.screen, Filling)


async def test_users_are_asked_for_when_nobody_types(small: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened(small, "keys", "n", "New API key")
    await small.to("user")
    sent = counted(monkeypatch)
    for letter in "ad":
        small.app.post_message(Key(letter, letter))
    await small.seen("ada")
    small.app.post_message(Key("a", "a"))
    line = small.app.screen.query_one("#field-user", Input)
    await small.until(lambda: line.value == "ada", "the whole name")
    assert sent.count("GET /admin/v1/users") == 1


async def test_a_dialog_that_is_gone_leaves_nothing_behind(small: Hand) -> None:
    """However often one is opened: a dashboard stays open all day."""
    await small.go("keys")
    drawers = []
    for _ in range(4):
        await small.press("question_mark")
        await small.seen("Help:")
        await small.press("escape")
        await small.gone("Help:")
        gc.collect()
        drawers.append(sum(type(kept) is StylesCache for kept in gc.get_objects()))
    assert drawers[-1] == drawers[1]
