"""The options that bound an API key."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from llmgate.cli.when import span

NO_LIMIT = -1
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def amount(text: str) -> int:
    """``500``, ``200k`` or ``5M`` as a number; ``none`` is NO_LIMIT."""
    if text.strip().lower() == "none":
        return NO_LIMIT
    found = re.fullmatch(r"(\d{1,15})([kmg]?)", text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no number; write 500, 200k, 5M or none")
    return int(found[1]) * _UNITS[found[2]]


def seconds(text: str) -> int:
    """``1h`` as seconds."""
    length = span(text)
    if length is None and text.strip() != "0":
        raise typer.BadParameter(f"{text!r} is no length of time; write 30m, 1h, 2d or 0")
    return round(length.total_seconds()) if length else 0


def _option(name: str, text: str) -> Any:
    return typer.Option(name, parser=amount, metavar="NUMBER", help=text, show_default=False)


RequestsPerMinute = Annotated[
    int | None, _option("--requests-per-minute", "Requests within a minute; none takes a limit away.")
]
TokensPerMinute = Annotated[int | None, _option("--tokens-per-minute", "Tokens, in and out, within a minute.")]
MaxConcurrent = Annotated[int | None, _option("--max-concurrent", "Requests at once, waiting or running.")]
MaxWaiting = Annotated[int | None, _option("--max-waiting", "Requests that wait at once.")]
TokensPerDay = Annotated[int | None, _option("--tokens-per-day", "Tokens of a day (UTC), e.g. 200k.")]
TokensPerMonth = Annotated[int | None, _option("--tokens-per-month", "Tokens of a calendar month (UTC), e.g. 5M.")]
RouteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--route",
        help="Only these: chat, completions, embeddings, manage, admin, metrics, or a path; repeat for more.",
        show_default=False,
    ),
]
CidrOption = Annotated[
    list[str] | None,
    typer.Option("--cidr", help="Only from this network or address; repeat for more.", show_default=False),
]
OverlapOption = Annotated[
    int | None,
    typer.Option(
        "--overlap",
        parser=seconds,
        metavar="TIME",
        help="How long the old secret works: 30m, 1h (the default), 2d, or 0.",
        show_default=False,
    ),
]


def bounded(**limits: int | None) -> dict[str, int | None]:
    """The limits that were given; None where one is to be taken away."""
    given = {name: value for name, value in limits.items() if value is not None}
    return {name: None if value == NO_LIMIT else value for name, value in given.items()}
