"""How the registry notices what becomes of its upstreams, and tells the queue."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from llmgate.daemon.upstreams.base import HealthState
from llmgate.errors import (
    InvalidRequest,
    LLMGateError,
    UpstreamCut,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.upstreams.support import Fleet, call, settings_for


async def test_an_outage_takes_the_slots_and_a_success_gives_them_back(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url, slots=4)) as fleet:
        fleet.watch()
        assert fleet.slots("gpu1") == 4
        await fake.stop()
        await fleet.until("gpu1", HealthState.OFFLINE)
        assert fleet.slots("gpu1") == 0
        await fake.start()
        await fleet.until("gpu1", HealthState.RECOVERING)
        assert fleet.slots("gpu1") == 1
        with fleet.registry.observe("gpu1") as traffic:
            traffic.answered()
            traffic.progressed()
            assert fleet.state("gpu1") is HealthState.HEALTHY
            assert fleet.slots("gpu1") == 4


async def test_each_change_is_published_with_its_reason(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        await fake.stop()
        await fleet.until("gpu1", HealthState.OFFLINE)
        assert [(change.before, change.after) for change in fleet.changes] == [
            ("unknown", "healthy"),
            ("healthy", "degraded"),
            ("degraded", "offline"),
        ]
        assert fleet.changes[-1].reason == "The upstream gpu1 cannot be reached: connection refused."


async def test_an_upstream_that_is_down_at_the_start_comes_into_use_later(fake: FakeOllama) -> None:
    await fake.stop()
    async with Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        assert fleet.state("gpu1") is HealthState.OFFLINE
        await fake.start()
        await fleet.until("gpu1", HealthState.RECOVERING, HealthState.HEALTHY)
        assert fleet.registry.any_usable()


async def test_refused_credentials_are_named() -> None:
    async with (
        FakeOpenAI(api_key="right") as locked,
        Fleet(settings_for(locked.url, kind="openai", api_key="wrong")) as fleet,
    ):
        assert fleet.state("gpu1") is HealthState.MISCONFIGURED
        assert "credentials" in fleet.changes[-1].reason


async def test_a_server_of_another_kind_is_named() -> None:
    async with FakeOpenAI() as other, Fleet(settings_for(other.url, kind="ollama")) as fleet:
        assert fleet.state("gpu1") is HealthState.MISCONFIGURED


async def test_a_hung_upstream_with_requests_in_flight_is_noticed(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url), timeout=0.05) as fleet:
        fleet.watch()
        fake.script(Script(hang=True), times=None)
        fake.script(Script(hang=True), path="/api/ps", times=None)
        with fleet.registry.observe("gpu1"):
            asking = asyncio.create_task(fleet.registry.get("gpu1").send(call()))
            await fleet.until("gpu1", HealthState.OFFLINE)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def test_an_upstream_that_is_too_busy_for_probes_stays_in_use_while_bytes_come(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url), timeout=0.05, interval=0.01) as fleet:
        fleet.watch()
        fake.script(Script(hang=True), path="/api/ps", times=None)
        with fleet.registry.observe("gpu1") as traffic:
            traffic.answered()
            ended = 0
            while ended < 6:
                traffic.progressed()
                ended = sum(seen.ended.is_set() for seen in fake.reads if seen.path == "/api/ps")
                await asyncio.sleep(0)
        assert fleet.state("gpu1") is HealthState.DEGRADED
        assert "offline" not in {change.after for change in fleet.changes}


@pytest.mark.parametrize(
    ("failure", "status", "expected"),
    [
        (UpstreamUnreachable(), None, HealthState.OFFLINE),
        (UpstreamTimeout(), None, HealthState.OFFLINE),
        (UpstreamCut(), 200, HealthState.UNHEALTHY),
        (UpstreamRejected("broken", status=500), 500, HealthState.UNHEALTHY),
        (UpstreamRefused(), 503, HealthState.UNHEALTHY),
        (UpstreamRefused(retry_after=9), 429, HealthState.RATE_LIMITED),
        (UpstreamRejected("who?", status=401), 401, HealthState.MISCONFIGURED),
        (UpstreamRejected("what?", status=400), 400, HealthState.HEALTHY),
        (InvalidRequest(), None, HealthState.HEALTHY),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_what_happens_to_requests_tells_how_the_upstream_does(
    fake: FakeOllama, failure: LLMGateError, status: int | None, expected: HealthState
) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        for _ in range(2):
            traffic = fleet.registry.observe("gpu1")
            traffic.__enter__()
            if status is not None:
                traffic.answered(status)
            traffic.__exit__(type(failure), failure, None)
        assert fleet.state("gpu1") is expected


def fail(fleet: Fleet, owner: str) -> None:
    """A request of this owner is answered with 500."""
    with suppress(UpstreamRejected), fleet.registry.observe("gpu1", owner) as traffic:
        traffic.answered(500)
        raise UpstreamRejected("broken", status=500)


async def test_the_errors_of_one_owner_are_not_taken_for_the_upstreams(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url, slots=4)) as fleet:
        for _ in range(10):
            fail(fleet, "ann")
        assert fleet.slots("gpu1") == 4
        fail(fleet, "bob")
        assert fleet.state("gpu1") is HealthState.UNHEALTHY


async def test_a_whole_answer_that_begins_gives_the_slots_back(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url, slots=4)) as fleet:
        for owner in ("ann", "bob"):
            fail(fleet, owner)
        fleet.watch()
        await fleet.until("gpu1", HealthState.RECOVERING)
        assert fleet.slots("gpu1") == 1
        with fleet.registry.observe("gpu1") as traffic:
            traffic.answered(200)
            assert fleet.slots("gpu1") == 4
        assert fleet.state("gpu1") is HealthState.HEALTHY


async def test_a_client_that_hangs_up_says_nothing_of_the_upstream(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        for _ in range(5):
            with pytest.raises(asyncio.CancelledError), fleet.registry.observe("gpu1"):
                raise asyncio.CancelledError
        assert fleet.state("gpu1") is HealthState.HEALTHY


async def test_the_status_names_everything_known_of_an_upstream(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url, slots=2, pool="main")) as fleet:
        [status] = fleet.registry.status()
        assert (status.name, status.kind, status.pool, status.slots) == ("gpu1", "ollama", "main", 2)
        assert (status.state, status.models, status.loaded) == (
            HealthState.HEALTHY,
            ["llama3.2:latest"],
            ["llama3.2:latest"],
        )
        assert status.version == "0.12.6"
