"""The pools at this moment, and the daemons that share the waiting lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.text import clean, precise
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.listing import Listing, Part
from llmgate.tui.screens import daemons
from llmgate.tui.screens.queue_actions import pool_actions

STATES: Mapping[str, Tone] = {"open": "good", "paused": "warn", "draining": "warn", "offline": "bad"}


@dataclass(frozen=True, slots=True)
class PoolRow:
    """The figures of a pool; ``made_of`` is known where somebody looks at it closely."""

    stats: schemas.PoolStats
    made_of: schemas.Pool | None = None

    @property
    def pool(self) -> str:
        return self.stats.pool

    @property
    def state(self) -> str:
        return self.stats.state

    @property
    def upstreams(self) -> list[str]:
        """Each with what runs there of its slots; what cannot be used now is out."""
        usable = None if self.made_of is None else self.made_of.usable_upstreams
        names = self.stats.upstreams if self.made_of is None else self.made_of.upstreams
        told = []
        for name in names:
            running, slots = self.stats.upstreams.get(name, (0, 0))
            is_out = usable is not None and name not in usable
            told.append(f"{name} (out)" if is_out else f"{name} ({running} of {slots})")
        return told


def by_level(stats: schemas.PoolStats) -> str:
    """Who waits: ``1:3 5:12``."""
    return " ".join(f"{level}:{count:,}" for level, count in sorted(stats.waiting_by_level.items()) if count)


def waits(stats: schemas.PoolStats) -> str:
    """How many seconds it took lately to get a turn, by level: ``1:0.2/0.9``, half of them and nearly all."""
    return " ".join(
        f"{level}:{_brief(p50)}/{_brief(stats.wait_p95.get(level, p50))}"
        for level, p50 in sorted(stats.wait_p50.items())
    )


def _brief(wait: float) -> str:
    return f"{wait:.1f}" if wait < 9.95 else f"{wait:.0f}"


def _waits_told(row: PoolRow) -> list[str]:
    stats = row.stats
    return [
        f"level {level}: {precise(p50)} / {precise(stats.wait_p95.get(level))} / {precise(stats.wait_max.get(level))}"
        for level, p50 in sorted(stats.wait_p50.items())
    ]


def _service(stats: schemas.PoolStats) -> str:
    return "" if stats.service_p50 is None else f"{precise(stats.service_p50)} / {precise(stats.service_p95)}"


def _models(row: PoolRow) -> list[str]:
    return [] if row.made_of is None else row.made_of.models


def _partial(row: PoolRow) -> list[str]:
    some = {} if row.made_of is None else row.made_of.partial_models
    return [f"{model} (only on {', '.join(upstreams)})" for model, upstreams in some.items()]


def _oldest(row: PoolRow) -> str:
    return precise(row.stats.oldest_wait) if row.stats.waiting else ""


class Pools(Listing[PoolRow]):
    """Every pool, in all daemons together."""

    title = "Pools"
    lists, shows = "queue stats", "pools show"
    empty = "There are no pools: no upstream is known."
    every = 1.0
    columns = (
        Column[PoolRow]("pool", lambda row: row.pool, 9, grow=1),
        Column("state", lambda row: row.state, 8, tone=lambda row: STATES.get(row.state, "")),
        Column(
            "running",
            lambda row: f"{row.stats.running:,} of {row.stats.slots:,}",
            8,
            right=True,
            by=lambda row: row.stats.running,
        ),
        Column("waiting", lambda row: f"{row.stats.waiting:,}", 7, right=True, by=lambda row: row.stats.waiting),
        Column("by level", lambda row: by_level(row.stats), 15, grow=2, by=lambda row: row.stats.waiting),
        Column(
            "aged",
            lambda row: f"{row.stats.aged_waiting:,}",
            5,
            right=True,
            by=lambda row: row.stats.aged_waiting,
            tone=lambda row: "accent" if row.stats.aged_waiting else "",
        ),
        Column("oldest", _oldest, 6, right=True, by=lambda row: row.stats.oldest_wait),
        Column(
            "in/s",
            lambda row: f"{row.stats.arrivals_per_second:.1f}",
            5,
            right=True,
            by=lambda row: row.stats.arrivals_per_second,
        ),
        Column(
            "grants/s",
            lambda row: f"{row.stats.grants_per_second:.1f}",
            8,
            right=True,
            wide=100,
            by=lambda row: row.stats.grants_per_second,
        ),
        Column("wait p50/p95 s", lambda row: waits(row.stats), 19, grow=3, wide=112),
        Column("dispatcher", lambda row: row.stats.dispatcher or "nobody", 12, wide=130),
    )
    facts = (
        Fact[PoolRow]("pool", lambda row: row.pool),
        Fact("state", lambda row: row.state),
        Fact("upstreams", lambda row: row.upstreams),
        Fact("models", _models),
        Fact("not served", _partial),
        Fact("running", lambda row: f"{row.stats.running:,} of {row.stats.slots:,}"),
        Fact("waiting", lambda row: f"{row.stats.waiting:,}"),
        Fact("by level", lambda row: by_level(row.stats)),
        Fact("in the aged lane", lambda row: row.stats.aged_waiting),
        Fact("oldest", _oldest),
        Fact("arrivals/s", lambda row: row.stats.arrivals_per_second),
        Fact("grants/s", lambda row: row.stats.grants_per_second),
        Fact("granted", lambda row: f"{row.stats.granted:,}, of them aged {row.stats.granted_aged:,}"),
        Fact("promotions", lambda row: f"{row.stats.promotions:,}"),
        Fact("wait p50 / p95 / max", _waits_told),
        Fact("service p50 / p95", lambda row: _service(row.stats)),
        Fact("dispatcher", lambda row: row.stats.dispatcher or "nobody"),
        Fact("changes of dispatcher", lambda row: row.stats.epoch),
        Fact("slots used twice", lambda row: precise(row.stats.over_limit_seconds)),
    )
    actions: ClassVar = pool_actions(lambda row: row.pool, lambda row: row.state)

    def identity(self, row: PoolRow) -> str:
        return row.pool

    def named(self, row: PoolRow) -> str:
        return row.pool

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[PoolRow]:
        return Part([PoolRow(stats) for stats in await client.queue_stats()])

    async def look(self, client: AdminClient, row: PoolRow) -> PoolRow:
        return PoolRow(row.stats, await client.pools.get(row.pool))


class Daemons(Listing[schemas.QueueDaemon]):
    """Who takes part in the queue, as the daemon knows that is asked."""

    title = "Daemons"
    lists = "queue status"
    empty = "No other daemon shares the waiting lines."
    every = 2.0
    columns = daemons.COLUMNS
    facts = daemons.FACTS
    DEFAULT_CSS = """
    Daemons > .state { height: auto; padding: 0 1; color: $text-success; }
    Daemons > .state.-bad { color: $text-error; text-style: bold; }
    """

    def compose(self) -> ComposeResult:
        yield Static(classes="state")
        yield from super().compose()

    def identity(self, row: schemas.QueueDaemon) -> str:
        return row.name

    def forget(self) -> None:
        self._state("", good=True)
        super().forget()

    async def fetch(
        self, client: AdminClient, after: str | None, limit: int, **filters: Any
    ) -> Part[schemas.QueueDaemon]:
        status = await client.queue_status()
        self._state(state_of(status), good=status.serves)
        return Part(status.daemons)

    def _state(self, text: str, *, good: bool) -> None:
        line = self.query_one(".state", Static)
        line.set_class(not good, "-bad")
        line.update(Content(clean(text)))


def state_of(status: schemas.QueueStatus) -> str:
    """How the queue does, in a sentence or two."""
    if status.backend == "memory":
        state = f"The queue is in the memory of this daemon, {status.state}: it names no daemons."
    else:
        version = f" {status.broker_version}" if status.broker_version else ""
        state = f"The queue is in {status.backend}{version}, {status.state}."
    if status.reason:
        state += f" {status.reason.rstrip('.')}."
    return state if status.serves else f"{state} No slot can be given here."
