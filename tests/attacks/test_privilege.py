"""Nobody becomes more than somebody who was more has made them."""

from __future__ import annotations

import pytest

from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, comes_to_nothing, every, succeeds_without_control
from tests.attacks.privilege import ATTACKS, fields_besides

pytestmark = pytest.mark.asyncio(loop_scope="module")


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch, Breached)


async def test_no_field_is_taken_that_nobody_asked_for(site: Site) -> None:
    """The control is in how the bodies are declared (``extra="forbid"``), which cannot be changed while it runs."""
    await fields_besides(site)
