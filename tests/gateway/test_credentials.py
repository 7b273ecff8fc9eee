"""Who may ask: one identical 401 for every bad credential, and no way around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmgate.config import ServerSettings
from llmgate.daemon.store import keys, whitelist
from tests.fakes import FakeOllama
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

PATHS = ["/api/chat", "/v1/chat/completions", "/v1/messages", "/api/tags", "/v1/models"]


async def bad_credentials(gateway: Running) -> dict[str, dict[str, str]]:
    """One of each kind."""
    expired = await gateway.new_key("expired", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked, disabled = await gateway.new_key("revoked"), await gateway.new_key("disabled")
    async with gateway.services.database.begin() as tx:
        await keys.revoke(tx, (await keys.resolve(tx, "revoked")).id)
        await keys.update(tx, (await keys.resolve(tx, "disabled")).id, disabled=True)
    wrong_crc = gateway.key[:-1] + ("a" if gateway.key[-1] != "a" else "b")
    return {
        "none": {},
        "placeholder": {"authorization": "Bearer ollama"},
        "odd scheme": {"authorization": "Basic YTpi"},
        "empty": {"authorization": "Bearer"},
        "nonsense": {"authorization": "Bearer nonsense"},
        "not a jwt": {"authorization": "Bearer a.b.c"},
        "wrong checksum": {"authorization": f"Bearer {wrong_crc}"},
        "expired": {"authorization": f"Bearer {expired}"},
        "revoked": {"authorization": f"Bearer {revoked}"},
        "disabled": {"x-api-key": disabled},
        "very long": {"authorization": "Bearer " + "x" * 10_000},
        "two that differ": {"authorization": f"Bearer {gateway.key}", "x-api-key": disabled},
    }


@pytest.mark.parametrize("path", PATHS)
async def test_every_bad_credential_gets_the_same_401(gateway: Running, ollama: FakeOllama, path: str) -> None:
    credentials = await bad_credentials(gateway)
    del gateway.client.headers["authorization"]
    method = "GET" if path in ("/api/tags", "/v1/models") else "POST"
    answers = {}
    for name, headers in credentials.items():
        answer = await gateway.client.request(method, path, json={**CHAT, "max_tokens": 5}, headers=headers)
        request_id = answer.headers["x-request-id"]
        answers[name] = (answer.status_code, answer.text.replace(request_id, ""), answer.headers["www-authenticate"])
    assert set(answers.values()) == {answers["none"]}
    assert answers["none"][0] == 401
    assert not ollama.requests


@pytest.mark.parametrize("carrier", ["authorization", "x-api-key"])
async def test_a_key_is_good_in_both_headers(gateway: Running, carrier: str) -> None:
    del gateway.client.headers["authorization"]
    value = f"Bearer {gateway.key}" if carrier == "authorization" else gateway.key
    answer = await gateway.post("/v1/messages", {**CHAT, "max_tokens": 5}, **{carrier: value})
    assert answer.status_code == 200


async def whitelist_loopback(gateway: Running) -> None:
    async with gateway.services.database.begin() as tx:
        await whitelist.create(tx, cidr="127.0.0.0/8", label="here")
        await gateway.services.whitelist.reload(tx)
    gateway.services.authenticator.invalidate()


async def test_a_whitelisted_address_needs_no_key_and_goes_first(gateway: Running) -> None:
    del gateway.client.headers["authorization"]
    await whitelist_loopback(gateway)
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False})
    assert answer.status_code == 200
    assert answer.headers["x-llmgate-level"] == "1"
    placeholder = await gateway.post("/v1/chat/completions", CHAT, authorization="Bearer ollama")
    assert placeholder.status_code == 200
    assert gateway.finished[0].principal_id == "127.0.0.1"


async def test_a_bad_key_never_falls_through_to_the_whitelist(gateway: Running) -> None:
    await whitelist_loopback(gateway)
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False}, authorization="Bearer wrong")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        ([], "10.9.9.9", 200),  # nobody is trusted: the peer is the client, and the peer is whitelisted
        (["127.0.0.1/32"], "10.9.9.9", 401),
        (["127.0.0.1/32"], "127.0.0.5, 10.9.9.9", 401),
        (["127.0.0.1/32"], "10.9.9.9, 127.0.0.5", 200),
    ],
)
async def test_forwarded_addresses_are_believed_from_the_right_only(
    ollama: FakeOllama, tmp_path: Path, trusted: list[str], forwarded: str, expected: int
) -> None:
    server = ServerSettings(port=0, trusted_proxies=trusted)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], server=server)) as gateway:
        del gateway.client.headers["authorization"]
        await whitelist_loopback(gateway)
        answer = await gateway.post("/api/chat", {**CHAT, "stream": False}, **{"x-forwarded-for": forwarded})
        assert answer.status_code == expected


async def test_a_key_sees_only_its_models(ollama: FakeOllama, gateway: Running) -> None:
    narrow = await gateway.new_key("narrow", models=["other:latest"])
    headers = {"authorization": f"Bearer {narrow}"}
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False}, **headers)).status_code == 404
    assert (await gateway.client.get("/api/tags", headers=headers)).json() == {"models": []}
    assert (await gateway.client.get("/v1/models", headers=headers)).json()["data"] == []
    assert not ollama.requests


async def test_a_revoked_key_is_refused_at_once(gateway: Running) -> None:
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200
    async with gateway.services.database.begin() as tx:
        await keys.revoke(tx, (await keys.resolve(tx, "test")).id)
    gateway.services.authenticator.invalidate()
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 401
