"""What is not listed does not exist, whatever it is called, and nobody but administrators changes models."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import llmgate.daemon.upstreams
from llmgate.daemon.app import Application
from llmgate.daemon.protocols import ENDPOINTS
from tests.admin.harness import Site, run_site
from tests.attacks.cases import Attack, comes_to_nothing, every, succeeds_without_control
from tests.attacks.requests_paths import (
    ATTACKS,
    FORBIDDEN,
    MANAGED,
    METHODS,
    every_combination,
    heads_of,
    spellings,
    statuses,
)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A gateway for each test: without the control its upstream is not well after it."""
    async with run_site(tmp_path / "state") as running:
        yield running


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch)


@pytest.mark.long
async def test_every_path_method_spelling_and_caller(site: Site) -> None:
    count = await every_combination(site)
    shape = f"{len(FORBIDDEN)} paths, {len(METHODS)} methods, {len(heads_of(site))} callers"
    print(f"{count} requests denied: {shape}")  # noqa: T201 - a count to be read
    assert count > 100_000


async def test_there_are_at_least_forty_spellings_of_each() -> None:
    for path in (*FORBIDDEN, *MANAGED):
        assert len(set(spellings(path)) - {path}) >= 40, path


async def test_administrators_may_manage(site: Site) -> None:
    """Else nobody could tell whether users are kept from it."""
    admin = heads_of(site)["admin"]
    before = len(site.ollama.reads)
    wanted = [("POST", "/api%2fpull", admin), ("POST", "/api/copy", admin), ("DELETE", "/%61pi/delete", admin)]
    assert await statuses(site, wanted) == [200, 200, 200]
    seen = {one.path for one in site.ollama.reads[before:]}
    assert seen >= {"/api/copy", "/api/pull", "/api/delete"}


def test_these_are_all_the_paths_that_an_upstream_is_ever_asked_for() -> None:
    """Whoever adds one has to say so here."""
    asked = set(ENDPOINTS)
    for module in Path(llmgate.daemon.upstreams.__path__[0]).glob("*.py"):
        asked |= set(re.findall(r'"(/(?:api|v1|health)\b[^" ]*)"', module.read_text(encoding="utf-8")))
    assert asked - set(ENDPOINTS) == {
        *("/api/tags", "/api/ps", "/api/version", "/api/show", "/api/pull", "/api/copy", "/api/delete"),
        *("/v1/models", "/health"),
    }
    assert set(ENDPOINTS) == {
        *("/api/chat", "/api/generate", "/api/embed", "/api/embeddings"),
        *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"),
    }


async def test_these_are_all_the_routes_of_model_servers_that_there_are(site: Site) -> None:
    application = Application(site.gateway.services)
    served = {getattr(route, "path", "") for route in application._others.routes}
    assert {path for path in served if path.startswith(("/api", "/v1"))} == {
        *("/api/tags", "/api/ps", "/api/version", "/api/show", "/api/pull", "/api/copy", "/api/delete"),
        *("/v1/models", "/v1/models/{model:path}"),
    }
