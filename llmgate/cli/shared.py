"""The options that every command takes, before or after the verb."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from llmgate.cli.help import PANEL
from llmgate.cli.output import Format
from llmgate.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every command takes."""

    output: Format | None = None
    json: bool = False
    fields: str | None = None
    quiet: bool = False
    context: str | None = None
    url: str | None = None
    token_file: Path | None = None
    timeout: float | None = None
    no_input: bool = False
    yes: bool = False
    no_color: bool = False
    debug: bool = False

    def over(self, outer: Options) -> Options:
        """These options, and what only stands before the verb."""
        return Options(*(getattr(self, item.name) or getattr(outer, item.name) for item in fields(self)))

    @property
    def form(self) -> Format:
        """How data is printed. Raises InvalidRequest when two ways are named."""
        if self.json and self.output not in (None, Format.JSON):
            raise InvalidRequest(f"--json and -o {self.output} exclude each other.")
        return self.output or (Format.JSON if self.json else Format.TABLE)

    @property
    def selection(self) -> tuple[str, ...]:
        """The names of the fields that are wanted; none stand for all."""
        return tuple(dict.fromkeys(name.strip() for name in (self.fields or "").split(",") if name.strip()))


def _option(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002  as Typer calls it
    return typer.Option(*names, help=help, rich_help_panel=PANEL, show_default=False, **settings)


def shared(
    *,
    output: Annotated[Format | None, _option("--output", "-o", help="table (default), json or jsonl.")] = None,
    json: Annotated[bool, _option("--json", help="Short for --output json.")] = False,
    fields: Annotated[
        str | None, _option("--fields", metavar="A,B,C", help="Only these fields, in this order, named as in JSON.")
    ] = None,
    quiet: Annotated[bool, _option("--quiet", "-q", help="Print only ids, or only the new secret.")] = False,
    context: Annotated[str | None, _option("--context", help="A daemon by the name it got at login.")] = None,
    url: Annotated[str | None, _option("--url", help="URL of the daemon.")] = None,
    token_file: Annotated[Path | None, _option("--token-file", help="Read an API key from this file.")] = None,
    timeout: Annotated[
        float | None, _option("--timeout", metavar="SECONDS", help="Longest wait for an answer; 30.", min=0.1, max=3600)
    ] = None,
    no_input: Annotated[bool, _option("--no-input", help="Never ask; fail instead.")] = False,
    yes: Annotated[bool, _option("--yes", "-y", help="Confirm in advance.")] = False,
    no_color: Annotated[bool, _option("--no-color", help="No colours. (NO_COLOR, CLICOLOR_FORCE count too.)")] = False,
    debug: Annotated[bool, _option("--debug", help="On a failure, say where it happened and its request.")] = False,
) -> Options:
    return Options(output, json, fields, quiet, context, url, token_file, timeout, no_input, yes, no_color, debug)


SHARED = dict(inspect.signature(shared, eval_str=True).parameters)
