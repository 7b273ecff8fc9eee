"""`llmgate activity`: who changed what, who logged in, and whether the log is whole."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, LimitOption, Since, Until, chosen
from llmgate.cli.output import Column
from llmgate.errors import InvalidRequest
from llmgate.text import as_json, shortly

activity = group("activity", "Who changed what, and who logged in.")

ActorOption = Annotated[str | None, typer.Option(help="Only what this one did, by id or name.")]
ActionOption = Annotated[str | None, typer.Option(help="Only this action, or those of a noun: key.create, key.")]
TargetOption = Annotated[str | None, typer.Option(help="Only what was done to this, by id or name.")]


def head_of(verdict: Any) -> str:
    """What proves, later, that everything up to there is still there."""
    return f"{verdict.head.seq}:{verdict.head.hash}"


COLUMNS = (
    Column("seq", lambda entry: entry.seq, right=True),
    Column("at", lambda entry: entry.at),
    Column("who", lambda entry: entry.actor_name or entry.actor_id),
    Column("from", lambda entry: entry.address, wide=True),
    Column("action", lambda entry: entry.action, whole=True),
    Column("what", lambda entry: entry.target_name or entry.target_id),
    Column("detail", lambda entry: shortly(entry.action, entry.detail), wide=True),
)
DETAILS = (
    Column("seq", lambda entry: entry.seq),
    Column("at", lambda entry: entry.at),
    Column("who", lambda entry: f"{entry.actor_name} ({entry.actor_kind} {entry.actor_id})"),
    Column("from", lambda entry: entry.address),
    Column("request", lambda entry: entry.request_id),
    Column("action", lambda entry: entry.action),
    Column("what", lambda entry: f"{entry.target_name} ({entry.target_id})"),
    Column("detail", lambda entry: as_json(entry.detail)),
    Column("hash", lambda entry: entry.hash),
)
VERDICT = (
    Column("whole", lambda verdict: verdict.ok),
    Column("entries", lambda verdict: verdict.entries),
    Column("from", lambda verdict: verdict.first_seq),
    Column("pruned up to", lambda verdict: verdict.checkpoint.seq if verdict.checkpoint else None),
    Column("broken at", lambda verdict: verdict.fault.seq if verdict.fault else None),
    Column("how", lambda verdict: f"{verdict.fault.kind}: {verdict.fault.message}" if verdict.fault else None),
    Column("head", head_of),
)


@command(activity, "list")
async def list_entries(
    cli: Cli,
    actor: ActorOption = None,
    action: ActionOption = None,
    target: TargetOption = None,
    since: Since = None,
    until: Until = None,
    limit: LimitOption = 100,
    every: AllOption = False,
) -> None:
    """List changes and logins, newest first."""
    from llmgate.cli.listing import listing

    filters = chosen(actor=actor, action=action, target=target, since=since, until=until)
    async with cli.client() as client:
        await listing(cli, client.activity, COLUMNS, limit=None if every else limit, name="seq", **filters)


@command(activity, "show")
async def show(cli: Cli, seq: Annotated[int, typer.Argument(metavar="SEQ", help="Its number.", min=1)]) -> None:
    """Show one entry."""
    async with cli.client() as client:
        cli.out.record(await client.activity.get(seq), DETAILS, name="seq")


@command(activity, "verify")
async def verify(
    cli: Cli,
    expect: Annotated[
        str | None, typer.Option(metavar="SEQ:HASH", help="A head that was printed before: it must still be there.")
    ] = None,
) -> None:
    """Prove that nobody has changed, inserted or removed an entry. Exit code 1 if somebody has.

    Keep the head that is printed (with -q nothing else is) on another machine, and name it the next time with
    --expect: without it, nobody can tell that the newest entries were cut off.
    """
    head = _head(expect)
    from llmgate.client.activity import VERIFY_SECONDS

    async with cli.client(timeout=VERIFY_SECONDS) as client:
        verdict = await client.activity.verify(head)
    if cli.out.quiet and not cli.out.fields:
        cli.out.data(head_of(verdict))
    else:
        cli.out.record(verdict, VERDICT)
    if not verdict.ok:
        if cli.out.quiet and verdict.fault is not None:
            typer.echo(f"{verdict.fault.message}", err=True)
        raise typer.Exit(1)


@command(activity, "watch")
async def watch(
    cli: Cli,
    actor: ActorOption = None,
    action: ActionOption = None,
    target: TargetOption = None,
    last: Annotated[int, typer.Option(help="Begin with so many entries that are there already.", min=0, max=1000)] = 10,
) -> None:
    """Follow changes and logins as they happen, in all daemons, until Ctrl-C."""
    from llmgate.cli.following import follow_activity

    await follow_activity(cli, last, **chosen(actor=actor, action=action, target=target))


def _head(text: str | None) -> Any:
    """What ``--expect`` says. Raises InvalidRequest."""
    if text is None:
        return None
    from llmgate import schemas

    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip())
    if found is None or int(found[1]) < 1:
        raise InvalidRequest("This is not a head.", hint="It looks like 1234:5f0c… with 64 digits behind the colon.")
    return schemas.ActivityHead(seq=int(found[1]), hash=found[2])
