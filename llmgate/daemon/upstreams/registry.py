"""All upstreams of a daemon: their pools, their health and their life."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import structlog

from llmgate.config import HealthSettings, UpstreamSettings
from llmgate.daemon.clock import monotonic
from llmgate.daemon.events import EventBus, UpstreamChanged
from llmgate.daemon.protocols.bodies import quoted
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import UpstreamSlots
from llmgate.daemon.upstreams.base import HealthState, Upstream
from llmgate.daemon.upstreams.directory import Directory
from llmgate.daemon.upstreams.health import IN_USE, Health, HealthRules, Kind, Sign, sign_of
from llmgate.daemon.upstreams.ollama import OllamaUpstream
from llmgate.daemon.upstreams.openai import OpenAIUpstream
from llmgate.daemon.upstreams.pool import Member, Pool
from llmgate.daemon.upstreams.traffic import Traffic
from llmgate.errors import LLMGateError, NotFound, UpstreamUnreachable

KINDS: Final[Mapping[str, Callable[[UpstreamSettings, float], Upstream]]] = {
    "ollama": OllamaUpstream,
    "openai": OpenAIUpstream,
}
START_SECONDS: Final = 3.0
"""Longest wait for the first listings, so that a daemon is ready also when an upstream hangs."""
QUEUES_ONLY: Final = ("slots", "pool")
"""What of an upstream's settings concerns the queue alone. A change of anything else needs new connections."""


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """One upstream at this moment."""

    name: str
    kind: str
    pool: str
    slots: int
    state: HealthState
    reason: str
    models: Sequence[str]
    loaded: Sequence[str]
    version: str


