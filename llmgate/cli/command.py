"""What every command shares: the options that can stand before or after the verb, and what they lead to.

Commands import what they work with only when they run, so that help and completion come at once.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate import __version__
from llmgate.cli.help import Command, Group
from llmgate.cli.output import Format, Output, colorless
from llmgate.cli.shared import SHARED, Options, shared
from llmgate.errors import AuthenticationFailed, Declined, InputNeeded
from llmgate.text import as_json

if TYPE_CHECKING:  # not needed to show the help
    from llmgate.client import AdminClient
    from llmgate.contexts.stored import Store
    from llmgate.contexts.target import Target

ANSWER_SECONDS = 30.0
"""Longest wait for an answer of the daemon."""


class Cli:
    """One command being run: its options, its output, its daemon. Nothing is read before it is needed."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.out = Output(options.form, options.quiet, options.selection)

    @functools.cached_property
    def store(self) -> Store:
        from llmgate.contexts.stored import Store
        from llmgate.contexts.target import config_directory

        return Store(config_directory(os.environ))

    @functools.cached_property
    def target(self) -> Target:
        from llmgate.contexts.target import resolve

        chosen = self.options
        return resolve(self.store, os.environ, url=chosen.url, context=chosen.context, token_file=chosen.token_file)

    @asynccontextmanager
    async def client(self, *, anonymous: bool = False, timeout: float | None = None) -> AsyncIterator[AdminClient]:
        """A client for the daemon, with the credential that applies there.

        ``timeout`` is the longest wait for an answer in seconds; what the user has asked for goes before it.
        """
        from llmgate.client import AdminClient
        from llmgate.connection import FixedToken
        from llmgate.contexts.session import SessionCredentials

        target = self.target
        if target.session and target.context and not anonymous:
            credentials: SessionCredentials | FixedToken
            credentials = SessionCredentials(self.store, target.context, target.session)
        else:
            credentials = FixedToken(None if anonymous else target.token)
        seconds = self.options.timeout or timeout or ANSWER_SECONDS
        async with AdminClient(target.url, credentials, timeout=seconds) as client:
            try:
                yield client
            except AuthenticationFailed as refused:
                if not anonymous:
                    refused.hint = self._login_hint()
                raise

    def _login_hint(self) -> str:
        if self.target.token:
            return f"The token of {self.target.source} is not accepted at {self.target.url}."
        return "Log in with: llmgate login"

    @property
    def may_ask(self) -> bool:
        return not self.options.no_input and sys.stdin.isatty()

    def confirm(self, what: str) -> None:
        """Ask before something that cannot be undone. Raises Declined, or InputNeeded where nobody can be asked."""
        if self.options.yes:
            return
        if not self.may_ask:
            raise InputNeeded(f"{what}?", hint="Nobody can be asked here; confirm with --yes.")
        from llmgate.cli import ask

        if ask.line(f"{what}? [y/N] ").lower() not in ("y", "yes"):
            raise Declined

    def word(self, prompt: str, flag: str) -> str:
        """Ask for a word. Raises InputNeeded, naming ``flag``, where nobody can be asked."""
        if not self.may_ask:
            raise InputNeeded(f"{prompt} is missing.", hint=f"Give it with {flag}.")
        from llmgate.cli import ask

        return ask.line(f"{prompt}: ")

    def secret(self, what: str, *, from_stdin: bool, file: Path | None = None, repeat: bool = False) -> str:
        """A secret from standard input, a file, or a hidden prompt (twice with ``repeat``).

        Raises InputNeeded where nobody can be asked, Declined when the repetition differs.
        """
        from llmgate.cli import ask

        if from_stdin:
            return ask.secret_from_stdin(what)
        if file is not None:
            return ask.secret_from_file(file, what)
        if not self.may_ask:
            raise InputNeeded(f"{what} is missing.", hint="Give it with --password-stdin or --password-file.")
        return ask.secret(what, repeat=repeat)


class ReaderGone(Exception):
    """Whoever read the output has seen enough. (Typer would make a failure of the error that tells it.)"""


CommandFunction = Callable[..., None] | Callable[..., Coroutine[Any, Any, None]]


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[CommandFunction], CommandFunction]:
    """Register ``function(cli, …)``, plain or async, as a command that takes the shared options too.

    The docstring is its help. What stands behind a line ``Examples:`` is shown as it is written.
    """

    def register(function: CommandFunction) -> CommandFunction:
        @functools.wraps(function)
        def invoke(ctx: typer.Context, **values: Any) -> None:
            chosen = shared(**{key: values.pop(key) for key in SHARED})
            options = chosen.over(ctx.obj) if isinstance(ctx.obj, Options) else chosen
            if options.no_color:
                colorless.set(True)
            try:
                result = function(Cli(options), **values)
                if result is not None:
                    import asyncio

                    asyncio.run(result)
                sys.stdout.flush()
            except BrokenPipeError:
                raise ReaderGone from None

        signature = inspect.signature(function, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "cli"]
        _set_signature(invoke, [*own, *SHARED.values()])
        app.command(name, cls=Command, **settings)(invoke)
        return function

    return register


def root(app: typer.Typer) -> None:
    """Let the shared options stand before the verb as well."""

    def remember(ctx: typer.Context, version: bool, **values: Any) -> None:
        ctx.obj = shared(**values)
        if version:
            say_version(Cli(ctx.obj))
            raise typer.Exit
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)

    flag = typer.Option("--version", help="Print the version of this program.")
    annotation = Annotated[bool, flag]
    parameter = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
    _set_signature(remember, [parameter, *SHARED.values()])
    app.callback(invoke_without_command=True)(remember)


def say_version(cli: Cli) -> None:
    """Print the version of this program."""
    cli.out.data(__version__ if cli.out.form is Format.TABLE else as_json({"version": __version__}))


def mount_version(app: typer.Typer) -> None:
    command(app, "version")(say_version)


def group(name: str, summary: str) -> typer.Typer:
    """A noun."""
    return typer.Typer(name=name, cls=Group, help=summary, no_args_is_help=True, rich_markup_mode=None)


def _set_signature(function: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Typer reads the options of a command from its signature."""
    ctx = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (ctx, *parameters)]
    function.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]  # any function may carry one
