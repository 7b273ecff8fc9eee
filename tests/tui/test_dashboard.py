"""The first screen before a real daemon: figures come, upstreams go, and nothing that is written in them does harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import DaemonUnreachable
from llmgate.tui.messages import EventsArrived
from llmgate.tui.screens.dashboard import DashboardSection
from llmgate.tui.widgets.panel import Panel
from tests.admin.harness import Site, run_site
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT
from tests.tui.harness import Hand, dashboard, parses

EVIL = "[red]evil[/]:1b"
"""Markup. A daemon takes no control characters in the name of a model."""


def shown(hand: Hand, panel: str) -> str:
    """What stands in a panel, line by line."""
    lines = hand.app.screen.query_one(f"#{panel}", Panel)._pane.lines
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def depths(hand: Hand) -> list[list[str]]:
    """How many wait now and the most that ever did: at level 2, at level 5, and in all."""
    lines = shown(hand, "depth").splitlines()
    levels = [line.split()[-4:-2] for line in lines if line.startswith(("level 2", "level 5"))]
    return [*levels, lines[-1].split()[-2:]]


@asynccontextmanager
async def load(site: Site) -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """One request that runs until the gate "go" is opened, and two that wait behind it, at levels 2 and 5."""
    site.ollama.script(Script(gate="go"), times=None)
    sent = []
    for number, (name, level) in enumerate((("first", 1), ("editor", 2), ("nightly", 5))):
        key = await site.gateway.new_key(name, level=level)
        post = site.gateway.post("/api/chat", {**CHAT, "stream": False}, authorization=f"Bearer {key}")
        sent.append(asyncio.create_task(post))
        await (site.gateway.waiting(number) if number else site.ollama.request(0))
    try:
        yield sent
    finally:
        for task in sent:
            task.cancel()
        await asyncio.gather(*sent, return_exceptions=True)


async def test_an_idle_gateway_is_calm_and_says_so(hand: Hand) -> None:
    assert type(hand.app.screen) is DashboardSection
    await hand.seen("All is well: 1 upstream healthy.")
    await hand.seen("queue: memory, connected · 1 daemon")
    for words in ("nobody waits", "no requests yet", "Nothing runs.", "No requests since", "0 of 1 slot used"):
        await hand.seen(words)


async def test_load_arrives_and_is_answered(hand: Hand) -> None:
    async with load(hand.site) as sent:
        await hand.until(lambda: "first" in shown(hand, "running"), "who runs")
        assert "llama3.2" in shown(hand, "running")
        await hand.until(lambda: depths(hand) == [["1", "1"], ["1", "1"], ["2", "2"]], "both in line")
        await hand.seen("oldest waits")
        await hand.seen("1 of 1 slot used")
        await hand.until(lambda: {"editor", "nightly"} <= set(shown(hand, "flows").split()), "who waits")
        hand.site.ollama.release("go")
        await asyncio.gather(*sent)
        await hand.until(lambda: shown(hand, "events").count("4 tokens in") == 3, "three answers")
        await hand.gone("no requests yet")
        await hand.seen("nobody waits")


async def test_an_upstream_that_goes_away_is_seen(hand: Hand) -> None:
    await hand.seen("1 upstream healthy")
    await hand.site.ollama.stop()
    asking = asyncio.create_task(hand.site.gateway.post("/api/chat", CHAT))
    await hand.seen("✖ fake is offline")
    await hand.until(lambda: "fake is offline" in shown(hand, "events"), "the event")
    await hand.until(lambda: "offline" in shown(hand, "upstreams"), "its state")
    await hand.gone("All is well")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_what_administrators_do_and_what_is_refused_is_told(hand: Hand) -> None:
    await hand.until(lambda: "root logged in" in shown(hand, "events"), "what was before")
    await hand.site.made("whitelist", cidr="10.9.0.0/16", label="office")
    await hand.until(lambda: "root made the whitelist entry" in shown(hand, "events"), "the entry")
    await hand.site.gateway.post("/api/chat", {**CHAT, "model": "nonesuch"})
    await hand.until(lambda: "refused /api/chat: model_not_found (404)" in shown(hand, "events"), "the refusal")


async def test_hostile_names_are_only_text(tmp_path: Path, home: Path) -> None:
    async with (
        FakeOllama(models=("llama3.2:latest", EVIL)) as ollama,
        run_site(tmp_path / "state", ollama=ollama) as site,
        dashboard(site, home) as hand,
    ):
        await hand.seen("1 upstream healthy")
        ollama.script(Script(gate="go"))
        asking = asyncio.create_task(site.gateway.post("/api/chat", {**CHAT, "model": EVIL, "stream": False}))
        await hand.until(lambda: EVIL in shown(hand, "running"), "the model that runs")
        ollama.release("go")
        await asking
        await hand.until(lambda: EVIL in shown(hand, "events"), "the answer")
        assert EVIL in hand.text


async def test_frozen_it_stands_still_also_when_the_window_changes(hand: Hand) -> None:
    await hand.seen("Nothing runs.")
    await hand.until(lambda: hand.app.picture.count > 0, "figures")
    await hand.press("space")
    await hand.seen("FROZEN")
    before = shown(hand, "running"), shown(hand, "depth")
    async with load(hand.site):
        seen = hand.app.picture.count
        await hand.until(lambda: hand.app.picture.count > seen + 1, "figures that are not shown")
        assert (shown(hand, "running"), shown(hand, "depth")) == before
        await hand.pilot.resize_terminal(100, 40)
        await hand.pilot.pause()
        assert "Nothing runs." in shown(hand, "running")
        assert "nobody waits" in hand.text
        await hand.press("space")
        await hand.until(lambda: "first" in shown(hand, "running"), "who runs")


async def test_what_does_not_change_is_not_drawn(hand: Hand) -> None:
    for words in ("No requests since", "All is well", "queue: memory", "Nothing runs.", "0 of 1 slot used"):
        await hand.seen(words)
    still = [hand.app.screen.query_one(f"#{name}", Panel) for name in ("verdict", "upstreams", "running", "flows")]
    await hand.pilot.pause()
    drawn = [panel.drawn for panel in still]
    seen = hand.app.picture.count
    await hand.until(lambda: hand.app.picture.count > seen + 1, "two seconds more")
    assert [panel.drawn for panel in still] == drawn


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_everything_important_is_there_in_every_size(site: Site, home: Path, size: tuple[int, int]) -> None:
    async with dashboard(site, home, size=size) as hand:
        await hand.seen("All is well")
        await hand.seen("level 5")
        for words in ("Waiting", "Traffic", "Upstreams", "Running", "Events", "requests/s", "1st token p95", "aged"):
            assert words in hand.text, words
        assert ("Who uses most" in hand.text) is (size != (80, 24))
        assert all(len(line) <= size[0] for line in hand.lines)


async def test_panels_lead_to_their_sections(hand: Hand) -> None:
    await hand.seen("All is well")
    focused = []
    for _ in range(7):
        await hand.press("tab")
        focused.append(hand.app.focused.id if hand.app.focused else None)
    assert focused == ["depth", "traffic", "upstreams", "running", "flows", "events", "depth"]
    await hand.press("enter")
    await hand.until(lambda: getattr(hand.app.screen, "name_", "") == "queue", "the queue")
    await hand.press("1")
    await hand.until(lambda: type(hand.app.screen) is DashboardSection, "the dashboard")
    await hand.pilot.click("#upstreams")
    await hand.until(lambda: getattr(hand.app.screen, "name_", "") == "upstreams", "the upstreams")


async def test_r_asks_again_at_once(hand: Hand) -> None:
    await hand.seen("No requests since")
    assert (await hand.site.gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200
    await hand.press("r")
    await hand.until(lambda: shown(hand, "flows").split()[-5:] == ["test", "-", "-", "1", "11"], "what was used")


async def test_r_shows_how_it_is_now_although_all_is_frozen(hand: Hand) -> None:
    await hand.seen("Nothing runs.")
    await hand.press("space")
    await hand.seen("FROZEN")
    async with load(hand.site):
        assert "Nothing runs." in shown(hand, "running")
        await hand.press("r")
        await hand.until(lambda: "first" in shown(hand, "running"), "who runs")
        assert "FROZEN" in hand.text


async def test_what_was_before_is_asked_for_again_until_it_is_known(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    monkeypatch.setattr("llmgate.tui.screens.dashboard.AGAIN", 0.05)
    earlier = DashboardSection._earlier

    async def failing(section: DashboardSection, client: AdminClient) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise DaemonUnreachable("Not yet.")
        if asked == 2:
            raise KeyError("an answer of a newer daemon")
        await earlier(section, client)

    monkeypatch.setattr(DashboardSection, "_earlier", failing)
    async with dashboard(site, home) as hand:
        await hand.until(lambda: "root logged in" in shown(hand, "events"), "what was before")
        assert asked == 3
        at = hand.app.wall()
        hand.app.post_message(EventsArrived((schemas.FeedEvent(type="reset", at=at, daemon="d"),), 0))
        await hand.until(lambda: asked == 4, "the same after a stream that has begun anew")
        assert shown(hand, "events").count("root logged in") == 2  # of the site and of the dashboard


def test_the_verbs_that_it_stands_for_are_verbs() -> None:
    assert [parses(f"llmgate {verb}") for verb in DashboardSection.also] == list(DashboardSection.also)
