"""API keys, from the keyboard to the daemon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llmgate.tui.screens import key_forms
from llmgate.tui.screens.keys import Keys
from tests.admin.harness import Site
from tests.tui.harness import Hand, dashboard, parses

KEYS = "/admin/v1/keys"


async def works(site: Site, key: str) -> bool:
    """Whether the daemon takes this key."""
    return (await site.nobody.get("/api/tags", headers={"x-api-key": key})).status_code == 200


async def at_daemon(site: Site, name: str) -> dict[str, Any]:
    answer = await site.admin.get(f"{KEYS}/{name}")
    found: dict[str, Any] = answer.json()
    return found


async def names(site: Site) -> list[str]:
    """Of the keys that there are; ``test`` is the gateway's own."""
    return [key["name"] for key in (await site.admin.get(KEYS)).json()["data"]]


async def on_key(hand: Hand, **body: Any) -> dict[str, Any]:
    """A key of this kind, with the cursor on it."""
    made = await hand.site.made("keys", **body)
    await hand.go("keys")
    await hand.on(Keys, made["id"])
    return made


async def test_a_key_is_made_and_its_secret_is_shown_this_once(hand: Hand) -> None:
    await hand.go("keys")
    await hand.press("n")
    await hand.seen("New API key")
    await hand.enter(name="nightly", user="ada", models="llama3.2, phi4 mistral", expires_at="30d", tokens_per_day="2M")
    await hand.enter(requests_per_minute="none", max_waiting="0", routes="chat manage")
    await hand.enter(cidrs="127.0.0.0/8 10.1.2.3", weight="0.5")
    await hand.to("level")
    await hand.press("enter", "down", "down", "enter")
    assert hand.twin == (
        "llmgate keys create --user ada --level 2 --model llama3.2 --model phi4 --model mistral --expires 30d "
        "--requests-per-minute none --tokens-per-day 2M --max-waiting 0 --route chat --route manage "
        "--cidr 127.0.0.0/8 --cidr 10.1.2.3 --weight 0.5 nightly"
    )
    assert parses(hand.twin) == "keys create"
    await hand.press("ctrl+s")
    await hand.seen("Store it now")
    secret = next(word for word in hand.text.split() if re.fullmatch("llmg_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}", word))
    await hand.press("escape")
    await hand.seen("It is not shown again")
    assert secret in hand.text
    await hand.press("c")
    assert hand.app.clipboard == secret
    await hand.press("enter")
    await hand.gone("Store it now")
    await hand.seen("nightly")
    assert secret not in hand.text + "".join(hand.told)
    assert await works(hand.site, secret)
    key = await at_daemon(hand.site, "nightly")
    assert (key["user"], key["role"], key["level"], key["weight"]) == ("ada", "user", 2, 0.5)
    assert (key["models"], set(key["routes"])) == (["llama3.2", "phi4", "mistral"], {"chat", "manage"})
    assert key["cidrs"] == ["127.0.0.0/8", "10.1.2.3/32"]
    assert (key["tokens_per_day"], key["max_waiting"], key["requests_per_minute"]) == (2_000_000, 0, None)
    assert key["expires_at"] is not None


async def test_what_is_wrong_is_said_as_one_types(hand: Hand) -> None:
    await hand.go("keys")
    await hand.press("n")
    await hand.seen("New API key")
    for field, wrong, complaint, right in (
        ("expires_at", "soon", "'soon' is no time", "90d"),
        ("tokens_per_minute", "many", "'many' is no number", "90k"),
        ("max_concurrent", "0", "write a whole number from 1 to 1000000", "1"),
        ("cidrs", "10.0.0.0/8 nowhere", "write 10.1.2.3, 10.1.0.0/16", "10.0.0.0/8"),
        ("name", "Bad Name!", "lower-case letters, digits, - and _, at most 40", "good-name"),
        ("routes", "chat nothing", "write chat, completions", "chat /v1/models"),
        ("weight", "0", "write a number from 0.01 to 100", "2"),
        ("weight", "1000", "write a number from 0.01 to 100", "2"),
        ("weight", "heavy", "write a number", "2"),
    ):
        await hand.enter(**{field: wrong})
        await hand.seen(complaint)
        await hand.enter(**{field: right})
        await hand.gone(complaint)
    await hand.enter(name="", cidrs="10.1.2.3/8 10.0.0.0/8")
    await hand.seen("10.1.2.3/8 is the network 10.0.0.0/8")
    await hand.press("ctrl+s")
    await hand.seen("is needed")
    assert hand.app.focused is not None
    assert hand.app.focused.id == "field-name"
    await hand.press("escape")
    await hand.seen("Throw away what you typed?")
    await hand.press("enter")
    await hand.seen("New API key")
    assert await names(hand.site) == ["test"]


