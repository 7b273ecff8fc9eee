"""The waiting line, from the keyboard to the daemon, with an upstream whose only slot is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.tui.screens.queue import Running, Waiting
from llmgate.tui.screens.queue_pools import Daemons, Pools, state_of
from tests.admin.harness import Site
from tests.fakes import Script
from tests.gateway.harness import CHAT
from tests.tui.harness import Hand, parses

Sent = asyncio.Task[httpx.Response]


def ask(site: Site, key: str) -> Sent:
    """A request that is patient enough for a machine that does much else."""
    headers = {"authorization": f"Bearer {key}"}
    body = {**CHAT, "stream": False}
    return asyncio.create_task(site.gateway.client.post("/api/chat", json=body, headers=headers, timeout=60))


@asynccontextmanager
async def line(site: Site, *levels: int) -> AsyncIterator[list[Sent]]:
    """A request that holds the only slot, and behind it one of each of these levels, sent in this order by keys that
    are called like their level and number: ``three2``."""
    site.ollama.script(Script(gate="first"))
    first = ask(site, site.gateway.key)
    await site.ollama.request(0)
    sent: list[Sent] = []
    for number, level in enumerate(levels):
        sent.append(await waiting(site, level, number + 1))
    try:
        yield [first, *sent]
    finally:
        site.ollama.release("first")
        for task in (first, *sent):
            task.cancel()
        await asyncio.gather(first, *sent, return_exceptions=True)


async def waiting(site: Site, level: int, count: int) -> Sent:
    """One more request, which makes them ``count`` that wait."""
    name = ("", "one", "two", "three", "four", "five")[level]
    key = await site.gateway.new_key(f"{name}{count}", level=level)
    task = ask(site, key)
    await site.gateway.waiting(count)
    return task


async def of(hand: Hand, name: str) -> schemas.Waiting:
    """The waiting request of this key, with the cursor on it."""
    listing = await hand.filled(Waiting)
    await hand.until(lambda: any(row.owner_name == name for row in listing.table.rows), f"a request of {name}")
    row = next(row for row in listing.table.rows if row.owner_name == name)
    await hand.on(Waiting, row.ticket_id)
    return row


async def level_of(hand: Hand, ticket: str) -> int | None:
    """The level at which the daemon has it now; None when it does not wait."""
    place = await hand.site.gateway.services.queue.position(ticket)
    return None if place is None else place.level


async def moved_to(hand: Hand, ticket: str, level: int) -> None:
    async with asyncio.timeout(5):
        while await level_of(hand, ticket) != level:
            await hand.pilot.pause(0.01)


def twin_on(hand: Hand) -> str:
    """The command that a question shows."""
    return next(line for line in hand.lines if "$ llmgate" in line).strip(" │")


async def test_load_arrives_and_is_seen(hand: Hand) -> None:
    await hand.go("queue")
    await hand.seen("Nobody waits.")
    async with line(hand.site, 5, 3) as (first, *_):
        await hand.seen("2 in all")
        rows = [text.split() for text in hand.lines if "llama3.2" in text]
        assert [(row[1], row[3], row[4]) for row in rows] == [("three2", "3", "0"), ("five1", "5", "1")]
        assert rows[0][-1] == "fake"
        await hand.press("enter")
        await hand.seen("submitted at level")
        await hand.seen("as of")
        await hand.press("escape", "v")
        listing = await hand.filled(Running)
        await hand.until(lambda: len(listing.table.rows) == 1, "who runs")
        assert listing.table.rows[0].owner_name == "test"
        assert not first.done()
        await hand.press("enter")
        await hand.seen("runs for")


async def test_a_digit_in_the_choice_moves_a_request(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3, 3):
        row = await of(hand, "three2")
        await hand.press("p")
        await hand.seen("Level for three2")
        await hand.seen("3  now")
        assert twin_on(hand) == f"$ llmgate queue level {row.ticket_id} 3"
        await hand.press("k")
        await hand.until(lambda: twin_on(hand).endswith(" 2"), "the twin of level 2")
        assert parses(twin_on(hand)) == "queue level"
        await hand.press("escape")
        assert await level_of(hand, row.ticket_id) == 3
        await hand.press("p")
        await hand.seen("Level for three2")
        await hand.press("1")
        assert parses((await hand.hears("three2: at level 1 now.")).partition("\n")[2]) == "queue level"
        assert await level_of(hand, row.ticket_id) == 1
        listing = hand.listing(Waiting)
        await hand.until(lambda: listing.table.rows[0].ticket_id == row.ticket_id, "it at the head of the line")


async def test_plus_and_minus_move_by_a_level_at_once(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3):
        row = await of(hand, "three1")
        await hand.press("p")
        await hand.seen("Level for three1")
        await hand.press("enter")
        await hand.hears("It is at level 3 already.")
        await hand.press("minus")
        await hand.hears("three1: at level 4 now")
        await moved_to(hand, row.ticket_id, 4)
        await hand.press("plus", "plus")
        await moved_to(hand, row.ticket_id, 2)
        await hand.press("plus")
        await moved_to(hand, row.ticket_id, 1)
        listing = hand.listing(Waiting)
        await hand.until(lambda: listing.check_action("act", ("queue_level_plus",)) is None, "no level above 1")
        assert listing.check_action("act", ("queue_level_minus",)) is True


async def test_of_quick_presses_the_last_level_is_asked_for_last(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    slow = asyncio.Event()
    really = AdminClient.set_level

    async def set_level(client: AdminClient, ticket: str, level: int) -> schemas.Waiting:
        if not asked:
            asked.append(level)
            await slow.wait()
        else:
            asked.append(level)
        return await really(client, ticket, level)

    monkeypatch.setattr(AdminClient, "set_level", set_level)
    await hand.go("queue")
    async with line(hand.site, 4):
        row = await of(hand, "four1")
        await hand.press("plus")
        await hand.until(lambda: asked == [3], "the first")
        await hand.filled(Waiting, again=True)  # with the row as it is at the daemon
        await hand.press("plus", "plus")
        slow.set()
        await moved_to(hand, row.ticket_id, 1)
        assert asked == [3, 1]


async def test_a_request_is_taken_out_and_cancel_is_the_default(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3) as (_, sent):
        row = await of(hand, "three1")
        await hand.press("x")
        await hand.seen("Cancel the waiting request of three1, for llama3.2:latest?")
        assert parses(twin_on(hand)) == "queue cancel"
        await hand.press("enter")
        await hand.gone("Cancel the waiting request")
        assert await level_of(hand, row.ticket_id) == 3
        await hand.press("x")
        await hand.seen("Cancel the waiting request of three1")
        await hand.press("right", "enter")
        await hand.hears("Cancelled the request of three1.")
        answer = await sent
        assert (answer.status_code, "administrator" in answer.text) == (503, True)
        await hand.seen("Nobody waits.")


async def test_what_has_gone_meanwhile_is_told(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3):
        row = await of(hand, "three1")
        await hand.press("x")
        await hand.seen("Cancel the waiting request of three1")
        await hand.site.admin.delete(f"/admin/v1/queue/waiting/{row.ticket_id}")
        await hand.press("right", "enter")
        await hand.hears("There is no waiting request")


async def test_a_running_request_is_stopped(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site) as (first,):
        await hand.press("v")
        listing = await hand.filled(Running)
        await hand.until(lambda: listing.table.row is not None, "who runs")
        await hand.press("x")
        await hand.seen("Stop the request of test, for llama3.2:latest on fake?")
        assert parses(twin_on(hand)) == "queue stop"
        await hand.press("enter")
        await hand.gone("Stop the request")
        assert not first.done()
        await hand.press("x")
        await hand.seen("Stop the request of test")
        await hand.press("right", "enter")
        await hand.hears("Stopped the request of test.")
        await first
        assert hand.site.gateway.finished[0].error_code == "cancelled_by_admin"
        await hand.seen("Nothing runs.")


async def test_the_pool_of_a_waiting_request_is_paused_and_resumed(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3) as (first, sent):
        await of(hand, "three1")
        await hand.press("P")
        await hand.seen("Pause the pool fake, for everybody?")
        await hand.seen("1 now wait there.")
        assert parses(twin_on(hand)) == "queue pause"
        await hand.press("enter")
        await hand.gone("Pause the pool fake")
        assert hand.told == []
        await hand.press("P")
        await hand.seen("Pause the pool fake")
        await hand.press("right", "enter")
        assert parses((await hand.hears("The pool fake is paused")).partition("\n")[2]) == "queue pause"
        await hand.seen("pool fake is paused")
        hand.site.ollama.release("first")
        assert (await first).status_code == 200
        assert not sent.done()
        await hand.press("R")
        assert parses((await hand.hears("The pool fake is resumed")).partition("\n")[2]) == "queue resume"
        assert (await sent).status_code == 200


async def test_the_pool_of_a_waiting_request_is_drained_after_a_question(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3):
        await of(hand, "three1")
        await hand.press("D")
        await hand.seen("Refuse every new request of the pool fake?")
        assert parses(twin_on(hand)) == "queue drain"
        await hand.press("right", "enter")
        await hand.hears("The pool fake drains")
        assert (await hand.site.gateway.post("/api/chat", CHAT)).status_code == 503
        assert hand.site.gateway.finished[0].error_code == "pool_draining"


async def test_pools_are_seen_paused_drained_and_resumed(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 5, 3):
        await hand.press("v", "v")
        listing = await hand.on(Pools, "fake")
        await hand.seen("3:1 5:1")
        assert listing.check_action("act", ("queue_resume_R",)) is None
        await hand.press("enter")
        await hand.seen("fake (1 of 1)")
        await hand.seen("llama3.2:latest")
        assert parses(twin_on(hand)) == "pools show"
        await hand.press("escape", "P")
        await hand.seen("Pause the pool fake")
        await hand.press("right", "enter")
        await hand.hears("The pool fake is paused")
        await hand.until(lambda: listing.table.rows[0].state == "paused", "the pool paused")
        await hand.press("D")
        await hand.seen("Refuse every new request")
        await hand.press("enter")
        await hand.gone("Refuse every new request")
        assert listing.table.rows[0].state == "paused"
        await hand.press("D")
        await hand.seen("Refuse every new request")
        await hand.press("right", "enter")
        await hand.until(lambda: listing.table.rows[0].state == "draining", "the pool draining")
        await hand.press("R")
        await hand.hears("The pool fake is resumed")
        await hand.until(lambda: listing.table.rows[0].state == "open", "the pool open")


async def test_filters_of_who_waits_are_the_daemons(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 5, 3, 3):
        await hand.seen("3 in all")
        await hand.press("slash")
        await hand.write("level:3 pool:fake model:llama3.2")
        await hand.seen("2 in all")
        await hand.write(" three3")
        await hand.seen("1 in all")
        await hand.write("0")
        await hand.seen("Nothing fits the filter.")
        await hand.press("ctrl+u")
        await hand.write("level:9")
        await hand.seen("level is one of")
        await hand.press("escape")
        await hand.seen("3 in all")


async def test_filters_of_who_runs_are_the_daemons(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site):
        await hand.press("v", "slash")
        await hand.write("level:1")
        await hand.seen("Nothing fits the filter.")
        await hand.press("ctrl+u")
        await hand.write("test")
        await hand.seen("1 in all")


async def test_the_cursor_stays_on_its_request_while_others_come_and_go(hand: Hand) -> None:
    await hand.go("queue")
    async with line(hand.site, 3, 3, 5) as (*_, last):
        head, row = await of(hand, "three1"), await of(hand, "three2")
        listing = hand.listing(Waiting)
        new = await waiting(hand.site, 1, 4)
        await hand.until(lambda: len(listing.table.rows) == 4, "the new request")
        assert listing.table.rows[0].owner_name == "one4"
        assert listing.table.row is not None
        assert listing.table.row.ticket_id == row.ticket_id
        await hand.site.admin.delete(f"/admin/v1/queue/waiting/{head.ticket_id}")
        last.cancel()
        await hand.until(lambda: len(listing.table.rows) == 2, "two gone")
        assert listing.table.row.ticket_id == row.ticket_id
        await hand.press("minus")
        await moved_to(hand, row.ticket_id, 4)
        new.cancel()
        await asyncio.gather(new, last, return_exceptions=True)


async def test_a_queue_in_memory_says_that_it_names_no_daemons(hand: Hand) -> None:
    await hand.go("queue")
    await hand.press("v", "v", "v")
    await hand.filled(Daemons)
    await hand.seen("The queue is in the memory of this daemon, connected: it names no daemons.")


def daemon(name: str, **more: object) -> schemas.QueueDaemon:
    about = {"boot": "1", "state": "up", "reason": "", "dispatches": [], "waiting": 0, "running": 0, "heard": 0.0}
    return schemas.QueueDaemon.model_validate({"name": name, **about, **more})


async def test_the_daemons_of_a_cluster_have_a_row_each(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    status = schemas.QueueStatus(
        backend="rabbitmq",
        state="connected",
        reason="",
        serves=True,
        daemons=[daemon("gate-1", dispatches=["main"]), daemon("gate-2", state="left out", reason="other", heard=0.4)],
        broker_version="4.1.0",
    )

    async def told(client: AdminClient) -> schemas.QueueStatus:
        return status

    monkeypatch.setattr(AdminClient, "queue_status", told)
    await hand.go("queue")
    await hand.press("v", "v", "v")
    listing = await hand.filled(Daemons)
    await hand.seen("The queue is in rabbitmq 4.1.0, connected.")
    first, second = (text.split() for text in hand.lines if text.startswith(" gate-"))
    assert first == ["gate-1", "up", "main", "0", "0", "this", "one", "-"]
    assert second == ["gate-2", "left", "out", "-", "0", "0", "0.4", "s", "ago", "other"]
    status.serves, status.state, status.reason = False, "connecting", "The broker is away."
    await hand.press("r")
    await hand.seen("connecting. The broker is away. No slot can be given here.")
    assert listing.table.row is not None
    await hand.press("enter")
    await hand.seen("dispatches")
    assert parses(twin_on(hand)) == "queue status"


def test_a_queue_is_told_in_a_sentence() -> None:
    status = schemas.QueueStatus(backend="rabbitmq", state="away", reason="", serves=False, daemons=[])
    assert state_of(status) == "The queue is in rabbitmq, away. No slot can be given here."
