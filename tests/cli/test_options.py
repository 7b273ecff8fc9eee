"""The options that every command takes: fields, colours, the time to wait, and what a failure tells."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest

from llmgate.errors import LLMGateError
from tests.admin.harness import Site
from tests.cli.harness import COMMAND, llmgate, on_terminal

STYLES = re.compile(r"\x1b\[[0-9;]*m")


async def test_fields_are_chosen_and_ordered_in_every_form(root: Site) -> None:
    command = ("users", "list", "--fields", "role, name")
    table = (await llmgate(*command)).ok().out.splitlines()
    assert [line.split() for line in table] == [["ROLE", "NAME"], ["admin", "root"], ["user", "ada"]]
    listed = [{"role": "admin", "name": "root"}, {"role": "user", "name": "ada"}]
    found = (await llmgate(*command, "--json")).ok()
    assert found.json == listed
    assert list(found.json[0]) == ["role", "name"]
    lines = (await llmgate(*command, "-o", "jsonl")).ok().out.splitlines()
    assert [json.loads(line) for line in lines] == listed
    shown = (await llmgate("--fields", "name,disabled", "users", "show", "ada")).ok().out
    assert [line.split() for line in shown.splitlines()] == [["name", "ada"], ["disabled", "no"]]
    assert (await llmgate("users", "show", "ada", "-o", "json", "--fields", "name")).ok().json == {"name": "ada"}


async def test_a_field_that_is_not_there_is_told_with_those_that_are(root: Site) -> None:
    for form in ((), ("-o", "json"), ("-o", "jsonl")):
        refused = await llmgate("users", "list", "--fields", "name,nam", *form)
        assert (refused.code, refused.out) == (6, "")
        assert "'nam'" in refused.err
        assert "last_login_at" in refused.err


async def test_a_new_secret_is_found_by_its_field(root: Site) -> None:
    made = (await llmgate("keys", "create", "app", "--json", "--fields", "name,key")).ok().json
    assert list(made) == ["name", "key"]
    shown = (await llmgate("keys", "create", "other", "--fields", "name,key")).ok().out
    assert re.fullmatch(r"name +other *\nkey +llmg_\w+ *\n", shown)
    misspelt = (await llmgate("keys", "create", "third", "--fields", "name,kee")).ok()
    assert misspelt.out.startswith("llmg_")
    assert "'kee'" in misspelt.err


async def test_json_is_short_for_its_output_and_errors_are_json_too(root: Site) -> None:
    assert (await llmgate("--json", "users", "list")).ok().json == (await llmgate("users", "list", "-ojson")).ok().json
    assert (await llmgate("users", "show", "nobody", "--json")).error["code"] == "not_found"
    assert (await llmgate("users", "list", "--json", "-o", "jsonl")).error["code"] == "invalid_request"


async def test_how_long_to_wait_is_said_before_or_after_the_verb() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for command in (("--timeout", "0.2", "users", "list"), ("users", "list", "--timeout", "0.2")):
            late = await llmgate(*command, "--url", url, "-o", "json")
            assert (late.code, late.error["code"]) == (8, "daemon_timeout")


@pytest.mark.parametrize(
    ("environ", "more", "colored"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({}, ("--no-color",), False),
        ({"CLICOLOR_FORCE": "1"}, ("--no-color",), False),
    ],
)
async def test_a_terminal_gets_colors_unless_it_is_told_otherwise(
    root: Site,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    more: tuple[str, ...],
    colored: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with on_terminal("users", "list", *more, directory=home) as terminal:
        await terminal.shows("ada")
        assert await terminal.ended() == 0
    assert bool(STYLES.search(terminal.shown)) is colored


async def test_a_pipe_gets_colors_only_when_it_is_forced_to(root: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not STYLES.search((await llmgate("users", "list")).ok().out)
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert STYLES.search((await llmgate("users", "list")).ok().out)
    assert STYLES.search((await llmgate("users", "show", "nobody")).err)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not STYLES.search((await llmgate("users", "list")).ok().out)


async def test_a_failure_that_nobody_foresaw_is_a_sentence_and_with_debug_a_place(
    root: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the flux")

    monkeypatch.setattr("llmgate.contexts.target.resolve", broken)
    monkeypatch.setattr("llmgate.cli.command.Cli.target", property(broken))
    failed = await llmgate("users", "list")
    assert failed.code == 1
    assert "RuntimeError: the flux" in failed.err
    assert "Traceback" not in failed.err
    traced = await llmgate("users", "list", "--debug")
    assert "Traceback" in traced.err
    assert "in broken" in traced.err
    assert (await llmgate("users", "list", "--json")).error["code"] == "internal_error"


async def test_the_request_that_failed_is_named_where_its_log_is_of_use(
    root: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Request:" not in (await llmgate("users", "show", "nobody")).err
    assert "Request: " in (await llmgate("users", "show", "nobody", "--debug")).err

    def broken() -> None:
        raise LLMGateError("It broke.")

    monkeypatch.setattr(root.gateway.services.queue, "stats", broken)
    assert re.search(r"^Request: \w+$", (await llmgate("queue", "stats")).err, re.MULTILINE)


async def test_whoever_reads_only_the_beginning_ends_the_command_quietly(root: Site) -> None:
    for number in range(3):
        await root.made("keys", name=f"k{number}")
    for form in ("", "-o jsonl", "-q"):
        line = f"set -o pipefail; {' '.join(map(repr, COMMAND))} keys list {form} | head -c 1 >/dev/null"
        piped = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=30
        )
        assert (piped.returncode, piped.stderr) == (0, "")
