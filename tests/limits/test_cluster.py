"""Two daemons with one broker and one database: a limit is one limit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from llmgate.config import DatabaseSettings, QueueSettings, StateSettings
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.store import keys
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.limits.support import eventually, paced

TOKENS = 11  # of one answer of the fake, in and out


@dataclass(frozen=True, slots=True)
class Pair:
    daemons: tuple[Running, Running]
    ollama: FakeOllama

    async def ask(self, number: int, key: str) -> httpx.Response:
        body = {**CHAT, "stream": False}
        return await self.daemons[number].post("/v1/chat/completions", body, authorization=f"Bearer {key}")

    async def principal(self, key: str) -> Principal:
        headers = [(b"authorization", f"Bearer {key}".encode())]
        authenticator = self.daemons[0].services.authenticator
        return await authenticator.authenticate(headers, address="127.0.0.1", method="POST")


@pytest.fixture
async def pair(tmp_path: Path, postgres_url: str, vhost_url: str) -> AsyncIterator[Pair]:
    queue = QueueSettings.model_validate({"backend": "rabbitmq", "url": vhost_url, "settle_ms": 0})
    async with AsyncExitStack() as stack:
        ollama = await stack.enter_async_context(FakeOllama())
        running = []
        for name in ("one", "two"):
            settings = settings_for(tmp_path / name, [upstream_for(ollama, slots=8)], queue=queue)
            shared = {
                "database": DatabaseSettings(url=SecretStr(postgres_url)),
                "state": StateSettings(dir=tmp_path / name, secret_file=tmp_path / "secret.key"),
            }
            settings = settings.model_copy(update=shared)
            gateway = await stack.enter_async_context(run_gateway(settings))
            async with gateway.services.database.begin() as tx:  # its name is for the next one
                await keys.revoke(tx, (await keys.resolve(tx, "test")).id)
            running.append(gateway)
        one, two = running
        await eventually(lambda: all(len(each.services.queue.status().daemons) == 2 for each in running))
        yield Pair((one, two), ollama)


async def test_requests_per_minute(pair: Pair) -> None:
    one, two = pair.daemons
    key = await one.new_key("robot", requests_per_minute=20)
    robot = await pair.principal(key)
    began = time.monotonic()
    assert [(await pair.ask(0, key)).status_code for _ in range(12)] == [200] * 12
    await eventually(
        lambda: two.services.limits.use(robot).requests_used > 10
    )  # all of them, as far as they have not faded
    answers = [await pair.ask(1, key) for _ in range(12)]
    passed = [answer for answer in answers if answer.status_code == 200]
    faded = 20 * (time.monotonic() - began) / 60  # of what was used, while all this was asked
    assert 8 <= len(passed) <= 9 + faded
    assert answers[0].headers["x-ratelimit-limit-requests"] == "20"
    assert 7 <= int(answers[0].headers["x-ratelimit-remaining-requests"]) <= 8 + faded


async def test_the_overshoot_is_about_a_seconds_traffic(pair: Pair) -> None:
    key = await pair.daemons[0].new_key("robot", requests_per_minute=40)
    statuses = await paced([lambda: pair.ask(0, key), lambda: pair.ask(1, key)], each=40, per_second=10)
    passed = Counter(statuses)
    assert set(passed) == {200, 429}
    assert 40 <= passed[200] <= 40 + 20 + 3  # two times ten a second, and what fades while the test runs


async def test_requests_at_once(pair: Pair) -> None:
    pair.ollama.script(Script(gate="go"), times=None)
    one, two = pair.daemons
    key = await one.new_key("robot", max_concurrent=3)
    robot = await pair.principal(key)
    tasks = [asyncio.create_task(pair.ask(number, key)) for number in (0, 0, 1)]
    await pair.ollama.request(2)
    await eventually(lambda: all(each.services.limits.use(robot).in_flight == 3 for each in pair.daemons))
    for number in (0, 1):
        refused = await pair.ask(number, key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_concurrent")
    pair.ollama.release("go")
    assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
    await eventually(lambda: two.services.limits.use(robot).in_flight == 0 == one.services.limits.use(robot).in_flight)
    assert (await pair.ask(1, key)).status_code == 200


async def test_budgets(pair: Pair) -> None:
    one, two = pair.daemons
    key = await one.new_key("robot", tokens_per_day=5 * TOKENS)
    robot = await pair.principal(key)
    assert (await pair.ask(1, key)).status_code == 200
    for _ in range(3):
        assert (await pair.ask(0, key)).status_code == 200
    await eventually(lambda: two.services.limits.use(robot).today == 4 * TOKENS == one.services.limits.use(robot).today)
    assert (await pair.ask(1, key)).status_code == 200
    await eventually(lambda: one.services.limits.use(robot).today == 5 * TOKENS)
    for number in (0, 1):
        refused = await pair.ask(number, key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
