"""Nobody becomes another address by saying so."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, comes_to_nothing, every, succeeds_without_control
from tests.attacks.common import name
from tests.attacks.proxies import ATTACKS, proxy_protocol
from tests.auth.test_ip_whitelist import HOPS, reference

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROXY = [ipaddress.ip_network("127.0.0.1/32")]
SENDABLE = HOPS.map(
    lambda hop: "".join(one for one in hop if " " <= one < "\x7f" or "\xa0" <= one <= "\xff" or one == "\t")
)
"""What a header can hold."""
LINES = st.lists(st.lists(SENDABLE, max_size=5).map(lambda hops: ",".join(hops).strip(" \t")), max_size=3)


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch, Breached)


async def test_an_address_before_the_request_is_no_request(site: Site) -> None:
    await proxy_protocol(site)


async def _agrees(site: Site, key: dict[str, str], lines: list[str]) -> None:
    """The gateway tells who it takes a caller for, in the refusal of a key that is bound to another network."""
    headers = [*key.items(), *(("x-forwarded-for", line) for line in lines)]
    encoded = [(one.encode(), value.encode("latin-1")) for one, value in headers]
    answer = await site.nobody.get("/gate/auth/me", headers=encoded)
    assert answer.status_code == 403, answer.text
    assert answer.json()["hint"] == f"You come from {reference('127.0.0.1', lines, PROXY)}."


async def _bound_key(site: Site) -> dict[str, str]:
    return {"x-api-key": (await site.made("keys", name=name("k"), cidrs=["192.0.2.77"]))["key"]}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES)
async def test_the_client_is_the_one_that_a_reference_finds(site: Site, lines: list[str]) -> None:
    await _agrees(site, await _bound_key(site), lines)


@pytest.mark.long
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES)
async def test_the_client_is_the_one_that_a_reference_finds_many_times(site: Site, lines: list[str]) -> None:
    await _agrees(site, await _bound_key(site), lines)
