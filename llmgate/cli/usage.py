"""`llmgate usage` and `requests list`: what was used."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, IntervalOption, LimitOption, OnlyLevel, Since, Until, WatchOption
from llmgate.cli.output import Column, Format
from llmgate.errors import InvalidRequest
from llmgate.text import clean

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

requests = group("requests", "Finished requests.")


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


def _name(by: By, name: str) -> str:
    """Of what was summed. An hour is told as other times of tables are, with its day."""
    return f"{datetime.fromisoformat(name):%Y-%m-%d %H:%MZ}" if by is By.HOUR else name


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

ByOption = Annotated[By, typer.Option(help="What to sum by.")]
ThenByOption = Annotated[By | None, typer.Option("--then-by", help="Sum each of these again by this.")]
UserOption = Annotated[str | None, typer.Option(help="Only this user and its keys, by id or name.")]
KeyOption = Annotated[str | None, typer.Option(help="Only this key, by id or name.")]
ModelOption = Annotated[str | None, typer.Option(help="Only this model.")]
PrincipalOption = Annotated[str | None, typer.Option(help="Only this one, e.g. key:aB3dE5gH7j or address:10.0.0.1.")]


async def show_usage(
    cli: Cli,
    by: ByOption = By.PRINCIPAL,
    then_by: ThenByOption = None,
    since: Since = None,
    until: Until = None,
    user: UserOption = None,
    key: KeyOption = None,
    model: ModelOption = None,
    level: OnlyLevel = None,
    principal: PrincipalOption = None,
    csv: Annotated[bool, typer.Option("--csv", help="As a table for spreadsheets.")] = False,
    watch: WatchOption = False,
    interval: IntervalOption = 5,
) -> None:
    """Show requests and tokens; of the last 24 hours unless told otherwise.

    Usage is kept by the hour: --since is rounded down to one.

    Examples:
      llmgate usage --by model --since 7d
      llmgate usage --by day --then-by user --since 30d --csv > usage.csv
      llmgate usage --by user -o json | jq '.[] | {name, output_tokens}'
    """
    chosen = {"principal": principal, "user": user, "key": key, "model": model, "level": level}
    dimensions = {"group_by": by.value, "then_by": then_by.value if then_by else None}

    def query() -> dict[str, Any]:
        return {**dimensions, **chosen, "since": _written(since), "until": _written(until)}

    if csv:
        _check_csv(cli, watch=watch)
        async with cli.client() as client:
            table = await client.usage.csv(**query())
        # As it came: lines end as RFC 4180 wants it.
        sys.stdout.write(clean(table, keep="\r\n\t"))
        return
    from llmgate.cli.watching import looking

    columns = [Column(by.value, lambda row: _name(by, row.name))]
    if then_by is not None:
        columns.append(Column(then_by.value, lambda row: _name(then_by, row.then_name)))

    async def look(client: AdminClient) -> list[Any]:
        return list((await client.usage.report(**query())).data)

    await looking(cli, look, (*columns, *SUMS), watch=watch, interval=interval, name="key")


def mount_usage(app: typer.Typer) -> None:
    command(app, "usage")(show_usage)


@command(requests, "list")
async def list_requests(
    cli: Cli,
    user: UserOption = None,
    key: KeyOption = None,
    model: ModelOption = None,
    outcome: Annotated[str | None, typer.Option(help="Only this outcome, e.g. upstream_failed.")] = None,
    level: OnlyLevel = None,
    upstream: Annotated[str | None, typer.Option(help="Only what ran there.")] = None,
    since: Since = None,
    until: Until = None,
    principal: PrincipalOption = None,
    limit: LimitOption = 50,
    every: AllOption = False,
) -> None:
    """List finished requests, newest first.

    Examples:
      llmgate requests list --key nightly --outcome upstream_failed --since 24h
      llmgate requests list --all -o jsonl > requests.jsonl
    """
    from llmgate.cli.listing import listing

    chosen = {"user": user, "key": key, "model": model, "outcome": outcome, "level": level, "upstream": upstream}
    async with cli.client() as client:
        await listing(
            cli,
            client.requests,
            REQUESTS,
            limit=None if every else limit,
            name="request_id",
            principal=principal,
            since=_written(since),
            until=_written(until),
            **chosen,
        )


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _check_csv(cli: Cli, *, watch: bool) -> None:
    if watch or cli.options.fields or cli.out.form is not Format.TABLE:
        raise InvalidRequest("--csv goes neither with --watch nor with --fields nor with another output.")
