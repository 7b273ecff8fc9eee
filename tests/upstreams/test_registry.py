"""Which upstream a model is asked of, and what clients are told of the models."""

from __future__ import annotations

import pytest

from llmgate.daemon.upstreams import registry as registry_module
from llmgate.daemon.upstreams.base import HealthState
from llmgate.daemon.upstreams.directory import COMPATIBLE_VERSION, Resolved
from llmgate.errors import ModelNotFound, UpstreamUnavailable, UpstreamUnreachable
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.upstreams.support import Fleet, anything, settings_for


@pytest.mark.parametrize(
    ("asked", "rename"),
    [
        ("llama3.2:latest", False),
        ("llama3.2", False),
        ("LLaMA3.2", True),
        ("library/llama3.2", True),
        ("registry.ollama.ai/library/llama3.2:latest", True),
    ],
)
async def test_a_model_is_found_by_every_name_that_ollama_takes(fake: FakeOllama, asked: str, rename: bool) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        assert fleet.registry.resolve(asked, anything) == Resolved("gpu1", "llama3.2:latest", rename)


async def test_other_kinds_are_asked_by_the_exact_name() -> None:
    async with FakeOpenAI(models=("Qwen/Qwen3-8B",)) as fake, Fleet(settings_for(fake.url, kind="openai")) as fleet:
        for asked, rename in (("Qwen/Qwen3-8B", False), ("qwen/qwen3-8b", True), ("Qwen/Qwen3-8B:latest", True)):
            assert fleet.registry.resolve(asked, anything) == Resolved("gpu1", "Qwen/Qwen3-8B", rename)


async def test_a_pool_of_both_kinds_uses_the_name_that_both_take() -> None:
    async with FakeOllama(models=("llama3.2:latest",)) as one, FakeOpenAI(models=("llama3.2",)) as two:
        upstreams = (
            settings_for(one.url, name="a", pool="main"),
            settings_for(two.url, name="b", pool="main", kind="openai"),
        )
        async with Fleet(*upstreams) as fleet:
            assert fleet.registry.resolve("llama3.2:latest", anything) == Resolved("main", "llama3.2", rename=True)


