"""A gateway with users "root" and "ada", and a home directory for the commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.admin.harness import PASSWORD, Site, run_site
from tests.cli.harness import llmgate


@pytest.fixture(autouse=True)
def quiet_daemon() -> Iterator[None]:
    """The gateway runs in this process: its log must not stand between the output of a command."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "home"
    monkeypatch.setenv("LLMGATE_CONFIG_DIR", str(directory))
    for name in ("LLMGATE_URL", "LLMGATE_TOKEN", "LLMGATE_TOKEN_FILE", "LLMGATE_CONTEXT", "LLMGATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return directory


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def root(site: Site) -> Site:
    """The gateway, with root logged in."""
    await login(site, "root")
    return site


async def login(site: Site, name: str) -> None:
    arguments = ("login", "--url", site.url, "--name", name, "--password-stdin")
    (await llmgate(*arguments, stdin=PASSWORD + "\n")).ok()
