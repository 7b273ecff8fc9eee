"""The description of the daemon's own APIs on the command line."""

from __future__ import annotations

from tests.admin.harness import Site
from tests.cli.harness import llmgate


async def test_the_description_is_printed_as_the_daemon_serves_it(root: Site) -> None:
    printed = (await llmgate("openapi")).ok()
    assert printed.json == (await root.admin.get("/admin/v1/openapi.json")).json()
    assert printed.out.isascii()
    gate = (await llmgate("openapi", "--gate")).ok().json
    assert gate["servers"] == [{"url": "/gate"}]
