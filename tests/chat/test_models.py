"""The models that a page offers: what the caller may use, and what each can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.daemon.upstreams.capabilities import UNKNOWN, Capabilities, CapabilityBook, described
from tests.admin.harness import Site, run_site
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for

MODELS = "/gate/models"
THINKER = {
    "capabilities": ["completion", "vision", "tools", "thinking"],
    "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960, "qwen3.vision.block_count": 3},
}


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=("llama3.2:latest", "qwen3:8b", "nomic-embed-text:latest")) as fake:
        fake.loaded = ["llama3.2:latest"]
        fake.described = {
            "qwen3:8b": THINKER,
            "nomic-embed-text:latest": {"capabilities": ["embedding"], "model_info": {"bert.context_length": 2048}},
        }
        yield fake


def shows(fake: FakeOllama) -> int:
    return sum(seen.path == "/api/show" for seen in fake.reads)


async def rows(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(MODELS, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_a_model_is_told_with_what_it_can_do(ollama: FakeOllama, tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", ollama=ollama) as site:
        assert await rows(site.user) == [
            {
                "name": "llama3.2:latest",
                "loaded": True,
                "vision": False,
                "thinking": False,
                "tools": True,
                "context_length": 131072,
                "window": 4096,
                "parameters": "3.2B",
                "quantization": "Q4_K_M",
                "size": 2019393189,
            },
            {
                "name": "qwen3:8b",
                "loaded": False,
                "vision": True,
                "thinking": True,
                "tools": True,
                "context_length": 40960,
                "window": 4096,
                "parameters": "3.2B",
                "quantization": "Q4_K_M",
                "size": 2019393189,
            },
        ], "one that only embeds is not for a chat"
        asked = shows(ollama)
        assert asked == 3
        await asyncio.gather(*(rows(site.user) for _ in range(5)))
        assert shows(ollama) == asked, "what belongs to a digest does not change"


async def test_pages_go_on_behind_a_name(ollama: FakeOllama, tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", ollama=ollama) as site:
        first = (await site.user.get(MODELS, params={"limit": 1})).json()
        second = (await site.user.get(MODELS, params={"limit": 1, "after": first["next"]})).json()
        assert [row["name"] for page in (first, second) for row in page["data"]] == ["llama3.2:latest", "qwen3:8b"]
        assert second["next"] is None


async def test_only_what_the_caller_may_use_is_told_and_asked_about(ollama: FakeOllama, tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", ollama=ollama) as site:
        key = {"x-api-key": (await site.made("keys", name="narrow", models=["qwen3:8b"]))["key"]}
        answer = await site.nobody.get(MODELS, headers=key)
        assert [row["name"] for row in answer.json()["data"]] == ["qwen3:8b"]
        assert shows(ollama) == 1


async def test_a_server_that_does_not_tell_leaves_it_open(tmp_path: Path) -> None:
    async with (
        FakeOpenAI(models=("qwen",)) as vllm,
        FakeOpenAI(models=("smollm2",), llamacpp=True) as llama,
        run_gateway(
            settings_for(tmp_path / "state", [upstream_for(vllm, "vllm"), upstream_for(llama, "llama")])
        ) as gateway,
    ):
        gateway.client.headers["x-api-key"] = gateway.key
        found = await rows(gateway.client)
        assert [(row["name"], row["loaded"], row["context_length"]) for row in found] == [
            ("qwen", True, 8192),
            ("smollm2", True, 8192),
        ]
        for row in found:
            assert row["vision"] is row["thinking"] is row["tools"] is row["parameters"] is row["size"] is None


async def test_an_upstream_that_hangs_holds_up_no_list_and_is_known_later(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CapabilityBook.all, "__defaults__", (0.05,))
    async with run_site(tmp_path / "state", ollama=ollama) as site:
        ollama.script(Script(gate="show"), path="/api/show", times=None)
        began = time.monotonic()
        found = await rows(site.user)
        assert time.monotonic() - began < 1
        assert [row["name"] for row in found] == ["llama3.2:latest", "nomic-embed-text:latest", "qwen3:8b"]
        assert all(row["vision"] is row["context_length"] is None for row in found)
        ollama.release("show")
        await until_known(site, 3)
        assert [row["thinking"] for row in await rows(site.user)] == [False, True]
        assert shows(ollama) == 3, "they were asked once"


async def until_known(site: Site, count: int) -> None:
    book = site.gateway.services.capabilities
    async with asyncio.timeout(5):
        while len(book._known) < count:
            await asyncio.wait(list(book._asking.values()))


# -- what is remembered ----------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)])) as running:
        yield running


def everything(_: str) -> bool:
    return True


async def test_one_model_is_known_by_every_name_of_it(gateway: Running) -> None:
    book = gateway.services.capabilities
    assert (await book.of("LLAMA3.2", everything)).context_length == 131072
    assert await book.of("qwen3:8b", everything) == Capabilities(True, True, True, True, 40960)


async def test_who_has_just_failed_is_not_asked_again_at_once(gateway: Running, ollama: FakeOllama) -> None:
    clock = Clock()
    book = CapabilityBook(gateway.services.upstreams, clock=clock)
    ollama.script(Script(status=500), path="/api/show", times=3)
    assert set((await book.all(everything)).values()) == {UNKNOWN}
    failed = shows(ollama)
    assert set((await book.all(everything)).values()) == {UNKNOWN}
    assert shows(ollama) == failed
    clock.now += 16
    assert (await book.all(everything))["qwen3:8b"].thinking is True
    await book.close()


async def test_what_belongs_to_no_digest_is_asked_again_and_nobody_waits_for_that(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        FakeOpenAI(models=("qwen",)) as vllm,
        run_gateway(settings_for(tmp_path / "state", [upstream_for(vllm, "vllm")])) as gateway,
    ):
        book = CapabilityBook(gateway.services.upstreams, clock=clock)
        assert (await book.of("qwen", everything)).context_length == 8192
        larger = b'{"object": "list", "data": [{"id": "qwen", "max_model_len": 16384}]}'
        vllm.script(Script(body=larger, gate="list"), path="/v1/models", times=None)
        clock.now += 61
        assert (await book.of("qwen", everything)).context_length == 8192, "the old answer, at once"
        vllm.release("list")
        await asyncio.wait(list(book._asking.values()))
        assert (await book.of("qwen", everything)).context_length == 16384
        await book.close()


async def test_what_is_remembered_is_bounded(
    gateway: Running, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgate.daemon.upstreams.capabilities.MOST_KNOWN", 2)
    book = CapabilityBook(gateway.services.upstreams)
    assert len(await book.all(everything)) == 3
    assert len(book._known) == 2
    monkeypatch.setattr("llmgate.daemon.upstreams.capabilities.MOST_ASKED", 0)
    empty = CapabilityBook(gateway.services.upstreams)
    assert set((await empty.all(everything)).values()) == {UNKNOWN}


@pytest.mark.parametrize(
    ("shown", "is_ollama", "expected"),
    [
        ({}, True, UNKNOWN),
        ({"capabilities": "vision", "model_info": []}, True, UNKNOWN),
        ({"capabilities": [1, None, "completion"]}, True, Capabilities(True, False, False, False)),
        ({"capabilities": ["completion", "tools"]}, False, UNKNOWN),
        ({"capabilities": ["completion", "vision"]}, False, Capabilities(vision=True)),
        ({"model_info": {"a.context_length": "many", "b.context_length": 512}}, True, Capabilities(context_length=512)),
        ({"model_info": {"unknown.n_ctx_train": 512}}, False, Capabilities(context_length=512)),
        ({"model_info": {"x.n_ctx_train": 9, "x.context_length": 8}}, False, Capabilities(context_length=8, window=8)),
        ({"parameters": 'stop "x"\nnum_ctx    8192'}, True, Capabilities(window=8192)),
    ],
)
def test_what_is_odd_is_unknown(shown: dict[str, Any], is_ollama: bool, expected: Capabilities) -> None:
    assert described(shown, is_ollama=is_ollama) == expected
