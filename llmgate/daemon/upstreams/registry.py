"""All upstreams of a daemon: their pools, their health and their models."""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from llmgate.config import HealthSettings, UpstreamSettings
from llmgate.daemon.clock import monotonic
from llmgate.daemon.events import EventBus, UpstreamChanged
from llmgate.daemon.protocols.bodies import normalise_model, quoted
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import UpstreamSlots
from llmgate.daemon.upstreams.base import HealthState, Upstream
from llmgate.daemon.upstreams.health import Health, HealthRules, Kind, Sign, sign_of
from llmgate.daemon.upstreams.ollama import OllamaUpstream
from llmgate.daemon.upstreams.openai import OpenAIUpstream
from llmgate.daemon.upstreams.pool import Member, Pool, openai_entry, tagged
from llmgate.daemon.upstreams.traffic import Traffic
from llmgate.errors import LLMGateError, ModelNotFound, UpstreamError, UpstreamUnavailable

KINDS: Final[Mapping[str, Callable[[UpstreamSettings, float], Upstream]]] = {
    "ollama": OllamaUpstream,
    "openai": OpenAIUpstream,
}
START_SECONDS: Final = 3.0
"""Longest wait for the first listings, so that a daemon is ready also when an upstream hangs."""
COMPATIBLE_VERSION: Final = "0.9.0"
"""The Ollama version whose API is offered when no upstream is an Ollama: the first with ``think``."""

