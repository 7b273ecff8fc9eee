"""The dialog of the known daemons: everything that ``llmgate context`` does, and logging in and out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Select

from llmgate.contexts.known import create
from llmgate.contexts.stored import Store
from llmgate.tui.dialogs.contexts import Contexts
from llmgate.tui.screens.users import Users
from tests.admin.harness import PASSWORD, Site, run_site
from tests.tui.harness import Hand, dashboard, parses


async def contexts(hand: Hand) -> None:
    await hand.press("C")
    await hand.until(lambda: isinstance(hand.app.screen, Contexts), "the contexts")


async def on(hand: Hand, name: str) -> None:
    dialog = hand.app.screen
    assert isinstance(dialog, Contexts)
    await hand.until(lambda: dialog.table.move_to(name), f"the context {name}")
    await hand.pilot.pause()


async def test_a_daemon_is_made_known_renamed_and_forgotten(hand: Hand, home: Path) -> None:
    store = Store(home)
    await contexts(hand)
    await hand.seen("shown, current")
    await hand.press("n")
    await hand.seen("New context")
    await hand.enter(name="Of fice", address="ftp://x")
    await hand.seen("cannot name a context")
    await hand.seen("not the URL of a daemon")
    await hand.enter(name="test", address="http://127.0.0.1:9/")
    assert parses(hand.twin) == "context create"
    await hand.press("enter")
    await hand.seen("There is a context 'test' already.")
    await hand.enter(name="office")
    await hand.press("enter")
    await hand.gone("New context")
    await hand.seen("http://127.0.0.1:9")
    assert store.contexts().urls["office"] == "http://127.0.0.1:9"
    assert store.contexts().current == "test"
    await on(hand, "office")
    await hand.press("e")
    await hand.seen("Rename the context office")
    await hand.enter(name="lab")
    await hand.says_twin("llmgate context rename office lab")
    assert parses(hand.twin) == "context rename"
    await hand.press("enter")
    await hand.gone("Rename the context")
    await hand.until(lambda: "lab" in store.contexts().urls, "the new name")
    await on(hand, "lab")
    await hand.press("d")
    await hand.seen("Forget the context lab?")
    assert parses(hand.twin) == "context remove"
    await hand.press("enter")
    await hand.gone("Forget the context lab?")
    assert "lab" in store.contexts().urls
    await hand.press("d")
    await hand.seen("Forget the context lab?")
    await hand.press("right", "enter")
    await hand.until(lambda: "lab" not in store.contexts().urls, "the context gone")
    await hand.press("escape")
    await hand.seen("● live")


async def test_another_daemon_is_shown_and_nothing_of_the_first_is_left(site: Site, home: Path, tmp_path: Path) -> None:
    async with run_site(tmp_path / "other") as other, dashboard(site, home) as hand:
        await site.made("users", name="only-here", password=PASSWORD)
        create(Store(home), "other", other.url)
        await hand.go("users")
        await hand.seen("only-here")
        await contexts(hand)
        await on(hand, "other")
        assert parses(hand.twin.rpartition("$ ")[2]) == "context use"
        await hand.press("enter")
        await hand.seen(f"Log in to {other.url}")
        assert "only-here" not in hand.text
        await hand.write("root")
        await hand.press("tab")
        await hand.write(PASSWORD)
        await hand.press("enter")
        await hand.seen("root@other")
        await hand.seen("● live")
        listing = await hand.filled(Users)
        await hand.until(lambda: {user.name for user in listing.table.rows} == {"root", "ada"}, "the users there")
        assert Store(home).contexts().current == "test"
        await twins_name_it(hand)
        assert str(hand.app.link.client.url) == other.url


async def on_user(hand: Hand, name: str) -> None:
    listing = await hand.filled(Users)
    await hand.until(lambda: any(user.name == name for user in listing.table.rows), f"the user {name}")
    await hand.on(Users, next(user.id for user in listing.table.rows if user.name == name))


async def twins_name_it(hand: Hand) -> None:
    """Commands talk to another daemon than the one that is shown: every twin says which one is meant."""
    await hand.press("n")
    await hand.seen("New user")
    await hand.enter(name="grace", password=PASSWORD)
    assert hand.twin.startswith("llmgate --context other users create")
    assert parses(hand.twin) == "users create"
    await hand.press("tab")
    await hand.write(PASSWORD)
    await hand.press("enter")
    assert "\n$ llmgate --context other users create" in await hand.hears("Created the user grace.")
    await on_user(hand, "grace")
    await hand.press("enter")
    await hand.seen("$ llmgate --context other users show grace")
    assert parses(hand.twin) == "users show"
    await hand.press("escape", "x")
    await hand.seen("Are you sure?")
    await hand.says_twin("llmgate --context other sessions revoke --user grace")
    assert parses(hand.twin) == "sessions revoke"
    await hand.press("right", "enter")
    assert "$ llmgate --context other sessions revoke" in await hand.hears("\n$ llmgate --context other sessions")


async def test_commands_talk_to_another_daemon_only_when_that_is_wanted(hand: Hand, home: Path) -> None:
    store = Store(home)
    create(store, "lab", "http://127.0.0.1:9")
    await contexts(hand)
    await on(hand, "lab")
    await hand.press("u")
    assert parses((await hand.hears("Commands talk to http://127.0.0.1:9 now.")).rpartition("$ ")[2]) == "context use"
    assert store.contexts().current == "lab"
    assert hand.app.link.target.context == "test"
    await hand.press("escape")
    await hand.go("users")
    await on_user(hand, "ada")
    await hand.press("x")
    await hand.seen("Are you sure?")
    await hand.says_twin("llmgate --context test sessions revoke --user ada")
    await hand.press("escape")
    await contexts(hand)
    await on(hand, "test")
    await hand.press("u")
    await hand.until(lambda: store.contexts().current == "test", "the current context")
    await hand.press("escape")
    await hand.until(lambda: not isinstance(hand.app.screen, Contexts), "the contexts closed")
    await on_user(hand, "ada")
    await hand.press("x")
    await hand.seen("Are you sure?")
    await hand.says_twin("llmgate sessions revoke --user ada")


async def test_a_daemon_without_a_name_is_named_by_its_url(site: Site, home: Path) -> None:
    token = (await site.made("keys", name="adm", user="root", role="admin"))["key"]
    async with dashboard(site, home, name=None, token=token) as hand:
        await hand.go("users")
        await on_user(hand, "ada")
        await hand.press("x")
        await hand.seen("Are you sure?")
        await hand.says_twin(f"llmgate --url {site.url} sessions revoke --user ada")
        assert parses(hand.twin) == "sessions revoke"


async def test_a_current_context_that_is_changed_elsewhere_is_noticed(hand: Hand, home: Path) -> None:
    create(Store(home), "lab", "http://127.0.0.1:9", current=True)
    hand.app.link.queue_asked = None
    await hand.until(lambda: hand.app.sessions.address() == ("--context", "test"), "the change")


async def test_the_environment_decides_what_a_plain_command_talks_to(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMGATE_URL", "http://127.0.0.1:9")
    async with dashboard(site, home) as hand:
        assert hand.app.sessions.address() == ("--context", "test")


async def test_a_token_is_kept_when_its_context_is_renamed_or_logged_out(site: Site, home: Path) -> None:
    token = (await site.made("keys", name="adm", user="root", role="admin"))["key"]
    async with dashboard(site, home, token=token) as hand:
        await contexts(hand)
        await on(hand, "test")
        await hand.press("e")
        await hand.enter(name="office")
        await hand.press("enter")
        await hand.until(lambda: hand.app.link.target.context == "office", "the new name")
        assert hand.app.link.target.token == token
        await on(hand, "office")
        await hand.press("o")
        await hand.seen("Log out of")
        await hand.press("right", "enter")
        await hand.hears("The dashboard goes on with the token from LLMGATE_TOKEN.")
        assert hand.app.link.target.token == token
        await on(hand, "office")
        await hand.press("enter")
        await hand.gone("Contexts")
        assert hand.app.link.target.token == token
        await hand.seen("adm@office")
        await hand.seen("● live")


async def test_what_is_shown_goes_on_without_its_name(hand: Hand) -> None:
    await contexts(hand)
    await on(hand, "test")
    await hand.press("d")
    await hand.seen("Forget the context test?")
    await hand.press("right", "enter")
    await hand.until(lambda: hand.app.link.target.context is None, "the context gone")
    await hand.press("escape")
    assert hand.app.sessions.address() == ("--url", hand.site.url)


async def test_looking_only_ends_no_session_and_changes_no_password(site: Site, home: Path) -> None:
    async with dashboard(site, home, read_only=True) as hand:
        await contexts(hand)
        await on(hand, "test")
        for key in ("o", "p"):
            await hand.press(key)
            await hand.seen("Nothing is changed from here")
            assert isinstance(hand.app.screen, Contexts)
        assert Store(home).session("test", site.url) is not None


async def test_logging_in_from_the_list_shows_that_daemon(site: Site, home: Path) -> None:
    async with dashboard(site, home) as hand:
        create(Store(home), "as-ada", site.url)
        await contexts(hand)
        await on(hand, "as-ada")
        await hand.press("l")
        await hand.seen("Log in to")
        assert parses(hand.twin) == "login"
        await hand.write("root")
        await hand.press("tab")
        await hand.write(PASSWORD)
        await hand.press("enter")
        await hand.seen("root@as-ada")
        assert Store(home).contexts().current == "test"


async def test_logging_out_ends_the_session_at_the_daemon_and_asks_for_another(hand: Hand, home: Path) -> None:
    session = Store(home).session("test", hand.site.url)
    assert session is not None
    await contexts(hand)
    await on(hand, "test")
    await hand.press("o")
    await hand.seen("Log out of")
    assert parses(hand.twin) == "logout"
    await hand.press("right", "enter")
    await hand.hears("Logged out of")
    await hand.seen("Log in to")
    assert Store(home).session("test", hand.site.url) is None
    me = await hand.site.nobody.get("/gate/auth/me", headers={"authorization": f"Bearer {session.access_token}"})
    assert me.status_code == 401


async def test_ones_own_password_is_changed_and_the_dashboard_goes_on(hand: Hand) -> None:
    await contexts(hand)
    await on(hand, "test")
    await hand.press("p")
    await hand.seen("New password for root")
    await hand.write("wrong one")
    await hand.press("tab")
    await hand.write("another good one")
    await hand.press("tab")
    await hand.write("another good one")
    await hand.says_twin("llmgate passwd --context test --password-stdin")
    assert parses(hand.twin) == "passwd"
    await hand.press("enter")
    await hand.seen("The current password is wrong.")
    await hand.enter(current=PASSWORD)
    await hand.press("enter")
    await hand.hears("The password of root is changed")
    await hand.press("escape")
    await hand.go("users")
    await hand.filled(Users, again=True)
    await hand.seen("● live")
    assert (await hand.site.login("root", "another good one")).status_code == 200


async def test_everything_of_contexts_is_in_the_palette(hand: Hand) -> None:
    titles = {command.title: command.help for command in hand.app.get_system_commands(hand.app.screen)}
    assert {"Contexts", "Log in", "Log out", "Change your password"} <= set(titles)
    await hand.press("ctrl+p")
    await hand.write("Change your password")
    await hand.until(lambda: "llmgate passwd" in hand.text, "the command")
    await hand.press("down", "enter")
    await hand.seen("New password for root")


async def test_the_files_are_waited_for_without_holding_up_the_screen(hand: Hand, home: Path) -> None:
    store = Store(home)
    create(store, "lab", "http://127.0.0.1:9")
    await contexts(hand)
    await on(hand, "lab")
    with await asyncio.to_thread(store.lock):
        await hand.press("d")
        await hand.seen("Forget the context lab?")
        await hand.press("right", "enter")
        await hand.gone("Forget the context lab?")
        await hand.press("k", "j")
        assert "lab" in store.contexts().urls
    await hand.until(lambda: "lab" not in store.contexts().urls, "the context gone")


async def test_a_damaged_file_is_said(hand: Hand, home: Path) -> None:
    (home / "contexts.toml").write_text("[")
    await contexts(hand)
    await hand.seen("cannot be read")
    await hand.press("escape")
    await hand.seen("● live")


@pytest.mark.parametrize("size", [(80, 24)])
async def test_the_dialogs_fit_into_a_small_terminal(site: Site, home: Path, size: tuple[int, int]) -> None:
    async with dashboard(site, home, size=size) as hand:
        await contexts(hand)
        await hand.seen("shown, current")
        await hand.seen("p Password")
        await hand.seen("u Use")
        await hand.press("l")
        await hand.seen("Log in to")
        hand.app.screen.query_one("#way", Select).value = "register"
        await hand.seen("token")
        await hand.seen("Contexts")
        assert "Cancel" in hand.text
