"""`llmgate system`: how the daemon does, and the machine that it runs on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import IntervalOption, WatchOption
from llmgate.cli.output import Column, Format, console, grid, table
from llmgate.text import cell, lasting, size

if TYPE_CHECKING:  # not needed to show the help
    from llmgate.errors import LLMGateError

system = group("system", "The daemon and its machine.")


@command(system, "show")
async def show(cli: Cli, watch: WatchOption = False, interval: IntervalOption = 2) -> None:
    """Show the daemon that answers: versions, machine, database, queue, upstreams.

    In a cluster each daemon tells of its own machine; name one with --url.

    Examples:
      llmgate system show
      llmgate system show --watch --interval 5
      llmgate system show -o json | jq .machine.memory
    """
    if watch:
        from llmgate.cli.watching import View, follow

        view: View[Any] = View(lambda seen: {"data": cli.out.fields_of(seen)}, _paint)
        await follow(cli, lambda client: client.system(), view, interval)
        return
    async with cli.client() as client:
        seen = await client.system()
    if cli.out.form is not Format.TABLE or cli.out.quiet or cli.out.fields:
        cli.out.record(seen, (), name="version")
        return
    target = console(sys.stdout)
    for number, (title, columns, rows) in enumerate(_sections(seen)):
        if number:
            target.print()
        target.print(title, style="bold")
        target.print(grid(seen, columns) if rows is None else table(rows, columns, target.width))


Section = tuple[str, Sequence[Column], Sequence[Any] | None]
"""A title, and a record of the whole or a table of rows."""


def _paint(seen: Any, at: datetime, failure: LLMGateError | None, width: int, height: int) -> Sequence[str]:
    from llmgate.cli.watching import Picture, headline

    page = Picture(width, height, "dim" if failure else None)
    page.head(headline(at, failure, _state(seen)))
    for _, columns, rows in _sections(seen):
        if rows is None:
            page.record(seen, columns)
        else:
            page.section(rows, columns)
    return page.lines


def _sections(seen: Any) -> Iterator[Section]:
    yield "Daemon", DAEMON, None
    if seen.machine is not None:
        yield "Machine", MACHINE, None
    if seen.gpus:
        yield "GPUs", GPUS, seen.gpus
    yield "Work", WORK, None
    if seen.failed_logins:
        yield "Failed logins", LOGINS, seen.failed_logins
    if len(seen.daemons) > 1:
        from llmgate.cli.queue_columns import DAEMONS

        yield "Cluster", DAEMONS, seen.daemons


def _of(used: int | None, total: int | None) -> str:
    share = f" ({100 * used / total:.0f} %)" if used is not None and total else ""
    return f"{cell(size(used))} of {cell(size(total))}{share}"


def _state(seen: Any) -> str:
    return "ready" if seen.ready else "not ready: " + "; ".join(seen.not_ready)


def _versions(seen: Any) -> str:
    told = {"Python": seen.versions.python, seen.database.kind: seen.versions.database, "broker": seen.versions.broker}
    return ", ".join(f"{name} {version}" for name, version in told.items() if version)


def _cpu(seen: Any) -> str:
    cpu = seen.machine.cpu
    return f"{cpu.percent:.0f} % of {cpu.cores} cores, load {' '.join(f'{load:.2f}' for load in cpu.load)}"


def _process(seen: Any) -> str:
    own = seen.machine.process
    opened = f"{own.descriptors} of {own.descriptors_limit} descriptors"
    return f"pid {own.pid}, {size(own.memory)}, {own.threads} threads, {opened}"


def _disk(seen: Any) -> str:
    return f"{_of(seen.machine.disk.used, seen.machine.disk.total)} at {seen.machine.disk.path}"


def _queue(seen: Any) -> str:
    return f"{seen.queue_backend}, {seen.queue_state}"


DAEMON: Final = (
    Column("state", _state),
    Column("llmgate", lambda seen: seen.version),
    Column("versions", _versions),
    Column("platform", lambda seen: seen.versions.platform),
    Column("running for", lambda seen: lasting(seen.uptime)),
)
MACHINE: Final = (
    Column("CPU", _cpu),
    Column("memory", lambda seen: _of(seen.machine.memory.used, seen.machine.memory.total)),
    Column("disk", _disk),
    Column("process", _process),
)
GPUS: Final = (
    Column("gpu", lambda gpu: gpu.name),
    Column("used", lambda gpu: None if gpu.percent is None else f"{gpu.percent:.0f} %", right=True),
    Column("memory", lambda gpu: _of(gpu.memory_used, gpu.memory_total)),
    Column("temperature", lambda gpu: None if gpu.temperature is None else f"{gpu.temperature:.0f} °C", right=True),
)
WORK: Final = (
    Column("queue", _queue),
    Column("upstreams", lambda seen: f"{seen.upstreams.usable} of {seen.upstreams.total} usable"),
    Column("database", lambda seen: f"{cell(size(seen.database.size))}, schema {cell(seen.database.revision)}"),
    Column("usage", lambda seen: f"{seen.usage.pending} rows to be written, {seen.usage.dropped} dropped"),
    Column("events", lambda seen: f"{seen.events.clients} streams, {seen.events.dropped} dropped"),
)
LOGINS: Final = (
    Column("hour", lambda row: row.hour),
    Column("failed", lambda row: row.failed, right=True),
    Column("throttled", lambda row: row.throttled, right=True),
)
