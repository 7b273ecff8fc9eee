"""ControlPlane: what all daemons of a cluster tell each other. Heartbeats once a second, questions, announcements.

A heartbeat carries what a daemon knows of its own requests; the statistics of the cluster are their sum. It also
carries what must be the same everywhere: daemons with other settings, or another secret key, do not take part.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from llmgate.daemon.queue.pool import Mode
from llmgate.daemon.queue.rabbitmq.exchanges import CONTROL, DAEMONS
from llmgate.daemon.queue.rabbitmq.link import Link
from llmgate.daemon.queue.replies import gathered
from llmgate.daemon.queue.report import PoolReport
from llmgate.errors import ConfigError

BEAT_SECONDS = 1.0
HELLO_SECONDS = 0.5
"""Longest wait for those who are there already."""
HELLO_TICK = 0.01
ANSWER_SECONDS = 1.0
"""Longest wait for the answer to a question."""
PEER_SECONDS = 5.0
"""A daemon that has not been heard for so long does not count in the statistics any more."""
FORGET_SECONDS = 60.0
APART_SECONDS = 2.0
"""Clocks of two machines that differ by more than this make the order between their requests wrong."""

Shape = Mapping[str, Any]
SETTINGS_VERSION = "settings version"
"""In a shape: how often settings or upstreams were changed at run time. Of two daemons with different ones, one is
behind for a moment; what such a change can alter does not count between them until then."""
NEVER_CHANGES = ("secret key", "queue.queue_type")
SETTINGS_TOPIC = "settings"
"""What daemons tell each other when the settings version has grown."""
Answerer = Callable[[str, Sequence[Any]], Awaitable[Any]]


@dataclass(slots=True)
class Peer:
    """Another daemon, as its last heartbeat tells."""

    boot: str
    name: str
    started_at: float
    heard_at: float
    state: str = "connected"
    reason: str = ""
    dispatches: list[str] = field(default_factory=list)
    reports: list[PoolReport] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)
    over_limit: dict[str, float] = field(default_factory=dict)
    """By pool that it dispatches, see PoolStats."""
    busy: dict[str, dict[str, int]] = field(default_factory=dict)
    """By pool that it dispatches and by upstream, the slots that are in use."""
    counters: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """By pool that it dispatches and by level, what its flows have been served."""


def cluster_clock() -> Callable[[], float]:
    """Seconds that never go back in one process and are, but for the clocks' difference, the same in all."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


def difference(own: Shape, other: Shape) -> str | None:
    """The first setting in which two daemons differ, in words."""
    in_step = own.get(SETTINGS_VERSION) == other.get(SETTINGS_VERSION)
    if own.get("secret key") != other.get("secret key"):
        return "The secret key (state.secret_file) is another one here than"
    for key in sorted(own.keys() | other.keys()) if in_step else NEVER_CHANGES:
        if own.get(key) != other.get(key):
            here, there = (_shown(shape.get(key)) for shape in (own, other))
            return f"{key} is {here} here and {there}"
    return None


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value) if isinstance(value, str) else str(value)


