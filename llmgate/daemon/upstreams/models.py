"""The models of all upstreams, for administrators: what there is, where, and how it is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmgate.daemon.changes import Changes
from llmgate.daemon.protocols.bodies import normalise_model, quoted
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.upstreams.pool import Member, Pool, tagged
from llmgate.daemon.upstreams.pulling import Pull, Record
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import (
    InvalidRequest,
    LLMGateError,
    ModelNotFound,
    NotFound,
    QueueFull,
    UnsupportedByUpstream,
    UpstreamError,
    UpstreamRejected,
)
from llmgate.urls import fault_of_upstream_url

PULLS_AT_ONCE = 8
"""Pulls that one daemon runs at the same time."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model over all pools; see ``schemas.Model``."""

    name: str
    served: bool
    pools: Sequence[str]
    partial_pools: Sequence[str]
    upstreams: Sequence[str]
    loaded: Sequence[str]
    size: int | None
    family: str | None
    parameters: str | None
    quantization: str | None
    digest: str | None
    modified_at: str | None


@dataclass(frozen=True, slots=True)
class LoadedView:
    """A model in the memory of one upstream; see ``schemas.LoadedModel``."""

    name: str
    upstream: str
    pool: str
    size: int | None
    size_vram: int | None
    context_length: int | None
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """A model that was changed, and where."""

    model: str
    pool: str
    upstreams: Sequence[str]


