"""Upstreams that come, change and go while requests are served."""

from __future__ import annotations

from typing import Any

import pytest

from llmgate.config import UpstreamSettings
from llmgate.daemon.queue.ticket import Grant
from llmgate.daemon.upstreams.base import HealthState
from llmgate.errors import NotFound, UpstreamUnreachable
from tests.fakes import FakeOllama, Script
from tests.upstreams.support import Fleet, anything, call, settings_for


async def test_an_upstream_that_is_added_serves_at_once(fake: FakeOllama) -> None:
    async with FakeOllama(models=("new:1b",)) as other, Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        fleet.registry.apply([settings_for(fake.url), settings_for(other.url, name="gpu2", slots=3)])
        await fleet.until("gpu2", HealthState.HEALTHY)
        assert fleet.registry.resolve("new:1b", anything).pool == "gpu2"
        assert fleet.slots("gpu2") == 3
        assert [pool.name for pool in fleet.registry.pools()] == ["gpu1", "gpu2"]


async def test_a_removed_upstream_gets_nothing_more_and_its_pool_is_gone(fake: FakeOllama) -> None:
    async with FakeOllama(models=("other",)) as other:
        both = [settings_for(fake.url), settings_for(other.url, name="gpu2")]
        async with Fleet(*both) as fleet:
            fleet.watch()
            fleet.registry.apply(both[:1])
            assert [stats.pool for stats in fleet.queue.stats()] == ["gpu1"]
            with pytest.raises(UpstreamUnreachable):
                fleet.registry.get("gpu2")
            with pytest.raises(NotFound):
                fleet.registry.pool("gpu2")
            assert [entry["name"] for entry in fleet.registry.tags(anything)] == ["llama3.2:latest"]


async def test_what_runs_on_a_removed_upstream_ends_there_and_its_connections_are_closed_after(
    fake: FakeOllama,
) -> None:
    fake.script(Script(token_gates={2: "go"}))
    async with FakeOllama() as other, Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        place = await fleet.take_place("gpu1", "1")
        grant = await place.granted()
        upstream = fleet.registry.get(grant.upstream)
        with fleet.registry.observe(grant.upstream) as traffic:
            answer = await upstream.send(call())
            traffic.answered()
            fleet.registry.apply([settings_for(other.url, name="gpu2")])
            fake.release("go")
            body = await answer.read(10_000)
            await answer.close()
        assert body.count(b"\n") == 5
        fleet.queue.release(grant, 8.0)
        await fake.wait_for(lambda: not fake.connections)
        assert [stats.pool for stats in fleet.queue.stats()] == ["gpu2"]


async def test_another_url_leads_new_requests_elsewhere_and_breaks_no_old_one(fake: FakeOllama) -> None:
    fake.script(Script(token_gates={2: "go"}))
    async with FakeOllama() as other, Fleet(settings_for(fake.url, slots=2)) as fleet:
        fleet.watch()
        old = await (await fleet.take_place("gpu1", "1")).granted()
        with fleet.registry.observe("gpu1") as traffic:
            answer = await fleet.registry.get("gpu1").send(call())
            traffic.answered()
            fleet.registry.apply([settings_for(other.url, slots=2)])
            await fleet.until("gpu1", HealthState.HEALTHY)
            new = await (await fleet.take_place("gpu1", "2")).granted()
            await serve(fleet, new)
            assert (len(fake.requests), len(other.requests)) == (1, 1)
            fake.release("go")
            assert (await answer.read(10_000)).count(b"\n") == 5
            await answer.close()
        fleet.queue.release(old, 8.0)
        await fake.wait_for(lambda: not fake.connections)
        assert fleet.state("gpu1") is HealthState.HEALTHY


async def test_slots_change_in_place(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        before = fleet.registry.get("gpu1")
        fleet.registry.apply([settings_for(fake.url, slots=5)])
        assert fleet.registry.get("gpu1") is before
        assert fleet.slots("gpu1") == 5
        assert fleet.state("gpu1") is HealthState.HEALTHY


async def test_an_upstream_moves_to_another_pool_with_what_runs_on_it(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        grant = await (await fleet.take_place("gpu1", "1")).granted()
        fleet.registry.apply([settings_for(fake.url, pool="main")])
        assert fleet.registry.resolve("llama3.2", anything).pool == "main"
        await fleet.take_place("main", "2")
        assert [stats.waiting for stats in fleet.queue.stats() if stats.pool == "main"] == [1]  # its slot is in use
        fleet.queue.release(grant, 1.0)
        assert [stats.running for stats in fleet.queue.stats() if stats.pool == "main"] == [1]


@pytest.mark.parametrize("change", [{"api_key": "new"}, {"idle_timeout": 7}, {"first_byte_timeout": 9}])
async def test_what_a_server_told_holds_when_it_is_only_reached_in_another_way(
    fake: FakeOllama, change: dict[str, Any]
) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        before = fleet.registry.get("gpu1")
        fleet.registry.apply([settings_for(fake.url, **change)])
        assert fleet.registry.get("gpu1") is not before
        assert fleet.state("gpu1") is HealthState.HEALTHY
        assert fleet.registry.resolve("llama3.2", anything).pool == "gpu1"


async def test_an_upstream_that_refused_our_credentials_is_asked_at_once_with_new_ones(fake: FakeOllama) -> None:
    fake.script(Script(status=401), path="/api/tags", times=None)
    async with Fleet(settings_for(fake.url), interval=3600, backoff_max=3600) as fleet:
        fleet.watch()
        assert fleet.state("gpu1") is HealthState.MISCONFIGURED
        fake.forget_scripts()
        fleet.registry.apply([settings_for(fake.url, api_key="right")])
        await fleet.until("gpu1", HealthState.HEALTHY)
        assert fake.reads[-1].headers["authorization"] == "Bearer right"


async def test_nothing_is_probed_any_more_that_was_removed(fake: FakeOllama) -> None:
    async with FakeOllama() as other, Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        fleet.registry.apply([settings_for(other.url, name="gpu2")])
        await fleet.until("gpu2", HealthState.HEALTHY)
        await fake.wait_for(lambda: not fake.connections)
        seen, probes = len(fake.reads), len(other.reads)
        await other.wait_for(lambda: len(other.reads) >= probes + 9)
        assert len(fake.reads) == seen


async def test_the_same_list_changes_nothing(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        before = fleet.registry.get("gpu1")
        fleet.registry.apply([settings_for(fake.url)])
        assert fleet.registry.get("gpu1") is before


async def test_a_request_whose_upstream_is_removed_between_grant_and_start_may_go_to_another(fake: FakeOllama) -> None:
    async with FakeOllama() as other:
        pool: list[UpstreamSettings] = [
            settings_for(one.url, name=name, pool="main") for one, name in ((fake, "a"), (other, "b"))
        ]
        async with Fleet(*pool) as fleet:
            grant = await (await fleet.take_place("main", "1")).granted()
            fleet.registry.apply([one for one in pool if one.name != grant.upstream])
            with pytest.raises(UpstreamUnreachable):
                fleet.registry.get(grant.upstream)
            fleet.queue.release(grant, 0.0)
            again = await (await fleet.take_place("main", "2")).granted()
            assert again.upstream != grant.upstream


async def serve(fleet: Fleet, grant: Grant) -> None:
    with fleet.registry.observe(grant.upstream) as traffic:
        answer = await fleet.registry.get(grant.upstream).send(call())
        traffic.answered(answer.status)
        await answer.read(10_000)
        await answer.close()
    fleet.queue.release(grant, 8.0)
