"""No body wears a server out, sends it anywhere, or reads otherwise there than here."""

from __future__ import annotations

import json

import pytest

from tests.admin.harness import Site
from tests.attacks.cases import Attack, comes_to_nothing, every, succeeds_without_control
from tests.attacks.requests_bodies import ATTACKS, START, reached

pytestmark = pytest.mark.asyncio(loop_scope="module")


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch)


@pytest.mark.parametrize(
    "pair", ['"model":"secret"', '"stream":true', '"options":{"num_ctx":9,"num_ctx":99999999}', '"a":{"b":1,"b":2}']
)
async def test_a_key_that_comes_twice_is_refused_wherever_it_is(site: Site, pair: str) -> None:
    for body in (f"{{{START},{pair}}}", f"{{{pair},{START}}}"):
        assert await reached(site, "/api/chat", body.encode()) == []


async def test_the_client_is_told_what_was_changed(site: Site) -> None:
    body = {"model": "llama3.2", "messages": [], "keep_alive": -1, "options": {"num_ctx": 10**9, "num_gpu": 1}}
    told = "options.num_ctx=131072, options.num_gpu, keep_alive=86400"
    for stream in (True, False):
        answer = await site.user.post("/api/chat", json={**body, "stream": stream})
        assert (answer.status_code, answer.headers["x-llmgate-clamped"]) == (200, told)
    answer = await site.user.post("/api/chat", json={"model": "llama3.2", "messages": [], "stream": False})
    assert "x-llmgate-clamped" not in answer.headers


async def test_administrators_may_ask_for_more_and_settings_hold_at_once(site: Site) -> None:
    body = {"model": "llama3.2", "messages": [], "stream": False, "keep_alive": -1}
    answer = await site.admin.post("/api/chat", json=body)
    assert "x-llmgate-clamped" not in answer.headers
    assert json.loads(site.ollama.requests[-1].body)["keep_alive"] == -1
    setting = "/admin/v1/settings/requests.keep_alive_max"
    assert (await site.admin.put(setting, json={"value": 600})).status_code == 200
    answer = await site.user.post("/api/chat", json=body)
    assert answer.headers["x-llmgate-clamped"] == "keep_alive=600"
    assert (await site.admin.put(setting, json={"value": 1})).status_code == 400
    assert (await site.admin.delete(setting)).status_code == 200
