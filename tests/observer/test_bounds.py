"""No observer slows a request down or breaks it, and none keeps more than its bound."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from llmgate.daemon import outgoing
from llmgate.daemon import usage as usage_module
from llmgate.daemon.events import Event, EventBus, LoginFailed, RequestFinished, TicketPromoted
from llmgate.daemon.failed_logins import HOURS, FailedLogins
from llmgate.daemon.feed.feed import INBOX, KEPT, Feed
from llmgate.daemon.feed.follower import BACKLOG, BACKLOG_BYTES, Backlog, Follower
from llmgate.daemon.feed.frames import frame_of
from llmgate.daemon.queue.ticket import Outcome
from tests.admin.harness import Site
from tests.gateway.harness import CHAT
from tests.observer.harness import EVENTS, following


def finished(number: int) -> RequestFinished:
    return RequestFinished(
        request_id=f"r{number}",
        finished_at=datetime.now(UTC),
        principal_kind="key",
        principal_id="k",
        principal_name="n" * 100,
        user_id=None,
        protocol="ollama",
        route="/api/chat",
        model="m" * 100,
        pool="p",
        upstream="u",
        submitted_level=2,
        stream=True,
        outcome=Outcome.COMPLETED,
        status=200,
        error_code=None,
        wait=0.1,
        first_byte=0.2,
        duration=0.3,
        input_tokens=1,
        output_tokens=2,
    )


@asynccontextmanager
async def deaf(site: Site) -> AsyncIterator[asyncio.StreamWriter]:
    """A client that asks for the stream and reads nothing of it."""
    host, port = site.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1024)
    transport: Any = writer.transport
    transport.pause_reading()
    token = site.admin.headers["authorization"]
    writer.write(f"GET {EVENTS} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\r\n".encode())
    try:
        yield writer
    finally:
        transport.abort()


async def until_followed(site: Site, count: int) -> None:
    async with asyncio.timeout(5):
        while site.gateway.services.observers.feed.followers != count:
            await asyncio.sleep(0)


async def flood(site: Site, count: int) -> None:
    """So many events, as fast as the loop passes them on."""
    bus, feed = site.gateway.services.bus, site.gateway.services.observers.feed
    for number in range(count):
        bus.publish(TicketPromoted(f"t{number}", "p" * 2000, 3, 2))
        if number % 100 == 0:
            await drained(feed)
    await drained(feed)


async def drained(feed: Feed) -> None:
    async with asyncio.timeout(10):
        while feed._inbox:
            await asyncio.sleep(0)


async def test_a_subscriber_that_raises_changes_nothing(site: Site) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("broken")

    bus = site.gateway.services.bus
    bus._subscribers.insert(0, broken)
    bus.subscribe(heard.append)
    answer = await site.gateway.post("/api/chat", {**CHAT, "stream": False})
    assert answer.status_code == 200
    assert any(isinstance(event, RequestFinished) for event in heard)


async def test_a_client_that_reads_nothing_costs_only_its_own_events(site: Site) -> None:
    feed = site.gateway.services.observers.feed
    async with deaf(site):
        await until_followed(site, 1)
        (slow,) = feed._followers
        async with following(site.admin, "request.finished") as stream:
            before = _memory()
            await flood(site, 6000)
            assert (await site.gateway.post("/api/chat", CHAT)).status_code == 200
            await stream.has("request.finished")
            assert slow.lost > 500
            assert len(slow._backlog) <= BACKLOG
            assert _memory() - before < 8_000_000
            assert feed.dropped >= slow.lost
        text = (await site.admin.get("/metrics")).text
        lost = next(line for line in text.splitlines() if line.startswith("llmgate_dropped_events_total "))
        assert float(lost.split()[1]) > 500


def _memory() -> int:
    """What Python has allocated, if that is being traced; whoever looks decides what is too much."""
    gc.collect()
    if not tracemalloc.is_tracing():
        tracemalloc.start(1)
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    yield
    tracemalloc.stop()


async def test_a_slow_client_is_told_what_it_has_lost(site: Site) -> None:
    async with following(site.admin, "ticket.promoted") as stream:
        bus = site.gateway.services.bus
        for number in range(INBOX + 100):  # at once: nobody has a turn to look at them
            bus.publish(TicketPromoted(f"t{number}", "p", 3, 2))
        await stream.until(lambda: bool(stream.seen) and stream.seen[-1].data.get("ticket_id") == f"t{INBOX + 99}")
        lost = sum(event["count"] for event in stream.named("lost"))
        told = stream.named("ticket.promoted")
        assert lost + len(told) == INBOX + 100
        assert lost >= 100
        assert stream.seen[0].name == "lost"


async def test_a_client_that_takes_nothing_for_long_is_hung_up_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "STALL_SECONDS", 0.1)
    async with deaf(site):
        await until_followed(site, 1)
        async with asyncio.timeout(20):
            while site.gateway.services.observers.feed.followers:
                await flood(site, 1000)


async def test_one_that_reads_nothing_does_not_hold_up_the_shutdown(site: Site) -> None:
    async with deaf(site):
        await until_followed(site, 1)
        await flood(site, 6000)
        async with asyncio.timeout(3):
            await site.gateway.services.drain()
            while site.gateway.services.observers.feed.followers:
                await asyncio.sleep(0)
        assert (await site.admin.get(EVENTS)).status_code == 503


# The parts


def test_a_backlog_is_bounded_in_number_and_in_size() -> None:
    backlog = Backlog(most=3, most_bytes=1000)
    frames = [frame_of("activity", "x", "boot", number) for number in range(1, 6)]
    assert [backlog.append(frame) for frame in frames] == [0, 0, 0, 1, 1]
    assert [frame.seq for frame in backlog] == [3, 4, 5]
    assert backlog.append(frame_of("activity", "x" * 980, "boot", 6)) == 3  # one is kept, however large
    assert [frame.seq for frame in backlog.take(1)] == [6]
    assert backlog.take(1) == []
    assert (BACKLOG, BACKLOG_BYTES, KEPT) == (1000, 1024 * 1024, 2000)


async def test_a_follower_is_told_of_a_loss_before_what_came_after() -> None:
    follower = Follower(frozenset({"activity"}))
    assert follower.offer(frame_of("stats", "x")) == 0
    assert not await follower.news(0.001)
    for number in range(BACKLOG + 5):
        follower.offer(frame_of("activity", "x", "boot", number + 1))
    assert await follower.news(1)
    lost, frames = follower.take()
    assert (lost, frames[0].seq) == (5, 6)


async def test_while_nobody_follows_nothing_is_kept(site: Site) -> None:
    feed = site.gateway.services.observers.feed
    for number in range(100):
        feed(finished(number))
    assert len(feed._inbox) == 0
    assert len(feed._kept) == 0


async def test_the_usage_recorder_drops_its_oldest_and_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_module, "PENDING_ROWS", 10)
    usage = site.gateway.services.usage
    before = usage.dropped
    for number in range(25):
        usage(finished(number))
    assert usage.pending <= 10
    assert usage.dropped - before >= 15
    text = (await site.admin.get("/metrics")).text
    assert f"llmgate_usage_dropped_rows_total {float(usage.dropped)}" in text


async def test_the_usage_recorder_loses_nothing_when_it_is_cancelled_while_it_looks_for_a_bad_row(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = site.gateway.services.usage
    await usage.flush()
    second = asyncio.Event()

    async def write(batch: Sequence[RequestFinished]) -> None:
        if len(batch) > 1:
            raise ValueError("one of them cannot be written")
        if batch[0].request_id != finished(0).request_id:
            second.set()
            await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(usage, "_write", write)
        for number in range(5):
            usage(finished(number))
        flushing = asyncio.create_task(usage.flush())
        await second.wait()
        flushing.cancel()
        await asyncio.wait([flushing])
        assert [row.request_id for row in usage._pending] == [finished(number).request_id for number in range(1, 5)]


def test_failed_logins_are_two_numbers_an_hour() -> None:
    now = [datetime(2026, 1, 1, 0, 59, tzinfo=UTC)]
    failed = FailedLogins(lambda: now[0])
    for hour in range(60):
        now[0] = datetime(2026, 1, 1 + hour // 24, hour % 24, 30, tzinfo=UTC)
        failed(LoginFailed(throttled=False))
        failed(LoginFailed(throttled=True))
    hours = failed.hours()
    assert len(hours) == HOURS
    assert (hours[-1].hour.hour, hours[-1].failed, hours[-1].throttled) == (11, 1, 1)
    now[0] = datetime(2026, 1, 9, tzinfo=UTC)
    assert failed.hours() == []


def test_the_bus_goes_on_behind_one_that_raises() -> None:
    bus, heard = EventBus(), list[Event]()

    def broken(event: Event) -> None:
        raise RuntimeError

    bus.subscribe(broken)
    bus.subscribe(heard.append)
    bus.publish(LoginFailed(throttled=False))
    assert heard == [LoginFailed(throttled=False)]
