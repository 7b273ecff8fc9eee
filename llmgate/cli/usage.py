"""`llmgate usage`, `requests list` and `upstreams list`: what was used, and what serves."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import LimitOption, Since, Until
from llmgate.cli.output import Column

requests = group("requests", "Finished requests.")
upstreams = group("upstreams", "The servers that run the models.")


class By(StrEnum):
    """What usage is summed by."""

    PRINCIPAL = "principal"
    USER = "user"
    KEY = "key"
    MODEL = "model"
    HOUR = "hour"
    DAY = "day"
    LEVEL = "level"


SUMS = (
    Column("requests", lambda row: f"{row.requests:,}", right=True),
    Column("errors", lambda row: f"{row.errors:,}", right=True),
    Column("input tokens", lambda row: f"{row.input_tokens:,}", right=True),
    Column("output tokens", lambda row: f"{row.output_tokens:,}", right=True),
    Column("waited", lambda row: f"{row.wait_seconds:.1f} s", right=True),
)


def duration(value: float | None) -> str | None:
    """Seconds of a request, to the hundredth."""
    return None if value is None else f"{value:.2f} s"


REQUESTS = (
    Column("finished", lambda row: row.finished_at),
    Column("who", lambda row: row.principal_name),
    Column("model", lambda row: row.model),
    Column("outcome", lambda row: row.outcome),
    Column("status", lambda row: str(row.status), right=True, wide=True),
    Column("level", lambda row: row.submitted_level, right=True, wide=True),
    Column("waited", lambda row: f"{row.wait:.2f} s", right=True),
    Column("first byte", lambda row: duration(row.first_byte), right=True, wide=True),
    Column("took", lambda row: f"{row.duration:.2f} s", right=True),
    Column("in", lambda row: row.input_tokens, right=True),
    Column("out", lambda row: row.output_tokens, right=True),
    Column("id", lambda row: row.request_id, whole=True, wide=True),
)
UPSTREAMS = (
    Column("name", lambda row: row.name),
    Column("kind", lambda row: row.kind, wide=True),
    Column("url", lambda row: row.url, wide=True),
    Column("pool", lambda row: row.pool),
    Column("slots", lambda row: row.slots, right=True),
    Column("state", lambda row: row.state),
    Column("models", lambda row: row.models),
    Column("reason", lambda row: row.reason),
)


async def show_usage(
    cli: Cli,
    by: Annotated[By, typer.Option(help="What to sum by.")] = By.PRINCIPAL,
    since: Since = None,
    until: Until = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    principal: Annotated[str | None, typer.Option(help="Only this one, e.g. key:aB3dE5gH7j.")] = None,
) -> None:
    """Show requests and tokens; of the last 24 hours unless told otherwise."""
    query = {
        "group_by": by.value,
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "model": model,
        "principal": principal,
    }
    async with cli.client() as client:
        report = await client.usage(**query)
    cli.out.rows(report.data, (Column(by.value, lambda row: row.name), *SUMS), name="key")


def mount_usage(app: typer.Typer) -> None:
    command(app, "usage")(show_usage)


@command(requests, "list")
async def list_requests(
    cli: Cli,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only this outcome, e.g. upstream_failed.")] = None,
    principal: Annotated[str | None, typer.Option(help="Only this one, e.g. key:aB3dE5gH7j.")] = None,
    limit: LimitOption = 50,
) -> None:
    """List finished requests, newest first."""
    async with cli.client() as client:
        rows = await client.requests(limit, model=model, outcome=outcome, principal=principal)
    cli.out.rows(rows, REQUESTS, name="request_id")


@command(upstreams, "list")
async def list_upstreams(cli: Cli) -> None:
    """List the upstreams, how they do and what they serve."""
    async with cli.client() as client:
        cli.out.rows(await client.upstreams(), UPSTREAMS, name="name")
