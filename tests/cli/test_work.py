"""The line, usage, upstreams, and talking to a model from the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.admin.harness import Site
from tests.cli.conftest import login
from tests.cli.harness import llmgate, on_terminal
from tests.fakes import Script
from tests.gateway.harness import CHAT


async def occupied(site: Site) -> asyncio.Task[object]:
    """A request that holds the only slot until the gate "first" is released."""
    site.ollama.script(Script(gate="first"))
    task: asyncio.Task[object] = asyncio.create_task(site.gateway.post("/api/chat", {**CHAT, "stream": False}))
    await site.ollama.request(0)
    return task


async def test_who_waits_is_listed_moved_and_cancelled(root: Site) -> None:
    first = await occupied(root)
    second = asyncio.create_task(root.gateway.post("/api/chat", {**CHAT, "stream": False}))
    await root.gateway.waiting(1)
    (place,) = (await llmgate("queue", "list", "-o", "json")).ok().json
    assert place["owner"].startswith("key:")
    moved = (await llmgate("queue", "level", place["ticket_id"], "1", "-o", "json")).ok().json
    assert moved["level"] == 1
    (await llmgate("queue", "cancel", place["ticket_id"], "-y")).ok()
    assert (await second).status_code == 503
    assert (await llmgate("queue", "cancel", place["ticket_id"], "-y")).code == 5
    root.ollama.release("first")
    await first


async def test_who_runs_is_ended(root: Site) -> None:
    first = await occupied(root)
    (held,) = (await llmgate("queue", "running", "-o", "json")).ok().json
    (await llmgate("queue", "stop", held["ticket_id"], "-y")).ok()
    await first
    assert root.gateway.finished[0].error_code == "cancelled_by_admin"
    assert (await llmgate("queue", "stop", held["ticket_id"], "-y")).code == 5


async def test_a_pool_is_paused_drained_and_resumed(root: Site) -> None:
    assert (await llmgate("queue", "pause", "fake", "-o", "json")).ok().json["state"] == "paused"
    assert "paused" in (await llmgate("queue", "stats")).ok().out
    assert (await llmgate("queue", "drain", "fake", "-y", "-o", "json")).ok().json["state"] == "draining"
    assert (await llmgate("queue", "resume", "fake", "-q")).ok().out == "fake\n"
    assert (await llmgate("queue", "pause", "nope")).code == 5


async def test_watched_statistics_come_again_until_ctrl_c(root: Site, home: Path) -> None:
    async with on_terminal("queue", "stats", "--watch", "-o", "jsonl", directory=home) as terminal:
        await terminal.shows('"pool"')
        seen = terminal.shown.count('"pool"')
        async with asyncio.timeout(10):
            while terminal.shown.count('"pool"') <= seen:
                await terminal.more()
        terminal.type("\x03")
        assert await terminal.ended() == 130


async def test_usage_and_requests_show_the_tokens_that_the_model_reported(root: Site) -> None:
    root.ollama.script(Script(input_tokens=1100, tokens=("a", "b")))
    await root.gateway.post("/api/chat", {**CHAT, "stream": False})
    await root.gateway.outcome()
    await root.gateway.services.usage.flush()
    (row,) = (await llmgate("usage", "--by", "model", "-o", "json")).ok().json
    assert (row["requests"], row["input_tokens"], row["output_tokens"]) == (1, 1100, 2)
    assert "1,100" in (await llmgate("usage")).ok().out
    assert (await llmgate("usage", "--since", "2020-01-01", "--until", "2020-01-02", "-o", "json")).ok().json == []
    (request,) = (await llmgate("requests", "list", "-o", "json")).ok().json
    assert (request["outcome"], request["input_tokens"]) == ("completed", 1100)
    assert (await llmgate("requests", "list", "--outcome", "upstream_failed", "-o", "json")).ok().json == []
    assert (await llmgate("requests", "list", "--outcome", "odd")).code == 6


async def test_upstreams_are_listed(root: Site) -> None:
    (upstream,) = (await llmgate("upstreams", "list", "-o", "json")).ok().json
    assert (upstream["name"], upstream["state"]) == ("fake", "healthy")
    assert (await llmgate("upstreams", "list", "-q")).ok().out == "fake\n"


async def test_a_user_asks_the_only_model_and_gets_the_answer(site: Site) -> None:
    await login(site, "ada")
    site.ollama.script(Script(tokens=("Grüße", "\n", "an\x1b[2Jdich"), input_tokens=5), times=3)
    asked = (await llmgate("chat", "llama3.2", "Hello", "--system", "Be kind.")).ok()
    assert asked.out == "Grüße\nan\\u001b[2Jdich\n"
    assert asked.err == ""
    assert [message["role"] for message in site.ollama.requests[0].json["messages"]] == ["system", "user"]
    whole = (await llmgate("chat", "llama3.2", "Hello", "-o", "json")).ok().json
    assert (whole["content"], whole["input_tokens"], whole["output_tokens"]) == ("Grüße\nan\x1b[2Jdich", 5, 3)
    piped = (await llmgate("chat", stdin="From a pipe\n")).ok()
    assert piped.out.startswith("Grüße")
    assert site.ollama.requests[2].json["messages"][-1]["content"] == "From a pipe"


async def test_each_line_of_the_stream_is_a_line_of_jsonl(site: Site) -> None:
    await login(site, "ada")
    lines = (await llmgate("chat", "llama3.2", "Hello", "-o", "jsonl")).ok().out.splitlines()
    assert len(lines) >= 5
    assert '"done": true' in lines[-1]


@pytest.mark.parametrize(
    ("model", "script", "code", "part"),
    [
        ("unknown", None, 5, "unknown"),
        ("llama3.2", Script(status=500), 7, ""),
        ("llama3.2", Script(error_after=(2, "out of memory")), 1, "out of memory"),
        ("llama3.2", Script(cut_after=60), 7, "before its answer was complete"),
        ("llama3.2", Script(cut_after=200), 1, "before its answer was complete"),
    ],
)
async def test_an_answer_that_fails_is_an_error_and_never_a_mute_end(
    site: Site, model: str, script: Script | None, code: int, part: str
) -> None:
    await login(site, "ada")
    if script is not None:
        site.ollama.script(script, times=3)
    failed = await llmgate("chat", model, "Hello")
    assert failed.code == code, failed.err
    assert failed.err.startswith("Error: ")
    assert part in failed.err


async def test_without_a_model_there_must_be_only_one(site: Site) -> None:
    await login(site, "ada")
    site.ollama.models.append("other:latest")
    async with asyncio.timeout(5):
        await site.gateway.services.upstreams.start()
    several = await llmgate("chat", stdin="Hello")
    assert several.code == 6
    assert "llama3.2:latest, other:latest" in several.err
    assert (await llmgate("chat", "llama3.2", stdin="")).code == 2


async def test_a_talk_with_a_model_that_is_not_there_ends_before_it_begins(site: Site, home: Path) -> None:
    await login(site, "ada")
    async with on_terminal("chat", "nomodel", directory=home) as terminal:
        assert await terminal.ended() == 5
        await terminal.shows("llama3.2:latest")
        assert ">>>" not in terminal.shown


async def test_a_waiting_chat_shows_its_place_and_then_the_answer(site: Site, home: Path) -> None:
    await login(site, "ada")
    first = await occupied(site)
    async with on_terminal("chat", "llama3.2", "Hello", directory=home) as terminal:
        await terminal.shows("1st in line")
        site.ollama.release("first")
        await terminal.shows("world!")
        assert await terminal.ended() == 0
    await first


async def test_ctrl_c_stops_a_waiting_chat_and_its_place_is_gone(site: Site, home: Path) -> None:
    await login(site, "ada")
    first = await occupied(site)
    async with on_terminal("chat", "llama3.2", "Hello", directory=home) as terminal:
        await terminal.shows("in line")
        terminal.type("\x03")
        assert await terminal.ended() == 130
        await site.gateway.waiting(0)
    site.ollama.release("first")
    await first
    assert len(site.ollama.requests) == 1


async def test_a_talk_remembers_what_was_said_and_ctrl_c_stops_only_the_answer(site: Site, home: Path) -> None:
    await login(site, "ada")
    site.ollama.script(Script(tokens=("one",)))
    site.ollama.script(Script(tokens=("partial", "never"), token_gates={1: "never"}))
    site.ollama.script(Script(tokens=("three",)))
    async with on_terminal("chat", "llama3.2", directory=home) as terminal:
        await terminal.shows(">>> ")
        terminal.type("first question\n")
        await terminal.shows("one")
        terminal.type("second question\n")
        await terminal.shows("partial")
        terminal.type("\x03")
        await terminal.shows("(stopped)")
        terminal.type("third question\n")
        await terminal.shows("three")
        terminal.type("\x04")
        assert await terminal.ended() == 0
    said = [(message["role"], message["content"]) for message in site.ollama.requests[2].json["messages"]]
    assert said == [
        ("user", "first question"),
        ("assistant", "one"),
        ("user", "second question"),
        ("assistant", "partial"),
        ("user", "third question"),
    ]
