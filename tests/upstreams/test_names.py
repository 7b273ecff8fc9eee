"""Which model a name means, where names differ only in case, and which upstreams the queue may use for it."""

from __future__ import annotations

import pytest

from llmgate.daemon.upstreams.base import HealthState
from llmgate.daemon.upstreams.directory import Resolved
from llmgate.errors import ModelNotFound, UpstreamUnavailable
from tests.fakes import FakeOllama, FakeOpenAI
from tests.upstreams.support import Fleet, anything, settings_for


async def test_names_that_differ_in_case_are_two_models_where_the_server_says_so() -> None:
    async with FakeOpenAI(models=("qwen", "Qwen")) as fake, Fleet(settings_for(fake.url, kind="openai")) as fleet:
        registry = fleet.registry
        for asked in ("qwen", "Qwen"):
            assert registry.resolve(asked, anything) == Resolved("gpu1", asked, rename=False)
            assert registry.openai_model(asked, anything)["id"] == asked
        assert [entry["id"] for entry in registry.openai_models(anything)] == ["Qwen", "qwen"]
        with pytest.raises(ModelNotFound):
            registry.resolve("QWEN", anything)


async def test_who_may_use_one_never_gets_the_other() -> None:
    limited = {"qwen"}.__contains__
    async with FakeOpenAI(models=("qwen", "Qwen")) as fake, Fleet(settings_for(fake.url, kind="openai")) as fleet:
        fleet.watch()
        assert fleet.registry.resolve("qwen", limited).model == "qwen"
        assert [entry["name"] for entry in fleet.registry.tags(limited)] == ["qwen"]
        for asked in ("Qwen", "Qwen:latest"):
            with pytest.raises(ModelNotFound):
                fleet.registry.resolve(asked, limited)
        fake.models.remove("qwen")
        probes = len(fake.reads)
        await fake.wait_for(lambda: len(fake.reads) >= probes + 6)
        with pytest.raises(ModelNotFound):
            fleet.registry.resolve("qwen", limited)


async def test_over_all_pools_the_exact_name_comes_first() -> None:
    async with (
        FakeOpenAI(models=("qwen",)) as one,
        FakeOpenAI(models=("Qwen",)) as two,
        FakeOllama(models=("qwen:latest",)) as three,
        Fleet(
            settings_for(one.url, name="a", kind="openai"),
            settings_for(two.url, name="b", kind="openai"),
            settings_for(three.url, name="c"),
        ) as fleet,
    ):
        assert fleet.registry.resolve("Qwen", anything).pool == "b"
        assert fleet.registry.resolve("qwen", anything).pool == "a"
        await fleet.take_place("a", "1", "qwen")
        assert fleet.registry.resolve("qwen", anything).pool == "c"
        assert [entry["name"] for entry in fleet.registry.tags(anything)] == ["qwen", "Qwen"]
        with pytest.raises(ModelNotFound):
            fleet.registry.resolve("QWEN", anything)


async def test_one_model_is_described_also_when_another_pool_than_the_first_is_free() -> None:
    async with (
        FakeOpenAI(models=("qwen",)) as one,
        FakeOllama(models=("qwen:latest",)) as two,
        Fleet(settings_for(one.url, name="a", kind="openai"), settings_for(two.url, name="b")) as fleet,
    ):
        await fleet.take_place("a", "1", "qwen")
        assert fleet.registry.openai_model("qwen", anything)["id"] == "qwen:latest"


async def test_an_upstream_is_granted_only_the_names_that_it_takes() -> None:
    async with FakeOllama(models=("llama3.2:latest", "x:1b")) as one, FakeOpenAI(models=("llama3.2",)) as two:
        upstreams = (
            settings_for(one.url, name="a", pool="main"),
            settings_for(two.url, name="b", pool="main", kind="openai"),
        )
        async with Fleet(*upstreams) as fleet:
            taken = {}
            for model in ("llama3.2", "llama3.2:latest", "x:1b", "X:1b"):
                place = await fleet.take_place("main", model, model)
                running = {one.ticket_id: one.upstream for one in await fleet.queue.running()}
                taken[model] = running.get(model)
                place.leave()
            assert taken == {"llama3.2": "a", "llama3.2:latest": "a", "x:1b": "a", "X:1b": None}
            held = await fleet.take_place("main", "held", "llama3.2")
            await fleet.take_place("main", "exact", "llama3.2:latest")
            await fleet.take_place("main", "both", "llama3.2")
            running = {one.ticket_id: one.upstream for one in await fleet.queue.running()}
            assert running == {"held": "a", "both": "b"}
            held.leave()


async def test_who_asks_for_details_while_nothing_is_usable_is_told_when_to_come_again(fake: FakeOllama) -> None:
    async with Fleet(settings_for(fake.url)) as fleet:
        fleet.watch()
        await fake.stop()
        await fleet.until("gpu1", HealthState.OFFLINE)
        with pytest.raises(UpstreamUnavailable) as caught:
            await fleet.registry.show("llama3.2", anything)
        assert "llama3.2" in caught.value.message
        assert caught.value.retry_after
