"""`llmgate openapi`: the daemon's own APIs, described for programs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from llmgate.cli.command import Cli, command


def mount_openapi(app: typer.Typer) -> None:
    command(app, "openapi")(show_openapi)


async def show_openapi(
    cli: Cli,
    gate: Annotated[bool, typer.Option("--gate", help="What users may do for themselves, instead.")] = False,
) -> None:
    """Print the description of the admin API, as OpenAPI 3.1 in JSON.

    Examples:
      llmgate openapi > llmgate-openapi.json
      llmgate openapi --gate | jq '.paths | keys'
    """
    async with cli.client() as client:
        document = await client.openapi("gate" if gate else "admin/v1")
    # ASCII only, so that no escape for terminals can be in it.
    cli.out.data(json.dumps(document, indent=2, ensure_ascii=True))