class UpstreamRegistry(Directory):
    """See the module. ``clock`` is in seconds, ``jitter`` a factor around 1 for the pauses between probes."""

    def __init__(
        self,
        upstreams: Sequence[UpstreamSettings],
        health: HealthSettings,
        queue: QueueManagerInterface,
        bus: EventBus,
        *,
        clock: Callable[[], float] = monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - spreads load, guards nothing
    ) -> None:
        super().__init__(queue.crowding, health.interval)
        self._health = health
        self._queue = queue
        self._bus = bus
        self._clock = clock
        self._rules = HealthRules(health, jitter)
        self._told: dict[str, UpstreamSlots] = {}
        self._watches: dict[Member, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._retired: set[Member] = set()
        self._somebody_left = asyncio.Event()
        self._log = structlog.get_logger("llmgate.upstreams")
        self._members = {one.name: self._new_member(one) for one in upstreams}
        self._form_pools()

    # -- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Ask every upstream for its models, for at most ``START_SECONDS``."""
        for member in self._members.values():
            self._tell_queue(member)
        await self._probe_all(list(self._members.values()))

    async def run(self) -> None:
        """Probe each upstream when it is due, and close those that were removed, until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for member in self._members.values():
                    self._begin_watch(member)
                while True:
                    self._somebody_left.clear()
                    await self._close_retired()
                    await self._somebody_left.wait()
        finally:
            self._group = None
            self._watches.clear()

    async def close(self) -> None:
        """Close all connections."""
        for member in [*self._members.values(), *self._retired]:
            await member.upstream.close()

    def apply(self, upstreams: Sequence[UpstreamSettings]) -> None:
        """From now on these are the upstreams, in this order.

        No answer is broken: what runs on an upstream that is removed, or is reached in another way now, ends on the
        connections that it has, which are closed after. Names must differ.
        """
        before, self._members = self._members, {}
        for settings in upstreams:
            known = before.pop(settings.name, None)
            self._members[settings.name] = self._changed(known, settings)
        for name, member in before.items():
            self._retire(member)
            self._told.pop(name, None)
            self._queue.remove_upstream(name)
            self._log.info("upstream_removed", upstream=name)
        self._form_pools()
        for member in self._members.values():
            self._tell_queue(member)
        if self._group is not None:
            for member in self._members.values():
                if member not in self._watches:
                    self._begin_watch(member)

    def apply_health(self, health: HealthSettings) -> None:
        """From now on watch them like this: every one is looked at soon, and by the new times after that."""
        self._health, self._interval = health, health.interval
        self._rules.apply(health)
        for member in self._members.values():
            member.upstream.timeout = health.timeout
            member.health = replace(member.health, next_probe=min(member.health.next_probe, self._clock() + 1))
            member.wake.set()

    async def refresh(self, names: Sequence[str]) -> None:
        """Ask these upstreams at once how they do and what they have, for at most ``START_SECONDS``."""
        await self._probe_all([self._members[name] for name in names if name in self._members])

    def _changed(self, known: Member | None, settings: UpstreamSettings) -> Member:
        if known is None:
            self._log.info("upstream_added", upstream=settings.name)
            return self._new_member(settings)
        if known.settings == settings:
            return known
        self._log.info("upstream_changed_settings", upstream=settings.name)
        as_queued = {field: getattr(settings, field) for field in QUEUES_ONLY}
        if known.settings.model_copy(update=as_queued) == settings:
            known.settings = settings
            return known
        self._retire(known)
        member = self._new_member(settings)
        if (known.settings.kind, known.settings.url) == (settings.kind, settings.url):
            # The same server: what it told holds until it is asked again, which is at once.
            member.listed, member.loaded, member.version = known.listed, known.loaded, known.version
            if known.health.state in IN_USE:
                member.health = replace(known.health, next_probe=self._clock())
        return member

    def _new_member(self, settings: UpstreamSettings) -> Member:
        return Member(KINDS[settings.kind](settings, self._health.timeout), settings)

    def _retire(self, member: Member) -> None:
        watch = self._watches.pop(member, None)
        if watch is not None:
            watch.cancel()
        self._retired.add(member)
        member.left = self._somebody_left.set
        self._somebody_left.set()

    async def _close_retired(self) -> None:
        for member in [member for member in self._retired if not member.users]:
            self._retired.discard(member)
            await member.upstream.close()

    def _form_pools(self) -> None:
        members: dict[str, list[Member]] = {}
        for member in self._members.values():
            members.setdefault(member.settings.pool_name, []).append(member)
        self._pools.clear()
        for name, mates in members.items():
            pool = self._pools[name] = Pool(name, mates)
            pool.refresh()

    # -- health ------------------------------------------------------------------------------

    def _begin_watch(self, member: Member) -> None:
        if self._group is not None:
            self._watches[member] = self._group.create_task(self._watch(member))

    async def _watch(self, member: Member) -> None:
        while True:
            member.wake.clear()
            pause = member.health.next_probe - self._clock()
            if pause <= 0:
                await self._probe(member)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await member.wake.wait()  # the next probe is due at another time now

    async def _probe_all(self, members: Sequence[Member]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*(self._probe(member) for member in members))

    async def _probe(self, member: Member) -> None:
        began = self._clock()
        try:
            with member.in_use():
                told = await member.upstream.inspect()
            member.learn(told)
            sign = Sign(Kind.ALIVE, seconds=self._clock() - began)
        except LLMGateError as failure:
            sign = replace(sign_of(failure, probe=True), seconds=self._clock() - began)
        now = self._clock()
        self._settle(member, self._rules.probed(member.health, sign, now, member.heard_at), listed=True)

    # -- requests ----------------------------------------------------------------------------

    def get(self, name: str) -> Upstream:
        """The upstream of a grant. Raises UpstreamUnreachable when it is gone: the request may go to another."""
        member = self._members.get(name)
        if member is None:
            raise UpstreamUnreachable(f"There is no upstream {quoted(name)} any more.")
        return member.upstream

    def observe(self, name: str, owner: str = "") -> Traffic:
        """Watch a request on an upstream: what happens to it tells how the upstream does. ``owner`` is whose
        request it is, so that one owner's bad requests are not taken for the upstream's fault."""
        member = self._members[name]
        return Traffic(member, self._clock, lambda sign, deaf: self._served(member, sign, deaf), owner)

    def _served(self, member: Member, sign: Sign, deaf: bool) -> None:
        health = self._rules.served(member.health, sign, self._clock(), deaf=deaf)
        if health is not member.health:
            self._settle(member, health)

    def _settle(self, member: Member, health: Health, *, listed: bool = False) -> None:
        before, member.health = member.health, health
        name = member.settings.name
        if self._members.get(name) is not member:
            return  # it was removed meanwhile, or is reached in another way now
        if health.next_probe < before.next_probe:
            member.wake.set()
        if listed or health.state is not before.state:
            pool = self._pools[member.settings.pool_name]
            pool.refresh()
            for mate in pool.members:
                self._tell_queue(mate)
        if health.state is not before.state:
            self._bus.publish(UpstreamChanged(name, before.state, health.state, member.usable, health.reason))

    def _tell_queue(self, member: Member) -> None:
        slots = self._pools[member.settings.pool_name].slots_of(member)
        if self._told.get(slots.name) != slots:
            self._told[slots.name] = slots
            self._queue.update_upstream(slots)

    # -- status ------------------------------------------------------------------------------

    def members(self, pool: str | None = None) -> Sequence[Member]:
        """Every upstream with what is known of it, or those of a pool: to be read, not to be changed.

        Raises NotFound for a pool that does not exist."""
        if pool is None:
            return list(self._members.values())
        return self.pool(pool).members

    def pools(self) -> Sequence[Pool]:
        """To be read, not to be changed."""
        return list(self._pools.values())

    def pool(self, name: str) -> Pool:
        """Raises NotFound."""
        found = self._pools.get(name)
        if found is None:
            raise NotFound("There is no such pool.")
        return found

    def any_usable(self) -> bool:
        return any(member.usable for member in self._members.values())

    def status(self) -> list[UpstreamStatus]:
        """Every upstream, in the order of the configuration."""
        return [status_of(member) for member in self._members.values()]


def status_of(member: Member) -> UpstreamStatus:
    """How one upstream does at this moment."""
    return UpstreamStatus(
        name=member.settings.name,
        kind=member.settings.kind,
        pool=member.settings.pool_name,
        slots=member.settings.slots,
        state=member.health.state,
        reason=member.health.reason,
        models=sorted(str(entry["name"]) for entry in (member.listed or {}).values()),
        loaded=sorted(str(entry["name"]) for entry in member.loaded.values()),
        version=member.version,
    )
