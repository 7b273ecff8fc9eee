"""The command ``llmgate``: which noun and verb leads where (see ``nouns``), and how a failure ends."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from llmgate.cli import completion
from llmgate.cli.command import ReaderGone, root
from llmgate.cli.help import Command, Group, write_section
from llmgate.cli.nouns import ALL, COMMANDS, NOUNS
from llmgate.cli.output import report
from llmgate.errors import InputNeeded, LLMGateError

COLLECT = (50_000, 10, 10)
"""The garbage collector's thresholds. With Python's own all modules, which stay, are looked through again and again:
for a tenth of a daemon's start, and for a fifth of a second now and then, in which the dashboard stands still."""


class _Lazy(MutableMapping[str, Any]):
    """All commands by name, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _loaded(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ALL)

    def __len__(self) -> int:
        return len(ALL)


class Root(Group):
    """The nouns and commands of the whole program, each imported when it is used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Lazy()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, entries in (("Commands", COMMANDS), ("Nouns, each with its verbs", NOUNS)):
            write_section(formatter, title, [(name, entry.summary) for name, entry in entries.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=entry.summary) for name, entry in ALL.items() if name.startswith(incomplete)]
        # Not the group's own way, which would import every noun to ask it for its summary.
        return [*names, *super(TyperGroup, self).shell_complete(ctx, incomplete)]


def _loaded(name: str) -> Any:
    """A noun with its verbs, or a command. One that is a function registers itself in a group made for it."""
    target = ALL[name].load()  # a KeyError where there is no such command
    if isinstance(target, typer.Typer):
        return get_group(target)
    app = typer.Typer(cls=Group, rich_markup_mode=None)
    if target.__name__.startswith("mount_"):
        target(app)
    else:
        app.command(name, cls=Command)(target)
    return get_group(app).commands[name]


def build() -> typer.Typer:
    """The whole command."""
    app = typer.Typer(
        name="llmgate",
        help="The gateway in front of self-hosted LLM servers: users, keys, priorities, one fair waiting line.",
        cls=Root,
        no_args_is_help=True,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    root(app)
    return app


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether ``-o json`` (or jsonl) stands anywhere in the command: errors are JSON then, too."""
    for position, argument in enumerate(arguments):
        if argument in ("-ojson", "-ojsonl", "--output=json", "--output=jsonl", "--json"):
            return True
        if argument in ("-o", "--output") and arguments[position + 1 : position + 2] in (["json"], ["jsonl"]):
            return True
    return False


def run(arguments: Sequence[str] | None = None) -> None:
    """Entry point: every failure is one sentence with its fix, and the exit code of its kind."""
    gc.set_threshold(*COLLECT)
    if completion.VARIABLE in os.environ:
        completion.prepare()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        # What is still buffered must not be tried again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    as_json, debug = wants_json(arguments), "--debug" in arguments
    try:
        return get_command(build())(arguments, prog_name="llmgate", standalone_mode=False) or 0
    except typer.TyperException as error:
        error.message = error.message.replace("Value error, ", "")  # pydantic's word in front of ours
        if as_json:
            report(InputNeeded(error.format_message()), as_json, sys.stderr)
        else:
            error.show()  # type: ignore[attr-defined]  # every error of usage has it
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except (ReaderGone, BrokenPipeError):
        raise
    except Exception as failure:  # whatever it is, the user is told it, and gets its exit code
        # What has stopped a daemon will hardly happen again for whoever would ask where.
        if debug or ("serve" in arguments and not isinstance(failure, LLMGateError)):
            traceback.print_exc()
        told = failure if isinstance(failure, LLMGateError) else _defect(failure)
        report(told, as_json, sys.stderr, debug=debug)
        return told.exit_code


def _defect(failure: Exception) -> LLMGateError:
    """A failure that no command has foreseen."""
    return LLMGateError(
        f"llmgate itself failed: {type(failure).__name__}: {failure}",
        hint="With --debug it says where. Please report it.",
    )
