"""What every command does: exit codes, errors, questions, and a start that loads little."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from llmgate.cli.main import wants_json
from llmgate.cli.when import ago, ahead
from llmgate.connection import error_of
from llmgate.notation import span
from llmgate.text import as_json, cell, clean, moment
from tests.admin.harness import Site
from tests.cli.harness import COMMAND, llmgate, on_terminal

HEAVY = (
    "aio_pika", "asyncio", "fastapi", "httpx", "jose", "llmgate.client", "llmgate.daemon", "passlib", "pydantic",
    "pydantic_settings", "rich", "sqlalchemy", "textual", "uvicorn",
)  # fmt: skip


def test_the_help_loads_neither_the_daemon_nor_what_only_commands_need(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom llmgate.cli.main import run\ntry: run(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.splitlines()[-1] == "[]"
    for noun in ("serve", "init", "login", "users", "keys", "whitelist", "queue", "usage", "chat", "config"):
        assert noun in shown.stdout


async def test_every_command_has_help_and_takes_the_shared_options_after_the_verb() -> None:
    for command in (("users", "list"), ("keys", "create"), ("queue", "stats"), ("chat",), ("config", "show")):
        shown = (await llmgate(*command, "--help")).ok().out
        assert "--output" in shown
        assert "--no-input" in shown


async def test_a_daemon_that_is_not_there_is_exit_7_and_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        refused = await llmgate("users", "list", "--url", url)
    assert refused.code == 7
    assert url in refused.err
    assert "llmgate serve" in refused.err
    assert "Traceback" not in refused.err
    assert refused.out == ""


async def test_a_daemon_that_never_answers_is_exit_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgate.cli.command.ANSWER_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        late = await llmgate("users", "list", "--url", url, "-o", "json")
    assert (late.code, late.error["code"]) == (8, "daemon_timeout")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"SSH-2.0\r\n", b""])
async def test_something_else_at_the_url_is_told_as_such(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        other = await llmgate("users", "list", "--url", f"http://127.0.0.1:{port}")
    assert other.code == 7
    assert "Traceback" not in other.err


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://x", "http://", "http://[", "http://a b", "http://a:b", "http://a/?b=c", "http://u:pw@a"]
)
async def test_what_is_no_url_is_refused(url: str) -> None:
    wrong = await llmgate("users", "list", "--url", url)
    assert wrong.code == 6
    assert "http://127.0.0.1:11435" in wrong.err
    assert "pw" not in wrong.err


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "Grüße", " "])
async def test_what_cannot_be_a_token_is_refused_and_not_shown(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATE_TOKEN", token)
    wrong = await llmgate("users", "list", "--url", "http://127.0.0.1:9")
    assert wrong.code == 1
    assert "LLMGATE_TOKEN" in wrong.err
    assert token.strip() == "" or token not in wrong.err


async def test_an_error_is_json_on_standard_error_with_the_request_id(root: Site) -> None:
    missing = await llmgate("users", "show", "nobody", "-o", "json")
    assert (missing.code, missing.out) == (5, "")
    assert missing.error["code"] == "not_found"
    assert len(missing.error["request_id"]) == 16


async def test_a_destructive_command_asks_and_no_is_exit_3(root: Site, home: Path) -> None:
    async with on_terminal("users", "delete", "ada", directory=home) as terminal:
        await terminal.shows("[y/N]")
        terminal.type("\n")
        assert await terminal.ended() == 3
    (await llmgate("users", "show", "ada")).ok()
    async with on_terminal("users", "delete", "ada", directory=home) as terminal:
        await terminal.shows("[y/N]")
        terminal.type("y\n")
        assert await terminal.ended() == 0
    assert (await llmgate("users", "show", "ada")).code == 5


async def test_ctrl_c_at_a_question_is_exit_130(root: Site, home: Path) -> None:
    async with on_terminal("users", "delete", "ada", directory=home) as terminal:
        await terminal.shows("[y/N]")
        terminal.type("\x03")
        assert await terminal.ended() == 130
        await terminal.shows("[y/N] \r\n")


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (("users", "delete", "ada"), "--yes"),
        (("keys", "revoke", "test"), "--yes"),
        (("queue", "drain", "fake"), "--yes"),
        (("users", "create", "eve"), "--password-stdin"),
        (("login",), "--name"),
        (("login", "--name", "ada"), "--password-stdin"),
    ],
)
async def test_where_nobody_can_be_asked_the_missing_flag_is_named(
    command: tuple[str, ...], flag: str, home: Path
) -> None:
    for extra in ((), ("--no-input",)):
        missing = await llmgate(*command, *extra)
        assert missing.code == 2
        assert flag in missing.err
    async with on_terminal("--no-input", *command, directory=home) as terminal:
        assert await terminal.ended() == 2
        assert flag in terminal.shown


async def test_no_color_and_pipes_get_no_escape_sequences(root: Site, home: Path) -> None:
    os.environ["NO_COLOR"] = "1"
    try:
        async with on_terminal("users", "list", directory=home) as terminal:
            assert await terminal.ended() == 0
            await terminal.shows("ada")
            assert "\x1b[" not in terminal.shown
    finally:
        del os.environ["NO_COLOR"]
    assert "\x1b" not in (await llmgate("users", "list")).ok().out


async def test_a_narrow_table_breaks_neither_keys_nor_times(root: Site, home: Path) -> None:
    key = await root.made("keys", name="a-rather-long-name-of-an-application", expires_at="2046-12-31T00:00:00Z")
    async with on_terminal("keys", "list", directory=home) as terminal:
        assert await terminal.ended() == 0
        await terminal.shows(f"llmg_{key['id']}_…{key['last4']}")
        await terminal.shows("2046-")
        assert " ID" not in terminal.shown
    assert key["id"] in (await llmgate("keys", "list")).ok().out.split()


def test_a_time_is_told_as_short_as_it_can_be() -> None:
    zone = timezone(timedelta(hours=2))
    now = datetime(2026, 5, 2, 12, tzinfo=zone)
    assert moment(datetime(2026, 5, 1, 23, 30, 5, tzinfo=UTC), now) == "01:30:05"
    assert moment(datetime(2026, 5, 1, 20, tzinfo=UTC), now) == "05-01 22:00:00"
    assert moment(datetime(2027, 5, 1, 20, tzinfo=UTC), now) == "2027-05-01"


def test_too_many_attempts_say_how_long_to_wait() -> None:
    error = error_of(429, b'{"code": "too_many_attempts", "detail": "Too many."}', None, "8")
    assert (error.hint, error.retry_after) == ("Try again in 8 s.", 8)


def test_a_reader_that_stops_early_is_no_traceback() -> None:
    command = " ".join(f"'{part}'" for part in COMMAND)
    piped = subprocess.run(
        ["/bin/sh", "-c", f"{command} config show | head -n 1"], capture_output=True, text=True, check=True
    )
    assert piped.stderr == ""


async def test_the_version_is_printed() -> None:
    assert (await llmgate("version")).ok().out.strip().count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["users", "list", "-o", "json"], True),
        (["--output=jsonl", "users"], True),
        (["-ojson"], True),
        (["chat", "m", "json"], False),
        (["-o", "table"], False),
        (["-o"], False),
    ],
)
def test_json_errors_are_wanted_wherever_the_option_stands(arguments: list[str], expected: bool) -> None:
    assert wants_json(arguments) is expected


def test_hostile_characters_are_written_out_everywhere() -> None:
    hostile = "a\x1b]0;x\x07\x9b31m\u202eb\u2066\r\n"
    assert clean(hostile) == r"a\u001b]0;x\u0007\u009b31m\u202eb\u2066\u000d\u000a"
    assert clean("a\nb\tc", keep="\n\t") == "a\nb\tc"
    assert json.loads(as_json({"x": hostile})) == {"x": hostile}
    assert all(character.isprintable() for character in as_json({"x": hostile}))
    assert cell([hostile[:2], 1, None, True, 1.5]) == r"a\u001b, 1, -, yes, 1.5"


def test_times_are_relative_or_absolute() -> None:
    assert (ahead("1h") - ago("1h")).total_seconds() == pytest.approx(7200, abs=1)
    assert ago("2026-12-31").isoformat() == "2026-12-31T00:00:00+00:00"
    assert ago("2026-12-31T08:00+02:00").isoformat() == "2026-12-31T06:00:00+00:00"
    assert span("1 fortnight") is None
    assert span("999999w") is not None


async def test_a_word_that_is_none_of_a_choice_is_refused_in_our_words() -> None:
    refused = await llmgate("usage", "--by", "moon")
    assert refused.code == 2
    assert "'moon' is not one of 'principal'" in refused.err
    assert "Value error" not in refused.err
