"""ClusterView: what one daemon can tell of the whole cluster.

Where a request stands is asked of the dispatcher, whose word is up to a quarter of a second old; what runs and how
much is told by the heartbeats, about a second old. Without either, each daemon knows its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from typing import Any

from llmgate.daemon.queue.pool import Mode
from llmgate.daemon.queue.rabbitmq.control import FORGET_SECONDS, ControlPlane, Peer
from llmgate.daemon.queue.rabbitmq.dispatcher import Dispatcher, Neighbour
from llmgate.daemon.queue.rabbitmq.ledger import Ledger
from llmgate.daemon.queue.rabbitmq.owner import TicketOwner
from llmgate.daemon.queue.report import merge
from llmgate.daemon.queue.room import WaitingRoom
from llmgate.daemon.queue.ticket import DaemonStatus, PoolStats, Position, QueueStatus, Running
from llmgate.daemon.queue.wanted import ALL, Wanted

FLOWS_TOLD = 256
"""Flows per level whose counters a heartbeat carries."""
SHOWN_SECONDS = 10.0
"""A daemon that was heard so lately is shown."""


@dataclass(slots=True)
class Condition:
    """How this daemon does. ``shares`` are the slots it may hand out itself while it is degraded."""

    connected: bool = False
    reason: str = "not connected yet"
    broker: str = ""
    """The version of the broker that it was connected to last."""
    shares: Mapping[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "connected" if self.connected else "degraded"


class ClusterView:
    """See the module. ``condition`` and ``dispatchers`` are the manager's own, and change."""

    def __init__(
        self,
        boot: str,
        name: str,
        condition: Condition,
        dispatchers: Mapping[str, Dispatcher],
        room: WaitingRoom,
        owner: TicketOwner,
        control: ControlPlane,
        clock: Callable[[], float],
    ) -> None:
        self._boot = boot
        self._name = name
        self._condition = condition
        self._dispatchers = dispatchers
        self._room = room
        self._owner = owner
        self._control = control
        self._clock = clock
        self._over_limits: dict[str, float] = defaultdict(float)
        self._own_counters: dict[str, tuple[float, dict[Any, dict[str, float]]]] = {}
        """When this daemon dispatched a pool last, and what its flows had been served then."""

    async def position(self, ticket_id: str) -> Position | None:
        """Where one request stands, wherever it waits."""
        found = await self._own_position(ticket_id)
        if found is not None:
            return found
        answers = await self._control.ask(None, "position", ticket_id)
        return Position(**answers[0]) if answers else None

    async def _own_position(self, ticket_id: str) -> Position | None:
        """Of a ticket that waits here: where the dispatcher has it, unless it has an older form of it."""
        own = self._room.position(ticket_id)
        if own is None:
            return None
        told = await self._ask_dispatcher(own.pool, "place", ticket_id)
        if told is None or (told["level"], told["aged"]) != (own.level, own.aged):
            return own
        return replace(own, ahead=told["ahead"], estimated_wait=told["estimated_wait"])

    async def waiting(self, wanted: Wanted = ALL, limit: int = 500) -> Sequence[Position]:
        """Who waits of those, in the order of service. The dispatchers choose: what is not shown is not told."""
        found: dict[str, Position] = {}
        for pool in [name for name in self._room.pools() if wanted.pool in (None, name)]:
            for told in await self._ask_dispatcher(pool, "waiting", wanted.to_wire(), limit) or ():
                found[told["ticket_id"]] = Position(**told)
        for own in self._room.waiting(wanted, limit):
            found.setdefault(own.ticket_id, own)
        return sorted(found.values(), key=lambda position: position.ahead)[:limit]

    async def count(self, wanted: Wanted = ALL) -> int:
        """How many of those wait. Each daemon counts its own: of a long line the dispatcher knows but the beginning."""
        own, peers = self._room.count(wanted), self._control.recent(self._clock())
        if not peers:
            return own
        if wanted.is_of_pools:
            told = [report for peer in peers for report in peer.reports if wanted.pool in (None, report.pool)]
            return own + sum(report.waiting for report in told)
        counts = await self._control.ask(None, "count", self._boot, wanted.to_wire(), answers=len(peers))
        return own + sum(map(int, counts))

    async def running(self, wanted: Wanted = ALL, limit: int | None = None) -> Sequence[Running]:
        """Who holds a slot of those."""
        elsewhere = (
            Running(**one)
            for peer in self._control.recent(self._clock())
            for one in peer.running
            if wanted.fits(one["owner"], one["pool"], one["model"], one["level"])
        )
        return list(islice(chain(self._room.running(wanted, limit), elsewhere), limit))

    def stats(self) -> Sequence[PoolStats]:
        """Every pool at this moment."""
        peers = self._control.recent(self._clock())
        stats = []
        for own in self._room.reports():
            others = [report for peer in peers for report in peer.reports if report.pool == own.pool]
            head = self._owner.head(own.pool)
            found = merge(own, others, dispatcher=self._dispatcher_of(own.pool, peers), epoch=head.epoch)
            over_limit = [self._over_limit(), *(peer.over_limit for peer in peers)]
            found = replace(found, over_limit_seconds=sum(told.get(own.pool, 0.0) for told in over_limit))
            stats.append(self._as_dispatched(found, peers))
        return stats

    def status(self) -> QueueStatus:
        """How the queue does, and who takes part; this daemon first."""
        now = self._clock()
        own = DaemonStatus(
            name=self._name,
            boot=self._boot,
            state=self._condition.state,
            reason=self._condition.reason,
            dispatches=[pool for pool, dispatcher in self._dispatchers.items() if dispatcher.dispatches],
            waiting=len(self._room.places()),
            running=len(self._room.grants()),
            heard=0.0,
        )
        others = [_status_of(peer, now) for peer in self._control.recent(now, SHOWN_SECONDS)]
        serves = self._condition.connected or any(self._condition.shares.values())
        condition = self._condition
        daemons = [own, *others]
        return QueueStatus("rabbitmq", condition.state, condition.reason, serves, daemons, condition.broker)

    def crowding(self, pool: str) -> float:
        """Waiting requests per slot; below zero while a slot is free."""
        if not self._condition.connected:
            return self._room.crowding(pool)
        waiting = sum(stats.waiting for stats in self.stats() if stats.pool == pool)
        if not waiting and self.free(pool):
            return -1.0
        return waiting / max(1, self._room.capacity(pool))

    # -- inside ------------------------------------------------------------------------------

    def _as_dispatched(self, stats: PoolStats, peers: Sequence[Peer]) -> PoolStats:
        """With what runs as the dispatcher has it: heartbeats of different moments may add up to more than there is."""
        told = [self._busy(), *(peer.busy for peer in peers)]
        busy = next((one[stats.pool] for one in told if stats.pool in one), None)
        if busy is None:
            return stats
        upstreams = {name: (busy.get(name, 0), slots) for name, (_, slots) in stats.upstreams.items()}
        return replace(stats, running=sum(busy.values()), upstreams=upstreams)

    def _busy(self) -> dict[str, dict[str, int]]:
        """By pool that this daemon dispatches and by upstream, the slots that are in use."""
        return {
            pool: dispatcher.ledger.busy()
            for pool, dispatcher in self._dispatchers.items()
            if dispatcher.dispatches and dispatcher.ledger is not None
        }

    def _dispatcher_of(self, pool: str, peers: Sequence[Peer]) -> str:
        dispatcher = self._dispatchers.get(pool)
        if dispatcher is not None and dispatcher.dispatches:
            return self._name
        return next((peer.name for peer in peers if pool in peer.dispatches), "")

    def free(self, pool: str) -> int:
        """Slots of a pool that nobody uses, as far as is known here: some of those who wait will have one soon."""
        if not self._condition.connected or self._room.mode(pool) is Mode.PAUSED:
            return 0
        peers = self._control.recent(self._clock())
        used = sum(sum(report.running.values()) for peer in peers for report in peer.reports if report.pool == pool)
        own = sum(upstream.used for upstream in self._room.upstreams(pool))
        return max(0, self._room.capacity(pool) - own - used)

    async def _ask_dispatcher(self, pool: str, question: str, *arguments: Any) -> Any:
        dispatcher = self._dispatchers.get(pool)
        if dispatcher is not None and dispatcher.dispatches:
            return await self.answer(question, (pool, *arguments))
        boot = self._owner.head(pool).boot
        answers = await self._control.ask(boot, question, pool, *arguments) if boot else []
        return answers[0] if answers else None

    async def answer(self, question: str, arguments: Sequence[Any]) -> Any:
        """What another daemon has asked; None: not known here."""
        if question == "position":
            found = await self._own_position(arguments[0])
            return asdict(found) if found else None
        if question == "count":  # who asks knows its own, and hears itself as well
            return None if arguments[0] == self._boot else self._room.count(Wanted.from_wire(arguments[1]))
        dispatcher = self._dispatchers.get(arguments[0])
        if dispatcher is None or not dispatcher.dispatches:
            return None
        if question == "place":
            place = dispatcher.position(arguments[1])
            return asdict(place) if place else None
        wanted, limit = Wanted.from_wire(arguments[1]), arguments[2]
        return [asdict(position) for position in dispatcher.waiting(wanted, limit)]

    # -- what it tells others ----------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What a heartbeat tells."""
        counters = {
            pool: dispatcher.ledger.pool.line.counters(FLOWS_TOLD)
            for pool, dispatcher in self._dispatchers.items()
            if dispatcher.dispatches and dispatcher.ledger is not None
        }
        self._own_counters |= {pool: (self._clock(), told) for pool, told in counters.items()}
        return {
            "state": self._condition.state,
            "reason": self._condition.reason,
            "dispatches": list(counters),
            "reports": [report.to_wire() for report in self._room.reports()],
            "running": [asdict(running) for running in self._room.running()],
            "counters": counters,
            "over_limit": self._over_limit(),
            "busy": self._busy(),
            "epochs": self._owner.epochs(),
        }

    def _over_limit(self) -> dict[str, float]:
        """By pool, how long a slot may have been used twice while this daemon dispatched it, in seconds."""
        return {pool: round(seconds, 3) for pool, seconds in self._over_limits.items()}

    def prepare(self, ledger: Ledger) -> None:
        """What a new dispatcher takes over from the one before."""
        pool = ledger.pool.name
        ledger.pool.mode = self._room.mode(pool)
        ledger.over_limit = self._over_limits
        told = [(peer.heard_at, peer.counters[pool]) for peer in self._control.peers.values() if pool in peer.counters]
        told += [self._own_counters[pool]] if pool in self._own_counters else []
        if told:
            _, counters = max(told, key=lambda one: one[0])
            ledger.pool.line.adopt({int(level): flows for level, flows in counters.items()})

    def others_serve(self, pool: str) -> bool:
        """Whether another daemon reaches an upstream of a pool."""
        peers = self._control.recent(self._clock())
        return any(report.pool == pool and report.usable for peer in peers for report in peer.reports)

    def neighbours(self, pool: str) -> list[Neighbour]:
        """Who should be there when a dispatcher takes its census."""
        recent = self._control.recent(self._clock(), FORGET_SECONDS)
        return [
            Neighbour(peer.boot, peer.heard_at, next((one.running for one in peer.reports if one.pool == pool), {}))
            for peer in recent
        ]


def _status_of(peer: Peer, now: float) -> DaemonStatus:
    return DaemonStatus(
        name=peer.name,
        boot=peer.boot,
        state=peer.state,
        reason=peer.reason,
        dispatches=peer.dispatches,
        waiting=sum(report.waiting for report in peer.reports),
        running=sum(sum(report.running.values()) for report in peer.reports),
        heard=now - peer.heard_at,
    )
