"""What is somebody else's is, to everybody but that one, not there."""

from __future__ import annotations

import pytest

from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, comes_to_nothing, every, succeeds_without_control
from tests.attacks.foreign import ATTACKS, TRIED, names_in, routes_with_ids

pytestmark = pytest.mark.asyncio(loop_scope="module")


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch, Breached)


async def test_every_route_that_takes_an_id_is_tried(site: Site) -> None:
    """Whoever adds a route says in ``foreign.py`` what a stranger could want there."""
    assert set[str]().union(*(names_in(path) for _, path in routes_with_ids(site))) == TRIED
