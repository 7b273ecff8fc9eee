"""The command ``llmgate``: which noun and verb leads where, and how a failure ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from llmgate.cli.chat import mount_chat
from llmgate.cli.command import command, root, say_version
from llmgate.cli.config import config
from llmgate.cli.context import context
from llmgate.cli.help import Command, Group
from llmgate.cli.init import init
from llmgate.cli.keys import keys
from llmgate.cli.login import auth, mount_login
from llmgate.cli.output import report
from llmgate.cli.queue import queue
from llmgate.cli.serve import serve
from llmgate.cli.tokens import tokens
from llmgate.cli.usage import mount_usage, requests, upstreams
from llmgate.cli.users import users
from llmgate.cli.whitelist import whitelist
from llmgate.errors import InputNeeded, LLMGateError


def build() -> typer.Typer:
    """The whole command."""
    app = typer.Typer(
        name="llmgate",
        help="The gateway in front of self-hosted LLM servers: users, keys, priorities, one fair waiting line.",
        cls=Group,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    root(app)
    app.command("serve", cls=Command)(serve)
    app.command("init", cls=Command)(init)
    mount_login(app)
    mount_chat(app)
    mount_usage(app)
    command(app, "version")(say_version)
    for noun in (auth, context, users, tokens, keys, whitelist, queue, requests, upstreams, config):
        app.add_typer(noun)
    return app


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether ``-o json`` (or jsonl) stands anywhere in the command: errors are JSON then, too."""
    for position, argument in enumerate(arguments):
        if argument in ("-ojson", "-ojsonl", "--output=json", "--output=jsonl"):
            return True
        if argument in ("-o", "--output") and arguments[position + 1 : position + 2] in (["json"], ["jsonl"]):
            return True
    return False


def run(arguments: Sequence[str] | None = None) -> None:
    """Entry point: every failure is one sentence with its fix, and the exit code of its kind."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    as_json = wants_json(arguments)
    try:
        # Typer would print errors of usage itself, in words.
        code = build()(arguments, prog_name="llmgate", standalone_mode=not as_json)
        sys.exit(code or 0)
    except typer.TyperException as error:
        report(InputNeeded(error.format_message()), as_json, sys.stderr)
        sys.exit(2)
    except LLMGateError as error:
        report(error, as_json, sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
