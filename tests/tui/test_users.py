"""Users and sessions, from the keyboard to the daemon."""

from __future__ import annotations

from llmgate.tui.screens.users import Sessions, Users
from tests.admin.harness import PASSWORD
from tests.tui.harness import Hand, parses


def twin_on(hand: Hand) -> str:
    """The command that a form or a question shows."""
    return next(line for line in hand.lines if "$ llmgate" in line).strip(" │")


async def test_a_user_is_made_with_a_form(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    await hand.press("n")
    await hand.seen("New user")
    await hand.seen("letters, digits and . _ @ + -, at most 64")
    await hand.write("grace hopper")
    await hand.until(lambda: hand.text.count("letters, digits and . _ @ + -, at most 64") == 1, "the complaint")
    await hand.press("ctrl+u")
    await hand.write("grace")
    await hand.gone("letters, digits and")
    await hand.press("tab")
    await hand.write(PASSWORD)
    await hand.press("tab")
    await hand.write("something else")
    await hand.seen("is not the same twice")
    await hand.press("shift+tab", "enter")
    assert hand.app.focused is not None
    assert hand.app.focused.id == "again-password"
    await hand.press("ctrl+u")
    await hand.write(PASSWORD)
    await hand.gone("is not the same twice")
    assert twin_on(hand) == "$ llmgate users create --password-stdin grace"
    assert parses(twin_on(hand)) == "users create"
    await hand.press("enter")
    await hand.hears("Created the user grace.")
    await hand.seen("grace")
    assert (await hand.site.login("grace")).status_code == 200


async def test_what_the_daemon_refuses_stays_in_the_form(hand: Hand) -> None:
    await hand.go("users")
    await hand.press("n")
    await hand.seen("New user")
    await hand.write("ada")
    await hand.press("tab")
    await hand.write(PASSWORD)
    await hand.press("tab")
    await hand.write(PASSWORD)
    await hand.press("enter")
    await hand.seen("There is already a user")
    await hand.seen("ada")


async def test_a_user_is_changed_and_the_twin_says_how(hand: Hand) -> None:
    await hand.go("users")
    await hand.on(Users, await _id_of(hand, "ada"))
    await hand.press("e")
    await hand.seen("Change the user ada")
    await hand.press("ctrl+s")
    await hand.seen("Nothing is changed yet.")
    await hand.press("tab", "tab", "tab", "enter", "up", "enter")
    assert twin_on(hand) == "$ llmgate users update --disable ada"
    await hand.press("ctrl+s")
    await hand.hears("Changed the user ada.")
    await hand.seen("disabled")


async def test_deleting_oneself_asks_twice_and_cancel_is_the_default(hand: Hand) -> None:
    await hand.go("users")
    await hand.on(Users, await _id_of(hand, "ada"))
    await hand.press("d")
    await hand.seen("Delete the user ada?")
    await hand.press("escape")
    await hand.gone("Delete the user ada?")
    await hand.press("d")
    await hand.seen("Delete the user ada?")
    await hand.write("ada")
    await hand.press("enter", "enter")
    await hand.hears("Deleted the user ada.")
    await hand.gone("ada")


async def test_sessions_are_seen_and_ended(hand: Hand) -> None:
    await hand.site.login("ada")
    await hand.go("users")
    await hand.press("v")
    listing = await hand.filled(Sessions)
    await hand.until(lambda: any(row.user == "ada" for row in listing.table.rows), "ada's session")
    await hand.on(Sessions, next(row.id for row in listing.table.rows if row.user == "ada"))
    await hand.on(Sessions, next(row.id for row in listing.table.rows if row.current))
    await hand.press("x")
    await hand.seen("This is you: the dashboard has to log in again.")
    await hand.press("escape")
    await hand.gone("This is you")
    await hand.on(Sessions, next(row.id for row in listing.table.rows if row.user == "ada"))
    await hand.press("x")
    await hand.seen("End this session of ada")
    assert "This is you" not in hand.text
    await hand.press("right", "enter")
    await hand.hears("The session of ada is ended.")
    await hand.seen("ended")


async def _id_of(hand: Hand, name: str) -> str:
    listing = await hand.filled(Users)
    await hand.until(lambda: any(row.name == name for row in listing.table.rows), f"the user {name}")
    return next(row.id for row in listing.table.rows if row.name == name)
