"""How commands look in the help: plain text, flags without a type, the options of every command apart from its own.

Typer would draw boxes with rich. Importing what that needs takes longer than all else that a help page does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from llmgate.cli.completion import complete_names

if TYPE_CHECKING:
    import typer
    from typer._click import HelpFormatter  # Typer names no other place for it

PANEL = "Options of every command"
"""Where the help shows the options that all commands share."""


class Command(TyperCommand):
    """A command that names the values of its options."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]  # Typer's own type is private
        return _named(super().get_params(ctx))

    def format_help_text(self, ctx: Any, formatter: HelpFormatter) -> None:
        text, examples = parts_of(self.help)
        _write_text(text, formatter)
        _write_examples(examples, formatter)

    def format_options(self, ctx: Any, formatter: HelpFormatter) -> None:
        _write_parameters(self.get_params(ctx), ctx, formatter)


class Group(TyperGroup):
    """A group of commands that names the values of its options."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]  # Typer's own type is private
        return _named(super().get_params(ctx))

    def format_options(self, ctx: Any, formatter: HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self.get_params(ctx), ctx, formatter)


def parts_of(text: str | None) -> tuple[str, list[str]]:
    """What a command does, in paragraphs, and its examples, one a line."""
    told, _, examples = (text or "").partition("\n\nExamples:\n")
    return told, [line.strip() for line in examples.splitlines() if line.strip()]


def _write_text(text: str, formatter: HelpFormatter) -> None:
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)


def _write_examples(examples: list[str], formatter: HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            # As they are: a line that is broken cannot be copied.
            formatter.write("".join(f"{'':{formatter.current_indent}}{line}\n" for line in examples))


def write_section(formatter: HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    """A titled list, if there is anything to list."""
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)


def record_of(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    """How a parameter is written, and what it is; None for one that is hidden."""
    record = parameter.get_help_record(ctx)
    if record is None:
        return None
    name, told = record
    if isinstance(parameter, TyperArgument):
        name = re.sub(r" <.*>$", "", name)  # its type, which its text says better
    return name, re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", re.sub(r"\bx>=([\d.]+)", r"at least \1", told))


def _write_parameters(parameters: list[Any], ctx: Any, formatter: HelpFormatter) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], PANEL: []}
    for parameter in parameters:
        record = record_of(parameter, ctx)
        if record is None:
            continue
        own = "Arguments" if isinstance(parameter, TyperArgument) else "Options"
        sections[getattr(parameter, "rich_help_panel", None) or own].append(record)
    for title, rows in sections.items():
        write_section(formatter, title, rows)


def _named(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
        elif parameter.metavar is None and _has_free_value(parameter):
            parameter.metavar = str(parameter.name).rpartition("_")[2].upper()
        complete_names(parameter)
    return parameters


def _has_free_value(parameter: Any) -> bool:
    """Whether it takes more than one of some words, which the help would list."""
    return isinstance(parameter, TyperOption | TyperArgument) and not parameter.type_descriptor.is_choice
