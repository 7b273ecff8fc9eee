"""Upstreams, pools and models from the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmgate.text import model_size
from tests.admin.harness import Site
from tests.cli.harness import llmgate, on_terminal
from tests.fakes import FakeOllama, Script


@pytest.fixture
async def other() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=("new:1b",)) as server:
        yield server


async def test_an_upstream_is_created_shown_changed_and_deleted(root: Site, other: FakeOllama, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("top-secret\n")
    made = (
        await llmgate(
            "upstreams", "create", "gpu2", other.url, "--slots", "3", "--api-key-file", str(token), "-o", "json"
        )
    ).ok()
    assert (made.json["state"], made.json["slots"], made.json["api_key_set"]) == ("healthy", 3, True)
    assert other.reads[-1].headers["authorization"] == "Bearer top-secret"
    table = (await llmgate("upstreams", "list")).ok().out
    assert [line.split()[0] for line in table.splitlines()] == ["NAME", "fake", "gpu2"]
    assert (await llmgate("upstreams", "list", "-q")).ok().out == "fake\ngpu2\n"
    changed = await llmgate("upstreams", "update", "gpu2", "--pool", "main", "--api-key-stdin", stdin="other\n")
    assert "main" in changed.ok().out
    assert other.reads[-1].headers["authorization"] == "Bearer other"
    back = await llmgate("upstreams", "update", "gpu2", "--own-pool", "--no-api-key", "-o", "json")
    assert (back.ok().json["pool"], back.json["api_key_set"]) == ("gpu2", False)
    assert "none" in (await llmgate("upstreams", "show", "gpu2")).ok().out
    (await llmgate("upstreams", "delete", "gpu2", "--yes")).ok()
    gone = await llmgate("upstreams", "show", "gpu2")
    assert (gone.code, "llmgate upstreams list" in gone.err) == (5, True)


async def test_what_cannot_be_is_refused(root: Site) -> None:
    refused: dict[tuple[str, ...], int] = {
        ("update", "fake", "--slots", "2"): 6,
        ("update", "fake"): 6,
        ("create", "Bad", "http://a"): 6,
        ("create", "a", "nonsense"): 6,
        ("create", "fake", "http://a"): 6,
        ("create", "a"): 2,
        ("update", "none", "--slots", "2"): 5,
        ("delete", "fake"): 2,
    }
    for arguments, code in refused.items():
        assert (await llmgate("upstreams", *arguments)).code == code, arguments


async def test_pools_are_listed_with_what_only_some_upstreams_have(root: Site, other: FakeOllama) -> None:
    (await llmgate("upstreams", "create", "gpu2", other.url, "--pool", "fake")).ok()
    row = (await llmgate("pools", "show", "fake", "-o", "json")).ok().json
    assert row["partial_models"] == {"llama3.2:latest": ["fake"], "new:1b": ["gpu2"]}
    table = (await llmgate("pools", "list")).ok().out
    assert "new:1b (not served: only on gpu2)" in table
    assert (await llmgate("pools", "list", "-q")).ok().out == "fake\n"
    assert (await llmgate("pools", "show", "none")).code == 5


async def test_models_are_listed_and_shown(root: Site) -> None:
    table = (await llmgate("models", "list")).ok().out
    assert "llama3.2:latest" in table
    assert "2.0 GB" in table
    assert (await llmgate("models", "list", "--search", "nothing", "-o", "json")).ok().json == []
    shown = (await llmgate("models", "show", "llama3.2", "-o", "json")).ok().json
    assert shown["details"]["model_info"]["llama.context_length"] == 131072
    assert "completion, tools" in (await llmgate("models", "show", "llama3.2")).ok().out
    assert (await llmgate("models", "show", "nothing")).code == 5
    assert (await llmgate("models", "loaded", "-o", "json")).ok().json[0]["upstream"] == "fake"


async def test_a_model_is_pulled_copied_and_deleted(root: Site) -> None:
    pulled = (await llmgate("models", "pull", "new:1b")).ok()
    assert pulled.out == ""
    assert pulled.err.splitlines() == [
        "fake: pulling manifest",
        "fake: pulling dde5aa3fc5ff",
        "fake: verifying sha256 digest",
        "fake: writing manifest",
        "fake: success",
        "Pulled new:1b onto fake.",
    ]
    quiet = (await llmgate("models", "pull", "more:1b", "-q")).ok()
    assert (quiet.out, quiet.err) == ("", "")
    copied = (await llmgate("models", "copy", "new:1b", "mine", "-o", "json")).ok().json
    assert copied == {"model": "mine", "pool": "fake", "upstreams": ["fake"]}
    deleted = (await llmgate("models", "delete", "new:1b", "--yes")).ok()
    assert "Removed new:1b from fake." in deleted.err
    names = [row["name"] for row in (await llmgate("models", "list", "-o", "json")).ok().json]
    assert names == ["llama3.2:latest", "mine:latest", "more:1b"]


async def test_the_events_of_a_pull_are_lines_of_json(root: Site) -> None:
    lines = (await llmgate("models", "pull", "new:1b", "-o", "jsonl")).ok().out.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["completed"] for event in events if event["completed"]] == [1000, 2000, 3000, 4000]
    assert events[-1]["done"] is True
    whole = (await llmgate("models", "pull", "new:1b", "-o", "json")).ok().json
    assert [(event["upstream"], event["status"]) for event in whole] == [("fake", "success")]


async def test_a_pull_that_fails_ends_with_seven(root: Site) -> None:
    failed = await llmgate("models", "pull", "no-such", "-o", "jsonl")
    assert failed.code == 7
    assert failed.error["code"] == "upstream_failed"
    assert "file does not exist" in failed.error["message"]
    assert (await llmgate("models", "pull", "new", "--pool", "none")).code == 5


async def test_what_an_upstream_tells_is_harmless_on_a_terminal(root: Site) -> None:
    hostile = json.dumps({"status": "a\x1b]0;title\x07b"}).encode() + b'\n{"status":"success"}\n'
    root.ollama.script(Script(body=hostile), path="/api/pull")
    pulled = await llmgate("models", "pull", "new:1b")
    assert "\x1b" not in pulled.err
    assert "\\u001b" in pulled.err


async def test_on_a_terminal_there_is_a_bar_and_ctrl_c_ends_the_pull(root: Site, home: Path) -> None:
    root.ollama.script(Script(token_gates={3: "never"}), path="/api/pull")
    async with on_terminal("models", "pull", "new:1b", directory=home) as terminal:
        await terminal.shows("2.0/4.0 kB")
        await terminal.shows("pulling dde5aa3fc5ff")
        terminal.type("\x03")
        assert await terminal.ended() == 130
    pull = next(seen for seen in root.ollama.reads if seen.path == "/api/pull")
    await pull.disconnected.wait()


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, None), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2019393189, "2.0 GB"), (10**15, "1000 TB")],
)
def test_sizes_are_told_as_ollama_tells_them(count: int | None, text: str | None) -> None:
    assert model_size(count) == text
