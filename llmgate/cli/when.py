"""Parsers of options, in the words of ``llmgate.notation``: what cannot be read is a usage error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

from llmgate import notation

Value = TypeVar("Value")


def parser(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """``read`` for Typer, which wants to be told of a fault in its own way."""

    def parse(text: str) -> Value:
        try:
            return read(text)
        except ValueError as fault:
            raise typer.BadParameter(str(fault)) from None

    return parse


ago = parser(notation.ago)
ahead = parser(notation.ahead)
amount = parser(notation.amount)
seconds = parser(notation.length)
