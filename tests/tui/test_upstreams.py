"""Upstreams and pools, from the keyboard to the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from textual.widgets import Input

from llmgate.tui.screens.pools import Pools
from llmgate.tui.screens.upstreams import Upstreams
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT
from tests.tui.harness import Hand, parses


@pytest.fixture
async def other(hand: Hand) -> AsyncIterator[FakeOllama]:
    """A second Ollama; the section of upstreams is seen."""
    async with FakeOllama(models=("new:1b",)) as server:
        await hand.go("upstreams")
        yield server


async def told(hand: Hand, name: str) -> dict[str, Any]:
    """What the daemon says of an upstream."""
    row: dict[str, Any] = (await hand.site.admin.get(f"/admin/v1/upstreams/{name}")).json()
    return row


async def test_an_upstream_is_added_with_a_form(hand: Hand, other: FakeOllama) -> None:
    await hand.filled(Upstreams)
    await hand.press("n")
    await hand.seen("New upstream")
    await hand.enter(name="Bad Name", url="nonsense", slots="many")
    await hand.seen("write a whole number")
    await hand.enter(url=other.url + "/v1/")
    await hand.seen("leave /v1 or /api away")
    await hand.enter(name="gpu2", url=other.url, slots="3", pool="main", api_key="top-secret", idle_timeout="60.5")
    await hand.gone("write a whole number")
    assert "top-secret" not in hand.text
    assert parses(hand.twin) == "upstreams create"
    assert hand.twin == (
        "llmgate upstreams create --slots 3 --pool main --api-key-stdin --idle-timeout 60.5 gpu2 " + other.url
    )
    await hand.press("ctrl+s")
    await hand.hears("Added the upstream gpu2.")
    await hand.seen("main")
    made = await told(hand, "gpu2")
    assert (made["slots"], made["pool"], made["api_key_set"], made["idle_timeout"]) == (3, "main", True, 60.5)
    assert other.reads[-1].headers["authorization"] == "Bearer top-secret"


async def test_an_upstream_is_changed_and_what_is_emptied_is_taken_away(hand: Hand, other: FakeOllama) -> None:
    await hand.site.made("upstreams", name="gpu2", url=other.url, pool="main", api_key="secret")
    await hand.on(Upstreams, "gpu2")
    await hand.press("e")
    await hand.seen("Change the upstream gpu2")
    await hand.enter(pool="", slots="4", api_key="another")
    await hand.to("no_api_key")
    await hand.press("enter", "up", "enter")
    await hand.press("ctrl+s")
    await hand.seen("a new api key and none exclude each other")
    await hand.enter(api_key="")
    await hand.says_twin("llmgate upstreams update --slots 4 --own-pool --no-api-key gpu2")
    assert parses(hand.twin) == "upstreams update"
    await hand.press("ctrl+s")
    await hand.hears("Changed the upstream gpu2.")
    changed = await told(hand, "gpu2")
    assert (changed["pool"], changed["slots"], changed["api_key_set"]) == ("gpu2", 4, False)
    assert "authorization" not in other.reads[-1].headers


async def test_a_key_that_is_left_empty_stays_and_is_not_sent_to_another_place(hand: Hand, other: FakeOllama) -> None:
    await hand.site.made("upstreams", name="gpu2", url=other.url, api_key="secret")
    await hand.on(Upstreams, "gpu2")
    await hand.press("e")
    await hand.seen("Change the upstream gpu2")
    await hand.enter(slots="2")
    await hand.press("ctrl+s")
    await hand.hears("Changed the upstream gpu2.")
    assert (await told(hand, "gpu2"))["api_key_set"] is True
    await hand.press("e")
    await hand.seen("Change the upstream gpu2")
    await hand.enter(url="http://127.0.0.1:1")
    await hand.press("ctrl+s")
    await hand.seen("An api_key was given for the old URL")
    assert (await told(hand, "gpu2"))["url"] == other.url


async def test_what_the_file_decides_cannot_be_changed_here(hand: Hand) -> None:
    await hand.go("upstreams")
    await hand.on(Upstreams, "fake")
    for key in ("e", "d"):
        await hand.press(key)
        await hand.hears("The configuration file decides it")
        hand.app.clear_notifications()
        assert len(hand.app.screen_stack) == 1
    await hand.press("enter")
    await hand.seen("config reload")
    await hand.seen("$ llmgate upstreams show fake")


async def test_an_upstream_that_somebody_waits_for_is_deleted_only_with_force(hand: Hand, other: FakeOllama) -> None:
    await hand.site.made("upstreams", name="gpu2", url=other.url)
    other.script(Script(gate="go"), times=None)
    gateway = hand.site.gateway
    body = {**CHAT, "model": "new:1b", "stream": False}
    asked = [asyncio.create_task(gateway.post("/api/chat", body)) for _ in range(2)]
    await gateway.waiting(1)
    await hand.on(Upstreams, "gpu2")
    await hand.press("d")
    await hand.seen("Remove the upstream gpu2")
    assert parses(hand.twin) == "upstreams delete"
    await hand.press("right", "enter")
    await hand.seen("1 requests wait in the pool gpu2")
    assert parses(hand.twin) == "upstreams delete"
    assert "--force" in hand.twin
    await hand.press("enter")  # Cancel
    await hand.gone("1 requests wait")
    assert (await told(hand, "gpu2"))["name"] == "gpu2"
    await hand.press("d")
    await hand.seen("Remove the upstream gpu2")
    await hand.press("right", "enter")
    await hand.seen("1 requests wait in the pool gpu2")
    await hand.press("right", "enter")
    await hand.hears("Removed the upstream gpu2.")
    assert (await told(hand, "gpu2"))["status"] == 404
    other.release("go")
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_the_screen_hears_of_an_upstream_that_is_gone(
    hand: Hand, other: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upstreams, "every", 1000.0)
    await hand.site.made("upstreams", name="gpu2", url=other.url)
    await hand.on(Upstreams, "gpu2")
    await other.stop()
    await hand.site.gateway.services.upstreams.refresh(["gpu2"])
    await hand.seen("offline")
    await hand.seen("cannot be reached")
    await other.start()
    await hand.site.gateway.services.upstreams.refresh(["gpu2"])
    await hand.gone("offline")


async def test_a_change_begins_with_what_holds_now(hand: Hand, other: FakeOllama) -> None:
    await hand.site.made("upstreams", name="gpu2", url=other.url)
    await hand.on(Upstreams, "gpu2")
    await hand.press("space")
    await hand.site.admin.patch("/admin/v1/upstreams/gpu2", json={"slots": 7})
    await hand.press("e")
    await hand.seen("Change the upstream gpu2")
    assert hand.app.screen.query_one("#field-slots", Input).value == "7"


async def test_how_many_requests_run_on_an_upstream_is_seen(hand: Hand, other: FakeOllama) -> None:
    listing = await hand.filled(Upstreams)
    await hand.until(lambda: listing.table.rows[0].name == "fake", "the upstream")
    await hand.seen(f" 0/{listing.table.rows[0].slots}")


async def test_a_pool_is_paused_drained_and_resumed(hand: Hand, other: FakeOllama) -> None:
    await hand.press("v")
    listing = await hand.on(Pools, "fake")
    assert {action.verb for action in listing.actions} == {"queue pause", "queue resume", "queue drain"}
    await hand.press("D")
    await hand.seen("Refuse every new request of the pool fake?")
    await hand.press("right", "enter")
    await hand.hears("The pool fake drains")
    await hand.until(lambda: listing.table.rows[0].state == "draining", "its state")
    await hand.press("R")
    await hand.hears("The pool fake is resumed.")


async def test_upstreams_are_searched(hand: Hand, other: FakeOllama) -> None:
    await hand.site.made("upstreams", name="gpu2", url=other.url)
    listing = await hand.filled(Upstreams)
    await hand.until(lambda: len(listing.table.rows) == 2, "both upstreams")
    await hand.press("slash")
    await hand.write("GPU")
    await hand.until(lambda: [row.name for row in listing.table.rows] == ["gpu2"], "only gpu2")


async def test_a_pool_tells_what_only_some_of_its_upstreams_have(hand: Hand, other: FakeOllama) -> None:
    await hand.site.made("upstreams", name="gpu2", url=other.url, pool="fake")
    await hand.press("v")
    listing = await hand.on(Pools, "fake")
    await hand.until(lambda: bool(listing.table.rows[0].partial_models), "models that are not served")
    await hand.seen("NOT SERVED")
    await hand.press("enter")
    await hand.seen("new:1b: only on gpu2, not on fake")
    await hand.seen("$ llmgate pools show fake")
