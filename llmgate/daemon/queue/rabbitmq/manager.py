"""RabbitMQManager: one waiting line and one slot limit for several daemons.

The broker keeps the tickets, orders them by level and ages them; the dispatcher decides who goes next; the daemon that
holds the client's connection decides whether the request still exists. Without the broker every daemon goes on with
the slots that it has, and nobody loses a place.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event
from llmgate.daemon.queue.interface import Place, QueueManagerInterface
from llmgate.daemon.queue.pool import Mode
from llmgate.daemon.queue.rabbitmq.connection import BrokerAddress
from llmgate.daemon.queue.rabbitmq.control import BEAT_SECONDS, ControlPlane, Shape, cluster_clock
from llmgate.daemon.queue.rabbitmq.dispatcher import Dispatcher
from llmgate.daemon.queue.rabbitmq.inbox import Inbox
from llmgate.daemon.queue.rabbitmq.link import Link
from llmgate.daemon.queue.rabbitmq.members import StallWatch, degraded_shares
from llmgate.daemon.queue.rabbitmq.owner import TicketOwner
from llmgate.daemon.queue.rabbitmq.view import ClusterView, Condition
from llmgate.daemon.queue.room import WaitingRoom
from llmgate.daemon.queue.ticket import Grant, PoolStats, Position, QueueStatus, Running, Ticket, UpstreamSlots
from llmgate.daemon.queue.wanted import ALL, Wanted
from llmgate.errors import BrokerUnavailable, ConfigError

FIRST_RETRY = 0.1
LONGEST_RETRY = 1.0
STABLE_SECONDS = 5.0
QUICK_LINKS = 10
"""So many links in a row may break within STABLE_SECONDS before the pauses grow."""
DEAF_SECONDS = 5.0
"""A daemon that has not heard its own heartbeat for so long hears nothing."""
FLUSH_SECONDS = 0.5


class RabbitMQManager(QueueManagerInterface):
    """See the module. ``boot`` names this run of the daemon; ``shape`` is what must be the same in all daemons;
    ``pools`` are those that are known from the start; ``on_revoked`` hears that rights were changed elsewhere."""

    def __init__(
        self,
        settings: QueueSettings,
        *,
        boot: str,
        name: str,
        shape: Shape,
        pools: Sequence[str] = (),
        emit: Callable[[Event], None],
        on_revoked: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._boot = boot
        self._name = name
        self._clock = cluster_clock()
        self._address = BrokerAddress.of(settings)
        self.room = WaitingRoom(
            settings,
            emit=emit,
            clock=self._clock,
            chance=chance,
            left=lambda place: self.owner.left(place),  # noqa: PLW0108 - made after the room
            abandoned=lambda grant: self.owner.released(grant, 0.0, cancelled=False),
            about_to_go=lambda pool: self.view.free(pool),  # noqa: PLW0108 - and this
        )
        self.owner = TicketOwner(
            boot,
            settings,
            self.room,
            self._clock,
            tell_own=lambda item: self._inbox.told_by_self(item),  # noqa: PLW0108 - made after the owner
        )
        self.control = ControlPlane(boot, name, shape, clock=self._clock, answer=self._answer, on_mode=self._apply_mode)
        self.dispatchers: dict[str, Dispatcher] = {}
        self._pools = set(pools)
        self._upstreams: dict[str, UpstreamSlots] = {}
        self._link: Link | None = None
        self._links = 0
        self._was_connected = False
        self._missed_the_start = False
        self._condition = Condition()
        self.view = ClusterView(
            boot, name, self._condition, self.dispatchers, self.room, self.owner, self.control, self._clock
        )
        self._watch = StallWatch(self._clock())
        self._inbox = Inbox(boot, self._clock, self.owner, self.control, self.dispatchers, self.view.facts, on_revoked)
        self._opened_at = self._opened_again = float("-inf")
        self._log = structlog.get_logger("llmgate.queue")

    # -- life --------------------------------------------------------------------------------

    def now(self) -> float:
        return self._clock()

    async def start(self) -> None:
        """Join the cluster. Without a broker the daemon starts all the same, and waits for it.

        Raises ConfigError for what an operator has to mend.
        """
        self.room.share({})
        try:
            await self._open()
        except (BrokerUnavailable, ConfigError) as failure:
            if isinstance(failure, ConfigError) and not self.control.is_out_of_step:
                raise
            self._condition.reason = failure.text()
            self._missed_the_start = True  # others may be running what we know nothing of
            self._log.warning("broker_unavailable", reason=failure.text())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.room.run())
            group.create_task(self._keep_connected())
            group.create_task(self._beat())

    async def shut(self) -> None:
        self.room.close()

    async def close(self) -> None:
        self.room.close()
        link, self._link = self._link, None
        if link is not None:
            self.control.announce("bye")
            await link.said(FLUSH_SECONDS)
            await link.close()

    def apply(self, settings: QueueSettings, shape: Shape) -> None:
        self._settings = settings
        self.room.apply(settings)
        self.owner.apply(settings)
        self.control.reshape(shape)
        link = self._link
        if link is None:
            return  # the next one is made with them
        self.control.beat(self.view.facts())
        if link.settings.aging_seconds != settings.aging_seconds:
            link.start(self._make_lines_anew(link))
            return
        for dispatcher in self.dispatchers.values():
            dispatcher.apply(settings)

    async def _make_lines_anew(self, link: Link) -> None:
        """The broker ages what waits, by a time that belongs to a queue as long as it lives. Join again: the old
        queues are replaced, and whoever waits is published to the new ones at the level it has earned."""
        await link.said(FLUSH_SECONDS)
        link.lose("queue.aging_seconds was changed: the lines are made anew")

    async def _keep_connected(self) -> None:
        pause, quick = FIRST_RETRY, 0
        while True:
            if self._link is not None:
                self._degrade(await self._link.lost)
                await self._link.close()
                self._link = None
                quick = 0 if self._clock() - self._opened_at > STABLE_SECONDS else quick + 1
                if quick < QUICK_LINKS:  # soon enough not to be taken for dead
                    pause = FIRST_RETRY
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing
            pause = min(2 * pause, LONGEST_RETRY)
            try:
                await self._open()
            except (BrokerUnavailable, ConfigError) as failure:
                self._condition.reason = failure.text()

    async def _open(self) -> None:
        """Connect, meet the others, and leave it to the dispatcher again who goes next."""
        self._links += 1
        pools = sorted(self._pools)
        link = Link(self._settings, self._address, self._boot, self._name, self._links, self._inbox.told)
        await link.open()
        self.room.share({})  # from here on it is the dispatcher who hands out the slots
        try:
            await link.listen()
            await self.control.join(link)
            for pool in pools:
                await link.declare_pool(pool)
            await link.listen(to_all=True)
        except BaseException:
            self.control.part()
            await link.close(undo=True)
            self.room.share(self._condition.shares)
            raise
        again = self._was_connected
        self._was_connected = True
        self._opened_at = self._clock()
        self._opened_again = self._opened_at if again or self._missed_the_start else float("-inf")
        self._link = link
        self._condition.connected, self._condition.reason = True, ""
        self._condition.broker = link.dispatch.version
        self.owner.join(link)
        self.control.beat(self.view.facts())
        for pool in pools:
            self._start_dispatcher(link, pool)
        self._missed_the_start = False
        if link.settings.aging_seconds != self._settings.aging_seconds:  # they were changed while we were connecting
            link.start(self._make_lines_anew(link))
        for pool in self._pools.difference(pools):  # came while we were connecting
            link.start(self._open_pool(link, pool))
        self._log.info("queue_connected", broker=self._address.shown, again=again)

    def _degrade(self, reason: str) -> None:
        """The broker is gone: go on with the slots that this daemon has."""
        now = self._clock()
        shares: dict[str, int] = {}
        # A slot that rests after its request was given up is the dispatcher's again, who knows of it.
        own = Counter(grant.upstream for grant, _ in self.room.grants()) + self.owner.undelivered()
        for pool in () if self._watch.slept_lately(now) else self.room.pools():  # else others have what was ours
            dispatcher = self.dispatchers.get(pool)
            others = dispatcher.used_by_others(now) if dispatcher else None
            slots = {upstream.name: upstream.slots for upstream in self.room.upstreams(pool)}
            shares |= degraded_shares(own, slots, others)
        self.owner.part()
        self.control.part()
        self.dispatchers.clear()
        self._condition.connected, self._condition.reason, self._condition.shares = False, reason, shares
        self._log.warning("queue_degraded", reason=reason, slots=shares, waiting=len(self.room.places()))
        self.room.share(shares)

    def _start_dispatcher(self, link: Link, pool: str) -> None:
        head = self.owner.head(pool)
        if self.control.peers:  # whoever dispatches gets the time to be heard
            head.heard_at = max(head.heard_at, self._clock())
        dispatcher = self.dispatchers[pool] = Dispatcher(
            pool,
            self._boot,
            self._settings,
            link,
            head,
            clock=self._clock,
            neighbours=lambda: self.view.neighbours(pool),
            upstreams=lambda: [one for one in self._upstreams.values() if one.pool == pool],
            prepare=self.view.prepare,
            tell_own=lambda item: self.owner.granted(self._boot, item),
            others_serve=lambda: self.view.others_serve(pool),
            since_outage=lambda: min(self._clock() - self._opened_again, link.publisher.since_stalled()),
            knows_others=not self._missed_the_start,
        )
        link.start(dispatcher.run())

    async def _open_pool(self, link: Link, pool: str) -> None:
        await link.declare_pool(pool)
        self._start_dispatcher(link, pool)
        for place in self.room.places():
            if place.ticket.pool == pool:
                self.owner.publish(place)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._watch.note(self._clock())
            if self._link is not None:
                try:
                    self.control.check_peers()
                except ConfigError as problem:
                    self._link.lose(problem.text())
                self.control.beat(self.view.facts())
                if self._clock() - max(self._inbox.echoed_at, self._opened_at) > DEAF_SECONDS:
                    self._link.lose("this daemon does not hear itself any more: its inbox is gone")

    # -- upstreams and requests --------------------------------------------------------------

    def update_upstream(self, upstream: UpstreamSlots) -> None:
        self._upstreams[upstream.name] = upstream
        self.room.update_upstream(upstream)
        for dispatcher in self.dispatchers.values():
            dispatcher.update_upstream(upstream)
        if upstream.pool not in self._pools:
            self._pools.add(upstream.pool)
            if self._link is not None:
                self._link.start(self._open_pool(self._link, upstream.pool))

    def remove_upstream(self, name: str) -> None:
        self._upstreams.pop(name, None)
        self.room.remove_upstream(name)
        for dispatcher in self.dispatchers.values():
            dispatcher.remove_upstream(name)

    async def submit(self, ticket: Ticket) -> Place:
        place = self.room.enter(ticket)
        if self.room.place(ticket.id) is place:
            self.owner.publish(place)
        return place

    def release(self, grant: Grant, tokens: float | None, *, cancelled: bool = False) -> None:
        if self.room.release(grant, tokens, cancelled=cancelled):
            self.owner.released(grant, tokens, cancelled=cancelled)

    async def cancel(self, ticket_id: str) -> bool:
        return self.room.cancel(ticket_id) or bool(await self.control.ask(None, "cancel", ticket_id))

    async def set_level(self, ticket_id: str, level: int) -> bool:
        return self._set_level(ticket_id, level) or bool(await self.control.ask(None, "level", ticket_id, level))

    def _set_level(self, ticket_id: str, level: int) -> bool:
        if not self.room.set_level(ticket_id, level):
            return False
        place = self.room.place(ticket_id)
        if place is not None:
            place.seq += 1
            self.owner.publish(place)
        return True

    async def pause(self, pool: str) -> None:
        self.control.set_mode(pool, Mode.PAUSED)

    async def resume(self, pool: str) -> None:
        self.control.set_mode(pool, Mode.OPEN)

    async def drain(self, pool: str) -> None:
        self.control.set_mode(pool, Mode.DRAINING)

    def _apply_mode(self, pool: str, mode: Mode) -> None:
        dispatcher = self.dispatchers.get(pool)
        if dispatcher is not None and dispatcher.ledger is not None:
            dispatcher.ledger.pool.mode = mode
            dispatcher.step()
        self.room.set_mode(pool, mode)

    def tell_revoked(self) -> None:
        self.control.announce("revoked")

    def tell(self, topic: str, body: Any, to: str | None = None) -> None:
        self.control.tell_topic(topic, body, to)

    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None:
        self.control.topics[topic] = told

    async def position(self, ticket_id: str) -> Position | None:
        return await self.view.position(ticket_id)

    async def waiting(self, wanted: Wanted = ALL, limit: int = 500) -> Sequence[Position]:
        return await self.view.waiting(wanted, limit)

    async def count(self, wanted: Wanted = ALL) -> int:
        return await self.view.count(wanted)

    async def running(self, wanted: Wanted = ALL, limit: int | None = None) -> Sequence[Running]:
        return await self.view.running(wanted, limit)

    def stats(self) -> Sequence[PoolStats]:
        return self.view.stats()

    def status(self) -> QueueStatus:
        return self.view.status()

    def crowding(self, pool: str) -> float:
        return self.view.crowding(pool)

    async def _answer(self, question: str, arguments: Sequence[Any]) -> Any:
        """What another daemon has asked; None: not known here."""
        if question == "cancel":
            return self.room.cancel(arguments[0]) or None
        if question == "level":
            return self._set_level(arguments[0], arguments[1]) or None
        return await self.view.answer(question, arguments)
