"""Who are you: at the start, when a session ends, and as whom it is no use."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Select

from llmgate.client import AdminClient
from llmgate.contexts.session import SessionCredentials, remember
from llmgate.contexts.stored import Store, StoredSession
from llmgate.contexts.target import resolve
from llmgate.errors import AuthenticationFailed, PermissionDenied, StateUnreadable
from llmgate.tui.app import Dashboard, Launch
from llmgate.tui.dialogs.contexts import Contexts
from llmgate.tui.dialogs.login import Login
from llmgate.tui.screens.users import Users
from tests.admin.harness import PASSWORD, Site
from tests.tui.harness import TICK, Hand, dashboard, parses


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


async def test_who_one_is_may_become_known_after_one_is_refused(site: Site, home: Path) -> None:
    async with dashboard(site, home) as hand:
        await hand.seen("● live")
        link = hand.app.link
        link.user, link.role = "", ""
        hand.app.sessions.need(PermissionDenied("This is for administrators."))
        link.user, link.role = "ada", "user"
        await asked(hand)
        await hand.seen("ada is no administrator there")


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


async def test_looking_only_makes_no_account(site: Site, home: Path) -> None:
    async with dashboard(site, home, name=None, read_only=True) as hand:
        ways = (await asked(hand)).query_one("#way", Select)
        assert [value for _, value in ways._options] == ["login"]
        await log_in(hand, "root")
        await hand.seen("● live")


async def test_files_that_cannot_be_written_are_said_with_the_reason(site: Site, home: Path) -> None:
    (home / "lock").mkdir(parents=True)
    async with dashboard(site, home, name=None) as hand:
        await log_in(hand, "root")
        await hand.seen("Cannot lock")
        await hand.seen("Is a directory.")


async def test_passwords_and_tokens_describe_no_worker(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[str] = []
    make = hand.app.workers._new_worker

    def spy(*given: Any, **named: Any) -> Any:
        worker = make(*given, **named)
        described.append(f"{worker.description} {worker.name} {worker!r}")
        return worker

    monkeypatch.setattr(hand.app.workers, "_new_worker", spy)
    hand.app.sessions.log_in()
    await log_in(hand, "root")
    await hand.gone("Log in to")
    await hand.go("users")
    await hand.filled(Users)
    await hand.press("n")
    await hand.enter(name="grace", password=PASSWORD)
    await hand.press("tab")
    await hand.write(PASSWORD)
    await hand.press("enter")
    await hand.hears("Created the user grace.")
    assert any("log in" in text for text in described)
    assert not [text for text in described if PASSWORD in text]


async def test_no_dialog_that_asks_names_the_command(hand: Hand) -> None:
    assert (await hand.site.admin.post("/admin/v1/sessions/revoke", json={"user": "root"})).status_code == 200
    await asked(hand)
    await hand.seen("Your session has ended.")
    assert "Log in again" not in hand.text


async def test_who_finds_no_daemon_is_told_how_to_add_one(home: Path) -> None:
    target = resolve(Store(home), {}, url="http://127.0.0.1:9", context=None, token_file=None)
    app = Dashboard(Launch(Store(home), target, refresh=TICK, theme="llmgate-dark"))
    async with app.run_test(size=(80, 24)) as pilot:
        hand = Hand(app, pilot, None)  # type: ignore[arg-type]  # there is no daemon
        await hand.seen("C: choose or add a daemon")


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


async def stale(site: Site, home: Path) -> tuple[Store, StoredSession]:
    """A session that has to be renewed before it is used."""
    store = Store(home)
    async with AdminClient(site.url) as client:
        remember(store, "test", site.url, await client.login("root", PASSWORD))
    session = store.session("test", site.url)
    assert session is not None
    old = replace(session, expires_at=0.0)
    store.save_session("test", old)
    return store, old


async def test_new_tokens_that_cannot_be_saved_are_used_all_the_same(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, old = await stale(site, home)
    credentials = SessionCredentials(store, "test", old)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(StateUnreadable, match="No space left"):
            store.save_session("test", old)
        async with AdminClient(site.url, credentials) as client:
            assert (await client.me()).name == "root"
            first = credentials._session
            credentials._session = replace(first, expires_at=0.0)
            assert (await client.me()).name == "root"
        assert credentials._session.refresh_token not in (first.refresh_token, old.refresh_token)
        assert store.session("test", site.url) == old
    credentials._session = replace(credentials._session, expires_at=0.0)
    async with AdminClient(site.url, credentials) as client:
        assert (await client.me()).name == "root"
    assert store.session("test", site.url) == credentials._session


async def test_who_logs_out_elsewhere_ends_also_what_could_not_be_saved(site: Site, home: Path) -> None:
    store, old = await stale(site, home)
    credentials = SessionCredentials(store, "test", old)
    store.save_session("test", None)
    async with AdminClient(site.url, credentials) as client:
        with pytest.raises(AuthenticationFailed, match="not logged in any more"):
            await client.me()


async def test_a_slow_disk_does_not_hold_up_the_screen(site: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, old = await stale(site, home)
    there = asyncio.get_running_loop()
    elsewhere: list[bool] = []

    def slow(_: int) -> None:
        try:
            elsewhere.append(asyncio.get_running_loop() is not there)
        except RuntimeError:
            elsewhere.append(True)

    monkeypatch.setattr(os, "fsync", slow)
    async with AdminClient(site.url, SessionCredentials(store, "test", old)) as client:
        assert (await client.me()).name == "root"
    assert elsewhere == [True]