class ModelKeeper:
    """See the module. Whoever may do this was judged before.

    What changes something is noted in the activity log before it is done, and its result after.
    """

    def __init__(self, upstreams: UpstreamRegistry, changes: Changes) -> None:
        self._upstreams = upstreams
        self._changes = changes
        self._pulls: set[Pull] = set()

    # -- what there is -----------------------------------------------------------------------

    def listing(self) -> list[ModelView]:
        """Every model, by name."""
        found: dict[str, list[tuple[Pool, Sequence[Member]]]] = {}
        for pool in self._upstreams.pools():
            for key, holders in pool.holders().items():
                found.setdefault(key, []).append((pool, holders))
        return sorted((_view(key, places) for key, places in found.items()), key=lambda view: view.name)

    def loaded(self) -> list[LoadedView]:
        """Every model in memory, by upstream."""
        return [
            LoadedView(
                name=str(entry["name"]),
                upstream=member.settings.name,
                pool=pool.name,
                size=number_of(entry.get("size")),
                size_vram=number_of(entry.get("size_vram")),
                context_length=number_of(entry.get("context_length")),
                expires_at=text_of(entry.get("expires_at")),
            )
            for pool in self._upstreams.pools()
            for member in pool.members
            for entry in pool.memory_of(member).values()
        ]

    async def show(self, model: str) -> tuple[ModelView, dict[str, Any]]:
        """A model, and what one of its upstreams tells of it. Raises ModelNotFound or an UpstreamError."""
        key, places = self._places_of(model)
        holders = [(pool, member) for pool, members in places for member in members]
        failure: LLMGateError | None = None
        for pool, member in sorted(holders, key=lambda holder: not holder[1].usable):
            try:
                with member.in_use():
                    return _view(key, places), await member.upstream.show(str(pool.listing_of(key, member)["name"]))
            except UpstreamError as reason:
                failure = failure or _in_our_words(reason)
        raise failure or ModelNotFound(f"The model {quoted(model)} was not found.")

    # -- changing it -------------------------------------------------------------------------

    async def pull(self, actor: Actor, model: str, *, pool: str | None = None, upstream: str | None = None) -> Pull:
        """Begin to load a model onto every Ollama of a pool, or onto one upstream. Cancel it when it is not wanted
        any more.

        Raises NotFound for the place, InvalidRequest where it is not clear, UnsupportedByUpstream, or QueueFull when
        too many pulls run.
        """
        normalise_model(model)  # refuses what is too long to be a name
        _check_registry(model)
        place, members = self._for_pull(pool, upstream)
        if len(self._pulls) >= PULLS_AT_ONCE:
            raise QueueFull(f"{PULLS_AT_ONCE} models are being pulled already.", retry_after=30)
        record = self._record(actor, "model.pull", model, place, members)
        running = Pull(model, members, record, self._upstreams.refresh, ended=self._pulls.discard)
        self._pulls.add(running)
        try:
            await record.begun()
        except BaseException:
            self._pulls.discard(running)
            raise
        running.start()
        return running

    async def copy(self, actor: Actor, source: str, destination: str, *, pool: str | None = None) -> Changed:
        """Give a model a second name, on every upstream of the pool that has it. Raises as ``delete`` does."""
        normalise_model(destination)
        place, members = self._for_change(source, pool)
        record = self._record(actor, "model.copy", source, place, members, destination=destination)
        await self._on_each(record, members, lambda member: member.upstream.copy(source, destination))
        return Changed(destination, place.name, _names(members))

    async def delete(self, actor: Actor, model: str, *, pool: str | None = None) -> Changed:
        """Remove a model from every upstream of the pool that has it.

        Raises ModelNotFound, NotFound for the pool, InvalidRequest where several pools have it and none is named,
        UnsupportedByUpstream, or an UpstreamError that says where it failed.
        """
        place, members = self._for_change(model, pool)
        record = self._record(actor, "model.delete", model, place, members)
        await self._on_each(record, members, lambda member: member.upstream.delete(model))
        return Changed(model, place.name, _names(members))

    def stop(self) -> None:
        """End every pull."""
        for pull in list(self._pulls):
            pull.cancel()

    async def close(self) -> None:
        """End every pull, and wait for the notes of their results."""
        pulls = list(self._pulls)
        self.stop()
        await asyncio.gather(*(pull.ended() for pull in pulls))

    async def _on_each(
        self, record: Record, members: Sequence[Member], action: Callable[[Member], Awaitable[None]]
    ) -> None:
        failures: dict[str, LLMGateError] = {}

        async def on(member: Member) -> None:
            try:
                with member.in_use():
                    await action(member)
            except LLMGateError as failure:
                failures[member.settings.name] = _in_our_words(failure)

        await record.begun()
        await asyncio.gather(*map(on, members))
        await self._upstreams.refresh(_names(members))
        await record.ended({name: failure.text() for name, failure in failures.items()})
        if len(failures) == len(members):
            raise next(iter(failures.values()))
        if failures:
            where = "; ".join(f"{name}: {failure.text()}" for name, failure in failures.items())
            raise UpstreamError(f"It was done on some of the upstreams only. {where}")

    def _record(self, actor: Actor, action: str, model: str, pool: Pool, on: Sequence[Member], **more: str) -> Record:
        return Record(self._changes, actor, action, model, {"pool": pool.name, "upstreams": _names(on), **more})

    # -- where -------------------------------------------------------------------------------

    def _for_pull(self, pool: str | None, upstream: str | None) -> tuple[Pool, Sequence[Member]]:
        if upstream is not None:
            return self._one_upstream(upstream, pool)
        if pool is not None:
            place = self._upstreams.pool(pool)
        else:
            able = [one for one in self._upstreams.pools() if _managers(one.members)]
            place = _only(able or list(self._upstreams.pools()))
        return place, _managers(place.members) or _unsupported(place)

    def _one_upstream(self, upstream: str, pool: str | None) -> tuple[Pool, Sequence[Member]]:
        for place in self._upstreams.pools():
            for member in place.members:
                if member.settings.name != upstream:
                    continue
                if pool not in (None, place.name):
                    raise InvalidRequest(f"The upstream {upstream} is in the pool {place.name}.", param="pool")
                return place, _managers([member]) or _unsupported(place)
        raise NotFound(f"There is no upstream {quoted(upstream)}.")

    def _for_change(self, model: str, pool: str | None) -> tuple[Pool, Sequence[Member]]:
        _, places = self._places_of(model)
        if pool is not None:
            self._upstreams.pool(pool)
            places = [(place, members) for place, members in places if place.name == pool]
            if not places:
                raise ModelNotFound(f"The pool {pool} does not have the model {quoted(model)}.", param="model")
        able = {place.name: _managers(members) for place, members in places}
        place = _only([place for place, _ in places if able[place.name]] or [places[0][0]])
        return place, able[place.name] or _unsupported(place)

    def _places_of(self, model: str) -> tuple[str, list[tuple[Pool, Sequence[Member]]]]:
        """The key of a model, and the pools and upstreams that have it."""
        exact, folded = tagged(model), normalise_model(model)
        held = [(pool, pool.holders()) for pool in self._upstreams.pools()]
        keys = {key for _, holders in held for key in holders}
        meant = [exact] if exact in keys else sorted(key for key in keys if normalise_model(key) == folded)
        if len(meant) != 1:
            raise ModelNotFound(f"The model {quoted(model)} was not found.", param="model")
        return meant[0], [(pool, holders[meant[0]]) for pool, holders in held if meant[0] in holders]


