"""Upstreams that serve the same models and share one waiting line: which models those are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.bodies import MAX_MODEL_NAME, normalise_model
from llmgate.daemon.queue.ticket import UpstreamSlots
from llmgate.daemon.upstreams.base import HealthState, Inspection, Upstream
from llmgate.daemon.upstreams.health import Health, usable

Entries = dict[str, Mapping[str, Any]]


@dataclass(slots=True, eq=False)
class Member:
    """One upstream of a pool and what is known of it. What it listed last is kept while it is down."""

    upstream: Upstream
    settings: UpstreamSettings
    health: Health = field(default_factory=Health)
    listed: Entries | None = None
    """Its models by ``form``, as ``/api/tags`` lists them; None until it has told them once."""
    loaded: Entries = field(default_factory=dict)
    """Those in memory, as ``/api/ps`` lists them."""
    version: str = ""
    heard_at: float = float("-inf")
    """When the last byte of any answer arrived."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the next probe is due at another time than before."""
    users: int = 0
    """How many use its connections at the moment: they are not closed under anybody's hands."""
    left: Callable[[], None] = lambda: None
    """Called when the last of them has let go, once it is removed."""

    def hold(self) -> None:
        """Keep its connections open, also when the upstream is removed, until ``let_go``."""
        self.users += 1

    def let_go(self) -> None:
        self.users -= 1
        if not self.users:
            self.left()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """``hold`` it for the length of the block."""
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    @property
    def usable(self) -> bool:
        return usable(self.health.state)

    def form(self, name: str) -> str:
        """A model's name in the form in which this kind of server compares it."""
        return normalise_model(name) if self.settings.kind == "ollama" else tagged(name)

    def learn(self, inspection: Inspection) -> None:
        self.listed = self._by_form((model.name, model.listing) for model in inspection.models)
        self.loaded = self._by_form((str(entry.get("name", "")), entry) for entry in inspection.loaded)
        self.version = inspection.version

    def _by_form(self, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> Entries:
        return {self.form(name): entry for name, entry in entries if 0 < len(name) <= MAX_MODEL_NAME}


class Pool:
    """``models`` maps the keys of the models that every usable member has to the names that are shown and sent;
    ``partial`` names, for each model that only some have, those that do.

    Ollama takes a name in any case, other kinds only as they list it: ``qwen`` and ``Qwen`` may be two models
    there. So a model's key is its exact name if a server of another kind lists it, else the folded one.
    """

    def __init__(self, name: str, members: Sequence[Member]) -> None:
        self.name = name
        self.members = members
        self.models: dict[str, str] = {}
        self.partial: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        self._listed: dict[str, Entries] = {}
        self._loaded: dict[str, Entries] = {}
        self._by_folded: dict[str, list[str]] = {}

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
        self._learn_keys(told)
        judges = [member.settings.name for member in told if member.usable] or [one.settings.name for one in told]
        keys = {key for judge in judges for key in self._listed[judge]}
        common = {key for key in keys if all(key in self._listed[judge] for judge in judges)}
        self.models = {key: self._names[key] for key in sorted(common)}
        self.partial = {
            self._names[key]: [judge for judge in judges if key in self._listed[judge]] for key in sorted(keys - common)
        }
        self._by_folded = {}
        for key in self.models:
            self._by_folded.setdefault(normalise_model(key), []).append(key)

    def _learn_keys(self, told: Sequence[Member]) -> None:
        exact: dict[str, set[str]] = {}
        for member in told:
            if member.settings.kind != "ollama":
                for form in member.listed or ():
                    exact.setdefault(normalise_model(form), set()).add(form)

        def keyed(entries: Entries) -> Entries:
            # A folded name means an exact one where there is only one.
            return {
                next(iter(exact[form])) if len(exact.get(form, ())) == 1 else form: e for form, e in entries.items()
            }

        self._listed = {member.settings.name: keyed(member.listed or {}) for member in told}
        self._loaded = {member.settings.name: keyed(member.loaded) for member in told}
        self._names = {}
        # Ollama takes a name with or without its tag, the other kinds exactly as they list it.
        for member in sorted(told, key=lambda member: member.settings.kind == "ollama"):
            for key, entry in self._listed[member.settings.name].items():
                self._names.setdefault(key, str(entry["name"]))

    def keys_for(self, model: str) -> Sequence[str]:
        """The keys of what a client may mean by a name: the exact one, else all that differ from it in case."""
        exact = tagged(model)
        return [exact] if exact in self.models else self._by_folded.get(normalise_model(model), ())

    def slots_of(self, member: Member) -> UpstreamSlots:
        """What the queue is told of a member."""
        recovering = member.health.state is HealthState.RECOVERING
        loaded = self._loaded.get(member.settings.name, {})
        return UpstreamSlots(
            name=member.settings.name,
            pool=self.name,
            slots=1 if recovering else member.settings.slots,
            usable=member.usable,
            loaded=frozenset(self.models[key] for key in loaded if key in self.models),
            models=self._taken_by(member),
        )

    def _taken_by(self, member: Member) -> frozenset[str] | None:
        """The names under which a member can be asked for its models."""
        listed = self._listed.get(member.settings.name)
        if listed is None:
            return None
        own = {str(entry["name"]) for entry in listed.values()}
        return frozenset(own | {self._names[key] for key in listed} if member.settings.kind == "ollama" else own)

    def holders(self) -> dict[str, list[Member]]:
        """Every model that any member has told, by its key, and who has it; also what is not served."""
        found: dict[str, list[Member]] = {}
        for member in self.members:
            for key in self._listed.get(member.settings.name, {}):
                found.setdefault(key, []).append(member)
        return found

    def name_of(self, key: str) -> str:
        """The name of a model out of ``holders`` as it is shown."""
        return self._names[key]

    def listing_of(self, key: str, member: Member) -> Mapping[str, Any]:
        """A model as one of its holders lists it."""
        return self._listed[member.settings.name][key]

    def usable_holder(self, key: str) -> Member | None:
        """A member that has this model and can be asked about it."""
        has = (member for member in self.members if key in self._listed.get(member.settings.name, {}))
        return next((member for member in has if member.usable), None)

    def memory_of(self, member: Member) -> Entries:
        """What a member holds in memory, by key; nothing while it is not usable."""
        return self._loaded.get(member.settings.name, {}) if member.usable else {}

    def has_loaded(self, key: str) -> bool:
        return self.loaded_entry(key) is not None

    def entry(self, key: str) -> Mapping[str, Any]:
        """A model as ``/api/tags`` lists it."""
        listings = (listed[key] for listed in self._listed.values() if key in listed)
        return {**next(listings, {}), "name": self.models[key], "model": self.models[key]}

    def loaded_entry(self, key: str) -> Mapping[str, Any] | None:
        """A model as ``/api/ps`` lists it; None when no usable member holds it in memory."""
        for member in self.members:
            loaded = self._loaded.get(member.settings.name, {})
            if member.usable and key in loaded:
                return {**loaded[key], "name": self.models[key], "model": self.models[key]}
        return None


def tagged(name: str) -> str:
    """A model's name with the tag that it implies, and otherwise as it is."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"


def openai_entry(listing: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of ``/api/tags`` as an entry of ``/v1/models``."""
    try:
        created = int(datetime.fromisoformat(str(listing.get("modified_at", ""))[:19] + "+00:00").timestamp())
    except ValueError:
        created = 0
    return {"id": listing["name"], "object": "model", "created": created, "owned_by": "library"}
