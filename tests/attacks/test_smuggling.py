"""No payload smuggles a request: the fake upstream is the witness."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.attacks.cases import Attack, comes_to_nothing, every, succeeds_without_control
from tests.attacks.smuggling import (
    ATTACKS,
    CHUNKED,
    OUTER,
    PAYLOADS,
    Payload,
    Site,
    answers,
    chunk,
    connected,
    conversation,
    length,
    smuggle,
    wishing_for_http2,
)
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        FakeOllama() as upstream,
        run_gateway(settings_for(tmp_path / "state", [upstream_for(upstream)])) as gateway,
    ):
        yield Site(gateway, upstream)


async def test_of_all_payloads_none_gets_a_second_request_through(site: Site) -> None:
    assert len({payload.name for payload in PAYLOADS}) == len(PAYLOADS) >= 40
    for payload in PAYLOADS:
        statuses = await smuggle(site, payload)
        assert statuses, payload.name  # whoever it was is told something
    answer = await site.gateway.post("/api/chat", {"model": "llama3.2", "messages": [], "stream": False})
    assert answer.status_code == 200


async def test_a_body_behind_a_wish_for_http2_is_read_as_a_body(site: Site) -> None:
    """Java's own client wishes for HTTP/2 with its first request, whatever that is."""
    start = b"POST /api/chat HTTP/1.1"
    for headers, body in ((length(OUTER), OUTER), (CHUNKED, chunk(OUTER) + b"0\r\n\r\n")):
        first, _ = Payload("", wishing_for_http2(headers, start=start) + body).text(site.gateway.key)
        assert answers(await conversation(await connected(site.gateway.url), first)) == [200]
    assert [one.body.count(b"outer-words") for one in site.upstream.requests] == [1, 1]


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch)
