"""Writes docs/cli.md from the tree of commands: ``python -m tests.tools.cli_reference > docs/cli.md``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from llmgate.cli.help import PANEL, parts_of, record_of
from llmgate.cli.main import build
from llmgate.cli.nouns import COMMANDS, NOUNS

HEAD = """\
# The command line

`llmgate <noun> <verb>`. This page is made from the program itself with `make docs`; `llmgate … --help` shows the same.

Data goes to standard output, everything else to standard error. `-o json` and `-o jsonl` print what the API answers,
and errors as JSON too. Exit codes: 0 done, 1 failure, 2 usage, 3 declined, 4 not logged in or not allowed, 5 not found,
6 conflict or invalid, 7 daemon unreachable, 8 timeout, 130 Ctrl-C.
"""


def reference() -> str:
    """The whole page."""
    command: Any = get_command(build())
    context = typer.Context(command, info_name="llmgate")
    parts = [HEAD, *_contents(), *_shared(command, context)]
    for name in (*COMMANDS, *NOUNS):
        parts += _section(command.get_command(context, name), name, context)
    return "\n".join(part.rstrip() + "\n" for part in parts if part.strip())


def _contents() -> Iterator[str]:
    rows = [
        f"| [`{name}`](#llmgate-{name}) | {_cell(entry.summary)} |" for name, entry in {**COMMANDS, **NOUNS}.items()
    ]
    yield "\n".join(["| | |", "|---|---|", *rows])


def _shared(command: Any, context: typer.Context) -> Iterator[str]:
    options = [parameter for parameter in command.get_params(context) if _panel(parameter) == PANEL]
    yield f"## {PANEL}"
    yield "They may stand before or after the verb."
    yield _table(options, context)


def _section(command: Any, name: str, parent: typer.Context) -> Iterator[str]:
    context = typer.Context(command, info_name=name, parent=parent)
    if not isinstance(command, TyperGroup):
        yield f"## `llmgate {name}`"
        yield from _body(command, context)
        return
    yield f"## `llmgate {name}`"
    yield command.help or ""
    for verb in command.list_commands(context):
        inner: Any = command.get_command(context, verb)
        if inner.hidden:
            continue
        yield f"### `llmgate {name} {verb}`"
        yield from _body(inner, typer.Context(inner, info_name=verb, parent=context))


def _body(command: Any, context: typer.Context) -> Iterator[str]:
    text, examples = parts_of(command.help)
    yield _prose(text)
    pieces = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "[options]")
    yield f"```console\n$ {context.command_path} {pieces}".rstrip() + "\n```"
    own = [parameter for parameter in command.get_params(context) if _panel(parameter) != PANEL]
    yield _table(own, context)
    if examples:
        yield "\n".join(["```sh", *examples, "```"])


def _table(parameters: list[Any], context: typer.Context) -> str:
    rows = []
    for parameter in parameters:
        record = record_of(parameter, context)
        if record is None or parameter.name == "help":
            continue
        name, told = record
        rows.append(f"| `{_cell(name)}` | {_cell(told)} |")
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def _panel(parameter: Any) -> str | None:
    panel: str | None = getattr(parameter, "rich_help_panel", None)
    return panel


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _prose(text: str) -> str:
    """Paragraphs, each on lines of its own as they were written."""
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", part).strip() for part in text.split("\n\n"))


if __name__ == "__main__":
    sys.stdout.write(reference())