def _check_registry(model: str) -> None:
    """Of ``host/namespace/model`` the upstream will ask the host: raises InvalidRequest for one that no upstream may
    have either."""
    address, _, rest = model.partition("://")[2 if "://" in model else 0].partition("/")
    if rest.count("/") == 0:
        return
    if fault := fault_of_upstream_url(f"http://{address}"):
        raise InvalidRequest(f"The registry in the name of the model cannot be asked: it {fault}.", param="model")


def _in_our_words(failure: LLMGateError) -> LLMGateError:
    """A status of the upstream's own is none of ours, unless it says that the request is at fault."""
    if not isinstance(failure, UpstreamRejected):
        return failure
    return (InvalidRequest if failure.status == 400 else UpstreamError)(failure.message)


def _managers(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.upstream.manages_models]


def _unsupported(pool: Pool) -> Sequence[Member]:
    raise UnsupportedByUpstream(
        f"No upstream concerned in the pool {pool.name} is an Ollama: their models are not managed from outside.",
        hint="Manage them on the server itself.",
    )


def _only(pools: Sequence[Pool]) -> Pool:
    if len(pools) == 1:
        return pools[0]
    names = ", ".join(pool.name for pool in pools)
    raise InvalidRequest(
        f"This can be done in several pools: {names}.",
        hint="Say in which one: --pool of llmgate models, or pool in the admin API.",
        param="pool",
    )


def _names(members: Sequence[Member]) -> list[str]:
    return [member.settings.name for member in members]


def _view(key: str, places: Sequence[tuple[Pool, Sequence[Member]]]) -> ModelView:
    pool, holders = places[0]
    listing = pool.listing_of(key, holders[0])
    details = listing.get("details")
    details = details if isinstance(details, Mapping) else {}
    serving = [place.name for place, _ in places if key in place.models]
    return ModelView(
        name=pool.name_of(key),
        served=bool(serving),
        pools=serving,
        partial_pools=[place.name for place, _ in places if place.name not in serving],
        upstreams=[member.settings.name for _, members in places for member in members],
        loaded=list(_loaded_on(key, places)),
        size=number_of(listing.get("size")),
        family=text_of(details.get("family")),
        parameters=text_of(details.get("parameter_size")),
        quantization=text_of(details.get("quantization_level")),
        digest=text_of(listing.get("digest")),
        modified_at=text_of(listing.get("modified_at")),
    )


def _loaded_on(key: str, places: Sequence[tuple[Pool, Sequence[Member]]]) -> Iterator[str]:
    for pool, members in places:
        yield from (member.settings.name for member in members if key in pool.memory_of(member))


def number_of(value: object) -> int | None:
    """A size or count that an upstream tells, if it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def text_of(value: object) -> str | None:
    """A word that an upstream tells, if it is one."""
    return value[:200] if isinstance(value, str) and value else None
