"""What daemons tell each other of what happens, and how much of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmgate.config import QueueSettings, StateSettings
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.feed.peers import EVENTS_PER_SECOND, INTEREST_SECONDS, Peers
from llmgate.daemon.pulse import SAMPLES, Pulse, Second
from llmgate.daemon.queue.memory import MemoryQueueManager
from tests.fakes import FakeOllama
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.observer.harness import following
from tests.observer.test_bounds import finished


class Line(MemoryQueueManager):
    """A queue by which two daemons hear each other, at once."""

    def __init__(self, name: str) -> None:
        super().__init__(QueueSettings(), emit=lambda _: None)
        self.name = name
        self.other: Line | None = None
        self.told: list[tuple[str, Any]] = []
        self._topics: dict[str, Callable[[str, Any], None]] = {}

    def tell(self, topic: str, body: Any, to: str | None = None) -> None:
        assert self.other is not None
        assert to in (None, self.other.name)
        self.told.append((topic, body))
        body = json.loads(json.dumps(body))
        self.other._topics[topic](self.name, body)

    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None:
        self._topics[topic] = told


class Pair:
    """Somebody follows at ``here``; ``there`` is where something happens."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.heard: list[tuple[str, str]] = []
        self.missed = 0
        self.pulse = Pulse()
        self.lines = Line("here"), Line("there")
        self.lines[0].other, self.lines[1].other = self.lines[1], self.lines[0]
        self.here, self.there = (self._peers(line) for line in self.lines)
        self.here.start()
        self.there.start()

    def _peers(self, line: Line) -> Peers:
        return Peers(
            line,
            self.pulse,
            heard=lambda name, data: self.heard.append((name, data)),
            missed=self._miss,
            asked=lambda: None,
            clock=lambda: self.now,
        )

    def _miss(self, count: int) -> None:
        self.missed += count


def test_events_are_told_only_while_somebody_asks() -> None:
    pair = Pair()
    pair.there.tell("activity", "{}")
    pair.there.flush()
    assert pair.lines[1].told == []
    pair.here.ask()
    assert pair.there.interested
    pair.there.tell("activity", '{"seq":1}')
    pair.there.tell("request.finished", "{}")
    pair.there.flush()
    assert pair.heard == [("activity", '{"seq":1}'), ("request.finished", "{}")]
    pair.now += INTEREST_SECONDS + 0.1
    pair.there.turn(Second())
    assert not pair.there.interested


def test_a_flood_is_cut_and_counted_and_what_administrators_do_comes_through() -> None:
    pair = Pair()
    pair.here.ask()
    for number in range(EVENTS_PER_SECOND + 250):
        pair.there.tell("ticket.promoted", f'{{"n":{number}}}')
    pair.there.tell("activity", "{}")
    pair.there.flush()
    assert len(pair.heard) == EVENTS_PER_SECOND + 1
    assert pair.heard[-1] == ("activity", "{}")
    assert pair.missed == pair.there.dropped == 250
    pair.now += 1.1
    pair.there.tell("ticket.promoted", "{}")
    pair.there.flush()
    assert pair.heard[-1] == ("ticket.promoted", "{}")


def test_large_events_are_bounded_too() -> None:
    pair = Pair()
    pair.here.ask()
    for _ in range(100):
        pair.there.tell("activity", "x" * 20_000)
    pair.there.flush()
    assert len(pair.heard) == 52
    assert pair.missed == 48


def test_what_is_no_event_is_not_believed() -> None:
    pair = Pair()
    line = pair.lines[1]
    line.tell("feed.events", [0, [["end", "{}"], ["stats", "{}"], ["activity", 5], ["activity", "{}\n\ndata: x"]]])
    assert pair.heard == []
    for nonsense in ([1], 7, [0, [["a"]]], None):
        with pytest.raises((ValueError, TypeError)):
            line.tell("feed.events", nonsense)
    for nonsense in ([1, 2], [1, 2, 3, 4, "x", []], None):
        with pytest.raises((ValueError, TypeError)):
            line.tell("feed.second", nonsense)


def test_the_seconds_of_all_daemons_are_one() -> None:
    pair = Pair()
    pair.here.ask()
    for number in range(SAMPLES + 5):
        pair.pulse(finished(number))
    own = pair.pulse.turn()
    assert len(own.first) == SAMPLES
    pair.there.turn(Second(requests=3, errors=1, refused=2, input_tokens=30, output_tokens=60, first=[9.0]))
    facts = pair.pulse.facts()
    assert facts["requests_per_second"] == SAMPLES + 5 + 3
    assert (facts["errors_per_second"], facts["refused_per_second"]) == (1, 2)
    assert facts["output_tokens_per_second"] == 2 * (SAMPLES + 5) + 60
    assert facts["first_token_p50"] == 0.2
    assert facts["seconds"] == 1.0
    for _ in range(11):
        pair.pulse.turn()
    assert pair.pulse.facts()["requests_per_second"] == 0
    assert pair.pulse.facts()["first_token_p50"] is None


async def test_the_stream_of_one_daemon_shows_what_happens_at_another(tmp_path: Path, vhost_url: str) -> None:
    """Two real daemons with one real broker, in this process. What they have in their databases does not matter."""
    queue = QueueSettings(backend="rabbitmq", url=vhost_url, settle_ms=0)
    async with FakeOllama() as fake:
        first, second = (
            settings_for(tmp_path, [upstream_for(fake)], queue=queue).model_copy(
                update={"state": StateSettings(dir=tmp_path / name, secret_file=tmp_path / "secret.key")}
            )
            for name in ("here", "there")
        )
        async with run_gateway(first) as here, run_gateway(second) as there:
            await _meet(here, there)
            here.client.headers["authorization"] = f"Bearer {await here.new_key('admin', role=Role.ADMIN)}"
            admin = await there.new_key("admin", role=Role.ADMIN)
            async with following(here.client) as stream:
                async with asyncio.timeout(5):
                    while not there.services.bus.watched:
                        await asyncio.sleep(0)
                assert (await there.post("/api/chat", CHAT)).status_code == 200
                (done,) = await stream.has("request.finished")
                assert done["request_id"] == there.finished[0].request_id
                assert [len(stream.named(f"request.{name}")) for name in ("waiting", "started")] == [1, 1]
                made = await there.client.post(
                    "/admin/v1/users",
                    json={"name": "bob", "password": "correct horse battery"},
                    headers={"authorization": f"Bearer {admin}"},
                )
                assert made.status_code == 201, made.text
                assert (await stream.has("activity"))[0]["target_name"] == "bob"
                await stream.until(lambda: any(one["requests_per_second"] > 0 for one in stream.named("stats")))
                system = (await here.client.get("/admin/v1/system")).json()
                assert len(system["daemons"]) == 2
                assert system["versions"]["broker"].startswith("3.")


async def _meet(*gateways: Running) -> None:
    async with asyncio.timeout(20):
        for one in gateways:
            while len(one.services.queue.status().daemons) < len(gateways):
                await asyncio.sleep(0)
