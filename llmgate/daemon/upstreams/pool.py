"""Upstreams that serve the same models and share one waiting line: which models those are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.bodies import MAX_MODEL_NAME, normalise_model
from llmgate.daemon.queue.ticket import UpstreamSlots
from llmgate.daemon.upstreams.base import HealthState, Inspection, Upstream
from llmgate.daemon.upstreams.health import Health, usable


@dataclass(slots=True, eq=False)
class Member:
    """One upstream of a pool and what is known of it. What it listed last is kept while it is down."""

    upstream: Upstream
    health: Health = field(default_factory=Health)
    listed: dict[str, Mapping[str, Any]] | None = None
    """Its models by normalised name, as ``/api/tags`` lists them; None until it has told them once."""
    loaded: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Those in memory, as ``/api/ps`` lists them."""
    version: str = ""
    heard_at: float = float("-inf")
    """When the last byte of any answer arrived."""

    @property
    def settings(self) -> UpstreamSettings:
        return self.upstream.settings

    @property
    def usable(self) -> bool:
        return usable(self.health.state)

    def learn(self, inspection: Inspection) -> None:
        self.listed = _by_name((model.name, model.listing) for model in inspection.models)
        self.loaded = _by_name((str(entry.get("name", "")), entry) for entry in inspection.loaded)
        self.version = inspection.version


class Pool:
    """``models`` maps the normalised names of what every usable member has to the names that are shown
    and sent; ``partial`` names, for each model that only some have, those that do."""

    def __init__(self, name: str, members: Sequence[Member]) -> None:
        self.name = name
        self.members = members
        self.models: dict[str, str] = {}
        self.partial: dict[str, list[str]] = {}

    @property
    def usable(self) -> bool:
        return any(member.usable for member in self.members)

    @property
    def known(self) -> bool:
        """Whether any member has told its models yet."""
        return any(member.listed is not None for member in self.members)

    def refresh(self) -> None:
        """Work out the models again, after a member's listing or state has changed."""
        told = [member for member in self.members if member.listed is not None]
        judges = [member for member in told if member.usable] or told
        listings = [member.listed for member in judges if member.listed is not None]
        names = {name for listing in listings for name in listing}
        common = {name for name in names if all(name in listing for listing in listings)}
        self.models = {name: self._shown(name, told) for name in sorted(common)}
        self.partial = {
            self._shown(name, told): [m.settings.name for m in judges if m.listed is not None and name in m.listed]
            for name in sorted(names - common)
        }

    def slots_of(self, member: Member) -> UpstreamSlots:
        """What the queue is told of a member."""
        recovering = member.health.state is HealthState.RECOVERING
        return UpstreamSlots(
            name=member.settings.name,
            pool=self.name,
            slots=1 if recovering else member.settings.slots,
            usable=member.usable,
            loaded=frozenset(self.models[name] for name in member.loaded if name in self.models),
        )

    def has_loaded(self, name: str) -> bool:
        return any(name in member.loaded for member in self.members if member.usable)

    def entry(self, name: str) -> Mapping[str, Any]:
        """A model as ``/api/tags`` lists it."""
        listings = (member.listed[name] for member in self.members if member.listed and name in member.listed)
        return {**next(listings, {}), "name": self.models[name], "model": self.models[name]}

    def loaded_entry(self, name: str) -> Mapping[str, Any] | None:
        """A model as ``/api/ps`` lists it; None when no usable member holds it in memory."""
        for member in self.members:
            if member.usable and name in member.loaded:
                return {**member.loaded[name], "name": self.models[name], "model": self.models[name]}
        return None

    @staticmethod
    def _shown(name: str, members: Iterable[Member]) -> str:
        # Ollama takes a name with or without its tag, the other kinds exactly as they list it.
        exact = sorted(members, key=lambda member: member.settings.kind == "ollama")
        return next(str(m.listed[name]["name"]) for m in exact if m.listed is not None and name in m.listed)


def openai_entry(listing: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of ``/api/tags`` as an entry of ``/v1/models``."""
    try:
        created = int(datetime.fromisoformat(str(listing.get("modified_at", ""))[:19] + "+00:00").timestamp())
    except ValueError:
        created = 0
    return {"id": listing["name"], "object": "model", "created": created, "owned_by": "library"}


def _by_name(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    return {normalise_model(name): entry for name, entry in entries if 0 < len(name) <= MAX_MODEL_NAME}
