"""What models can do, as their upstreams tell it: asked once for each, and remembered.

Nobody waits long for it: an upstream may hang. What is not known in time is told as unknown, and found out meanwhile
for whoever asks next.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmgate.daemon.clock import monotonic
from llmgate.daemon.protocols.fields import count_of
from llmgate.daemon.upstreams.directory import MayUse
from llmgate.daemon.upstreams.pool import Member, Pool
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import LLMGateError, ModelNotFound, UpstreamRejected

PATIENCE: Final = 2.0
"""Longest wait for what is not known yet, in seconds, for all models of a list together."""
FRESH_SECONDS: Final = 60.0
"""So long is believed what belongs to no digest: a server may be started again with another window."""
PAUSE_SECONDS: Final = 15.0
"""So long nobody asks again who has just failed to answer."""
AT_ONCE: Final = 4
"""Questions to one upstream at the same time."""
MOST_ASKED: Final = 512
"""Questions that are open, to all upstreams together."""
MOST_KNOWN: Final = 2048


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do; None where nobody tells. ``chats`` is false for one that only embeds. ``context_length`` is
    the largest window that it can have, in tokens; how large it is at the moment depends on how it is loaded.
    ``window`` is what its server gives it by itself: of Ollama, what its Modelfile says."""

    chats: bool | None = None
    vision: bool | None = None
    thinking: bool | None = None
    tools: bool | None = None
    context_length: int | None = None
    window: int | None = None


UNKNOWN: Final = Capabilities()


def described(shown: Mapping[str, Any], *, is_ollama: bool) -> Capabilities:
    """What ``/api/show`` tells. Of a server of another kind we have made that answer ourselves: what it takes beside
    text is known only where it says so."""
    told = shown.get("capabilities")
    names = {name for name in told if isinstance(name, str)} if isinstance(told, list) else None
    context_length = _context_length(shown.get("model_info"))
    window = _own_window(shown) if is_ollama else _length(shown.get("model_info"), ".context_length")
    if names is None:  # an Ollama from before 0.6.4 does not tell
        return Capabilities(context_length=context_length, window=window)
    if not is_ollama:
        return Capabilities(vision="vision" in names or None, context_length=context_length, window=window)
    return Capabilities(
        chats="completion" in names,
        vision="vision" in names,
        thinking="thinking" in names,
        tools="tools" in names,
        context_length=context_length,
        window=window,
    )


def _context_length(info: object) -> int | None:
    return _length(info, ".context_length") or _length(info, ".n_ctx_train")


def _length(info: object, ending: str) -> int | None:
    info = info if isinstance(info, Mapping) else {}
    lengths = (count_of(value) for key, value in info.items() if str(key).endswith(ending))
    return next((length for length in lengths if length), None)


def _own_window(shown: Mapping[str, Any]) -> int | None:
    found = re.search(r"^num_ctx\s+(\d{1,9})\s*$", str(shown.get("parameters") or "")[:10_000], re.MULTILINE)
    return int(found[1]) or None if found else None


@dataclass(slots=True)
class _Known:
    capabilities: Capabilities
    fresh_until: float


class CapabilityBook:
    """See the module. ``clock`` is in seconds."""

    def __init__(self, upstreams: UpstreamRegistry, *, clock: Callable[[], float] = monotonic) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._asking: dict[Hashable, asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._pauses: dict[Hashable, float] = {}
        """By upstream, or by what is asked for: until when nobody asks again."""

    async def all(self, may_use: MayUse, patience: float = PATIENCE) -> dict[str, Capabilities]:
        """Every model that ``may_use`` allows, by the name under which ``/api/tags`` lists it, and what it can do."""
        places = self._upstreams.serving(may_use)
        found = await self._of(places, patience)
        return {pool.models[key]: can for (key, pool), can in zip(places, found, strict=True)}

    async def of(self, model: str, may_use: MayUse, patience: float = PATIENCE) -> Capabilities:
        """What one model can do, under any name that a request for it may have. Raises ModelNotFound, or
        UpstreamUnavailable when nobody knows yet which models there are."""
        resolved = self._upstreams.resolve(model, may_use)
        pool = self._upstreams.pool(resolved.pool)
        keys = pool.keys_for(resolved.model)
        return (await self._of([(keys[0], pool)], patience))[0] if keys else UNKNOWN

    async def close(self) -> None:
        """Give up what is still being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _of(self, places: Sequence[tuple[str, Pool]], patience: float) -> list[Capabilities]:
        sources = [(pool.usable_holder(key), key, pool) for key, pool in places]
        idents = [_ident(member, key, pool) if member else None for member, key, pool in sources]
        waiting = []
        for ident, (member, key, pool) in zip(idents, sources, strict=True):
            if member is None or self._is_fresh(ident):
                continue
            task = self._ask(ident, member, str(pool.listing_of(key, member)["name"]))
            if task is not None and ident not in self._known:  # what was known a minute ago will do
                waiting.append(task)
        if waiting:
            await asyncio.wait(waiting, timeout=patience)
        return [self._remembered(ident) for ident in idents]

    def _is_fresh(self, ident: Hashable) -> bool:
        known = self._known.get(ident)
        return known is not None and self._clock() < known.fresh_until

    def _remembered(self, ident: Hashable) -> Capabilities:
        """What is known, be it a little old: that is better than nothing."""
        known = self._known.get(ident)
        if known is None:
            return UNKNOWN
        self._known.move_to_end(ident)
        return known.capabilities

    def _ask(self, ident: Hashable, member: Member, name: str) -> asyncio.Task[None] | None:
        """The question that is open, or a new one; None where asking makes no sense at the moment."""
        if ident in self._asking:
            return self._asking[ident]
        if self._rests(ident) or self._rests(member.settings.name) or len(self._asking) >= MOST_ASKED:
            return None
        task = self._asking[ident] = asyncio.create_task(self._learn(ident, member, name))
        task.add_done_callback(lambda _: self._asking.pop(ident, None))
        return task

    async def _learn(self, ident: Hashable, member: Member, name: str) -> None:
        turns = self._turns.setdefault(member.settings.name, asyncio.Semaphore(AT_ONCE))
        async with turns:
            if self._rests(member.settings.name):
                return  # it has failed those who were before us
            try:
                with member.in_use():
                    shown = await member.upstream.show(name)
            except (ModelNotFound, UpstreamRejected):
                self._pause(ident)
                return
            except LLMGateError:
                self._pause(member.settings.name)
                return
        is_ollama = member.settings.kind == "ollama"
        lasts = float("inf") if is_ollama and isinstance(ident, tuple) and ident[0] == "digest" else FRESH_SECONDS
        self._known[ident] = _Known(described(shown, is_ollama=is_ollama), self._clock() + lasts)
        self._known.move_to_end(ident)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def _rests(self, whom: Hashable) -> bool:
        return self._clock() < self._pauses.get(whom, float("-inf"))

    def _pause(self, whom: Hashable) -> None:
        now = self._clock()
        self._pauses = {one: until for one, until in self._pauses.items() if until > now}
        self._pauses[whom] = now + PAUSE_SECONDS


def _ident(member: Member, key: str, pool: Pool) -> Hashable:
    """What an answer holds for: with Ollama for the digest, told by that version of it; else for that server."""
    listing = pool.listing_of(key, member)
    digest = listing.get("digest")
    if member.settings.kind == "ollama" and isinstance(digest, str) and digest:
        return ("digest", digest[:200], member.version)
    return ("server", member.settings.name, member.settings.url, str(listing["name"]))