async def test_users_are_suggested_and_what_the_daemon_refuses_stays_in_the_form(hand: Hand) -> None:
    await hand.site.made("keys", name="nightly")
    await hand.go("keys")
    await hand.press("n")
    await hand.seen("New API key")
    await hand.enter(name="nightly", user="nobody")
    await hand.press("ctrl+s")
    await hand.seen("There is no user 'nobody'.")
    await hand.enter(user="ad")
    await hand.seen("ada")
    await hand.press("right")
    await hand.says_twin("llmgate keys create --user ada nightly")
    await hand.press("ctrl+s")
    await hand.seen("There is already a key named 'nightly'.")
    await hand.enter(name="second")
    await hand.gone("There is already a key named 'nightly'.")
    await hand.press("enter")
    await hand.seen("Store it now")
    assert (await at_daemon(hand.site, "second"))["user"] == "ada"


async def test_bounds_are_changed_and_taken_away_again(hand: Hand) -> None:
    bounds = {
        "level": 3,
        "models": ["llama3.2", "phi4"],
        "routes": ["chat"],
        "cidrs": ["10.0.0.0/8"],
        "expires_at": "2099-12-31T08:00:00Z",
        "requests_per_minute": 1,
        "tokens_per_minute": 2,
        "max_concurrent": 3,
        "max_waiting": 0,
        "tokens_per_day": 4,
        "tokens_per_month": 5,
    }
    await on_key(hand, name="robot", weight=0.25, **bounds)
    await hand.press("e")
    await hand.seen("Change the key robot")
    await hand.press("ctrl+s")
    await hand.seen("Nothing is changed yet.")
    await hand.enter(weight="", name="android")
    await hand.seen("cannot be empty")
    emptied = [field.name for field in key_forms.new().fields if field.name in bounds.keys() - {"level"}]
    await hand.enter(**dict.fromkeys(emptied, ""))
    await hand.enter(max_waiting="7", weight="1.5")
    await hand.to("level")
    await hand.press("enter", "home", "enter")
    assert parses(hand.twin) == "keys update"
    for option in (
        *("--default-level", "--all-models", "--all-routes", "--all-networks", "--never-expires", "--weight 1.5"),
        *("--requests-per-minute none", "--tokens-per-minute none", "--max-concurrent none", "--max-waiting 7"),
        *("--tokens-per-day none", "--tokens-per-month none", "--name android"),
    ):
        assert option in hand.twin
    await hand.press("ctrl+s")
    await hand.hears("Changed the key android.")
    await hand.seen("android")
    key = await at_daemon(hand.site, "android")
    assert {name: key[name] for name in bounds} == {**dict.fromkeys(bounds), "max_waiting": 7}
    assert key["weight"] == 1.5


async def test_a_key_is_disabled_after_a_question_and_enabled_at_once(hand: Hand) -> None:
    made = await on_key(hand, name="robot")
    await hand.press("t")
    await hand.seen("Disable the key robot?")
    await hand.says_twin("llmgate keys update --disable robot")
    assert parses(hand.twin) == "keys update"
    await hand.press("enter")
    await hand.gone("Disable the key robot?")
    assert await works(hand.site, made["key"])
    await hand.press("t", "right", "enter")
    await hand.hears("Disabled the key robot.")
    await hand.seen("disabled")
    assert not await works(hand.site, made["key"])
    await hand.until(lambda: bool((row := hand.listing(Keys).table.row) and row.disabled), "the row as it is now")
    await hand.press("t")
    assert parses((await hand.hears("Enabled the key robot.")).partition("\n")[2]) == "keys update"
    await hand.seen("active")
    assert await works(hand.site, made["key"])


async def test_a_key_gets_a_new_secret(hand: Hand) -> None:
    made = await on_key(hand, name="robot")
    await hand.press("o")
    await hand.seen("New secret for the key robot")
    await hand.says_twin("llmgate keys rotate robot")
    await hand.enter(overlap_seconds="soon")
    await hand.seen("'soon' is no length of time")
    await hand.enter(overlap_seconds="40d")
    await hand.seen("at most 30d")
    await hand.enter(overlap_seconds="2h")
    await hand.says_twin("llmgate keys rotate --overlap 2h robot")
    assert parses(hand.twin) == "keys rotate"
    await hand.press("enter")
    await hand.seen("The old one works until")
    await hand.press("enter", "tab", "enter")
    new = hand.app.clipboard
    await hand.gone("The old one works until")
    assert new != made["key"]
    assert await works(hand.site, new)
    assert await works(hand.site, made["key"])
    await hand.press("o")
    await hand.seen("New secret for the key robot")
    await hand.enter(overlap_seconds="0")
    await hand.press("enter")
    await hand.seen("The old one is refused from now on.")
    assert not await works(hand.site, new)


