"""`llmgate users`: who may log in."""

from __future__ import annotations

from typing import Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import (
    AllOption,
    ForceOption,
    LevelOption,
    LimitOption,
    NoLevelOption,
    PasswordFile,
    PasswordStdin,
    Role,
    RoleOption,
    SearchOption,
    changing,
    chosen,
)
from llmgate.cli.output import Column

users = group("users", "Who may log in.")
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Id or name.")]

COLUMNS = (
    Column("name", lambda user: user.name),
    Column("role", lambda user: user.role),
    Column("level", lambda user: user.level or "default"),
    Column("disabled", lambda user: user.disabled),
    Column("last login", lambda user: user.last_login_at),
    Column("id", lambda user: user.id, whole=True),
)
DETAILS = (*COLUMNS, Column("created", lambda user: user.created_at), Column("changed", lambda user: user.updated_at))


@command(users, "list")
async def list_users(
    cli: Cli, search: SearchOption = None, limit: LimitOption = 1000, every: AllOption = False
) -> None:
    """List users.

    Examples:
      llmgate users list --fields name,role,last_login_at
    """
    from llmgate.cli.listing import listing

    async with cli.client() as client:
        await listing(cli, client.users, COLUMNS, limit=None if every else limit, search=search)


@command(users, "show")
async def show(cli: Cli, user: UserArgument) -> None:
    """Show one user."""
    async with cli.client() as client:
        cli.out.record(await client.users.get(user), DETAILS)


@command(users, "create")
async def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Letters, digits and . _ @ + -, at most 64.")],
    role: RoleOption = Role.USER,
    level: LevelOption = None,
    password_stdin: PasswordStdin = False,
    password_file: PasswordFile = None,
) -> None:
    """Create a user."""
    from llmgate import schemas
    from llmgate.validation import compose

    prompt = f"Password for {name}"
    password = cli.secret(prompt, from_stdin=password_stdin, file=password_file, repeat=True)
    body = compose(schemas.UserCreate, name=name, password=password, role=role.value, level=level)
    async with cli.client() as client:
        cli.out.record(await client.users.create(body), DETAILS)


@command(users, "update")
async def update(
    cli: Cli,
    user: UserArgument,
    name: Annotated[str | None, typer.Option(help="Rename.")] = None,
    role: Annotated[Role | None, typer.Option(help="user or admin.", show_default=False)] = None,
    level: LevelOption = None,
    no_level: NoLevelOption = False,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Whether it may log in.")] = None,
    force: ForceOption = False,
) -> None:
    """Change a user. Disabling ends its sessions and stops its keys; oneself only with --force."""
    from llmgate import schemas
    from llmgate.validation import compose

    changes = chosen(name=name, role=role, level=level, disabled=disabled)
    if no_level:
        changes["level"] = None
    body = compose(schemas.UserUpdate, **changing(**changes))
    async with cli.client() as client:
        cli.out.record(await client.users.update(user, body, force=force), DETAILS)


@command(users, "password")
async def set_password(
    cli: Cli, user: UserArgument, password_stdin: PasswordStdin = False, password_file: PasswordFile = None
) -> None:
    """Set a user's password and end its sessions.

    Examples:
      llmgate users password ada --password-file new-password
    """
    prompt = f"New password for {user}"
    password = cli.secret(prompt, from_stdin=password_stdin, file=password_file, repeat=True)
    async with cli.client() as client:
        await client.set_password(user, password)
    cli.out.message(f"The password of {user} is changed, and its sessions are ended.")


command(users, "passwd", hidden=True)(set_password)  # what it was called first


@command(users, "delete")
async def delete(cli: Cli, user: UserArgument, force: ForceOption = False) -> None:
    """Delete a user with its keys and sessions; oneself only with --force."""
    cli.confirm(f"Delete the user {user}, with its keys and sessions")
    async with cli.client() as client:
        await client.users.delete(user, force=force)
    cli.out.message(f"Deleted the user {user}.")
