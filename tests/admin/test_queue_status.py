"""How the queue does, over the admin API and for Prometheus: alone, and as one daemon of several."""

from __future__ import annotations

import dataclasses
import re

import pytest

from llmgate import schemas
from llmgate.daemon.queue import ticket
from tests.admin.harness import Site, problem
from tests.fakes import Script
from tests.gateway.harness import CHAT

STATUS = "/admin/v1/queue/status"


def share(site: Site, monkeypatch: pytest.MonkeyPatch, *dispatches: str, state: str = "connected") -> None:
    """Let the daemon be one of two, which dispatches in these pools."""
    reason = "" if state == "connected" else "The broker is gone."
    daemons = [
        ticket.DaemonStatus("gpu/1", "b1", state, reason, list(dispatches), 3, 1, 0.0),
        ticket.DaemonStatus("gpu/2", "b2", "connected", "", [], 0, 2, 0.4),
    ]
    found = ticket.QueueStatus("rabbitmq", state, reason, serves=True, daemons=daemons)
    monkeypatch.setattr(site.gateway.services.queue, "status", lambda: found)


async def gauge(site: Site, name: str) -> dict[str, float]:
    """The values of a gauge by their labels."""
    text = (await site.admin.get("/metrics")).text
    found = re.findall(rf"^llmgate_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (schemas.PoolStats, ticket.PoolStats),
        (schemas.QueueStatus, ticket.QueueStatus),
        (schemas.QueueDaemon, ticket.DaemonStatus),
        (schemas.Waiting, ticket.Position),
        (schemas.Running, ticket.Running),
    ],
)
def test_the_api_tells_everything_that_the_queue_knows(told: type[schemas.Answer], known: type) -> None:
    told_fields = [name for name in told.model_fields if name != "owner_name"]  # the queue knows no names
    assert told_fields == [field.name for field in dataclasses.fields(known)]


async def test_a_queue_in_memory_is_connected_and_alone(site: Site) -> None:
    status = (await site.admin.get(STATUS)).json()
    assert status == {
        "backend": "memory",
        "state": "connected",
        "reason": "",
        "serves": True,
        "daemons": [],
        "broker_version": "",
    }
    system = (await site.admin.get("/admin/v1/system")).json()
    assert (system["queue_backend"], system["queue_state"]) == ("memory", "connected")
    assert await gauge(site, "queue_connected") == {"": 1}
    assert await gauge(site, "queue_daemons") == {"": 1}
    assert await gauge(site, "queue_dispatching") == {'pool="fake"': 1}


async def test_the_daemons_are_told_beginning_with_the_one_that_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(site, monkeypatch, "fake")
    status = (await site.admin.get(STATUS)).json()
    assert [daemon["name"] for daemon in status["daemons"]] == ["gpu/1", "gpu/2"]
    assert status["daemons"][1] == {
        "name": "gpu/2", "boot": "b2", "state": "connected", "reason": "", "dispatches": [], "waiting": 0,
        "running": 2, "heard": 0.4,
    }  # fmt: skip
    assert await gauge(site, "queue_daemons") == {"": 2}
    assert await gauge(site, "queue_dispatching") == {'pool="fake"': 1}


async def test_only_its_own_dispatching_is_a_daemon_s_metric(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    share(site, monkeypatch, "another")
    assert await gauge(site, "queue_connected") == {"": 1}
    assert await gauge(site, "queue_dispatching") == {'pool="fake"': 0}


async def test_a_lost_broker_is_told_with_its_reason(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    share(site, monkeypatch, state="degraded")
    status = (await site.admin.get(STATUS)).json()
    assert (status["state"], status["reason"]) == ("degraded", "The broker is gone.")
    assert (await site.admin.get("/admin/v1/system")).json()["queue_state"] == "degraded"
    assert await gauge(site, "queue_connected") == {"": 0}


async def test_statistics_hold_rates_waits_and_times_of_service(site: Site) -> None:
    (idle,) = (await site.admin.get("/admin/v1/queue/stats")).json()["data"]
    assert (idle["service_p50"], idle["service_p95"], idle["wait_max"]) == (None, None, {})
    site.ollama.script(Script(tokens=("a", "b")), times=3)
    for _ in range(3):
        await site.gateway.post("/api/chat", {**CHAT, "stream": False})
    await site.gateway.until(lambda: len(site.gateway.finished) == 3)
    (pool,) = (await site.admin.get("/admin/v1/queue/stats")).json()["data"]
    assert pool["arrivals_per_second"] == pool["grants_per_second"] == pytest.approx(0.3)
    assert pool["wait_p50"]["2"] <= pool["wait_p95"]["2"] <= pool["wait_max"]["2"]
    assert 0 < pool["service_p50"] <= pool["service_p95"]
    assert (pool["dispatcher"], pool["epoch"]) == ("", 0)


async def test_users_do_not_see_the_daemons(site: Site) -> None:
    problem(await site.user.get(STATUS), 403, "forbidden")
