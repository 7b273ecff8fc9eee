"""Which models the pools serve, and which pool a request goes to."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmgate.daemon.protocols.bodies import normalise_model, quoted
from llmgate.daemon.upstreams.pool import Pool, openai_entry, tagged
from llmgate.errors import LLMGateError, ModelNotFound, UpstreamError, UpstreamUnavailable

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


class Directory:
    """What the pools serve, to those who may use it. ``crowding`` tells how full a pool is; ``interval`` is after how
    many seconds it makes sense to ask again for what nobody knows yet."""

    def __init__(self, crowding: Callable[[str], float], interval: float) -> None:
        self._pools: dict[str, Pool] = {}
        self._crowding = crowding
        self._interval = interval

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
            return not pool.usable, self._crowding(pool.name), not pool.has_loaded(key)

        return min(pools, key=rank)

    def _unknown(self, model: str, may_use: MayUse) -> LLMGateError:
        name = normalise_model(model)
        if _permits(may_use, model, name) and not all(pool.known for pool in self._pools.values()):
            return UpstreamUnavailable(
                "The upstreams that could have this model have not answered yet.", retry_after=self._interval
            )
        allowed = {key: pool.models[key] for key, pool in self.serving(may_use)}
        near = difflib.get_close_matches(name, allowed, n=3)
        hint = f"Did you mean {' or '.join(allowed[one] for one in near)}?" if near else None
        return ModelNotFound(f"The model {quoted(model)} was not found.", hint=hint, param="model")

    def serving(self, may_use: MayUse) -> list[tuple[str, Pool]]:
        """Each model once, by its key, with the first pool that serves it."""
        found: dict[str, Pool] = {}
        for pool in self._pools.values():
            for key in pool.models:
                if key not in found and _allowed(pool, key, may_use):
                    found[key] = pool
        return list(found.items())

    @staticmethod
    def _is_ollama(pool: Pool) -> bool:
        return all(member.settings.kind == "ollama" for member in pool.members)

    # -- listings ----------------------------------------------------------------------------

    def tags(self, may_use: MayUse) -> list[Mapping[str, Any]]:
        """The entries of ``/api/tags``."""
        return [pool.entry(key) for key, pool in self.serving(may_use)]

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
            retry_after=self._interval,
        )
        for member in self._pools[resolved.pool].members:
            if member.usable:
                try:
                    with member.in_use():
                        return await member.upstream.show(resolved.model)
                except UpstreamError as reason:
                    failure = reason
        raise failure

    def version(self) -> str:
        """The lowest version of the Ollama upstreams: what every one of them can do."""
        members = [member for pool in self._pools.values() for member in pool.members]
        versions = [member.version for member in members if _numbers(member.version)]
        return min(versions, key=_numbers, default=COMPATIBLE_VERSION)

    def partial_models(self) -> dict[str, dict[str, list[str]]]:
        """By pool, the models that are not served because only some upstreams have them: model → upstreams."""
        return {pool.name: dict(pool.partial) for pool in self._pools.values() if pool.partial}


def _allowed(pool: Pool, key: str, may_use: MayUse) -> bool:
    return _permits(may_use, pool.models[key], key)


def _permits(may_use: MayUse, shown: str, key: str) -> bool:
    """Whether a principal may use a model. Its list may hold the name as shown, or in a form that means
    the same: with or without ``:latest``, and in lower case if the upstream does not mind."""
    return may_use(shown) or may_use(key) or may_use(key.removesuffix(":latest"))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("-")[0].split(".") if part.isdigit()]
