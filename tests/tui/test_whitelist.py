"""The IP whitelist, from the keyboard to the daemon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmgate.tui.screens.whitelist import Whitelist
from tests.admin.harness import Site
from tests.tui.harness import Hand, parses

WHITELIST = "/admin/v1/whitelist"


async def listed(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await site.admin.get(WHITELIST)).json()["data"]
    return found


async def let_in(site: Site) -> bool:
    """Whether somebody without a credential is let in from here."""
    return (await site.nobody.get("/api/tags")).status_code == 200


async def test_a_network_is_added_and_let_in(hand: Hand) -> None:
    await hand.go("whitelist")
    await hand.seen("No network is on the whitelist")
    assert not await let_in(hand.site)
    await hand.press("n")
    await hand.seen("Let a network in")
    await hand.enter(cidr="127.0.0.300")
    await hand.seen("write 10.1.2.3, 10.1.0.0/16 or 2001:db8::/32")
    await hand.enter(cidr="127.0.0.5/8")
    await hand.seen("127.0.0.5/8 is the network 127.0.0.0/8")
    await hand.enter(cidr="127.0.0.0/8", label="this host", expires_at="soon")
    await hand.gone("is the network")
    await hand.seen("'soon' is no time")
    await hand.enter(expires_at="30d")
    await hand.to("level")
    await hand.press("enter", "down", "down", "enter")
    await hand.says_twin("llmgate whitelist add --label 'this host' --level 2 --expires 30d 127.0.0.0/8")
    assert parses(hand.twin) == "whitelist add"
    await hand.press("ctrl+s")
    await hand.hears("127.0.0.0/8 needs no credential now.")
    await hand.seen("this host")
    assert await let_in(hand.site)
    (entry,) = await listed(hand.site)
    assert (entry["cidr"], entry["label"], entry["level"]) == ("127.0.0.0/8", "this host", 2)


async def test_what_the_daemon_refuses_stays_in_the_form_and_what_harms_oneself_is_asked_about(hand: Hand) -> None:
    await hand.site.made("whitelist", cidr="127.0.0.0/8", level=2)
    await hand.go("whitelist")
    await hand.press("n")
    await hand.seen("Let a network in")
    await hand.enter(cidr="0.0.0.0/0")
    await hand.press("enter")
    await hand.seen("is too wide")
    await hand.enter(cidr="127.0.0.1")
    await hand.to("level")
    await hand.press("enter", "end", "enter", "ctrl+s")
    await hand.seen("it would fall from level 2 to 5")
    await hand.says_twin("llmgate whitelist add --level 5 127.0.0.1 --force")
    assert parses(hand.twin) == "whitelist add"
    await hand.press("enter")
    await hand.gone("it would fall")
    assert len(await listed(hand.site)) == 1
    await hand.press("ctrl+s")
    await hand.seen("it would fall from level 2 to 5")
    await hand.press("right", "enter")
    await hand.hears("127.0.0.1/32 needs no credential now.")
    assert len(await listed(hand.site)) == 2


async def test_an_entry_is_changed_and_loses_what_it_had(hand: Hand) -> None:
    made = await hand.site.made(
        "whitelist", cidr="10.0.0.0/8", label="office", level=3, expires_at="2099-12-31T08:00:00Z"
    )
    await hand.go("whitelist")
    await hand.on(Whitelist, made["id"])
    await hand.press("e")
    await hand.seen("Change the entry 10.0.0.0/8")
    await hand.enter(label="", expires_at="")
    await hand.to("level")
    await hand.press("enter", "home", "enter")
    await hand.says_twin("llmgate whitelist update --label '' --default-level --never-expires 10.0.0.0/8")
    assert parses(hand.twin) == "whitelist update"
    await hand.press("ctrl+s")
    await hand.hears("Changed the entry 10.0.0.0/8.")
    (entry,) = await listed(hand.site)
    assert (entry["label"], entry["level"], entry["expires_at"]) == ("", None, None)


async def test_the_own_network_is_deleted_by_force_only(hand: Hand) -> None:
    made = await hand.site.made("whitelist", cidr="127.0.0.0/8")
    await hand.go("whitelist")
    await hand.on(Whitelist, made["id"])
    await hand.press("d")
    await hand.seen("Delete 127.0.0.0/8 from the whitelist?")
    await hand.says_twin("llmgate whitelist delete 127.0.0.0/8")
    await hand.press("right", "enter")
    await hand.seen("which 127.0.0.0/8 lets in")
    await hand.says_twin("llmgate whitelist delete 127.0.0.0/8 --force")
    assert parses(hand.twin) == "whitelist delete"
    await hand.press("enter")
    await hand.gone("which 127.0.0.0/8 lets in")
    assert len(await listed(hand.site)) == 1
    await hand.press("d", "right", "enter")
    await hand.seen("which 127.0.0.0/8 lets in")
    await hand.press("right", "enter")
    await hand.hears("Deleted 127.0.0.0/8.")
    await hand.seen("No network is on the whitelist")
    assert await listed(hand.site) == []


async def test_an_address_is_tested(hand: Hand) -> None:
    await hand.site.made("whitelist", cidr="10.0.0.0/8", label="office", level=3)
    await hand.go("whitelist")
    await hand.seen("office")
    await hand.press("t")
    await hand.seen("Who lets an address in?")
    assert parses(hand.twin) == "whitelist test"
    await hand.press("enter")
    await hand.seen("What the whitelist says of 127.0.0.1")
    for words in ("nothing: it needs a credential", "There is no X-Forwarded-For", "on"):
        assert words in hand.text
    await hand.press("escape")
    await hand.gone("What the whitelist says")
    await hand.press("t")
    await hand.enter(address="10.1")
    await hand.seen("write 10.1.2.3 or 2001:db8::7")
    await hand.enter(address="10.1.2.3")
    await hand.says_twin("llmgate whitelist test 10.1.2.3")
    await hand.press("enter")
    await hand.seen("What the whitelist says of 10.1.2.3")
    for words in ("10.0.0.0/8", "office", "3"):
        assert words in hand.text
    assert parses(hand.twin) == "whitelist test"


async def test_it_is_said_when_no_entry_counts(hand: Hand) -> None:
    await hand.site.made("whitelist", cidr="10.0.0.0/8", label="office")
    await hand.site.made("whitelist", cidr="192.168.0.0/16", label="home")
    await hand.go("whitelist")
    await hand.seen("office")
    assert "The whitelist is off" not in hand.text
    for value in (False, True):
        answer = await hand.site.admin.put("/admin/v1/settings/auth.whitelist", json={"value": value})
        assert answer.status_code == 200, answer.text
        await (hand.gone if value else hand.seen)("The whitelist is off")
    await hand.press("slash")
    await hand.write("192")
    await hand.gone("office")
    await hand.press("ctrl+u")
    await hand.write("off")
    await hand.seen("office")
    await hand.gone("home")
    await hand.press("enter", "enter")
    await hand.seen("IP whitelist: 10.0.0.0/8")
    assert parses(hand.twin) == "whitelist show"


async def test_of_another_daemon_nothing_is_known(hand: Hand) -> None:
    await hand.site.admin.put("/admin/v1/settings/auth.whitelist", json={"value": False})
    await hand.go("whitelist")
    await hand.seen("The whitelist is off")
    await hand.app.switch(replace(hand.app.link.target, url="http://127.0.0.1:9", context=None, session=None))
    await hand.gone("The whitelist is off")
