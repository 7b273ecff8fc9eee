"""`llmgate sessions`: who is logged in, and the end of that."""

from __future__ import annotations

from typing import Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, LimitOption
from llmgate.cli.output import Column
from llmgate.errors import InvalidRequest

sessions = group("sessions", "Who is logged in, and from where.")
SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="Its id.")]

COLUMNS = (
    Column("user", lambda session: f"{session.user} (you)" if session.current else session.user),
    Column("from", lambda session: session.address, whole=True),
    Column("with", lambda session: session.client, wide=True),
    Column("login", lambda session: session.created_at),
    Column("last used", lambda session: session.last_used_at),
    Column("state", lambda session: "live" if session.live else "revoked" if session.revoked_at else "expired"),
    Column("id", lambda session: session.id, whole=True),
)
DETAILS = (
    *COLUMNS,
    Column("expires", lambda session: session.expires_at),
    Column("revoked", lambda session: session.revoked_at),
)


@command(sessions, "list")
async def list_sessions(
    cli: Cli,
    user: Annotated[str | None, typer.Option(help="Only those of this user, by id or name.")] = None,
    live: Annotated[
        bool | None, typer.Option("--live/--ended", help="Only those that can be used, or only those that ended.")
    ] = None,
    limit: LimitOption = 1000,
    every: AllOption = False,
) -> None:
    """List sessions, the latest login first."""
    from llmgate.cli.listing import listing

    async with cli.client() as client:
        await listing(cli, client.sessions, COLUMNS, limit=None if every else limit, user=user, live=live)


@command(sessions, "show")
async def show(cli: Cli, session: SessionArgument) -> None:
    """Show one session."""
    async with cli.client() as client:
        cli.out.record(await client.sessions.get(session), DETAILS)


@command(sessions, "revoke")
async def revoke(
    cli: Cli,
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="Its id.", show_default=False)] = None,
    user: Annotated[str | None, typer.Option(help="Every session of this user instead, by id or name.")] = None,
) -> None:
    """End a session, or all of a user, at once: streams that run in it are cut."""
    if (session is None) == (user is None):
        raise InvalidRequest("Name one session, or a user with --user.")
    cli.confirm(f"End the session {session}" if session is not None else f"End every session of {user}")
    async with cli.client() as client:
        if session is not None:
            cli.out.record(await client.sessions.revoke(session), DETAILS)
        elif user is not None:
            ended = await client.sessions.revoke_all(user)
            cli.out.record({"user": user, "revoked": ended}, REVOKED, name="revoked")


REVOKED = (Column("user", lambda row: row["user"]), Column("sessions ended", lambda row: row["revoked"]))
