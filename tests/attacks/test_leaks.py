"""No secret is where it does not belong."""

from __future__ import annotations

import pytest

from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, comes_to_nothing, every, succeeds_without_control
from tests.attacks.leaks import ATTACKS, kept_or_shown, written_by_every_change

pytestmark = pytest.mark.asyncio(loop_scope="module")


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch, Breached)


async def test_neither_the_metrics_nor_the_database_hold_a_secret(site: Site) -> None:
    await kept_or_shown(site)


@pytest.mark.long
async def test_no_change_leaves_a_secret_in_the_log(site: Site) -> None:
    await written_by_every_change(site)
