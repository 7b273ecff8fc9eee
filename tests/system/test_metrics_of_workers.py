"""`/metrics` of `llmgate serve --workers 2`: whichever worker is scraped tells what all of them have counted."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from llmgate.daemon.metrics import directory
from llmgate.errors import StateUnreadable
from tests.fakes import FakeOllama, Script
from tests.system.commands import PASSWORD, Command, configured, running
from tests.system.processes import START_SECONDS

REQUESTS = 24


def numbers_of(text: str) -> Mapping[str, float]:
    """Every sample of a scrape by its name and labels."""
    found = re.findall(r"^(llmgate_\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


class Scraper:
    """Scrapes over a new connection each time, so that it reaches one worker or the other; no total may go back."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._headers = url, headers
        self.last: Mapping[str, float] = {}

    async def once(self) -> Mapping[str, float]:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=20) as client:
            try:
                answer = await client.get("/metrics", headers=self._headers)
            except httpx.TransportError:  # accepted by the one that is just being killed
                return self.last
        assert answer.status_code == 200, answer.text
        now = numbers_of(answer.text)
        for name, value in self.last.items():
            if re.search(r"_(total|count|sum|bucket)\b", name):
                assert now.get(name, 0.0) >= value, name
        self.last = now
        return now

    async def until(self, name: str, value: float) -> None:
        async with asyncio.timeout(START_SECONDS):
            while (await self.once()).get(name) != value:
                pass


def total(numbers: Mapping[str, float], name: str) -> float:
    """The sum of all samples of one name."""
    return sum(value for key, value in numbers.items() if key.partition("{")[0] == name)


async def ask(url: str, headers: Mapping[str, str], count: int) -> None:
    """So many requests, each over a connection of its own, four at a time."""
    body = {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}], "stream": False}

    async def one() -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=START_SECONDS) as client:
            answer = await client.post("/api/chat", json=body, headers=headers)
            assert answer.status_code == 200, answer.text

    for _ in range(count // 4):
        await asyncio.gather(*(one() for _ in range(4)))


async def admin_of(url: str, token: str) -> dict[str, str]:
    """Make the administrator, and fail to log in once."""
    account = {"name": "root", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=START_SECONDS) as client:
        assert (await client.post("/gate/auth/setup", json={"token": token, **account})).status_code == 201
        assert (await client.post("/gate/auth/login", json={**account, "password": "wrong"})).status_code == 401
        access = (await client.post("/gate/auth/login", json=account)).json()["access_token"]
        assert (await client.get("/metrics")).status_code == 401
    return {"authorization": f"Bearer {access}"}


@pytest.mark.slow
async def test_totals_are_right_at_whichever_worker_and_never_go_back(tmp_path: Path, vhost_url: str) -> None:
    async with FakeOllama() as fake:
        fake.default = Script(tokens=["a ", "b "], interval=0.01)
        config = configured(tmp_path, fake.url)
        with config.open("a") as file:
            file.write(f'slots = 4\n[queue]\nbackend = "rabbitmq"\nurl = "{vhost_url}"\n')
        arguments = ("llmgate", "serve", "--config", str(config), "--workers", "2")
        async with running(*arguments, home=tmp_path) as command:
            (url,) = await command.out.have(r"llmgate serves at (\S+) with 2 workers")
            (token,) = await command.out.have(r"setup token: (\w+)")
            headers = await admin_of(url, token)
            await _count(command, url, headers, tmp_path)
            command.signal(signal.SIGTERM)
            assert await command.ended() == 0
    assert list((tmp_path / "state").glob("metrics-*")) == []


async def _count(command: Command, url: str, headers: Mapping[str, str], home: Path) -> None:
    pids = await command.pids(2)
    done = 'llmgate_requests_total{level="3",outcome="completed",protocol="ollama"}'
    scraper = Scraper(url, headers)
    await ask(url, headers, REQUESTS)
    await scraper.until(done, REQUESTS)
    await scraper.until("llmgate_queue_daemons", 2)
    # A worker tells its own state a few times a second: the other one may still show how it was before it had joined.
    await scraper.until("llmgate_queue_connected", 1)
    served = {line["worker"] for line in command.logged("request")}
    assert served == {1, 2}
    for _ in range(8):
        now = await scraper.once()
        assert now[done] == REQUESTS
        assert now['llmgate_wait_seconds_count{level="3"}'] == REQUESTS
        assert now['llmgate_first_byte_seconds_bucket{le="+Inf",level="3"}'] == REQUESTS
        assert now['llmgate_tokens_total{kind="output",level="3"}'] == 2 * REQUESTS
        assert now['llmgate_logins_total{result="failed"}'] == 1
        assert now['llmgate_logins_total{result="ok"}'] == 1
        assert now['llmgate_changes_total{action="session.login"}'] == 1
        assert now["llmgate_queue_daemons"] == 2
        assert now["llmgate_queue_connected"] == 1
        assert now['llmgate_upstream_up{pool="fake",upstream="fake"}'] == 1
        assert total(now, "llmgate_build_info") == 1
    await scraper.until('llmgate_queue_dispatching{pool="fake"}', 1)
    (files,) = (home / "state").glob("metrics-*")
    assert files.stat().st_mode & 0o777 == 0o700
    before = sorted(path.name for path in files.iterdir())
    os.kill(pids[2], signal.SIGKILL)
    await asyncio.gather(command.pids(3), *(scraper.once() for _ in range(5)))
    await ask(url, headers, REQUESTS)
    await scraper.until(done, 2 * REQUESTS)
    await scraper.until("llmgate_queue_connected", 1)
    await scraper.until('llmgate_queue_dispatching{pool="fake"}', 1)
    assert sorted(path.name for path in files.iterdir()) == before  # as many files as before


# The directory


def test_the_directory_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    state = tmp_path / "state"
    left = state / "metrics-999999999"
    left.mkdir(parents=True)
    (left / "counter_1.db").touch()
    with directory.for_workers(state) as made:
        assert made.parent == state
        assert made.stat().st_mode & 0o777 == 0o700
        assert not left.exists()
        for name in ("gauge_livesum_2.db", "gauge_livemin_2.db", "gauge_livesum_12.db", "counter_2.db"):
            (made / name).touch()
        directory.worker_died(made, 2)
        assert sorted(path.name for path in made.iterdir()) == ["counter_2.db", "gauge_livesum_12.db"]
    assert not made.exists()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateUnreadable, match="Cannot write"), directory.for_workers(tmp_path / "state"):
        raise AssertionError
