"""Limits of keys as their clients meet them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import keys
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

WHOLE = {**CHAT, "stream": False}
TOKENS = 11  # of one answer of the fake, in and out


async def ask(gateway: Running, key: str, path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
    return await gateway.post(path, {**WHOLE, **body}, authorization=f"Bearer {key}")


def refused(answer: httpx.Response, code: str, status: int = 429) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    if status == 429:
        assert int(answer.headers["retry-after"]) >= 1
    return error


async def test_requests_per_minute_and_the_headers_of_every_answer(gateway: Running) -> None:
    key = await gateway.new_key("robot", requests_per_minute=3, tokens_per_minute=100_000)
    left = []
    for stream in (False, True, False):
        answer = await ask(gateway, key, stream=stream)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
        left.append(int(answer.headers["x-ratelimit-remaining-requests"]))
    assert left == [2, 1, 0]
    answer = await ask(gateway, key)
    error = refused(answer, "rate_limit_exceeded")
    assert error["type"] == "rate_limit_error"
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) <= 100_000 - 3 * TOKENS
    assert (await ask(gateway, key, model=7)).headers["x-ratelimit-limit-requests"] == "3"  # 400
    event = gateway.finished[3]
    assert (event.outcome, event.status, event.error_code) == (Outcome.REJECTED_LIMIT, 429, "rate_limit_exceeded")
    assert "x-ratelimit-limit-requests" not in (await ask(gateway, gateway.key)).headers


async def test_every_dialect_is_told_in_its_own_words(gateway: Running) -> None:
    key = await gateway.new_key("robot", requests_per_minute=1)
    await ask(gateway, key)
    ollama = await ask(gateway, key, "/api/chat")
    anthropic = await ask(gateway, key, "/v1/messages", max_tokens=5)
    assert (ollama.status_code, anthropic.status_code) == (429, 429)
    assert "requests per minute" in ollama.json()["error"]
    assert anthropic.json()["error"]["type"] == "rate_limit_error"


async def test_tokens_are_corrected_to_what_was_used(gateway: Running) -> None:
    key = await gateway.new_key("robot", tokens_per_minute=2000)
    for _ in range(20):  # some 270 each would be expected
        assert (await ask(gateway, key)).status_code == 200
    who = (await gateway.client.get("/gate/auth/me", headers={"authorization": f"Bearer {key}"})).json()
    assert who["limits"]["tokens_per_minute"] == 2000
    assert 0 < who["used"]["tokens"] <= 20 * TOKENS
    assert who["used"]["in_flight"] == 0


async def test_requests_at_once_and_waiting_ones(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(gate="go"), times=None)
    key = await gateway.new_key("robot", max_concurrent=3)
    patient = await gateway.new_key("patient", max_waiting=1)
    tasks = [asyncio.create_task(ask(gateway, key)) for _ in range(3)]
    await gateway.waiting(1)
    refused(await ask(gateway, key), "too_many_concurrent")
    tasks.append(asyncio.create_task(ask(gateway, patient)))
    await gateway.waiting(2)
    refused(await ask(gateway, patient), "limit_exceeded")
    ollama.release("go")
    assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
    assert gateway.services.limits.unsettled == 0


async def test_one_that_asks_again_as_soon_as_it_has_read_is_not_too_many(gateway: Running) -> None:
    key = await gateway.new_key("robot", max_concurrent=1)
    for stream in (False, True) * 10:
        assert (await ask(gateway, key, "/api/chat", stream=stream)).status_code == 200


async def test_a_budget_survives_a_restart(ollama: FakeOllama, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
    async with run_gateway(settings) as gateway:
        key = await gateway.new_key("robot", tokens_per_day=3 * TOKENS, tokens_per_month=10**6)
        for _ in range(2):
            assert (await ask(gateway, key)).status_code == 200
        async with gateway.services.database.begin() as tx:  # its name is for the next one
            await keys.revoke(tx, (await keys.resolve(tx, "test")).id)
    async with run_gateway(settings) as again:
        again.client.headers["authorization"] = f"Bearer {key}"
        me = (await again.client.get("/gate/auth/me")).json()
        assert (me["used"]["tokens_today"], me["used"]["tokens_this_month"]) == (2 * TOKENS, 2 * TOKENS)
        assert (await ask(again, key)).status_code == 200
        error = refused(await ask(again, key), "budget_exceeded")
        assert "33 tokens per day" in error["message"]


async def test_a_change_of_limits_holds_from_the_next_request_on(gateway: Running) -> None:
    key = await gateway.new_key("robot")
    for _ in range(3):
        assert (await ask(gateway, key)).status_code == 200
    async with gateway.services.database.begin() as tx:
        found = await keys.resolve(tx, "robot")
        await keys.update(tx, found.id, requests_per_minute=2)
    gateway.services.rights_changed()
    assert [(await ask(gateway, key)).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("routes", "allowed"),
    [
        (["chat"], {"/v1/chat/completions", "/api/chat", "/v1/messages", "/v1/responses"}),
        (["embeddings"], {"/v1/embeddings", "/api/embed"}),
        (["/api/generate"], {"/api/generate"}),
        (["completions", "/api/chat"], {"/v1/completions", "/api/generate", "/api/chat"}),
    ],
)
async def test_a_key_calls_its_routes_only(gateway: Running, routes: list[str], allowed: set[str]) -> None:
    key = await gateway.new_key("robot", routes=routes)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {},
        "/api/chat": {},
        "/v1/messages": {"max_tokens": 5},
        "/v1/responses": {"input": "hi"},
        "/v1/completions": {"prompt": "hi"},
        "/api/generate": {"prompt": "hi"},
        "/v1/embeddings": {"input": "hi"},
        "/api/embed": {"input": "hi"},
    }
    statuses = {path: (await ask(gateway, key, path, **body)).status_code for path, body in bodies.items()}
    assert statuses == {path: 200 if path in allowed else 403 for path in bodies}
    assert (await gateway.client.get("/api/tags", headers={"authorization": f"Bearer {key}"})).status_code == 200
    forbidden = "/v1/embeddings" if "embeddings" not in routes else "/v1/completions"
    answer = await ask(gateway, key, forbidden, input="hi")
    assert f"It may call: {', '.join(sorted(routes))}." in refused(answer, "forbidden", 403)["message"]


async def test_a_key_is_used_from_its_networks_only(gateway: Running) -> None:
    abroad = await gateway.new_key("abroad", cidrs=["10.0.0.0/8", "2001:db8::/32"])
    home = await gateway.new_key("home", cidrs=["10.0.0.0/8", "127.0.0.1"])
    error = refused(await ask(gateway, abroad), "forbidden", 403)
    assert "from your address" in error["message"]
    assert "127.0.0.1" in error["message"]
    assert (await ask(gateway, home)).status_code == 200
    for path in ("/gate/auth/me", "/api/tags", "/admin/v1/keys"):
        answer = await gateway.client.get(path, headers={"authorization": f"Bearer {abroad}"})
        assert answer.status_code == 403