async def test_a_key_is_revoked_for_good_and_deleted_by_its_name(hand: Hand) -> None:
    made = await on_key(hand, name="-robot")
    listing = hand.listing(Keys)
    await hand.press("x")
    await hand.seen("Revoke the key -robot, for good?")
    await hand.says_twin("llmgate keys revoke -- -robot")
    assert parses(hand.twin) == "keys revoke"
    await hand.press("right", "enter")
    await hand.hears("Revoked the key -robot.")
    await hand.until(lambda: bool(listing.table.row and listing.table.row.state == "revoked"), "the state revoked")
    assert not await works(hand.site, made["key"])
    impossible = [action.key for action in listing.actions if listing.check_action("act", (action.name,)) is None]
    assert impossible == ["t", "o", "x"]
    await hand.press("d")
    await hand.seen("Delete the key -robot?")
    assert parses(hand.twin) == "keys delete"
    await hand.write("-robot")
    await hand.press("enter", "enter")
    await hand.hears("Deleted the key -robot.")
    await hand.gone("revoked")
    assert await names(hand.site) == ["test"]


async def test_the_own_key_is_ended_by_force_only(site: Site, home: Path) -> None:
    own = await site.made("keys", name="ops", role="admin")
    async with dashboard(site, home, name=None, token=own["key"]) as hand:
        await hand.go("keys")
        await hand.on(Keys, own["id"])
        await hand.press("e")
        await hand.seen("Change the key ops")
        await hand.enter(routes="chat")
        await hand.press("ctrl+s")
        await hand.seen("This is the key that you use: 'ops' would not be for the admin API.")
        await hand.says_twin(f"llmgate --url {site.url} keys update --route chat ops --force")
        assert parses(hand.twin) == "keys update"
        await hand.press("enter")
        await hand.seen("Change the key ops")
        await hand.press("escape")
        await hand.seen("Throw away")
        await hand.press("right", "enter")
        await hand.gone("Change the key ops")
        for key, verb in (("t", "keys update"), ("x", "keys revoke")):
            await hand.press(key, "right", "enter")
            await hand.seen("This is the key that you use")
            assert parses(hand.twin) == verb
            await hand.press("enter")
            await hand.gone("This is the key that you use")
            assert await works(site, own["key"])
        await hand.press("d")
        await hand.write("ops")
        await hand.press("enter", "enter")
        await hand.seen("This is the key that you use")
        assert parses(hand.twin) == "keys delete"
        await hand.press("right", "enter")
        await hand.hears("Deleted the key ops.")
    assert not await works(site, own["key"])


async def test_keys_are_filtered_and_everything_of_one_is_shown(hand: Hand) -> None:
    await hand.site.made("keys", name="adas", user="ada", level=4, models=["llama3.2"], weight=0.05, max_waiting=0)
    await hand.site.made("keys", name="robot", role="admin")
    await hand.site.admin.patch("/admin/v1/users/ada", json={"disabled": True})
    await hand.go("keys")
    await hand.seen("owner disabled")
    for line in ("user:ada", "level:4 role:user", "state:owner_disabled da"):
        await hand.press("slash", "ctrl+u")
        await hand.write(line)
        await hand.press("enter")
        await hand.gone("robot")
        await hand.seen("owner disabled")
        await hand.press("slash", "escape")
        await hand.seen("robot")
    await hand.press("slash")
    await hand.write("user:nobody")
    await hand.press("enter")
    await hand.seen("There is no user 'nobody'.")
    await hand.press("slash", "escape")
    await hand.seen("adas")
    await hand.on(Keys, (await at_daemon(hand.site, "adas"))["id"])
    await hand.press("enter")
    await hand.seen("Keys: adas")
    facts = {line.strip("│ ").partition("  ")[0]: line.strip("│ ").partition("  ")[2].strip() for line in hand.lines}
    assert {name: facts[name] for name in ("user", "level", "models", "networks", "weight", "of them waiting")} == {
        "user": "ada",
        "level": "4",
        "models": "llama3.2",
        "networks": "all",
        "weight": "0.05",
        "of them waiting": "0",
    }
    assert parses(hand.twin) == "keys show"