async def test_an_unknown_model_is_not_found_and_near_names_are_offered(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        with pytest.raises(ModelNotFound) as caught:
            fleet.registry.resolve("lama3.2", anything)
        assert caught.value.hint == "Did you mean llama3.2:latest?"


async def test_a_forbidden_model_looks_like_an_unknown_one(fake: FakeOllama) -> None:
    fake.models = ["llama3.2:latest", "llama3.3:latest"]
    async with Fleet(settings_for(fake.url)) as fleet:
        for asked in ("llama3.3", "llama3.4"):
            with pytest.raises(ModelNotFound) as caught:
                fleet.registry.resolve(asked, lambda name: name == "llama3.2:latest")
            assert caught.value.text() == f"The model '{asked}' was not found. Did you mean llama3.2:latest?"


@pytest.mark.parametrize("granted", ["llama3.2", "llama3.2:latest"])
async def test_a_model_may_be_allowed_with_or_without_its_tag(fake: FakeOllama, granted: str) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        for asked in ("llama3.2", "llama3.2:latest"):
            assert fleet.registry.resolve(asked, {granted}.__contains__).model == "llama3.2:latest"


async def test_a_pool_serves_what_all_its_upstreams_have() -> None:
    async with FakeOllama(models=("a", "b")) as one, FakeOllama(models=("b", "c")) as two:
        upstreams = [settings_for(fake.url, name=name, pool="main") for fake, name in ((one, "x"), (two, "y"))]
        async with Fleet(*upstreams) as fleet:
            assert [entry["name"] for entry in fleet.registry.tags(anything)] == ["b"]
            assert fleet.registry.partial_models() == {"main": {"a": ["x"], "c": ["y"]}}
            with pytest.raises(ModelNotFound):
                fleet.registry.resolve("a", anything)


async def test_a_pool_serves_what_is_left_when_an_upstream_goes_down() -> None:
    async with FakeOllama(models=("a", "b")) as one, FakeOllama(models=("b", "c")) as two:
        upstreams = [settings_for(fake.url, name=name, pool="main") for fake, name in ((one, "x"), (two, "y"))]
        async with Fleet(*upstreams) as fleet:
            fleet.watch()
            await two.stop()
            await fleet.until("y", HealthState.OFFLINE)
            assert fleet.registry.resolve("a", anything).pool == "main"


async def test_where_nobody_has_answered_yet_nobody_can_know(fake: FakeOllama) -> None:
    await fake.stop()
    async with Fleet(settings_for(fake.url)) as fleet:
        assert not fleet.registry.any_usable()
        with pytest.raises(UpstreamUnavailable):
            fleet.registry.resolve("llama3.2", anything)
        with pytest.raises(ModelNotFound):
            fleet.registry.resolve("llama3.2", lambda _: False)


async def test_models_are_kept_while_their_upstream_is_down(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        await fake.stop()
        await fleet.until("gpu1", HealthState.OFFLINE)
        assert fleet.registry.resolve("llama3.2", anything).pool == "gpu1"
        assert fleet.registry.tags(anything)
        assert fleet.registry.ps(anything) == []


async def test_a_new_model_is_discovered(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        fake.models.append("new:1b")
        probes = len(fake.reads)
        await fake.wait_for(lambda: len(fake.reads) >= probes + 9)
        assert fleet.registry.resolve("new:1b", anything).model == "new:1b"


async def test_of_several_pools_the_one_with_a_free_slot_is_taken_else_the_shortest_line() -> None:
    async with (
        FakeOllama() as one,
        FakeOllama() as two,
        Fleet(settings_for(one.url, name="a"), settings_for(two.url, name="b")) as fleet,
    ):
        chosen = []
        for number in range(4):
            pool = fleet.registry.resolve("llama3.2", anything).pool
            chosen.append(pool)
            await fleet.take_place(pool, str(number))
        assert chosen == ["a", "b", "a", "b"]


async def test_of_several_free_pools_one_that_has_the_model_loaded_is_taken() -> None:
    async with FakeOllama() as one, FakeOllama() as two:
        one.loaded = []
        async with Fleet(settings_for(one.url, name="a"), settings_for(two.url, name="b")) as fleet:
            assert fleet.registry.resolve("llama3.2", anything).pool == "b"


async def test_listings_are_merged_over_the_pools_and_filtered() -> None:
    async with FakeOllama(models=("a", "b:1b")) as one, FakeOpenAI(models=("b:1b", "c")) as two:
        one.loaded = ["a"]
        async with Fleet(settings_for(one.url), settings_for(two.url, name="vllm", kind="openai")) as fleet:
            registry = fleet.registry
            assert [entry["name"] for entry in registry.tags(anything)] == ["a", "b:1b", "c"]
            assert [entry["name"] for entry in registry.tags({"b:1b", "c"}.__contains__)] == ["b:1b", "c"]
            assert [entry["name"] for entry in registry.ps(anything)] == ["a", "b:1b", "c"]
            assert [entry["name"] for entry in registry.ps({"a"}.__contains__)] == ["a"]
            assert [entry["id"] for entry in registry.openai_models(anything)] == ["a", "b:1b", "c"]
            assert registry.openai_models(anything)[0]["created"] == 1767323045


async def test_a_model_is_shown_by_an_upstream_that_has_it(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        assert (await fleet.registry.show("llama3.2", anything))["details"]
        with pytest.raises(ModelNotFound):
            await fleet.registry.show("llama3.2", lambda _: False)


async def test_the_lowest_version_is_told() -> None:
    async with FakeOllama() as one, FakeOllama() as two:
        one.release_version, two.release_version = "0.12.6", "0.9.10-rc1"
        async with Fleet(settings_for(one.url), settings_for(two.url, name="b")) as fleet:
            assert fleet.registry.version() == "0.9.10-rc1"


async def test_without_an_ollama_a_version_that_clients_accept_is_told() -> None:
    async with FakeOpenAI() as fake, Fleet(settings_for(fake.url, kind="openai")) as fleet:
        assert fleet.registry.version() == COMPATIBLE_VERSION


async def test_a_hung_upstream_does_not_hold_the_start_up(fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "START_SECONDS", 0.1)
    async with FakeOllama(models=("slow",)) as hung:
        hung.script(Script(hang=True), path="/api/tags", times=None)
        async with Fleet(settings_for(fake.url), settings_for(hung.url, name="hung"), timeout=30) as fleet:
            assert fleet.registry.resolve("llama3.2", anything).pool == "gpu1"
            assert fleet.state("hung") is HealthState.UNKNOWN
            with pytest.raises(UpstreamUnavailable):
                fleet.registry.resolve("slow", anything)


async def test_an_upstream_that_is_gone_is_not_asked(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        with pytest.raises(UpstreamUnreachable):
            fleet.registry.get("gone")
