"""The options that bound an API key."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmgate.cli.when import amount, seconds
from llmgate.notation import NO_LIMIT


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
