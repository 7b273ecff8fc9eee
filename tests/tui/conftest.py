"""A gateway with users "root" and "ada", and a home directory for the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.admin.harness import Site, run_site
from tests.tui.harness import Hand, dashboard


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "home"
    monkeypatch.setenv("LLMGATE_CONFIG_DIR", str(directory))
    for name in ("LLMGATE_URL", "LLMGATE_TOKEN", "LLMGATE_TOKEN_FILE", "LLMGATE_CONTEXT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return directory


@pytest.fixture(autouse=True)
def no_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual's pilot waits after each key until this process has nothing to do; here a daemon works in it as well.
    That every widget has done what was asked of it, which the pilot also waits for, is enough."""

    async def breathe(*_: float) -> None:
        await asyncio.sleep(0.01)

    monkeypatch.setattr("textual.app.wait_for_idle", breathe)
    monkeypatch.setattr("textual.pilot.wait_for_idle", breathe)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def hand(site: Site, home: Path) -> AsyncIterator[Hand]:
    """At the keyboard of a dashboard for this gateway, as root."""
    async with dashboard(site, home) as sitting:
        yield sitting
