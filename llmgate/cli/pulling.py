"""The progress of a pull: a bar per upstream on a terminal, else lines."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager

from llmgate import schemas
from llmgate.cli.command import Cli
from llmgate.cli.output import Column, Format, console
from llmgate.errors import UpstreamError
from llmgate.text import clean

Show = Callable[[schemas.PullEvent], None]
RESULTS = (
    Column("upstream", lambda event: event.upstream),
    Column("result", lambda event: event.error or event.status),
)


async def follow(cli: Cli, model: str, events: AsyncGenerator[schemas.PullEvent, None]) -> None:
    """Show what happens until the end. Raises UpstreamError when it failed on any upstream."""
    ends: list[schemas.PullEvent] = []
    with _shown(cli) as show:
        async with aclosing(events):
            async for event in events:
                show(event)
                if event.done:
                    ends.append(event)
    if cli.out.form is Format.JSON:
        cli.out.rows(ends, RESULTS, name="upstream")
    failures = [f"{event.upstream}: {event.error}" for event in ends if event.error]
    if failures:
        raise UpstreamError(f"{model} could not be pulled. {'; '.join(failures)}")
    cli.out.message(f"Pulled {model} onto {', '.join(event.upstream for event in ends)}.")


@contextmanager
def _shown(cli: Cli) -> Iterator[Show]:
    if cli.out.form is Format.JSONL:
        yield cli.out.line
    elif cli.out.quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _Lines()


class _Lines:
    """A line for each step of each upstream, on standard error."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def __call__(self, event: schemas.PullEvent) -> None:
        if self._last.get(event.upstream) != event.status:
            self._last[event.upstream] = event.status
            sys.stderr.write(f"{clean(event.upstream)}: {clean(event.error or event.status)}\n")
            sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Show]:
    """A bar for each upstream, over all layers that are known so far."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.fields[upstream]}", markup=False),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    layers: dict[str, dict[str, tuple[int, int]]] = {}
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console(sys.stderr)) as progress:

        def show(event: schemas.PullEvent) -> None:
            name = event.upstream
            if name not in tasks:
                tasks[name] = progress.add_task("", total=None, upstream=clean(name))
            progress.update(tasks[name], description=clean(event.error or event.status))
            known = layers.setdefault(name, {})
            if event.digest is not None:
                known[event.digest] = (event.completed or 0, event.total or 0)
                completed, total = map(sum, zip(*known.values(), strict=True))
                progress.update(tasks[name], completed=completed, total=total)

        yield show
