"""What the panels of the System section show: decisions without a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len

from llmgate import schemas
from llmgate.schemas.system import Cpu, UpstreamCount
from llmgate.text import cell, clean, lasting, moment, size
from llmgate.tui.widgets.panel import Line, Look, Pane, line, span
from llmgate.tui.widgets.spark import bar, spark

HOURS = 24
"""How far back failed logins are told."""
BESIDE = 7
"""Cells of the names beside bars."""
HIGH, FULL = 0.8, 0.95
"""Shares from which on something is nearly used up, or as good as."""

Paint = Callable[[schemas.System, datetime, int, int], Pane]
"""Of what the daemon has told, at this time, on so many columns and lines."""


def daemon(seen: schemas.System, now: datetime, width: int, height: int) -> Pane:
    """Whether it is ready, since when it runs, and with what."""
    versions = seen.versions
    told = [
        ("up", lasting(seen.uptime)),
        (seen.database.kind, _database(seen)),
        ("Python", versions.python),
        ("broker", versions.broker),
        ("started", moment(seen.started_at, now)),
        ("on", versions.platform),
    ]
    lines: list[Line] = [((reason, "bad"),) for reason in seen.not_ready] or [(("● ready", "good"),)]
    lines += [_fact(name, text, width) for name, text in told if text]
    title = "Daemon" if seen.ready else "Daemon: NOT READY"
    return Pane(title, f"llmgate {seen.version}", _cut(lines, width, height))


def machine(seen: schemas.System, now: datetime, width: int, height: int) -> Pane:
    """How busy and how full it is."""
    found = seen.machine
    if found is None:
        return Pane("Machine", "", ((("The system does not tell.", "warn"),),))
    cpu, disk = found.cpu, found.disk
    lines = [
        _cpu(cpu, width),
        _gauge("memory", _share(found.memory.used, found.memory.total), f"of {size(found.memory.total)}", width),
        _gauge("disk", _share(disk.used, disk.total), f"of {size(disk.total)}", width),
        _fact("free", f"{size(disk.free)} at {disk.path}", width, label=BESIDE),
    ]
    return Pane("Machine", "load " + " ".join(f"{load:.2f}" for load in cpu.load), _cut(lines, width, height))


def process(seen: schemas.System, now: datetime, width: int, height: int) -> Pane:
    """What the daemon itself takes of it."""
    if seen.machine is None:
        return Pane("Process", "", ((("The system does not tell.", "warn"),),))
    own = seen.machine.process
    lines = [
        _gauge("files", _share(own.descriptors, own.descriptors_limit), f"of {own.descriptors_limit:,}", width),
        _fact("memory", size(own.memory), width, label=BESIDE),
        _fact("threads", own.threads, width, label=BESIDE),
        _fact("open", f"{own.descriptors:,} descriptors", width, label=BESIDE),
    ]
    return Pane("Process", f"pid {own.pid}", _cut(lines, width, height))


def gpus(seen: schemas.System, now: datetime, width: int, height: int) -> Pane:
    """What nvidia-smi tells; on much room two lines each."""
    lines: list[Line] = [] if seen.gpus else [(("nvidia-smi tells of none here.", "dim"),)]
    roomy = height >= 2 * len(seen.gpus)
    for number, gpu in enumerate(seen.gpus):
        heat = "" if gpu.temperature is None else f"{gpu.temperature:.0f} °C"
        share = _share(gpu.memory_used, gpu.memory_total)
        if roomy:
            busy = "-" if gpu.percent is None else f"{gpu.percent:.0f} % busy"
            lines.append(
                line(span(gpu.name, max(8, width - 20)), span(busy, 10, right=True), span(heat, 8, right=True))
            )
        lines.append(_gauge(f"gpu {number}", share, f"of {cell(size(gpu.memory_total))}", width))
    return Pane("GPUs", f"{len(seen.gpus)}" if seen.gpus else "", _cut(lines, width, height))


def work(seen: schemas.System, now: datetime, width: int, height: int) -> Pane:
    """What it works with: upstreams, the queue, usage that is to be written, event streams."""
    upstreams, usage, events = seen.upstreams, seen.usage, seen.events
    lines = [
        _fact("upstreams", f"{upstreams.usable} of {upstreams.total} usable", width, _some(upstreams)),
        _fact(
            "queue", f"{seen.queue_backend}, {seen.queue_state}", width, "bad" if seen.queue_state == "degraded" else ""
        ),
        _fact("usage", f"{usage.pending:,} to write, {usage.dropped:,} dropped", width, "bad" if usage.dropped else ""),
        _fact(
            "events", f"{events.clients} streams, {events.dropped:,} dropped", width, "warn" if events.dropped else ""
        ),
    ]
    return Pane("Work", "", _cut(lines, width, height))


def logins(seen: schemas.System, now: datetime, width: int, height: int) -> Pane:
    """Failed logins of the last day, hour by hour. The daemon forgets them when it ends."""
    begun = seen.started_at.astimezone(now.tzinfo)
    remark = f"since {begun:%H:%M}" if now - begun < timedelta(hours=HOURS) else f"{HOURS} h"
    counted = {_hour(row.hour): row.failed + row.throttled for row in seen.failed_logins}
    hour = _hour(now)
    figures = [float(counted.get(hour - timedelta(hours=back), 0)) for back in reversed(range(HOURS))]
    failed = sum(row.failed for row in seen.failed_logins)
    throttled = sum(row.throttled for row in seen.failed_logins)
    if not failed + throttled:
        return Pane("Failed logins", remark, ((("● none", "good"),),))
    rows = max(1, min(3, height - 2))
    lines: list[Line] = [((text, "warn"),) for text in spark(figures, max(figures), rows)]
    lines.append(((f"{failed:,} failed, {throttled:,} throttled", "warn"),))
    last = seen.failed_logins[-1]
    begin = last.hour.astimezone(now.tzinfo)
    lines.append(_fact("last", f"{last.failed + last.throttled:,} from {begin:%H:%M} on", width))
    return Pane("Failed logins", remark, _cut(lines, width, height))


PANES: dict[str, Paint] = {
    "daemon": daemon,
    "machine": machine,
    "process": process,
    "gpus": gpus,
    "work": work,
    "logins": logins,
}
"""By name, in the order in which they are shown."""


def _database(seen: schemas.System) -> str:
    """Its version, size and schema; what is not known while it does not answer is left out."""
    known = seen.database
    parts = (seen.versions.database, size(known.size), f"schema {known.revision}" if known.revision else "NO ANSWER")
    return ", ".join(part for part in parts if part)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _some(upstreams: UpstreamCount) -> Look:
    if upstreams.usable == upstreams.total:
        return "good" if upstreams.total else "warn"
    return "warn" if upstreams.usable else "bad"


def unmeasured(seen: schemas.System) -> schemas.System:
    """Without its share of the cpu. The daemon tells that since it was asked last: the first time it has none."""
    if seen.machine is None:
        return seen
    cpu = seen.machine.cpu.model_copy(update={"percent": math.nan})
    return seen.model_copy(update={"machine": seen.machine.model_copy(update={"cpu": cpu})})


def _cpu(cpu: Cpu, width: int) -> Line:
    if math.isnan(cpu.percent):
        return _fact("cpu", f"… of {cpu.cores} cores", width, label=BESIDE)
    return _gauge("cpu", cpu.percent / 100, f"of {cpu.cores} cores", width)


def _share(used: int | None, total: int | None) -> float | None:
    return used / total if used is not None and total else None


def _gauge(name: str, share: float | None, of: str, width: int) -> Line:
    """A bar with its share in figures: it can be read without colours."""
    after = span(of, min(11, max(0, width - 22)))
    if share is None:
        return line(span(name, BESIDE, "dim"), ("not known", "dim"), after)
    look: Look = "bad" if share >= FULL else "warn" if share >= HIGH else "bar"
    room = max(4, width - BESIDE - 5 - len(after[0]) - 3)
    used, rest = bar(round(1000 * min(1.0, share)), 1000, room)
    figure: Look = look if look != "bar" else ""
    share_told = span(f"{100 * share:.0f} %", 5, figure, right=True)
    return (*line(span(name, BESIDE, "dim"), (used, look)), (rest, "dim"), (" ", ""), *line(share_told, after))


def _fact(name: str, value: object, width: int, look: Look = "", *, label: int = 10) -> Line:
    return line(span(name, label, "dim"), span(cell(value), max(1, width - label - 1), look))


def _cut(lines: list[Line], width: int, height: int) -> tuple[Line, ...]:
    """As many lines as there is room for, none longer than it."""
    return tuple(tuple(_shortened(one, width)) for one in lines[:height])


def _shortened(one: Line, width: int) -> Iterator[tuple[str, Look]]:
    left = width
    for text, look in one:
        if left > 0:
            harmless = clean(text)
            yield span(harmless, min(cell_len(harmless), left), look)
            left -= cell_len(harmless)
