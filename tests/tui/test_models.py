"""Models, from the keyboard to the upstreams: what there is, copies, deletions, and pulls with their progress."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmgate.client.noun import Noun
from llmgate.tui.dialogs.pulling import Pulling
from llmgate.tui.screens.models import Loaded, Models, PulledHere
from tests.fakes import FakeOllama, Script
from tests.tui.harness import Hand, parses

LLAMA = "llama3.2:latest"


@pytest.fixture
async def other(hand: Hand) -> AsyncIterator[FakeOllama]:
    """A second Ollama, in a pool named main."""
    async with FakeOllama(models=(LLAMA, "only-here:1b")) as server:
        await hand.site.made("upstreams", name="gpu2", url=server.url, pool="main")
        yield server


@pytest.fixture
async def models(hand: Hand) -> Hand:
    """Before the list of models."""
    await hand.go("upstreams")
    await hand.press("v", "v")
    await hand.filled(Models)
    return hand


async def begin(hand: Hand, model: str) -> None:
    """Fill in the form, and send it."""
    await hand.press("n")
    await hand.seen("Pull a model")
    await hand.enter(model=model)
    await hand.press("ctrl+s")


# -- what there is -----------------------------------------------------------------------------


async def test_models_are_searched_at_the_daemon_and_shown_with_all_that_is_known(
    models: Hand, other: FakeOllama
) -> None:
    listing = await models.on(Models, "only-here:1b")
    await models.press("slash")
    await models.write("LLAMA")
    await models.until(lambda: [row.name for row in listing.table.rows] == [LLAMA], "the one that fits")
    await models.seen("2.0 GB")
    await models.press("enter", "enter")
    await models.seen("general.architecture")
    await models.seen("131072")
    await models.seen("completion, tools")
    await models.seen(f"$ llmgate models show {LLAMA}")


async def test_models_in_memory_are_listed_by_upstream(models: Hand, other: FakeOllama) -> None:
    await models.press("v")
    listing = await models.filled(Loaded)
    await models.until(lambda: {row.upstream for row in listing.table.rows} == {"fake", "gpu2"}, "both upstreams")
    await models.seen("4096")
    await models.press("slash")
    await models.write("only-here")
    await models.until(lambda: [row.upstream for row in listing.table.rows] == ["gpu2"], "the one that fits")


# -- copy and delete ---------------------------------------------------------------------------


async def test_a_model_is_copied_in_the_pool_that_is_meant(models: Hand, other: FakeOllama) -> None:
    await models.on(Models, "only-here:1b")
    await models.press("c")
    await models.seen("Copy only-here:1b")
    await models.enter(destination="mine:1")
    await models.says_twin("llmgate models copy only-here:1b mine:1")
    assert parses(models.twin) == "models copy"
    await models.press("enter")
    await models.hears("mine:1 is on gpu2.")
    await models.seen("mine:1")
    await models.on(Models, LLAMA)
    await models.press("c")
    await models.seen(f"Copy {LLAMA}")
    await models.enter(destination="second:1")
    await models.press("ctrl+s")
    await models.seen("is needed")
    await models.to("pool")
    await models.press("enter", "down", "down", "enter")
    await models.says_twin(f"llmgate models copy --pool main {LLAMA} second:1")
    await models.press("ctrl+s")
    await models.hears("second:1 is on gpu2.")
    assert (models.site.ollama.models, other.models) == ([LLAMA], [LLAMA, "only-here:1b", "mine:1", "second:1"])


async def test_a_model_is_deleted_when_its_name_was_typed(models: Hand, other: FakeOllama) -> None:
    await models.on(Models, "only-here:1b")
    await models.press("d")
    await models.seen("Remove the model only-here:1b from gpu2?")
    assert parses(models.twin) == "models delete"
    await models.write("only-here")
    await models.press("enter", "enter")
    await models.press("escape")
    await models.gone("Remove the model")
    assert "only-here:1b" in other.models
    await models.press("d")
    await models.seen("Remove the model")
    await models.write("only-here:1b")
    await models.press("enter", "enter")
    await models.hears("Removed only-here:1b from gpu2.")
    rows = models.listing(Models).table
    await models.until(lambda: [row.name for row in rows.rows] == [LLAMA], "the other model alone")
    assert other.models == [LLAMA]


async def test_a_model_of_several_pools_is_deleted_from_the_one_that_is_chosen(models: Hand, other: FakeOllama) -> None:
    await models.on(Models, LLAMA)
    await models.until(lambda: len(models.listing(Models).table.rows[0].pools) == 2, "both pools")
    await models.press("d")
    await models.seen("Several pools have it.")
    await models.press("enter", "down", "down", "enter")
    await models.press("ctrl+s")
    await models.seen(f"Remove the model {LLAMA} from the pool main?")
    await models.says_twin(f"llmgate models delete --pool main {LLAMA}")
    assert parses(models.twin) == "models delete"
    await models.write(LLAMA)
    await models.press("enter", "enter")
    await models.hears(f"Removed {LLAMA} from gpu2.")
    assert (models.site.ollama.models, other.models) == ([LLAMA], ["only-here:1b"])


async def test_what_the_daemon_refuses_is_told(models: Hand) -> None:
    await models.on(Models, LLAMA)
    models.site.ollama.script(Script(status=500), path="/api/delete")
    await models.press("d")
    await models.seen("Remove the model")
    await models.write(LLAMA)
    await models.press("enter", "enter")
    await models.until(lambda: bool(models.told), "a word")
    assert models.site.ollama.models == [LLAMA]


# -- pull --------------------------------------------------------------------------------------


async def test_a_pull_is_seen_going_on_and_can_be_left(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "go"}), path="/api/pull")
    await models.press("n")
    await models.seen("Pull a model")
    await models.enter(model="new:1b")
    await models.says_twin("llmgate models pull new:1b")
    assert parses(models.twin) == "models pull"
    await models.press("ctrl+s")
    await models.seen("2.0 of 4.0 kB")
    await models.until(lambda: isinstance(models.app.screen, Pulling), "the picture of the pull")
    await models.seen("50%")
    assert parses(models.twin) == "models pull"
    await models.press("escape")
    await models.seen("↓ new:1b  ━━━━━━━━╌╌╌╌╌╌╌╌  50%")
    await begin(models, "NEW:1b")
    await models.seen("NEW:1b is being pulled already.")
    await models.press("escape", "right", "enter")
    await models.go("users")
    models.site.ollama.release("go")
    assert "$ llmgate models pull new:1b" in await models.hears("Pulled new:1b onto fake.")
    await models.go("upstreams")
    await models.on(Models, "new:1b")
    await models.gone("↓ new:1b")
    assert len([note for note in models.told if "Pulled" in note]) == 1


async def test_the_picture_of_a_pull_shows_its_end(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "go"}), path="/api/pull")
    await begin(models, "new:1b")
    await models.seen("50%")
    models.site.ollama.release("go")
    await models.seen("100%")
    await models.seen("It is there.")
    await models.gone("Stop it")
    await models.press("enter")
    await models.until(lambda: len(models.app.screen_stack) == 1, "no dialog")


async def test_a_pull_that_fails_says_why(models: Hand) -> None:
    await begin(models, "no-such")
    await models.hears("no-such could not be pulled. fake: pull model manifest: file does not exist")
    await models.seen("It has failed.")
    await models.press("escape")
    await models.press("v", "v")
    listing = await models.filled(PulledHere)
    await models.until(lambda: [row.state for row in listing.table.rows] == ["failed"], "the failed pull")
    await models.press("enter")
    await models.until(lambda: isinstance(models.app.screen, Pulling), "its picture")


async def test_a_place_that_is_not_clear_is_asked_for_in_the_form(models: Hand, other: FakeOllama) -> None:
    await begin(models, "new:1b")
    await models.seen("say in which pool")
    assert models.app.focused is models.app.screen.query_one("#field-pool")
    await models.to("pool")
    await models.press("enter", "down", "down", "enter")
    await models.to("upstream")
    await models.press("enter", "down", "down", "enter")
    await models.says_twin("llmgate models pull --pool main --upstream gpu2 new:1b")
    assert parses(models.twin) == "models pull"
    await models.press("ctrl+s")
    await models.hears("Pulled new:1b onto gpu2.")
    assert "new:1b" in other.models
    assert "new:1b" not in models.site.ollama.models


async def test_a_second_key_while_a_daemon_is_slow_makes_no_second_form(
    models: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, ask = asyncio.Event(), Noun.rows

    async def slow(self: Any, *given: Any, **more: Any) -> Any:
        await may_answer.wait()
        return await ask(self, *given, **more)

    monkeypatch.setattr(Noun, "rows", slow)
    await models.press("n", "n")
    may_answer.set()
    await models.seen("Pull a model")
    await models.press("escape")
    await models.until(lambda: len(models.app.screen_stack) == 1, "no other form")


async def test_a_pull_is_stopped_after_a_question(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "never"}), path="/api/pull")
    await begin(models, "new:1b")
    await models.seen("50%")
    await models.press("x")
    await models.seen("Stop the pull of new:1b?")
    await models.press("enter")  # Cancel
    await models.gone("Stop the pull of new:1b?")
    assert models.app.pulls.running
    await models.press("x")
    await models.seen("Stop the pull of new:1b?")
    await models.press("right", "enter")
    await models.hears("The pull of new:1b is stopped.")
    await models.seen("It is stopped.")
    pull = next(seen for seen in models.site.ollama.reads if seen.path == "/api/pull")
    await pull.disconnected.wait()


async def test_several_pulls_go_on_at_once_and_one_of_them_is_stopped(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "go"}), path="/api/pull", times=2)
    for name in ("one:1b", "two:1b"):
        await begin(models, name)
        await models.until(lambda: isinstance(models.app.screen, Pulling), "the picture of the pull")
        await models.press("escape")
    await models.seen("↓ one:1b")
    await models.seen("↓ two:1b")
    await models.press("v", "v")
    await models.filled(PulledHere)
    await models.on(PulledHere, str(id(next(pull for pull in models.app.pulls.all if pull.model == "one:1b"))))
    await models.press("x")
    await models.seen("Stop the pull of one:1b?")
    await models.press("right", "enter")
    await models.hears("The pull of one:1b is stopped.")
    models.site.ollama.release("go")
    await models.hears("Pulled two:1b onto fake.")
    assert "one:1b" not in models.site.ollama.models
    await models.press("x")
    await models.hears("It has ended already.")


async def test_a_model_is_pulled_again_by_its_name(models: Hand) -> None:
    await models.on(Models, LLAMA)
    await models.press("P")
    await models.seen("Pull a model")
    await models.says_twin(f"llmgate models pull {LLAMA}")
    await models.press("ctrl+s")
    await models.hears(f"Pulled {LLAMA} onto fake.")


async def test_quitting_while_something_is_pulled_asks(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "never"}), path="/api/pull")
    await begin(models, "new:1b")
    await models.seen("50%")
    await models.press("escape")
    await models.press("q")
    await models.seen("Quit, and end what is being pulled (new:1b)?")
    await models.press("enter")  # Cancel
    await models.gone("Quit, and end")
    assert models.app.pulls.running
    await models.press("q")
    await models.seen("Quit, and end what is being pulled (new:1b)?")
    await models.press("right", "enter")
    pull = next(seen for seen in models.site.ollama.reads if seen.path == "/api/pull")
    await pull.disconnected.wait()


async def test_a_pull_whose_daemon_ends_it_has_failed(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "never"}), path="/api/pull")
    await begin(models, "new:1b")
    await models.seen("50%")
    models.site.gateway.services.models.stop()
    await models.hears("new:1b could not be pulled.")
    await models.seen("It has failed.")


async def test_what_an_upstream_tells_of_a_pull_is_harmless(models: Hand) -> None:
    hostile = {"status": "[red]a", "digest": "d", "total": -5, "completed": 10**30}
    failure = {"error": "a\x1b]0;title\x07[b]b"}
    body = "".join(json.dumps(line) + "\n" for line in (hostile, failure)).encode()
    models.site.ollama.script(Script(body=body), path="/api/pull")
    await begin(models, "new:1b")
    await models.seen("It has failed.")
    await models.seen("a\\u001b]0;title\\u0007[b]b")


async def test_where_a_pull_has_failed_and_where_not_is_told(models: Hand) -> None:
    async with FakeOllama() as second:
        await models.site.made("upstreams", name="gpu2", url=second.url, pool="fake")
        second.script(Script(error_after=(2, "")), path="/api/pull")
        await begin(models, "new:1b")
        await models.hears("new:1b could not be pulled. gpu2: max retries exceeded. It is on fake.")


async def test_a_pull_goes_on_when_the_dashboard_goes_to_another_daemon(models: Hand) -> None:
    models.site.ollama.script(Script(token_gates={3: "go"}), path="/api/pull")
    await begin(models, "new:1b")
    await models.seen("50%")
    await models.press("escape")
    await models.app.switch(models.app.link.target)
    models.site.ollama.release("go")
    await models.hears("Pulled new:1b onto fake.")
