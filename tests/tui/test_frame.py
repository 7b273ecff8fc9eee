"""What surrounds every section: freshness, freezing, looking only, the palette, the help, and the looks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from rich.style import Style
from textual.containers import VerticalScroll

from llmgate.config import ServerSettings
from llmgate.tui.app import theme_names
from llmgate.tui.dialogs.help import Help
from llmgate.tui.screens.tokens import TokensSection
from llmgate.tui.screens.users import Sessions, Users
from llmgate.tui.section import Section
from tests.admin.harness import PASSWORD, Site, run_site
from tests.tui.harness import Hand, dashboard

PLACES = ("dashboard", "queue", "users", "tokens", "keys", "whitelist", "upstreams", "usage", "activity", "system")


async def test_a_daemon_that_goes_and_comes_back_is_shown_as_it_is(tmp_path: Path, home: Path) -> None:
    async with AsyncExitStack() as first:
        site = await first.enter_async_context(run_site(tmp_path / "state"))
        port = int(site.url.rpartition(":")[2])
        async with dashboard(site, home, size=(80, 24)) as hand:
            await hand.go("users")
            await hand.filled(Users)
            await hand.seen("● live")
            await first.aclose()
            await hand.seen("STALE")
            await hand.seen("It is tried again.")
            await hand.seen("ada")
            await hand.press("r")
            await hand.seen("Cannot connect to")
            await hand.seen("ada")
            server = ServerSettings(port=port, drain_seconds=5)
            async with run_site(tmp_path / "state", server=server, users_exist=True) as again:
                await again.made("users", name="came-later", password=PASSWORD)
                await hand.seen("● live")
                await hand.gone("It is tried again.")
                await hand.seen("came-later")


async def test_a_frozen_screen_stands_still_and_says_for_how_long(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    await hand.seen("● live")
    await hand.press("space")
    await hand.seen("FROZEN 0 s")
    still = hand.lines[1:]
    await hand.site.made("users", name="came-later", password=PASSWORD)
    told = hand.app.picture.stats
    await hand.until(lambda: hand.listing(Users)._dirty, "the news")
    await hand.until(lambda: hand.app.picture.stats is not told, "the figures of another second")
    await hand.seen("FROZEN 1 s")
    assert hand.lines[1:] == still
    await hand.go("queue")
    await hand.seen("FROZEN")
    await hand.go("users")
    assert "came-later" not in hand.text
    await hand.press("r")
    await hand.seen("came-later")
    assert "FROZEN" in hand.text
    await hand.press("space")
    await hand.seen("● live")


async def test_an_answer_that_comes_after_freezing_is_not_shown(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)
    asked, answer = asyncio.Event(), asyncio.Event()
    fetch = listing.fetch

    async def slowly(*arguments: object, **filters: object) -> object:
        asked.set()
        await answer.wait()
        return await fetch(*arguments, **filters)  # type: ignore[arg-type]

    monkeypatch.setattr(listing, "fetch", slowly)
    listing.mark()
    await hand.until(asked.is_set, "the question")
    loads = listing.loads  # not before: an earlier question may still have been under way
    await hand.press("space")
    await hand.site.made("users", name="came-later", password=PASSWORD)
    answer.set()
    await hand.until(lambda: not listing.is_asking, "the answer")
    assert (listing.loads, "came-later" in hand.text) == (loads, False)
    await hand.press("space")
    await hand.seen("came-later")


async def test_what_is_asked_is_waited_for_however_often_something_happens(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)
    asked, answer = [], asyncio.Event()
    fetch = listing.fetch

    async def slowly(*arguments: object, **filters: object) -> object:
        asked.append(1)
        await answer.wait()
        return await fetch(*arguments, **filters)  # type: ignore[arg-type]

    monkeypatch.setattr(listing, "fetch", slowly)
    for _ in range(20):
        listing.mark()
        hand.app._tick()
        await hand.pilot.pause()
    await hand.until(lambda: bool(asked), "the question")
    assert len(asked) == 1
    answer.set()
    await hand.filled(Users, again=True)


async def test_who_may_only_look_is_told_so_with_every_key(site: Site, home: Path) -> None:
    async with dashboard(site, home, read_only=True, size=(80, 24)) as hand:
        await hand.seen("READ-ONLY")
        await hand.go("users")
        await hand.filled(Users)
        for key in ("n", "e", "d", "p", "x"):
            hand.app.clear_notifications()
            await hand.press(key)
            await hand.hears("started with --read-only")
            assert isinstance(hand.app.screen, Section)
        hand.app.clear_notifications()
        await hand.press("ctrl+p")
        await hand.write("Users: Delete")
        await hand.seen("--read-only")
        await hand.press("down", "enter")
        await hand.hears("started with --read-only")
        await hand.press("enter")
        await hand.seen("last login")


async def test_a_key_that_can_do_nothing_now_says_why(hand: Hand) -> None:
    await hand.go("users")
    await hand.press("v")
    listing = await hand.filled(Sessions)
    await hand.site.login("ada")
    await hand.until(lambda: any(row.user == "ada" for row in listing.table.rows), "ada's session")
    ada = next(row for row in listing.table.rows if row.user == "ada")
    await hand.site.admin.post(f"/admin/v1/sessions/{ada.id}/revoke")
    await hand.until(lambda: any(row.id == ada.id and not row.live for row in listing.table.rows), "its end")
    await hand.on(Sessions, ada.id)
    await hand.press("x")
    assert await hand.hears("It has ended already.") == "End: It has ended already."
    assert isinstance(hand.app.screen, Section)
    await hand.press("slash")
    await hand.write("user:nobody")
    await hand.until(lambda: not listing.table.rows, "no rows")
    await hand.press("enter", "x")
    await hand.hears("There is no row to do this with.")


async def test_the_palette_has_every_section_action_and_theme(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    found = {command.title: command.help for command in hand.app.get_system_commands(hand.app.screen)}
    assert {f"Go to {section.label}" for section in hand.app.sections} <= set(found)
    assert found["Users: New"] == "llmgate users create"
    assert {"Contexts", "Log in", "Log out", "Theme", "Help", "Quit", "Freeze, or go on"} <= set(found)
    await hand.press("ctrl+p")
    await hand.write("Go to Tokens")
    await hand.until(lambda: "Go to Tokens" in hand.text, "the command")
    await hand.press("down", "enter")
    await hand.until(lambda: isinstance(hand.app.screen, TokensSection), "the tokens")
    await hand.press("n")
    await hand.seen("New")
    over = {command.title for command in hand.app.get_system_commands(hand.app.screen)}
    assert over == {"Theme", "Quit"}


@pytest.mark.parametrize("place", [*PLACES, "settings"])
async def test_the_help_is_read_to_its_end_in_a_small_terminal(site: Site, home: Path, place: str) -> None:
    async with dashboard(site, home, size=(80, 24)) as hand:
        await hand.go(place)
        await hand.press("question_mark")
        await hand.until(lambda: isinstance(hand.app.screen, Help), "the help")
        await hand.seen("Help:")
        section = hand.app.section
        assert section is not None
        read = set(hand.lines)
        body = hand.app.screen.query_one(VerticalScroll)
        key, step = "j", 1
        while (line := body.scroll_offset.y) < body.max_scroll_y:
            there = min(line + step, body.max_scroll_y)
            await hand.press(key)
            await hand.until(lambda there=there: body.scroll_offset.y == there, f"what {key} shows")  # type: ignore[misc]
            await hand.pilot.pause()
            read |= set(hand.lines)
            key, step = "pagedown", body.scrollable_content_region.height
        text = "\n".join(read)
        assert "leave; the daemon goes on" in text
        assert "can be clicked too." in text
        for listing in section.listings:
            assert f"llmgate {listing.lists}" in text
            for item in listing.filters:
                assert f"{item.name}:" in text
        await hand.press("g")
        await hand.seen("Help:")
        await hand.press("q")
        await hand.gone("Help:")
        assert hand.app.focused is not None or not section.listings


@pytest.mark.parametrize("theme", ["llmgate-dark", "llmgate-light", "ansi-dark", "ansi-light"])
async def test_every_theme_can_be_chosen_and_is_kept(site: Site, home: Path, theme: str) -> None:
    assert theme in theme_names()
    async with dashboard(site, home) as hand:
        await hand.go("users")
        await hand.filled(Users)
        hand.app.theme = theme
        await hand.pilot.pause()
        await hand.press("n")
        await hand.seen("New user")
        await hand.press("escape", "question_mark")
        await hand.seen("Help:")
        if theme != "llmgate-dark":  # which the test has begun with
            await hand.until(lambda: hand.app.preferences.theme(theme_names()) == theme, "the theme kept")
    assert hand.app.preferences.name(site.url) == ""
    hand.app.preferences.keep_name(site.url, "root")
    assert hand.app.preferences.name(site.url) == "root"
    assert hand.app.preferences.theme([]) is None


@pytest.mark.parametrize("theme", ["llmgate-light", "ansi-dark"])
async def test_without_colours_there_are_none_and_it_is_seen_where_one_is(
    site: Site, home: Path, theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with dashboard(site, home) as hand:

        def styles(text: str) -> list[Style]:
            strips = hand.app.screen._compositor.render_strips()
            found = [(part.text, part.style) for strip in strips for part in strip if part.style is not None]
            colours = [colour for _, style in found for colour in (style.color, style.bgcolor) if colour is not None]
            assert all(colour.is_default for colour in colours)
            return [style for shown, style in found if text in shown]

        hand.app.theme = theme
        await hand.go("users")
        await hand.filled(Users)
        await hand.seen("ada")
        assert any(style.reverse for style in styles("root "))
        assert not any(style.reverse for style in styles("ada "))
        await hand.press("n")
        await hand.seen("New user")
        await hand.to("role")
        await hand.until(lambda: any(style.reverse for style in styles("user")), "the focus")
        await hand.press("enter")
        await hand.seen("admin")
        await hand.until(lambda: any(style.underline for style in styles("user")), "the choice")
        assert not any(style.underline for style in styles("admin"))


async def test_a_file_of_preferences_that_is_none_does_no_harm(site: Site, home: Path) -> None:
    async with dashboard(site, home) as hand:
        await hand.seen("● live")
    for text in ("[", "[]", '{"theme": 3, "names": []}', "\x00"):
        (home / "dashboard.json").write_text(text)
        async with dashboard(site, home, name=None) as hand:
            assert hand.app.preferences.theme(theme_names()) is None
            assert hand.app.preferences.name(site.url) == ""
            hand.app.preferences.keep_name(site.url, "root")
            assert hand.app.preferences.name(site.url) == "root"


async def test_hostile_text_is_only_text_wherever_it_stands(site: Site, home: Path) -> None:
    await site.made("tokens", label="[bold red]x[/] [/] [@click=app.quit]q[/]")
    await _log_in_as("evil\x9b2J\u202e[bold]", site)
    async with dashboard(site, home) as hand:
        await hand.go("tokens")
        await hand.seen("[bold red]x[/]")
        await hand.press("enter")
        await hand.seen("[@click=app.quit]")
        await hand.press("escape", "d")
        await hand.seen("[@click=app.quit]")
        await hand.press("escape")
        await hand.go("users")
        await hand.press("v")
        listing = await hand.filled(Sessions)
        await hand.until(lambda: any("evil" in str(row.client) for row in listing.table.rows), "the session")
        await hand.on(Sessions, next(row.id for row in listing.table.rows if "evil" in str(row.client)))
        await hand.press("enter")
        await hand.seen("[bold]")
        assert not {"\x9b", "\x1b", "\u202e"} & set(hand.text)


async def _log_in_as(agent: str, site: Site) -> None:
    """A login from a client that calls itself so: no HTTP client would send that."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = f'{{"name": "ada", "password": "{PASSWORD}"}}'.encode()
    head = f"POST /gate/auth/login HTTP/1.1\r\nhost: x\r\nuser-agent: {agent}\r\nconnection: close\r\n"
    rest = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + rest.encode() + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
