"""Whatever becomes of a request, what it holds of its key's limits is given back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from llmgate.config import QueueSettings
from llmgate.daemon.processor import RequestProcessor
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.store import keys
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

SCRIPTS = (
    Script(),
    Script(status=500),
    Script(status=503),
    Script(status=400, body=b'{"error": "no"}'),
    Script(cut_before_head=True),
    Script(cut_after=40),
    Script(reset=True, cut_after=60),
    Script(error_after=(1, "it broke")),
    Script(raw=b"nonsense\n"),
    Script(interval=0.01),
)


async def settled(gateway: Running, requests: int) -> None:
    await gateway.until(lambda: len(gateway.finished) + len(gateway.refused) >= requests, timeout=20)
    limits = gateway.services.limits
    for tally in limits._tallies.values():
        assert (tally.running, tally.waiting, tally.unsettled, tally.reserved) == (0, 0, 0, 0.0)


async def test_after_everything_that_can_happen_the_counters_are_zero(ollama: FakeOllama, tmp_path: Path) -> None:
    queue = QueueSettings(settle_ms=0, deadline_seconds=0.5, max_waiting=40, max_waiting_per_principal=20)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama, slots=3)], queue=queue)) as gateway:
        chance = random.Random(4)  # noqa: S311  # the same every time
        limited = {"max_concurrent": 8, "requests_per_minute": 150, "tokens_per_minute": 20_000}
        names = [await gateway.new_key(f"k{number}", **limited, tokens_per_day=10**6) for number in range(3)]
        names.append(await gateway.new_key("slow", requests_per_minute=5, max_waiting=1))
        for script in SCRIPTS * 30:
            ollama.script(script)

        async def one() -> None:
            body = {**CHAT, "stream": chance.random() < 0.5, "model": chance.choice(["llama3.2"] * 9 + ["none"])}
            headers = {"authorization": f"Bearer {chance.choice(names)}"}
            if chance.random() < 0.05:
                headers["x-llmgate-priority"] = "9"
            patience = chance.choice([0.003, 0.02, 0.1, 5])
            with contextlib.suppress(httpx.HTTPError):
                await gateway.client.post("/api/chat", json=body, headers=headers, timeout=patience)

        for _ in range(5):
            await asyncio.gather(*(one() for _ in range(50)))
        await gateway.until(lambda: gateway.services.gateway.active == 0, timeout=20)
        await settled(gateway, 0)
        outcomes = {event.outcome for event in gateway.finished}
        assert "rejected_limit" in outcomes
        assert len(outcomes) >= 4, outcomes


@pytest.mark.parametrize("where", ["submit", "run", "admit"])
async def test_a_defect_of_ours_gives_it_back(gateway: Running, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    targets: dict[str, tuple[type, str]] = {
        "submit": (MemoryQueueManager, "submit"),
        "run": (RequestProcessor, "run"),
        "admit": (type(gateway.services.limits), "prepare"),
    }
    monkeypatch.setattr(*targets[where], broken)
    key = await gateway.new_key("robot", max_concurrent=1, tokens_per_day=1000)
    for _ in range(3):
        answer = await gateway.post("/api/chat", CHAT, authorization=f"Bearer {key}")
        assert answer.status_code == 500
    await settled(gateway, 3)


@pytest.mark.parametrize("state", ["waiting", "running"])
@pytest.mark.parametrize("end", ["hang up", "revoke", "cut"])
async def test_who_is_ended_from_outside_gives_it_back(
    gateway: Running, ollama: FakeOllama, state: str, end: str
) -> None:
    ollama.script(Script(token_gates={1: "never"}), times=None)
    key = await gateway.new_key("robot", max_concurrent=10, tokens_per_minute=10_000)
    headers = {"authorization": f"Bearer {key}"}
    tasks = [
        asyncio.create_task(gateway.client.post("/api/chat", json=CHAT, headers=headers, timeout=30))
        for _ in range(2 if state == "running" else 4)
    ]
    await ollama.request(1)
    await gateway.waiting(len(tasks) - 2)
    assert gateway.services.limits.unsettled == len(tasks)
    ends: dict[str, Callable[[], Awaitable[object]]] = {
        "hang up": lambda: _cancel(tasks),
        "revoke": lambda: _revoke(gateway),
        "cut": lambda: gateway.services.gateway.finished(0),
    }
    await ends[end]()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settled(gateway, len(tasks))


async def _cancel(tasks: list[asyncio.Task[httpx.Response]]) -> None:
    for task in tasks:
        task.cancel()


async def _revoke(gateway: Running) -> None:
    async with gateway.services.database.begin() as tx:
        await keys.revoke(tx, (await keys.resolve(tx, "robot")).id)
    gateway.services.rights_changed()
