"""The gateway speaks to its upstreams and to nobody else, whoever wishes otherwise."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import aiohappyeyeballs
import pytest
from pydantic import ValidationError

from llmgate.config import ServerSettings, Settings, UpstreamSettings
from llmgate.daemon import hops
from llmgate.daemon.upstreams import connections
from llmgate.daemon.upstreams.connections import Connections, ForbiddenAddress
from tests.admin.harness import Site
from tests.attacks.cases import Attack, comes_to_nothing, every, succeeds_without_control
from tests.attacks.requests_upstreams import ATTACKS, FORBIDDEN_URLS, METADATA, added, info
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="module")
WHOLE = {**CHAT, "stream": False}


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await succeeds_without_control(attack, site, monkeypatch)


async def test_there_are_many_spellings() -> None:
    assert len(set(FORBIDDEN_URLS)) >= 70


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:11434", "http://localhost:11434", "http://[::1]:11434", "http://10.0.0.7", "http://ollama"),
        *(
            "http://192.168.1.5:8000/base",
            "https://gpu1.example.com",
            "http://[fd12:3456::1]:11434",
            "http://100.64.0.1",
        ),
        *("http://host.docker.internal:11434", "http://gpu-1.local.", "http://172.17.0.1", "http://3com.example"),
    ],
)
async def test_where_model_servers_live_is_allowed(url: str) -> None:
    assert UpstreamSettings(name="a", url=url).url == url.rstrip("/")


async def test_a_name_that_changes_its_meaning_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    meanings = iter([info("127.0.0.1"), info(METADATA)])
    tried: list[Any] = []

    async def resolved(*_: Any, **__: Any) -> list[Any]:
        return [next(meanings)]

    async def connected(addr_infos: list[Any], **_: Any) -> Any:
        tried.extend(addr_infos)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    monkeypatch.setattr(aiohappyeyeballs, "start_connection", connected)
    monkeypatch.setattr(connections, "ADDRESSES_SECONDS", 0)
    pool = Connections("http://flips.example", 1, keeps=True)
    with pytest.raises(ConnectionRefusedError):
        await pool.take()
    with pytest.raises(ForbiddenAddress):
        await pool.take()
    assert tried == [info("127.0.0.1")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(site: Site, status: int) -> None:
    async with FakeOllama() as trap:
        script = Script(status=status, body=b"", headers={"location": f"{trap.url}/api/chat"})
        site.ollama.script(script)
        answer = await site.user.post("/api/chat", json=WHOLE)
        assert answer.status_code >= 400
        for path in ("/api/tags", "/api/ps", "/api/version", "/api/show"):
            site.ollama.script(script, path=path)
        await site.gateway.services.upstreams.refresh(["fake"])
        await site.user.post("/api/show", json={"model": "llama3.2"})
        site.ollama.forget_scripts()
        await site.gateway.services.upstreams.refresh(["fake"])
        assert trap.requests == trap.reads == []


async def test_proxies_of_the_environment_are_not_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeOllama() as trap, FakeOllama(models=("other:1b",)) as other:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
            monkeypatch.setenv(name.upper(), trap.url)
        monkeypatch.setenv("no_proxy", "")
        async with added(site, "other", url=other.url) as answer:
            assert answer.json()["state"] == "healthy"
            assert (await site.user.post("/api/chat", json={**WHOLE, "model": "other:1b"})).status_code == 200
        assert trap.connections == 0
        assert trap.requests == trap.reads == []


STEERING_KEYS = (
    *("api_base", "base_url", "apiBase", "baseURL", "api_url", "endpoint", "host", "url", "proxy", "proxies", "server"),
    *("upstream", "target", "backend", "user_config", "model_list", "litellm_params", "azure_endpoint", "custom_url"),
    *(
        "api_key",
        "api_version",
        "organization",
        "extra_headers",
        "headers",
        "extra_body",
        "aws_bedrock_runtime_endpoint",
    ),
    *("fallbacks", "context_window_fallback_dict", "mock_response", "custom_llm_provider", "region_name", "pool"),
)
STEERING_HEADERS = (
    *("X-Upstream", "X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-Host", "Forwarded", "X-Backend"),
    *("X-Target", "X-Api-Base", "X-Proxy-URL", "Destination", "X-Forwarded-Server", "X-HTTP-Host-Override"),
    *("X-HTTP-Method-Override", "OpenAI-Organization", "Proxy-Authorization", "Proxy-Host", "Referer", "X-Custom-IP"),
)


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_clients_do_not_steer_where_requests_go(site: Site, kind: str) -> None:
    fake: FakeOllama | FakeOpenAI = (
        FakeOllama(models=("steered",)) if kind == "ollama" else FakeOpenAI(models=("steered",))
    )
    async with FakeOllama(models=("steered",)) as trap, fake:
        settings = {"url": fake.url, "kind": kind, "api_key": "the-upstreams-own"}
        async with added(site, "steered", **settings) as answer:
            assert answer.json()["models"], answer.text
            count = 0
            for path, key in itertools.product(("/v1/chat/completions", "/api/chat"), STEERING_KEYS):
                for value in (trap.url, {"url": trap.url, "model": "steered"}):
                    body = {**WHOLE, "model": "steered", key: value}
                    assert (await site.user.post(path, json=body)).status_code == 200
                    count += 1
            for name in STEERING_HEADERS:
                for url in (trap.url, f"{trap.url}/api/chat?api_base={trap.url}"):
                    more = {name: url}
                    body = {**WHOLE, "model": "steered"}
                    sent = await site.user.post("/api/chat", json=body, params={"api_base": trap.url}, headers=more)
                    assert sent.status_code == 200
                    count += 1
        assert trap.connections == 0
        assert trap.requests == trap.reads == []
        assert len(fake.requests) == count
        for seen in fake.requests:
            assert seen.headers["authorization"] == "Bearer the-upstreams-own"
            assert seen.headers["host"] == fake.url.removeprefix("http://")
            known = {"host", "accept-encoding", "user-agent", "via", "content-type", "authorization", "connection"}
            assert set(seen.headers) <= known | {"accept", "content-length"}


async def test_what_is_unknown_is_passed_on_as_it_is(site: Site) -> None:
    unknown = {"Future_Key": {"Nested": [1, 2.5, None]}, "logit_bias": {"50256": -100}}
    assert (await site.user.post("/api/chat", json={**WHOLE, **unknown})).status_code == 200
    sent = json.loads(site.ollama.requests[-1].body)
    assert {key: sent[key] for key in unknown} == unknown


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/api/show", "/api/tags", "/v1/models"])
async def test_a_request_that_comes_back_is_refused(site: Site, path: str) -> None:
    method = "GET" if path in ("/api/tags", "/v1/models") else "POST"
    for value, good in ((f"1.0 a.proxy, {hops.via()}", False), ("1.1 llmgate-0000000000000000", True)):
        answer = await site.user.request(method, path, json=WHOLE, headers={"via": value})
        assert answer.status_code == (200 if good else 400)
        assert good or "gateway itself" in answer.text


@pytest.mark.parametrize(
    ("server", "url"),
    [
        (ServerSettings(port=11435), "http://127.0.0.1:11435"),
        (ServerSettings(port=11435), "http://localhost:11435/base"),
        (ServerSettings(port=11435), "http://[::1]:11435"),
        (ServerSettings(port=11435, host="0.0.0.0"), "http://127.0.0.2:11435"),  # noqa: S104
        (ServerSettings(port=11435, host="10.0.0.5"), "http://10.0.0.5:11435"),
        (ServerSettings(port=80, host="gpu"), "http://GPU"),
        (ServerSettings(port=8080, public_url="https://ai.example.com"), "https://ai.example.com/"),
    ],
)
async def test_an_upstream_that_is_the_gateway_is_no_configuration(server: ServerSettings, url: str) -> None:
    upstream = UpstreamSettings(name="self", url=url)
    with pytest.raises(ValidationError, match="is the gateway itself"):
        Settings(server=server, upstreams=[upstream])
    other = server.model_copy(update={"port": 9, "public_url": ""})
    assert Settings(server=other, upstreams=[upstream]).upstreams == [upstream]