class ControlPlane:
    """See the module. ``answer`` answers what others ask; ``shape`` is what must be the same everywhere."""

    def __init__(
        self,
        boot: str,
        name: str,
        shape: Shape,
        *,
        clock: Callable[[], float],
        answer: Answerer,
        on_mode: Callable[[str, Mode], None],
    ) -> None:
        self._boot = boot
        self._name = name
        self._shape = dict(shape)
        self._clock = clock
        self._answer = answer
        self._on_mode = on_mode
        self._started_at = clock()
        self._parted_at: float | None = None
        self._link: Link | None = None
        self._questions: dict[int, asyncio.Queue[Any]] = {}
        self._numbers = itertools.count(1)
        self._log = structlog.get_logger("llmgate.queue")
        self._tasks: set[asyncio.Task[None]] = set()
        self._shapes: dict[str, Shape] = {}
        self.peers: dict[str, Peer] = {}
        self.modes: dict[str, tuple[float, Mode]] = {}
        """By pool, what an administrator wanted last, and when."""
        self.topics: dict[str, Callable[[str, Any], None]] = {}
        """Who here hears what the daemons tell each other beside the queue's own business."""

    # -- joining -----------------------------------------------------------------------------

    async def join(self, link: Link) -> None:
        """Greet those who are there. Raises ConfigError when this daemon does not go together with one of them."""
        now = self._clock()
        if self._parted_at is not None:  # while nobody could be heard, nobody was silent
            for peer in self.peers.values():
                peer.heard_at += now - self._parted_at
        self._link, self._parted_at = link, None
        link.publisher.tell(CONTROL, "", ["hello"])
        while self._clock() - now < HELLO_SECONDS and not link.is_alone:
            await asyncio.sleep(HELLO_TICK)
            if any(peer.heard_at > now for peer in self.peers.values()):
                break
        self.check_peers()

    def part(self) -> None:
        """Nobody can be heard any more."""
        if self._link is not None:
            self._link, self._parted_at = None, self._clock()

    def check_peers(self) -> None:
        """Raises ConfigError, see ``join``."""
        for boot, problem in self._problems.items():
            peer = self.peers.get(boot)
            if (
                peer is not None
                and peer.started_at <= self._started_at
                and self._clock() - peer.heard_at < PEER_SECONDS
            ):
                raise ConfigError(
                    f"{problem} in the daemon {peer.name}, which is part of this cluster already.",
                    hint="All daemons of a cluster need the same settings and the same secret.key. What can be changed "
                    "at run time is best left out of their files, and set for all with: llmgate settings set",
                )

    def reshape(self, shape: Shape) -> None:
        """What must be the same everywhere is this now."""
        self._shape = dict(shape)

    @property
    def is_out_of_step(self) -> bool:
        """Whether another daemon has not heard of the latest settings yet, or has heard of later ones."""
        own = self._shape.get(SETTINGS_VERSION)
        return any(shape.get(SETTINGS_VERSION) != own for shape in self._shapes.values())

    @property
    def _problems(self) -> dict[str, str]:
        return {boot: text for boot, shape in self._shapes.items() if (text := difference(self._shape, shape))}

    # -- heartbeats --------------------------------------------------------------------------

    def beat(self, facts: Mapping[str, Any], to: str | None = None) -> None:
        """Tell how this daemon does: one other daemon, or all."""
        if self._link is not None:
            modes = {pool: [when, mode.value] for pool, (when, mode) in self.modes.items()}
            told = {"name": self._name, "started_at": self._started_at, "shape": self._shape, "modes": modes, **facts}
            told["at"] = self._clock()
            exchange, key = (CONTROL, "") if to is None else (DAEMONS, to)
            self._link.publisher.tell(exchange, key, ["beat", told])

    def heard_beat(self, boot: str, told: Mapping[str, Any]) -> None:
        """How another daemon does."""
        if boot == self._boot:
            return
        self._shapes[boot] = told["shape"]
        version = told["shape"].get(SETTINGS_VERSION, 0)
        if version > self._shape.get(SETTINGS_VERSION, 0):
            self.heard_topic(boot, SETTINGS_TOPIC, version)
        apart = abs(self._clock() - float(told["at"]))
        if boot not in self.peers and apart > APART_SECONDS:
            self._log.warning("clocks_differ", daemon=told["name"], seconds=round(apart, 1), advice="run NTP on both")
        self.peers[boot] = Peer(
            boot=boot,
            name=str(told["name"]),
            started_at=float(told["started_at"]),
            heard_at=self._clock(),
            state=str(told["state"]),
            reason=str(told["reason"]),
            dispatches=list(told["dispatches"]),
            reports=[PoolReport.from_wire(report) for report in told["reports"]],
            running=list(told["running"]),
            over_limit=dict(told["over_limit"]),
            busy=dict(told["busy"]),
            counters=dict(told["counters"]),
        )
        for pool, (when, mode) in told["modes"].items():
            self.heard_mode(pool, float(when), Mode(mode))

    def heard_bye(self, boot: str) -> None:
        """Another daemon has ended in peace."""
        self.peers.pop(boot, None)
        self._shapes.pop(boot, None)

    def heard_mode(self, pool: str, when: float, mode: Mode) -> bool:
        """What an administrator wants a pool to do; False when something newer is known."""
        if when <= self.modes.get(pool, (float("-inf"), mode))[0]:
            return False
        self.modes[pool] = (when, mode)
        self._on_mode(pool, mode)
        return True

    def recent(self, now: float, seconds: float = PEER_SECONDS) -> list[Peer]:
        """The others that were heard lately."""
        if self._parted_at is None:  # while nobody can be heard, nobody is forgotten
            for boot in [peer.boot for peer in self.peers.values() if now - peer.heard_at > FORGET_SECONDS]:
                self.heard_bye(boot)
        return [peer for peer in self.peers.values() if now - peer.heard_at <= seconds]

    # -- questions ---------------------------------------------------------------------------

    def set_mode(self, pool: str, mode: Mode) -> None:
        """An administrator wants something of a pool, everywhere."""
        last, _ = self.modes.get(pool, (float("-inf"), mode))
        when = max(self._clock(), last + 0.001)  # another daemon's clock may be ahead
        self.heard_mode(pool, when, mode)
        self.announce("mode", pool, when, mode.value)

    def announce(self, *item: Any) -> None:
        """Tell all daemons something, this one included."""
        if self._link is not None:
            self._link.publisher.tell(CONTROL, "", list(item))

    def tell_topic(self, topic: str, body: Any, to: str | None = None) -> None:
        """Tell one other daemon something, or all of them."""
        if self._link is not None:
            exchange, key = (CONTROL, "") if to is None else (DAEMONS, to)
            self._link.publisher.tell(exchange, key, ["topic", topic, body])

    def heard_topic(self, boot: str, topic: str, body: Any) -> None:
        """What another daemon has told. A topic that is not known here is one of a newer version."""
        hears = self.topics.get(topic)
        if hears is not None:
            hears(boot, body)

    async def ask(self, boot: str | None, question: str, *arguments: Any, answers: int = 1) -> list[Any]:
        """Ask one daemon, or all of them, and wait for so many answers that are not None, a second at most."""
        if self._link is None:
            return []
        number = next(self._numbers)
        replies: asyncio.Queue[Any] = asyncio.Queue()
        self._questions[number] = replies
        exchange, key = (CONTROL, "") if boot is None else (DAEMONS, boot)
        self._link.publisher.tell(exchange, key, ["ask", number, question, list(arguments)])
        expected = len(self.recent(self._clock())) + 1 if boot is None else 1
        try:
            return await gathered(replies, expected, ANSWER_SECONDS, answers)
        finally:
            del self._questions[number]

    def asked(self, boot: str, number: int, question: str, arguments: Sequence[Any]) -> None:
        """Another daemon wants to know something."""
        task = asyncio.create_task(self._reply(boot, number, question, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, boot: str, number: int, question: str, arguments: Sequence[Any]) -> None:
        answer = await self._answer(question, arguments)
        if self._link is not None:
            self._link.publisher.tell(DAEMONS, boot, ["reply", number, answer])

    def replied(self, number: int, answer: Any) -> None:
        """The answer to a question."""
        replies = self._questions.get(number)
        if replies is not None:
            replies.put_nowait(answer)
