"""Usage: what was used over time and by whom, and the finished requests one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from llmgate.client import AdminClient
from llmgate.text import precise
from llmgate.tui.acting import Action
from llmgate.tui.columns import Column, Fact
from llmgate.tui.desk import Desk
from llmgate.tui.filters import Filter, level
from llmgate.tui.listing import PAGE, Listing, Part
from llmgate.tui.screens.requests import Requests
from llmgate.tui.screens.usage_sums import DIMENSIONS, MEASURES, SPANS, Account, Group, account, labels, moments
from llmgate.tui.section import Section
from llmgate.tui.twin import shown_twin, twin
from llmgate.tui.widgets.chart import brief, drawn
from llmgate.tui.widgets.filterline import FilterLine
from llmgate.tui.widgets.panel import Pane, Panel
from llmgate.tui.widgets.spark import spark

Choice = TypeVar("Choice")
TREND = 31
"""Cells of the line of a group over time: a month has so many days."""
MOST_SUMS = 3000
"""Of more than so many groups and hours, the bars are drawn of all groups together: reading them would hold up the
keys."""


async def _here(desk: Desk, row: Any) -> None:
    """The chart does it itself: it only looks at the same things in another way."""


def _turning(key: str, label: str, *, hidden: bool = False) -> Action[Any]:
    return Action(key, label, "usage", _here, alone=True, changes=False, hidden=hidden)


def _average(group: Group) -> float | None:
    return group.wait_seconds / group.requests if group.requests else None


@dataclass(frozen=True)
class Drawn(Part[Group]):
    """The groups, and with them what the bars show."""

    account: Account | None = None
    title: str = ""


class Chart(Listing[Group]):
    """Bars over time, and under them what they are made of: the table is the legend."""

    title = "Chart"
    lists = "usage"
    every = 15.0
    empty = "Nothing was used in this time."
    filters = (
        Filter("user", hint="NAME"),
        Filter("key", hint="NAME"),
        Filter("model", hint="NAME"),
        Filter("level", ("1", "2", "3", "4", "5"), level),
        Filter("principal", hint="key:ID"),
    )
    columns = (
        Column[Group]("", lambda group: group.mark * 2, 2, tone=lambda group: group.look),
        Column("name", lambda group: group.name, 16, grow=1),
        Column("requests", lambda group: f"{group.requests:,}", 9, right=True, by=lambda group: group.requests),
        Column("in", lambda group: brief(group.input_tokens), 6, right=True, by=lambda group: group.input_tokens),
        Column("out", lambda group: brief(group.output_tokens), 6, right=True, by=lambda group: group.output_tokens),
        Column(
            "errors",
            lambda group: f"{group.errors:,}",
            7,
            right=True,
            by=lambda group: group.errors,
            tone=lambda group: "bad" if group.errors else "dim",
        ),
        Column("wait each", lambda group: precise(_average(group)), 9, right=True, by=_average),
        Column("share", lambda group: f"{100 * group.share:.0f} %", 6, right=True, by=lambda group: group.share),
        Column("over time", lambda group: _trend(group.values), TREND, wide=110, tone=lambda group: "dim"),
    )
    facts = (
        Fact[Group]("name", lambda group: group.name),
        Fact("id", lambda group: group.key),
        Fact("requests", lambda group: f"{group.requests:,}"),
        Fact("errors", lambda group: f"{group.errors:,}"),
        Fact("tokens in", lambda group: f"{group.input_tokens:,}"),
        Fact("tokens out", lambda group: f"{group.output_tokens:,}"),
        Fact("waited", lambda group: f"{group.wait_seconds:,.1f} s, {precise(_average(group))} each"),
        Fact("share", lambda group: f"{100 * group.share:.1f} %"),
    )
    actions: ClassVar = (
        _turning("m", "Count"),
        _turning("b", "Group by"),
        _turning("t", "Range"),
        _turning("plus", "Longer", hidden=True),
        _turning("minus", "Shorter", hidden=True),
    )
    DEFAULT_CSS = """
    Chart > .choices { height: 1; padding: 0 1; }
    Chart > Panel { height: 3fr; min-height: 7; }
    Chart > RowTable { height: 2fr; min-height: 3; }
    Chart > .twin { height: 1; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._measure, self._by, self._span = MEASURES[0], DIMENSIONS[0], SPANS[0]
        self._shown: tuple[Account, str] | None = None

    def compose(self) -> ComposeResult:
        parts = list(super().compose())
        yield from (part for part in parts if isinstance(part, FilterLine))
        yield Static(classes="choices")
        yield Panel(self._painted, "", id="bars")
        yield from (part for part in parts if not isinstance(part, FilterLine))
        yield Static(classes="twin")

    def on_mount(self) -> None:
        self._choices()

    def identity(self, row: Group) -> str:
        return row.key

    # -- what is shown -------------------------------------------------------------------------

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[Group]:
        span, by, measure = self._span, self._by, self._measure
        ask = partial(client.usage.report, since=(self.dashboard.wall() - span.length).isoformat(), **filters)
        sums = await ask(group_by=by)
        if len(sums.data) * len(moments(span.by, sums.since, sums.until)) <= MOST_SUMS:
            told = account(await ask(group_by=span.by, then_by=by), None, measure, by)
        else:
            told = account(await ask(group_by=span.by), sums, measure, by)
        title = _title(measure.title, by, told, span.label)
        return Drawn(told.groups[:PAGE], total=len(told.groups), account=told, title=title)

    def _fill(self, part: Part[Group]) -> None:
        """Bars and table are of one answer: what is frozen stands still altogether."""
        super()._fill(part)
        if isinstance(part, Drawn) and part.account is not None:
            self._shown = part.account, part.title
            self.query_one(Panel).look()

    def forget(self) -> None:
        super().forget()
        self._shown = None
        self.query_one(Panel).look()

    def _painted(self, width: int, height: int) -> Pane:
        if self._shown is None:
            return Pane("", "", ())
        (told, title), zone = self._shown, self.dashboard.wall().tzinfo
        names = labels(told.by, told.moments, zone)
        return Pane(title, totals(told.groups, width), tuple(drawn(told.series, names, width, height)))

    def _choices(self) -> None:
        """What is counted, by what, and since when: what holds stands in brackets."""
        line: list[str | tuple[str, str]] = []
        for key, names, chosen in (
            ("m", [measure.name for measure in MEASURES], self._measure.name),
            ("b", list(DIMENSIONS), self._by),
            ("t", [span.label for span in SPANS], self._span.label),
        ):
            line.append((f"{key} ", "$text-accent"))
            for name in names:
                line.append((f"[{name}]", "bold") if name == chosen else (name, "$text-muted"))
                line.append(" ")
            line.append("  ")
        self.query_one(".choices", Static).update(Content.assemble(*line))
        self._twin()

    def _twin(self) -> None:
        options = ["--by", self._span.by, "--then-by", self._by, "--since", self._span.since]
        for name, value in self._query.items():
            options += [f"--{name}", str(value)]
        command = twin("usage", options=[*options, "--csv"])
        self.query_one(".twin", Static).update(Content(f"For a spreadsheet: $ {shown_twin(self.app, command)}"))

    @on(FilterLine.Changed)
    def narrowed(self) -> None:
        self.call_later(self._twin)

    # -- keys ----------------------------------------------------------------------------------

    def action_act(self, name: str) -> None:
        """Count something else, by something else, or over another time."""
        match name.rpartition("_")[2]:
            case "m":
                self._measure = _next(MEASURES, self._measure)
            case "b":
                self._by = _next(DIMENSIONS, self._by)
            case "t":
                self._span = _next(SPANS, self._span)
            case "plus":
                self._span = SPANS[min(len(SPANS) - 1, SPANS.index(self._span) + 1)]
            case "minus":
                self._span = SPANS[max(0, SPANS.index(self._span) - 1)]
        self._choices()
        self.refresh_rows()


def totals(groups: Sequence[Group], width: int) -> str:
    """Everything together in one line of at most so many cells, what matters most first."""
    requests, errors = (sum(getattr(group, name) for group in groups) for name in ("requests", "errors"))
    tokens = tuple(sum(getattr(group, name) for group in groups) for name in ("input_tokens", "output_tokens"))
    waited = sum(group.wait_seconds for group in groups)
    parts = [f"{requests:,} requests", f"{errors:,} errors" + (f" ({100 * errors / requests:.1f} %)" if errors else "")]
    parts += [f"{brief(tokens[0])} tokens in", f"{brief(tokens[1])} out"]
    parts += [f"{precise(waited / requests)} wait each"] if requests else []
    while len(parts) > 1 and len(", ".join(parts)) > width - 2:
        parts.pop()
    return ", ".join(parts)


def _title(measure: str, by: str, told: Account, span: str) -> str:
    of = f"by {by}{' (of API keys only)' if by == 'key' else ''}"
    if told.together:
        of = f"of all together: too many to draw by {by}"
    return f"{measure} {of}, per {'hour' if told.by == 'hour' else 'UTC day'}, last {span}"


def _trend(values: Sequence[float]) -> str:
    return spark(values, max(values), 1)[0] if values else ""


def _next(choices: Sequence[Choice], now: Choice) -> Choice:
    return choices[(choices.index(now) + 1) % len(choices)]


class UsageSection(Section):
    """What was used."""

    name_, key, label, short = "usage", "8", "Usage", "Usage"
    views = (Chart, Requests)
    help = (
        "Requests, tokens, errors and waits over time, by user, key, model or level; and the finished requests one by "
        "one. Usage is kept by the hour; days are those of UTC. For a spreadsheet: llmgate usage --csv."
    )
