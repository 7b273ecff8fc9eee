"""Options and arguments that several nouns share."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from llmgate.cli.when import ago, ahead
from llmgate.errors import InvalidRequest


class Role(StrEnum):
    """What a user or a key may do."""

    USER = "user"
    ADMIN = "admin"


LimitOption = Annotated[int, typer.Option(help="At most so many rows.", min=1, max=100_000)]
AllOption = Annotated[bool, typer.Option("--all", help="Every row, whatever the limit.")]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")]
IntervalOption = Annotated[
    float, typer.Option("--interval", help="Seconds between two looks of --watch.", min=0.1, max=3600)
]
SearchOption = Annotated[str | None, typer.Option(help="Only names that contain this.")]
RoleOption = Annotated[Role, typer.Option(help="user or admin.")]
LevelOption = Annotated[int | None, typer.Option(help="1 (served first) to 5.", min=1, max=5, show_default=False)]
OnlyLevel = Annotated[
    int | None, typer.Option("--level", help="Only what was submitted at this level.", min=1, max=5, show_default=False)
]
NoLevelOption = Annotated[bool, typer.Option("--default-level", help="Take its own level away.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
PasswordFile = Annotated[Path | None, typer.Option("--password-file", help="Read the password from this file.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Do it even if it locks you out.")]
Expires = Annotated[
    datetime | None,
    typer.Option(parser=ahead, metavar="WHEN", help="When it ends: 30d, or 2026-12-31.", show_default=False),
]
NeverExpires = Annotated[bool, typer.Option("--never-expires", help="Take the end away.")]
Since = Annotated[datetime | None, typer.Option(parser=ago, metavar="WHEN", help="From: 24h, 7d, or 2026-12-31.")]
Until = Annotated[datetime | None, typer.Option(parser=ago, metavar="WHEN", help="To: 1h, or 2026-12-31.")]


def chosen(**values: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def changing(**values: Any) -> dict[str, Any]:
    """The changes that were given, of which there must be one. Raises InvalidRequest."""
    if not values:
        raise InvalidRequest("Nothing to change.", hint="Say what with an option; --help shows them.")
    return values
