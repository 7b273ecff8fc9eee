"""Who are you: at the start, when a session ends, and as whom it is no use."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from textual.widgets import Input, Select

from llmgate.client import AdminClient
from llmgate.contexts.session import SessionCredentials, remember
from llmgate.contexts.stored import Store
from llmgate.tui.dialogs.contexts import Contexts
from llmgate.tui.dialogs.login import Login
from llmgate.tui.screens.users import Users
from tests.admin.harness import PASSWORD, Site
from tests.tui.harness import Hand, dashboard, parses


async def asked(hand: Hand) -> Login:
    await hand.seen("Log in to")
    dialog = hand.app.screen
    assert isinstance(dialog, Login)
    return dialog


async def log_in(hand: Hand, name: str, password: str = PASSWORD) -> None:
    dialog = await asked(hand)
    dialog.query_one("#name", Input).value = name
    dialog.query_one("#password", Input).value = password
    dialog.query_one("#password").focus()
    await hand.press("enter")


async def test_without_a_session_a_login_is_asked_for_and_the_name_is_remembered(site: Site, home: Path) -> None:
    async with dashboard(site, home, name=None) as hand:
        await asked(hand)
        await hand.seen("You are not logged in.")
        await log_in(hand, "root", "wrong")
        await hand.seen("The name or the password is wrong.")
        assert parses(hand.twin) == "login"
        await log_in(hand, "root")
        await hand.seen("root@default")
        await hand.seen("● live")
        assert Store(home).contexts().current == "default"
        await hand.press("C", "o")
        await hand.seen("Log out of")
        await hand.press("right", "enter")
        dialog = await asked(hand)
        assert dialog.query_one("#name", Input).value == "root"


async def test_who_does_not_want_to_log_in_is_not_asked_again(site: Site, home: Path) -> None:
    async with dashboard(site, home, name=None) as hand:
        await asked(hand)
        await hand.press("escape")
        await hand.seen("NOT LOGGED IN")
        await hand.seen("C: log in, contexts")
        await hand.go("users")
        listing = hand.listing(Users)
        for _ in range(10):
            hand.app._tick()
            await hand.pilot.pause()
        assert not isinstance(hand.app.screen, Login)
        assert listing.loads == 0
        await hand.press("r")
        await asked(hand)
        hand.app.screen.query_one("#contexts").focus()
        await hand.press("enter")
        await hand.until(lambda: isinstance(hand.app.screen, Contexts), "the contexts")
        await hand.press("l")
        await log_in(hand, "root")
        await hand.filled(Users)
        await hand.seen("● live")


async def test_a_session_that_ends_meanwhile_is_asked_for_over_what_is_seen(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    await hand.press("n")
    await hand.seen("New user")
    await hand.write("grace")
    assert (await hand.site.admin.post("/admin/v1/sessions/revoke", json={"user": "root"})).status_code == 200
    await asked(hand)
    await hand.seen("Your session has ended.")
    await log_in(hand, "root")
    await hand.seen("New user")
    assert hand.app.screen.query_one("#field-name", Input).value == "grace"
    await hand.enter(password=PASSWORD)
    await hand.press("tab")
    await hand.write(PASSWORD)
    await hand.press("enter")
    await hand.hears("Created the user grace.")
    await hand.seen("● live")


async def test_who_is_no_administrator_is_told_so_and_can_be_somebody_else(site: Site, home: Path) -> None:
    async with dashboard(site, home, name="ada") as hand:
        await asked(hand)
        await hand.seen("ada is no administrator there")
        await hand.press("escape")
        await hand.seen("NO ACCESS")
        await hand.press("ctrl+p")
        await hand.write("Log in")
        await hand.until(lambda: "llmgate login" in hand.text, "the command")
        await hand.press("down", "enter")
        await log_in(hand, "root")
        await hand.seen("root@test")
        await hand.seen("● live")


async def test_a_token_that_is_refused_is_named(site: Site, home: Path) -> None:
    async with dashboard(site, home, name=None, token="llmg_nonsense") as hand:
        await asked(hand)
        await hand.seen("The token from LLMGATE_TOKEN is not accepted")
        await log_in(hand, "root")
        await hand.seen("root@default")
        await hand.seen("● live")


async def test_an_account_is_made_with_a_registration_token(site: Site, home: Path) -> None:
    token = (await site.made("tokens", label="class"))["token"]
    async with dashboard(site, home, name=None) as hand:
        dialog = await asked(hand)
        dialog.query_one("#way", Select).value = "register"
        dialog.query_one("#token", Input).value = "nonsense"
        dialog.query_one("#again", Input).value = "other"
        await log_in(hand, "grace")
        await hand.press("tab")
        await hand.until(lambda: "--register" in hand.twin, "the option")
        assert parses(hand.twin) == "login"
        dialog.query_one("#again").focus()
        await hand.press("enter")
        await hand.seen("The password is not the same twice.")
        dialog.query_one("#again", Input).value = PASSWORD
        dialog.query_one("#again").focus()
        await hand.press("enter")
        await hand.seen("The registration token is not valid.")
        dialog.query_one("#token", Input).value = token
        dialog.query_one("#again").focus()
        await hand.press("enter")
        await hand.seen("grace is no administrator there")
        assert (await site.login("grace")).status_code == 200


async def test_a_login_elsewhere_is_found_when_it_is_tried_again(site: Site, home: Path) -> None:
    async with dashboard(site, home) as hand:
        await hand.seen("● live")
        Store(home).save_session("test", None)
        assert (await site.admin.post("/admin/v1/sessions/revoke", json={"user": "root"})).status_code == 200
        await asked(hand)
        await hand.press("escape")
        await hand.seen("NOT LOGGED IN")
        async with AdminClient(site.url) as client:
            remember(Store(home), "test", site.url, await client.login("root", PASSWORD))
        await hand.press("r")
        await hand.seen("● live")


async def test_a_renewal_goes_on_when_who_asked_for_it_has_given_up(site: Site, home: Path) -> None:
    store = Store(home)
    async with AdminClient(site.url) as client:
        name = remember(store, None, site.url, await client.login("root", PASSWORD))
    session = store.session(name, site.url)
    assert session is not None
    old = replace(session, expires_at=0.0)
    store.save_session(name, old)
    async with AdminClient(site.url, SessionCredentials(store, name, old)) as client:
        asked = asyncio.create_task(client.me())
        while not client._wire._credentials._renewal:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    renewed = store.session(name, site.url)
    assert renewed is not None
    assert renewed.refresh_token != old.refresh_token
    async with AdminClient(site.url, SessionCredentials(store, name, renewed)) as client:
        assert (await client.me()).name == "root"
