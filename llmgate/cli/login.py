"""`llmgate login`, `logout` and `auth status`: who this machine is to a daemon."""

from __future__ import annotations

import operator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import PasswordFile, PasswordStdin
from llmgate.cli.output import Column
from llmgate.contexts.naming import readable_on_the_way
from llmgate.errors import AuthenticationFailed, DaemonUnreachable, InvalidRequest, LLMGateError

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

auth = group("auth", "Who you are to the daemon.")


async def login(
    cli: Cli,
    name: Annotated[str | None, typer.Option(help="Name of the user.")] = None,
    password_stdin: PasswordStdin = False,
    password_file: PasswordFile = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="Make the first administrator, with the daemon's setup token.")
    ] = False,
    register: Annotated[bool, typer.Option("--register", help="Make an account, with a registration token.")] = False,
) -> None:
    """Log in and remember the session.

    With --setup or --register a token is asked for first; with --password-stdin it is the first line, the
    password the second.
    """
    if setup and register:
        raise InvalidRequest("--setup and --register exclude each other.")
    url = cli.target.url
    if readable_on_the_way(url):
        cli.out.message(f"Careful: {url} is not encrypted; the password can be read on the way.")
    token = cli.secret("Token", from_stdin=password_stdin).strip() if setup or register else None
    name = name or cli.word("Name", "--name")
    password = cli.secret(
        f"Password for {name}", from_stdin=password_stdin, file=password_file, repeat=token is not None
    )
    async with cli.client(anonymous=True) as client:
        if token is not None:
            await client.redeem("setup" if setup else "register", token, name, password)
        await _remember(cli, client, name, password)


async def _remember(cli: Cli, client: AdminClient, name: str, password: str) -> None:
    from llmgate.contexts.session import remember

    tokens = await client.login(name, password)
    context = remember(cli.store, cli.options.context or cli.target.context, client.url, tokens)
    cli.out.message(f"Logged in to {client.url} as {tokens.user.name} (context {context}, the current one now).")


async def logout(cli: Cli) -> None:
    """End the session, at the daemon and here."""
    target = cli.target
    if target.session is None or target.context is None:
        raise AuthenticationFailed("There is no stored login to end.", hint="See: llmgate auth status")
    try:
        async with cli.client() as client:
            await client.logout()
    except AuthenticationFailed:
        pass  # it has ended already
    except DaemonUnreachable as failure:
        cli.out.message(f"{failure.message} The session is forgotten here, and ends there by itself.")
    with cli.store.lock():
        cli.store.save_session(target.context, None)
    cli.out.message(f"Logged out of {target.url}.")


async def passwd(cli: Cli, password_stdin: PasswordStdin = False) -> None:
    """Change your own password and end your other sessions.

    With --password-stdin the current password is the first line, the new one the second.
    """
    from llmgate.contexts.session import session_of

    target = cli.target
    if target.session is None or target.context is None:
        raise AuthenticationFailed("You are not logged in.", hint="Log in with: llmgate login")
    user = target.session.user
    current = cli.secret(f"Current password of {user}", from_stdin=password_stdin)
    password = cli.secret(f"New password for {user}", from_stdin=password_stdin, repeat=True)
    async with cli.client() as client:
        tokens = await client.change_password(current, password)
    with cli.store.lock():
        cli.store.save_session(target.context, session_of(target.url, tokens))
    cli.out.message(f"The password of {user} is changed, and every other session is ended.")


def mount_login(app: typer.Typer) -> None:
    command(app, "login")(login)
    command(app, "logout")(logout)
    command(app, "passwd")(passwd)


@command(auth, "status")
async def status(cli: Cli) -> None:
    """Show the daemon, who you are there, and where the credential comes from."""
    target = cli.target
    facts: dict[str, object] = {"url": target.url, "context": target.context, "credential": target.source}
    failure: LLMGateError | None = None
    try:
        async with cli.client() as client:
            me = await client.me()
        facts.update(name=me.name, kind=me.kind, role=me.role, level=me.level)
    except AuthenticationFailed as refused:
        failure = refused
    if target.session is not None:
        facts["access_token_until"] = datetime.fromtimestamp(target.session.expires_at, UTC).isoformat("T", "seconds")
    columns = [Column(key.replace("_", " "), operator.itemgetter(key)) for key in facts]
    cli.out.record(facts, columns, name="credential")
    if failure is not None:
        raise AuthenticationFailed(failure.message, hint=failure.hint)
