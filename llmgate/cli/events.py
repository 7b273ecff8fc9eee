"""`llmgate events`: what happens, as it happens, in all daemons."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.output import Format
from llmgate.text import as_json, clean, moment

events = group("events", "What happens, as it happens.")


class Kind(StrEnum):
    """What one can ask for."""

    WAITING = "request.waiting"
    STARTED = "request.started"
    FINISHED = "request.finished"
    REFUSED = "request.refused"
    PROMOTED = "ticket.promoted"
    UPSTREAM = "upstream.changed"
    ACTIVITY = "activity"
    SETTINGS = "settings.changed"
    STATS = "stats"


UNASKED: Final = tuple(kind.value for kind in Kind if kind is not Kind.STATS)
"""What is shown to who asks for nothing: statistics once a second would drown the rest."""


@command(events, "watch")
async def watch(
    cli: Cli,
    kinds: Annotated[
        list[Kind] | None,
        typer.Option("--type", "-t", help="Only this; several may be given. Default: all but stats."),
    ] = None,
) -> None:
    """Watch what happens, until Ctrl-C; without a terminal, a line of JSON each time.

    Examples:
      llmgate events watch -t activity -t upstream.changed
      llmgate events watch -t request.finished -o jsonl | jq 'select(.wait > 10)'
    """
    await watch_events(cli, [kind.value for kind in kinds] if kinds else UNASKED)


async def watch_events(cli: Cli, types: tuple[str, ...] | list[str]) -> None:
    """Print events of these types as they come, until Ctrl-C. A stream that breaks is opened again."""
    for_people = cli.out.form is Format.TABLE and sys.stdout.isatty()
    async with cli.client() as client:
        told = client.events.listen(types, on_break=lambda why: cli.out.message(f"{why.message} Trying again."))
        async with aclosing(told) as stream:
            async for event in stream:
                cli.out.data(line_of(event) if for_people else as_json(cli.out.fields_of(event)))
                sys.stdout.flush()


def line_of(event: Any) -> str:
    """An event as people read it: when, what, and the rest."""
    when = moment(event.at, datetime.now().astimezone())
    tell = _TELLS.get(event.type)
    return clean(f"{when}  {event.type:<16}  {tell(event) if tell else ''}".rstrip())


def _finished(event: Any) -> str:
    error = f" ({event.error_code})" if event.error_code else ""
    tokens = f", {event.input_tokens or 0} → {event.output_tokens or 0} tokens" if event.outcome == "completed" else ""
    return (
        f"{event.principal_name}  {event.model}  {event.outcome}{error}, level {event.submitted_level}, "
        f"waited {event.wait:.2f} s, took {event.duration:.2f} s{tokens}"
    )


def _activity(event: Any) -> str:
    what = event.target_name or event.target_id
    origin = f" from {event.address}" if event.address else ""
    return f"{event.actor_name or event.actor_kind}{origin}: {event.action} {what}"


def _stats(event: Any) -> str:
    first = "-" if event.first_token_p95 is None else f"{event.first_token_p95:.2f} s"
    return (
        f"{event.running} run, {event.waiting} wait; {event.requests_per_second:.1f} requests/s, "
        f"{event.output_tokens_per_second:.0f} tokens/s, first token p95 {first}"
    )


_TELLS: Final[dict[str, Callable[[Any], str]]] = {
    "request.waiting": lambda event: (
        f"{event.owner_name or event.owner}  {event.model}  waits in {event.pool}, level {event.level}"
    ),
    "request.started": lambda event: (
        f"{event.owner_name or event.owner}  {event.model}  runs on {event.upstream} after {event.wait:.2f} s"
    ),
    "request.finished": _finished,
    "request.refused": lambda event: f"{event.route}  {event.error_code} ({event.status})",
    "ticket.promoted": lambda event: f"{event.ticket_id}  level {event.came_from} → {event.to or 'aged lane'}",
    "upstream.changed": lambda event: f"{event.upstream}  {event.before} → {event.after}  {event.reason}",
    "activity": _activity,
    "settings.changed": lambda event: ", ".join(event.keys),
    "stats": _stats,
    "lost": lambda event: f"{event.count} events were dropped on the way",
    "reset": lambda event: "what happened in between is not known",
    "end": lambda event: event.message,
}
