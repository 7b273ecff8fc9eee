"""The panes of who works: upstreams and their slots, who runs on them, and who uses most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmgate import schemas
from llmgate.text import precise
from llmgate.tui.overview.sight import Sight
from llmgate.tui.overview.verdict import USABLE, plain, standing, why
from llmgate.tui.overview.words import MARKS, lasting, number, several, short
from llmgate.tui.widgets.panel import Line, Look, Pane, line, span
from llmgate.tui.widgets.spark import bar

NARROW = 50
WIDE = 76
FIRST = 200
"""How many of those who wait, or run, are asked for: enough to say who they are."""


def upstreams(sight: Sight, width: int, height: int) -> Pane:
    """Each upstream: how it does, why, and how many of its slots are used."""
    known = sight.upstreams
    if not known:
        text = "Asking the daemon …" if known is None else "There are no upstreams yet."
        return Pane("Upstreams", "", ((span(text, width, "dim"),),))
    used: dict[str, tuple[int, int]] = {}
    for pool in sight.pools:
        used.update(pool.upstreams)
    ordered = sorted(known, key=lambda one: (standing(one) in ("good", "dim"), one.pool, one.name))
    blocks = [_upstream(one, used.get(one.name), width) for one in ordered]
    lines = [part for block in blocks for part in block]
    if len(lines) > height:  # the reasons are in the first line of the screen as well
        lines = [block[0] for block in blocks]
    pools = _pools(sight, width) if len(sight.pools) > 1 else []
    if pools and len(lines) + len(pools) + 1 <= height:
        lines = [*lines, (), *pools]
    elif pools and len(lines) < height:
        waiting = " · ".join(f"{pool.pool} {number(pool.waiting)}" for pool in _busiest(sight))
        lines.append((span(f"waiting: {waiting}", width, "dim"),))
    usable = [used.get(one.name, (0, one.slots)) for one in known if one.state in USABLE]
    busy, slots = sum(busy for busy, _ in usable), sum(slots for _, slots in usable)
    return Pane("Upstreams", f"{busy} of {several(slots, 'slot')} used", _cut(lines, width, height))


def _upstream(one: schemas.Upstream, slots: tuple[int, int] | None, width: int) -> list[Line]:
    look = standing(one)
    running, whole = slots or (0, one.slots)
    state, figure = 13, 7
    long = 0 if width < NARROW else 10 if width < WIDE else 24
    name = width - state - figure - 4 - (long + 1 if long else 0)
    full, rest = bar(running, whole, long)
    drawn: list[Line] = [
        (
            *line(span(MARKS[look], 1, look), span(one.name, name, "bold"), span(plain(one.state), state, look)),
            (" " if long else "", ""),
            (full, "bar"),
            (rest, "dim"),
            (" ", ""),
            span(f"{running}/{whole}", figure, "" if running else "dim", right=True),
        )
    ]
    if one.reason and look != "good":
        drawn.append((("  ", ""), span(why(one), width - 2, look)))
    return drawn


def _pools(sight: Sight, width: int) -> list[Line]:
    """Who waits, for each of several pools."""
    lines = []
    for pool in _busiest(sight):
        oldest = f", oldest {lasting(pool.oldest_wait)}" if pool.waiting and pool.oldest_wait else ""
        text = f"{number(pool.waiting)} waiting{oldest}" if pool.waiting else "nobody waits"
        name = max(8, width - 39)
        state: Look = "dim" if pool.state == "open" else "warn"
        lines.append(
            line(
                span("pool", 4, "dim"),
                span(pool.pool, name - 4 if width < NARROW else name, "bold"),
                span(plain(pool.state), 8, state) if width >= NARROW else ("", ""),
                span(text, 24, "" if pool.waiting else "dim"),
            )
        )
    return lines


def _busiest(sight: Sight) -> list[schemas.PoolStats]:
    return sorted(sight.pools, key=lambda pool: (-pool.waiting, pool.pool))


def running(sight: Sight, width: int, height: int) -> Pane:
    """Who holds the slots, the longest first."""
    rows = sight.running
    if not rows:
        text = "Asking the daemon …" if rows is None else "Nothing runs."
        return Pane("Running", "", ((span(text, width, "dim"),),))
    lasts = 6
    level = 0 if width < NARROW else 5
    where = 0 if width < NARROW else 8 if width < WIDE else 18
    left = width - lasts - 1 - (level + 1 if level else 0) - (where + 1 if where else 0) - 1
    who = left * 4 // 9
    model = left - who
    head = line(
        span("WHO", who, "dim"),
        span("MODEL", model, "dim"),
        span("LEVEL", level, "dim", right=True),
        span("ON", where, "dim"),
        span("FOR", lasts, "dim", right=True),
    )
    lines = [
        line(
            span(one.owner_name or one.owner, who, "bold"),
            span(short(one.model), model),
            span(one.level, level, right=True),
            span(one.upstream, where),
            span(precise(one.running_for), lasts, right=True),
        )
        for one in sorted(rows, key=lambda one: (-one.running_for, one.ticket_id))
    ]
    # How many more there are stands in the frame: a line of its own would be one of them.
    more = len(lines) - max(0, height - 1) if len(lines) > height - 1 else 0
    more += beyond(sight)
    remark = f"longest first, and {more:,} more" if more else "longest first"
    return Pane("Running", remark, (head, *lines[: max(0, height - 1)]))


def beyond(sight: Sight) -> int:
    """How many run beside those that were asked for."""
    if sight.running is None or sight.stats is None or len(sight.running) < FIRST:
        return 0
    return max(0, sight.stats.running - len(sight.running))


@dataclass(slots=True)
class Flow:
    """One owner: what they have used, and what of theirs runs and waits now."""

    name: str
    running: int = 0
    waiting: int = 0
    requests: int = 0
    tokens: int = 0


def flows(sight: Sight) -> list[Flow]:
    """Who uses most: by tokens, then by requests; who runs or waits only now comes after them."""
    found: dict[str, Flow] = {}
    for row in sight.usage.data if sight.usage else ():
        used = row.input_tokens + row.output_tokens
        found[row.key] = Flow(row.name or row.key, requests=row.requests, tokens=used)
    runs: Counter[str] = Counter()
    waits: Counter[str] = Counter()
    names: dict[str, str] = {}
    for held in sight.running or ():
        runs[held.owner] += 1
        names[held.owner] = held.owner_name or held.owner
    for place in sight.waiting.data if sight.waiting else ():
        waits[place.owner] += 1
        names[place.owner] = place.owner_name or place.owner
    for owner, name in names.items():
        flow = found.setdefault(owner, Flow(name))
        flow.name, flow.running, flow.waiting = name, runs[owner], waits[owner]
    by = sorted(found.values(), key=lambda flow: flow.name)
    return sorted(by, key=lambda flow: (flow.tokens, flow.requests, flow.running + flow.waiting), reverse=True)


def top(sight: Sight, width: int, height: int) -> Pane:
    """The pane of those who use most."""
    since = "" if sight.usage is None else f"since {sight.usage.since.astimezone(sight.now.tzinfo):%H:%M}"
    found = flows(sight)
    if not found:
        text = "Asking the daemon …" if sight.usage is None else f"No requests {since}."
        return Pane("Who uses most", "", ((span(text, width, "dim"),),))
    partly = sight.waiting is not None and sight.waiting.total > len(sight.waiting.data)
    partly_running = beyond(sight) > 0
    columns = [("RUN", 4), ("WAIT", 5), ("REQUESTS", 8), ("TOKENS", 6)]
    who = width - sum(cells + 1 for _, cells in columns)
    lines = [line(span("WHO", who, "dim"), *(span(title, cells, "dim", right=True) for title, cells in columns))]
    for flow in found[: height - 1]:
        texts = [number(value) if value else "-" for value in (flow.running, flow.waiting, flow.requests, flow.tokens)]
        if partly_running and flow.running:
            texts[0] += "+"
        if partly and flow.waiting:  # only the first of the line are known
            texts[1] += "+"
        figures = (
            span(text, cells, "dim" if text == "-" else "", right=True)
            for text, (_, cells) in zip(texts, columns, strict=True)
        )
        lines.append(line(span(flow.name, who, "bold"), *figures))
    return Pane("Who uses most", since, tuple(lines))


def _cut(lines: Sequence[Line], width: int, height: int) -> tuple[Line, ...]:
    """As many as there is room for, and how many more there are."""
    if len(lines) <= height:
        return tuple(lines)
    shown = max(0, height - 1)
    return (*lines[:shown], (span(f"… and {len(lines) - shown} more", width, "dim"),))