MayUse = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a request for a model goes. ``model`` is the name as the pool lists it; ``rename`` tells that it
    must replace the name that the client wrote."""

    pool: str
    model: str
    rename: bool


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


class UpstreamRegistry:
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
        self._health = health
        self._queue = queue
        self._bus = bus
        self._clock = clock
        self._rules = HealthRules(health, jitter)
        self._members = {one.name: Member(KINDS[one.kind](one, health.timeout)) for one in upstreams}
        self._wake = {name: asyncio.Event() for name in self._members}
        self._told: dict[str, UpstreamSlots] = {}
        self._pools: dict[str, Pool] = {}
        for name in dict.fromkeys(one.pool_name for one in upstreams):
            members = [member for member in self._members.values() if member.settings.pool_name == name]
            self._pools[name] = Pool(name, members)

    # -- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Ask every upstream for its models, for at most ``START_SECONDS``."""
        for member in self._members.values():
            self._tell_queue(member)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*(self._probe(member) for member in self._members.values()))

    async def run(self) -> None:
        """Probe each upstream when it is due, until cancelled."""
        async with asyncio.TaskGroup() as watch:
            for name in self._members:
                watch.create_task(self._watch(name))

    async def close(self) -> None:
        """Close all connections."""
        for member in self._members.values():
            await member.upstream.close()

    async def _watch(self, name: str) -> None:
        member, wake = self._members[name], self._wake[name]
        while True:
            wake.clear()
            pause = member.health.next_probe - self._clock()
            if pause <= 0:
                await self._probe(member)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()  # the next probe is due at another time now

    async def _probe(self, member: Member) -> None:
        began = self._clock()
        try:
            member.learn(await member.upstream.inspect())
            sign = Sign(Kind.ALIVE, seconds=self._clock() - began)
        except LLMGateError as failure:
            sign = replace(sign_of(failure, probe=True), seconds=self._clock() - began)
        now = self._clock()
        self._settle(member, self._rules.probed(member.health, sign, now, member.heard_at), listed=True)

    # -- requests ----------------------------------------------------------------------------

    def get(self, name: str) -> Upstream:
        """The upstream of a grant. Raises UpstreamUnavailable when it is gone."""
        member = self._members.get(name)
        if member is None:
            raise UpstreamUnavailable(f"There is no upstream {quoted(name)} any more.")
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
        if health.next_probe < before.next_probe:
            self._wake[member.settings.name].set()
        if listed or health.state is not before.state:
            self._pools[member.settings.pool_name].refresh()
            for mate in self._pools[member.settings.pool_name].members:
                self._tell_queue(mate)
        if health.state is not before.state:
            name = member.settings.name
            self._bus.publish(UpstreamChanged(name, before.state, health.state, member.usable, health.reason))

    def _tell_queue(self, member: Member) -> None:
        slots = self._pools[member.settings.pool_name].slots_of(member)
        if self._told.get(slots.name) != slots:
            self._told[slots.name] = slots
            self._queue.update_upstream(slots)

    # -- models ------------------------------------------------------------------------------

    def resolve(self, model: str, may_use: MayUse) -> Resolved:
        """The pool for a model: where several serve it, one with a free slot, else the shortest line.

        Raises ModelNotFound, also for a model that ``may_use`` forbids, or UpstreamUnavailable when
        nobody can know because a pool has not told its models yet.
        """
        pool, key = self._find(model, may_use)
        shown = pool.models[key]
        understood = shown in (model, f"{model}:latest") and (shown == model or self._is_ollama(pool))
        return Resolved(pool.name, shown, rename=not understood)

    def _find(self, model: str, may_use: MayUse) -> tuple[Pool, str]:
        found = [
            (pool, key) for pool in self._pools.values() for key in pool.keys_for(model) if _allowed(pool, key, may_use)
        ]
        keys = {key for _, key in found}
        key = tagged(model) if tagged(model) in keys else next(iter(keys), "")
        if not keys or (key != tagged(model) and len(keys) > 1):
            raise self._unknown(model, may_use)
        pools = [pool for pool, one in found if one == key]
        return (pools[0] if len(pools) == 1 else self._best(pools, key)), key

    def _best(self, pools: Sequence[Pool], key: str) -> Pool:
        def rank(pool: Pool) -> tuple[bool, float, bool]:
            return not pool.usable, self._queue.crowding(pool.name), not pool.has_loaded(key)

        return min(pools, key=rank)

    def _unknown(self, model: str, may_use: MayUse) -> LLMGateError:
        name = normalise_model(model)
        if _permits(may_use, model, name) and not all(pool.known for pool in self._pools.values()):
            return UpstreamUnavailable(
                "The upstreams that could have this model have not answered yet.", retry_after=self._health.interval
            )
        allowed = {key: pool.models[key] for key, pool in self._serving(may_use)}
        near = difflib.get_close_matches(name, allowed, n=3)
        hint = f"Did you mean {' or '.join(allowed[one] for one in near)}?" if near else None
        return ModelNotFound(f"The model {quoted(model)} was not found.", hint=hint, param="model")

    def _serving(self, may_use: MayUse) -> Iterator[tuple[str, Pool]]:
        """Each model once, with the first pool that serves it."""
        seen: set[str] = set()
        for pool in self._pools.values():
            for key in pool.models:
                if key not in seen and _allowed(pool, key, may_use):
                    seen.add(key)
                    yield key, pool

    @staticmethod
    def _is_ollama(pool: Pool) -> bool:
        return all(member.settings.kind == "ollama" for member in pool.members)

    # -- listings ----------------------------------------------------------------------------

    def tags(self, may_use: MayUse) -> list[Mapping[str, Any]]:
        """The entries of ``/api/tags``."""
        return [pool.entry(key) for key, pool in self._serving(may_use)]

    def ps(self, may_use: MayUse) -> list[Mapping[str, Any]]:
        """The entries of ``/api/ps``: models that some upstream holds in memory."""
        entries: dict[str, Mapping[str, Any]] = {}
        for pool in self._pools.values():
            for key in pool.models:
                entry = pool.loaded_entry(key) if _allowed(pool, key, may_use) else None
                if entry is not None:
                    entries.setdefault(key, entry)
        return list(entries.values())

    def openai_models(self, may_use: MayUse) -> list[Mapping[str, Any]]:
        """The entries of ``/v1/models``."""
        return [openai_entry(entry) for entry in self.tags(may_use)]

    def openai_model(self, model: str, may_use: MayUse) -> Mapping[str, Any]:
        """The entry of ``/v1/models`` for one model. Raises what ``resolve`` does."""
        pool, key = self._find(model, may_use)
        return openai_entry(pool.entry(key))

    async def show(self, model: str, may_use: MayUse) -> Mapping[str, Any]:
        """The answer of ``/api/show``. Raises ModelNotFound, UpstreamUnavailable or another UpstreamError."""
        resolved = self.resolve(model, may_use)
        failure: UpstreamError = UpstreamUnavailable(
            f"No upstream that has the model {quoted(model)} is usable at the moment.",
            hint="Try again later.",
            retry_after=self._health.interval,
        )
        for member in self._pools[resolved.pool].members:
            if member.usable:
                try:
                    return await member.upstream.show(resolved.model)
                except UpstreamError as reason:
                    failure = reason
        raise failure

    def version(self) -> str:
        """The lowest version of the Ollama upstreams: what every one of them can do."""
        versions = [member.version for member in self._members.values() if _numbers(member.version)]
        return min(versions, key=_numbers, default=COMPATIBLE_VERSION)

    def partial_models(self) -> dict[str, dict[str, list[str]]]:
        """By pool, the models that are not served because only some upstreams have them: model → upstreams."""
        return {pool.name: dict(pool.partial) for pool in self._pools.values() if pool.partial}

    # -- status ------------------------------------------------------------------------------

    def any_usable(self) -> bool:
        return any(member.usable for member in self._members.values())

    def status(self) -> list[UpstreamStatus]:
        """Every upstream, in the order of the configuration."""
        return [
            UpstreamStatus(
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
            for member in self._members.values()
        ]


def _allowed(pool: Pool, key: str, may_use: MayUse) -> bool:
    return _permits(may_use, pool.models[key], key)


def _permits(may_use: MayUse, shown: str, key: str) -> bool:
    """Whether a principal may use a model. Its list may hold the name as shown, or in a form that means
    the same: with or without ``:latest``, and in lower case if the upstream does not mind."""
    return may_use(shown) or may_use(key) or may_use(key.removesuffix(":latest"))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("-")[0].split(".") if part.isdigit()]
