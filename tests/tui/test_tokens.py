"""Registration tokens, from the keyboard to the daemon."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from llmgate import schemas
from llmgate.tui.screens.tokens import Tokens, state
from tests.admin.harness import PASSWORD, Site
from tests.tui.harness import Hand, parses

TOKENS = "/admin/v1/tokens"


async def register(site: Site, token: str, name: str) -> int:
    body = {"token": token, "name": name, "password": PASSWORD}
    return (await site.nobody.post("/gate/auth/register", json=body)).status_code


async def listed(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await site.admin.get(TOKENS)).json()["data"]
    return found


async def test_a_token_is_made_shown_this_once_and_makes_an_account(hand: Hand) -> None:
    await hand.go("tokens")
    await hand.seen("There are no registration tokens.")
    await hand.press("n")
    await hand.seen("New registration token")
    for field, wrong, complaint, right in (
        ("max_uses", "0", "write a whole number from 1 to 100000", "2"),
        ("max_uses", "two", "write a whole number", "2"),
        ("expires_at", "tomorrow", "'tomorrow' is no time", "7d"),
    ):
        await hand.enter(**{field: wrong})
        await hand.seen(complaint)
        await hand.enter(**{field: right})
        await hand.gone(complaint)
    await hand.enter(label="for Ann's course")
    await hand.to("role")
    await hand.press("enter", "down", "enter")
    await hand.to("level")
    await hand.press("enter", "end", "enter")
    options = "--uses 2 --expires 7d --role admin --level 5"
    await hand.says_twin(f"llmgate tokens create {options} 'for Ann'\"'\"'s course'")
    assert parses(hand.twin) == "tokens create"
    await hand.press("ctrl+s")
    await hand.seen("Hand it over now")
    await hand.press("c")
    secret = hand.app.clipboard
    assert secret in hand.text
    await hand.press("tab", "enter")
    await hand.gone("Hand it over now")
    await hand.seen("for Ann's course")
    assert secret not in hand.text + "".join(hand.told)
    await hand.seen("0 of 2")
    assert await register(hand.site, secret, "ann") == 201
    await hand.seen("1 of 2")
    (token,) = await listed(hand.site)
    assert (token["role"], token["level"], token["max_uses"]) == ("admin", 5, 2)


async def test_what_the_daemon_refuses_stays_in_the_form(hand: Hand) -> None:
    await hand.go("tokens")
    await hand.press("n")
    await hand.seen("New registration token")
    await hand.enter(label="course", expires_at="2020-01-01")
    await hand.press("enter")
    await hand.seen("This end is in the past.")
    await hand.seen("course")
    assert await listed(hand.site) == []


async def test_a_token_is_revoked_and_deleted_after_a_question(hand: Hand) -> None:
    made = await hand.site.made("tokens", label="course")
    await hand.go("tokens")
    listing = await hand.on(Tokens, made["id"])
    await hand.press("x")
    await hand.seen("Revoke the registration token 'course'?")
    await hand.says_twin(f"llmgate tokens revoke {made['id']}")
    assert parses(hand.twin) == "tokens revoke"
    await hand.press("enter")
    await hand.gone("Revoke the registration token")
    assert (await listed(hand.site))[0]["revoked_at"] is None
    await hand.press("x", "right", "enter")
    await hand.hears("Revoked the registration token 'course'.")
    await hand.until(lambda: bool(listing.table.row and listing.table.row.revoked_at), "the token revoked")
    await hand.seen("revoked")
    assert await register(hand.site, made["token"], "ann") == 401
    assert [action.key for action in listing.actions if listing.check_action("act", (action.name,)) is None] == ["x"]
    await hand.press("d")
    await hand.seen("Delete the registration token 'course'?")
    assert parses(hand.twin) == "tokens delete"
    await hand.press("right", "enter")
    await hand.hears("Deleted the registration token 'course'.")
    await hand.seen("There are no registration tokens.")
    assert await listed(hand.site) == []


async def test_tokens_are_filtered_and_everything_of_one_is_shown(hand: Hand) -> None:
    await hand.site.made("tokens", label="first")
    spent = await hand.site.made("tokens", label="spent", level=2)
    assert await register(hand.site, spent["token"], "ann") == 201
    await hand.go("tokens")
    await hand.seen("first")
    for line in ("state:used", "created_by:root state:used"):
        await hand.press("slash", "ctrl+u")
        await hand.write(line)
        await hand.press("enter")
        await hand.gone("first")
        await hand.seen("1 of 1")
    await hand.press("slash", "ctrl+u")
    await hand.write("created_by:ada")
    await hand.press("enter")
    await hand.seen("Nothing fits the filter.")
    await hand.press("slash", "escape")
    await hand.on(Tokens, spent["id"])
    await hand.press("enter")
    await hand.seen(f"Registration tokens: {spent['id']}")
    for fact in ("spent", "used", "1 of 1", "never", "root"):
        assert fact in hand.text
    assert parses(hand.twin) == "tokens show"
    await hand.press("y")
    assert hand.app.clipboard == spent["id"]


async def test_an_end_without_an_offset_is_one_all_the_same(site: Site) -> None:
    token = schemas.NewRegistrationToken.model_validate(await site.made("tokens", label="course"))
    for year, expected in ((2000, "expired"), (3000, "usable")):
        assert state(token.model_copy(update={"expires_at": datetime(year, 1, 1)})) == expected  # noqa: DTZ001
