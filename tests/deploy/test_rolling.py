"""A cluster behind nginx is restarted, daemon by daemon, and nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.cluster.harness import Cluster, Daemon, cluster, eventually
from tests.deploy.nginx import Front, nginx_before
from tests.fakes import FakeOllama, Script

pytestmark = [pytest.mark.slow, pytest.mark.alone]

CLIENTS = 20
TOKENS = ["one ", "two ", "three ", "four "]


class Crowd:
    """So many clients that ask by way of nginx, one request after the other, streamed or not in turn."""

    def __init__(self, front: Front, key: str) -> None:
        self.results: Counter[str] = Counter()
        self.asked: list[str] = []
        self._headers = {"authorization": f"Bearer {key}"}
        self._client = front.client()
        self._numbers = itertools.count(1)
        self._stopping = False
        self._tasks = [asyncio.create_task(self._go_on()) for _ in range(CLIENTS)]

    async def more(self, count: int) -> None:
        """Until so many more requests have ended."""
        wanted = self.results.total() + count

        async def ended() -> bool:
            return self.results.total() >= wanted

        await eventually(ended, 30)

    async def stop(self) -> None:
        """Let all that was asked come to its end."""
        self._stopping = True
        async with asyncio.timeout(30):
            await asyncio.gather(*self._tasks)
        await self._client.aclose()

    async def _go_on(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            nonce = f"nonce-{number}"
            self.asked.append(nonce)
            try:
                self.results[await self._ask(nonce, stream=bool(number % 2))] += 1
            except httpx.HTTPError as failure:
                self.results[f"{type(failure).__name__}: {failure}"] += 1

    async def _ask(self, nonce: str, *, stream: bool) -> str:
        body = {"model": "llama3.2", "messages": [{"role": "user", "content": nonce}], "stream": stream}
        answer = await self._client.post("/api/chat", json=body, headers=self._headers)
        if answer.status_code != 200:
            return f"{answer.status_code}: {answer.text}"
        lines = [json.loads(line) for line in answer.text.splitlines()]
        text = "".join(line.get("message", {}).get("content", "") for line in lines)
        return "answered" if lines[-1].get("done") and text == "".join(TOKENS) else f"200: {answer.text}"


async def restart(running: Cluster, daemon: Daemon) -> None:
    """As an operator does: SIGTERM, start again, go on when it is ready."""
    assert await daemon.stop() == 0
    await daemon.start()

    async def ready() -> bool:
        return (await running.client.get(f"{daemon.url}/health/ready")).status_code == 200

    await eventually(ready, 20)


async def test_three_daemons_are_restarted_under_load_and_not_one_request_fails(
    tmp_path: Path, postgres_url: str, vhost_url: str
) -> None:
    async with FakeOllama() as fake:
        fake.default = Script(tokens=TOKENS, interval=0.02)
        async with (
            cluster(
                tmp_path, database_url=postgres_url, broker_urls=[vhost_url] * 3, upstream_url=fake.url, slots=4
            ) as running,
            nginx_before(tmp_path / "nginx", [daemon.url for daemon in running.daemons]) as front,
        ):
            await running.all_connected()
            crowd = Crowd(front, running.key)
            await crowd.more(3 * CLIENTS)
            before = {daemon.name: daemon.pid for daemon in running.daemons}
            for daemon in running.daemons:
                await restart(running, daemon)
                await crowd.more(CLIENTS)
            await crowd.more(3 * CLIENTS)
            await crowd.stop()
            assert crowd.results == {"answered": len(crowd.asked)}, front.errors()
            # At most once: a request that went on to another daemon had not been begun with.
            assert Counter(seen.nonce for seen in fake.requests) == Counter(crowd.asked)
            assert all(daemon.pid != before[daemon.name] for daemon in running.daemons)
            served = {daemon.name: len(daemon.events("request")) for daemon in running.daemons}
            assert min(served.values()) > 0, served
            # Nobody was spared by chance: some did wait at a daemon that went away.
            drained = sum(
                event["outcome"] == "shutdown" for daemon in running.daemons for event in daemon.events("request")
            )
            assert drained > 0
            print(f"{len(crowd.asked)} requests, {drained} went on to another daemon, {fake.max_concurrency} at once")  # noqa: T201
