"""How commands look in the help: flags without a type, everything else with a name for its value."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class Command(TyperCommand):
    """A command that names the values of its options."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]  # Typer's own type is private
        return _named(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands that names the values of its options."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]  # Typer's own type is private
        return _named(super().get_params(ctx))


def _named(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
        elif parameter.metavar is None and _has_free_value(parameter):
            parameter.metavar = str(parameter.name).rpartition("_")[2].upper()
    return parameters


def _has_free_value(parameter: Any) -> bool:
    """Whether it takes more than one of some words, which the help would list."""
    return isinstance(parameter, TyperOption | TyperArgument) and not parameter.type_descriptor.is_choice
