"""The models on the upstreams: all of them, those in memory, and those that are being pulled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import work

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.notation import told
from llmgate.text import model_size
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.progress import Pull, amount, bar, percent
from llmgate.tui.screens.fitting import fitting
from llmgate.tui.screens.model_acts import copy, delete, pull_again, pull_new, show, stop_pull
from llmgate.tui.screens.model_facts import flattened

PULL_STATES: dict[str, Tone] = {"running": "accent", "done": "good", "failed": "bad", "stopped": "warn"}


def _served(model: schemas.Model) -> str:
    return ("partly" if model.partial_pools else "served") if model.served else "not served"


def _places(model: schemas.Model) -> list[str]:
    return [*model.pools, *(f"{pool} (only on some)" for pool in model.partial_pools)]


class Models(Listing[schemas.Model]):
    """Every model that any upstream has."""

    title = "Models"
    lists, shows = "models list", "models show"
    search = "search"
    empty = "There are no models: pull one with n."
    topics = frozenset({"upstream.changed", "activity:upstream.", "activity:model."})
    columns = (
        Column[schemas.Model]("name", lambda model: model.name, 22, grow=2),
        Column("size", lambda model: model_size(model.size), 7, right=True, by=lambda model: model.size),
        Column("params", lambda model: model.parameters, 6, right=True),
        Column("quant", lambda model: model.quantization, 8, wide=100),
        Column("family", lambda model: model.family, 10, wide=116),
        Column(
            "served",
            _served,
            10,
            tone=lambda model: "good" if _served(model) == "served" else "warn" if model.served else "bad",
        ),
        Column("pools", _places, 12, grow=1),
        Column("loaded on", lambda model: model.loaded, 10, grow=1),
        Column("upstreams", lambda model: model.upstreams, 14, grow=1, wide=116),
    )
    facts = (
        Fact[schemas.Model]("name", lambda model: model.name),
        Fact("served", _served),
        Fact("pools", _places),
        Fact("upstreams", lambda model: model.upstreams),
        Fact("loaded on", lambda model: model.loaded),
        Fact("size", lambda model: model_size(model.size)),
        Fact("family", lambda model: model.family),
        Fact("parameters", lambda model: model.parameters),
        Fact("quantization", lambda model: model.quantization),
        Fact("digest", lambda model: model.digest),
        Fact("modified", lambda model: told(model.modified_at)),
    )
    actions: ClassVar = (pull_new, pull_again, copy, delete)

    def identity(self, row: schemas.Model) -> str:
        return row.name

    def told_of(self, row: schemas.Model) -> Sequence[tuple[str, object]]:
        return [*super().told_of(row), *flattened(row.details if isinstance(row, schemas.ModelDetails) else {})]

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Model]:
        return pages(await client.models.page(after, limit, **filters))

    async def look(self, client: AdminClient, row: schemas.Model) -> schemas.Model:
        return await client.models.get(row.name)


class Loaded(Listing[schemas.LoadedModel]):
    """Models in the memory of the upstreams."""

    title = "Loaded"
    lists, shows = "models loaded", "models show"
    search = "search"
    empty = "No model is in memory."
    every = 5.0
    topics = frozenset({"upstream.changed", "activity:upstream.", "activity:model."})
    columns = (
        Column[schemas.LoadedModel]("upstream", lambda model: model.upstream, 14, grow=1),
        Column("model", lambda model: model.name, 18, grow=2),
        Column("size", lambda model: model_size(model.size), 7, right=True, by=lambda model: model.size),
        Column("on gpu", lambda model: model_size(model.size_vram), 7, right=True, by=lambda model: model.size_vram),
        Column("context", lambda model: model.context_length, 8, right=True),
        Column("until", lambda model: told(model.expires_at), 14),
        Column("pool", lambda model: model.pool, 12, grow=1, wide=96),
    )
    facts = (
        Fact[schemas.LoadedModel]("model", lambda model: model.name),
        Fact("upstream", lambda model: model.upstream),
        Fact("pool", lambda model: model.pool),
        Fact("size", lambda model: model_size(model.size)),
        Fact("on the gpu", lambda model: model_size(model.size_vram)),
        Fact("context", lambda model: model.context_length),
        Fact("until", lambda model: told(model.expires_at)),
    )

    def identity(self, row: schemas.LoadedModel) -> str:
        return f"{row.name} on {row.upstream}"

    async def fetch(
        self, client: AdminClient, after: str | None, limit: int, **filters: Any
    ) -> Part[schemas.LoadedModel]:
        part = Part(await client.models.loaded())
        return fitting(part, filters, lambda row: (row.upstream, row.name, row.pool))


def _progress(pull: Pull) -> str:
    return f"{bar(pull.part, 12)} {percent(pull.part)}"


class PulledHere(Listing[Pull]):
    """The pulls that were begun in this dashboard. The daemon is not asked: their events have told all."""

    title = "Pulls"
    lists, shows = "models list", "models pull"
    search = "search"
    empty = "Nothing was pulled from here: n in the view Models."
    columns = (
        Column[Pull]("model", lambda pull: pull.model, 20, grow=2),
        Column("state", lambda pull: pull.state, 8, tone=lambda pull: PULL_STATES[pull.state]),
        Column("progress", _progress, 17, by=lambda pull: pull.part),
        Column("bytes", lambda pull: amount(pull.completed, pull.total), 16, right=True),
        Column("now", lambda pull: pull.status, 8, grow=2),
        Column("began", lambda pull: pull.began_at, 14, wide=100),
        Column("at", lambda pull: pull.at, 24, wide=130),
    )
    facts = (Fact[Pull]("model", lambda pull: pull.model),)
    actions: ClassVar = (pull_new, stop_pull)

    def identity(self, row: Pull) -> str:
        return str(id(row))

    def named(self, row: Pull) -> str:
        return row.model

    def due(self, now: float) -> bool:
        return self.is_mounted and (bool(self.dashboard.pulls.running) or super().due(now))

    def refresh_rows(self, *, quiet: bool = False) -> None:
        self._dirty, self._asked = False, self.dashboard.clock()
        self._fill(fitting(Part(self.dashboard.pulls.all), self._query, lambda pull: (pull.model, pull.state)))
        self._say()

    @work(exclusive=True, group="show")
    async def _show(self, row: Pull) -> None:
        await show(self.dashboard.desk, row)
