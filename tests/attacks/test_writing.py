"""No text is obeyed: not by a terminal, not by who reads the log, not by a spreadsheet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.admin.harness import Site, run_site
from tests.attacks.cases import Attack, Breached, comes_to_nothing, every, succeeds_without_control
from tests.attacks.conftest import SERVER
from tests.attacks.writing import ATTACKS, EVIL_MODEL, FORMULA_MODEL
from tests.fakes import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Its upstream is not to be trusted either."""
    async with (
        FakeOllama(models=("llama3.2:latest", EVIL_MODEL, FORMULA_MODEL)) as ollama,
        run_site(tmp_path_factory.mktemp("written") / "state", server=SERVER, ollama=ollama) as site,
    ):
        yield site


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATE_CONFIG_DIR", str(tmp_path / "home"))


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch, Breached)
