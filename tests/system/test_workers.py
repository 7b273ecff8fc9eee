"""`llmgate serve --workers N`: what is refused, how the parent looks after its workers, and real daemons as workers.

The parent is always the real one. Where its workers are fakes, they tell on standard output what happens to them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.cli.program import fresh_process
from tests.fakes import FakeOllama, Script
from tests.system.commands import PASSWORD, Command, configured, daemons, running
from tests.system.processes import START_SECONDS, run


@asynccontextmanager
async def fakes(
    home: Path, count: int, script: dict[str, list[str]] | None = None, **options: Any
) -> AsyncIterator[Command]:
    """The parent of fake workers that do what the script says."""
    arguments = ("parent", str(home), str(count), json.dumps(script or {}), json.dumps(options))
    async with running(*arguments, home=home) as command:
        yield command


async def until_refused(url: str) -> None:
    """Wait until nobody listens any more."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it was in the backlog when that was given up
                continue
            writer.close()


# What is refused


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (("--workers", "2"), 6, 'needs queue.backend = "rabbitmq"'),
        (("--workers", "2", "--demo"), 6, "do not go together"),
        (("--workers", "2", "-o", "json"), 6, '"code": "config_invalid"'),
        (("--workers", "0"), 2, "--workers"),
        (("--workers", "65"), 2, "--workers"),
        (("--as-worker", "x"), 2, "only for llmgate itself"),
        (("--as-worker", "1:98:99"), 1, "not by hand"),
    ],
)
async def test_what_cannot_work_is_refused_before_anything_is_opened(
    tmp_path: Path, flags: tuple[str, ...], code: int, says: str
) -> None:
    config = configured(tmp_path)
    ended, out, err = await run("serve", "--config", str(config), *flags, home=tmp_path, COLUMNS="200")
    assert (ended, out) == (code, "")
    assert says in err
    assert "Traceback" not in err
    assert not (tmp_path / "state").exists()


async def test_one_worker_is_the_daemon_itself(tmp_path: Path) -> None:
    config = configured(tmp_path)
    async with running("llmgate", "serve", "--config", str(config), "--workers", "1", home=tmp_path) as command:
        await command.out.have(r"llmgate serves at \S+$")
        await command.out.have("setup token")
        assert command.logged("worker_ready") == []


# How the parent looks after its workers


async def test_the_first_starts_alone_and_all_have_one_token_which_is_told_once(tmp_path: Path) -> None:
    async with fakes(tmp_path, 3) as command:
        (token,) = await command.out.have("all ready, token (llms_[0-9A-Za-z]+)")
        assert command.out.matching("is ready with (.*)") == [token] * 3
        assert command.out.matching("worker . (?:starts|is ready)")[:2] == ["worker 1 starts", "worker 1 is ready"]
        assert command.out.seen[-1].startswith("all ready")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert len(command.out.matching("all ready")) == 1


async def test_a_worker_that_dies_is_named_and_started_again(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2) as command:
        await command.out.have("all ready")
        before = await command.pids(2)
        os.kill(before[2], signal.SIGKILL)
        after = await command.pids(3)
        assert after[1] == before[1]
        assert after[2] != before[2]
        (died,) = command.logged("worker_died")
        assert (died["worker"], died["signal"], died["severity"]) == (2, "SIGKILL", "error")
        assert len(set(command.out.matching("is ready with (.*)"))) == 1
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_the_pauses_grow_while_a_worker_keeps_dying_whether_ready_or_not(tmp_path: Path) -> None:
    script = {"1": ["die 3", "fail 5", "kill", "die 0", "serve"]}
    pauses = {"first": 0.01, "longest": 0.04}
    async with fakes(tmp_path, 1, script, pauses=pauses) as command:
        await command.out.have("worker 1 starts", 5)
        await command.out.have("is ready with", 3)
        died = command.logged("worker_died")
        assert [line.get("exit_code", line.get("signal")) for line in died] == [3, 5, "SIGKILL", 0]
        assert [line["restart_in"] for line in died] == [0.01, 0.02, 0.04, 0.04]
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_a_worker_that_has_held_out_is_started_again_soon(tmp_path: Path) -> None:
    script = {"1": ["die 3", "die 3", "die 3", "serve"]}
    async with fakes(tmp_path, 1, script, pauses={"first": 0.01, "held_out": 0.0}) as command:
        await command.out.have("is ready with", 4)
        assert [line["restart_in"] for line in command.logged("worker_died")] == [0.01] * 3


@pytest.mark.parametrize("number", [1, 2])
async def test_a_worker_that_cannot_start_ends_all_with_its_exit_code(tmp_path: Path, number: int) -> None:
    async with fakes(tmp_path, 3, {str(number): ["fail 7"]}) as command:
        assert await command.ended() == 7
        assert command.err.matching("Error: .*") == ["Error: it cannot start."]
        started = set(command.out.matching(r"worker (\d) starts"))
        # The third may be ordered to stop before it has come so far as to say that it starts.
        assert started - {"3"} == {"1", "2"} if number == 2 else started == {"1"}
        assert command.out.matching("worker 1 is told to .*") == ["worker 1 is told to drain"] * (number - 1)
        assert command.out.matching("all ready") == []


async def test_a_worker_that_is_killed_before_it_is_ready_is_told_by_the_parent(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2, {"1": ["kill"]}) as command:
        assert await command.ended() == 1
    assert command.err.matching("Error: .*") == ["Error: Worker 1 ended before it was ready, with signal SIGKILL."]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_each_worker_once_and_a_second_one_ends_them(tmp_path: Path, number: int) -> None:
    async with fakes(tmp_path, 2, {"1": ["busy"], "2": ["busy"]}) as command:
        await command.out.have("all ready")
        command.signal(number)
        await command.out.have("told to drain", 2)
        command.signal(number)
        assert await command.ended() == 0
    for worker in (1, 2):
        assert command.out.matching(f"worker {worker} is told to (.*)") == ["drain", "cut"]
    assert command.out.matching("gets signal") == []


async def test_a_worker_may_take_as_long_to_drain_as_it_says(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2, {"1": ["slow"], "2": ["slow"]}, stop_seconds=0.2) as command:
        await command.out.have("all ready")
        command.signal(signal.SIGTERM)
        await command.out.have("told to drain", 2)
        await command.out.have("still here after a while", 2)
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert command.logged("worker_killed") == []


async def test_sighup_is_passed_on_to_all_workers_that_are_ready(tmp_path: Path) -> None:
    async with fakes(tmp_path, 3, {"3": ["hang"]}) as command:
        await command.out.have("is ready with", 2)
        await command.out.have("worker 3 starts")
        await command.pids(2)
        command.signal(signal.SIGHUP)
        assert sorted(await command.out.have("worker . is told to reload", 2)) == [
            "worker 1 is told to reload",
            "worker 2 is told to reload",
        ]
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert command.out.matching("worker 3 (?:is told|gets).*") == ["worker 3 gets signal 15"]


async def test_a_worker_that_was_just_starting_at_a_sighup_is_told_once_it_is_ready(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2, {"2": ["late"]}) as command:
        (pid,) = await command.out.have(r"worker 2 starts as (\d+)")
        await command.out.have("worker 2 waits")
        command.signal(signal.SIGHUP)
        await command.out.have("worker 1 is told to reload")
        os.kill(int(pid), signal.SIGUSR1)  # it may have read the configuration before the signal
        await command.out.have("worker 2 is told to reload")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_ctrl_c_on_a_terminal_reaches_the_workers_once(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2) as command:
        await command.out.have("all ready")
        os.killpg(command.process.pid, signal.SIGINT)  # what a terminal does
        assert await command.ended() == 0
    assert sorted(command.out.matching("worker . (?:is told|gets).*")) == [
        "worker 1 is told to drain",
        "worker 2 is told to drain",
    ]


async def test_a_worker_that_is_just_starting_is_stopped_too(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2, {"2": ["hang"]}) as command:
        await command.out.have("worker 2 starts")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert command.out.matching("worker 2 (?:is told|gets).*") == ["worker 2 gets signal 15"]
    assert command.out.matching("all ready") == []


async def test_a_worker_in_its_pause_is_not_started_any_more(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2, {"2": ["die 3"]}, pauses={"first": 3600.0, "longest": 3600.0}) as command:
        await command.err.have("worker_died")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert len(command.out.matching("worker 2 starts")) == 1


async def test_workers_that_do_not_stop_are_killed_in_the_end(tmp_path: Path) -> None:
    async with fakes(
        tmp_path, 2, {"1": ["stubborn"], "2": ["stubborn"]}, stop_seconds=0.2, spare_seconds=0.3
    ) as command:
        await command.out.have("all ready")
        command.signal(signal.SIGTERM)
        assert await command.ended() == 1
    assert [line["worker"] for line in command.logged("worker_killed")] == [1, 2]


async def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    async with fakes(tmp_path, 2) as command:
        await command.out.have("all ready")
        command.signal(signal.SIGKILL)
        # The streams end when the last process that holds them has ended.
        assert await command.ended() == -signal.SIGKILL
    assert sorted(command.out.matching("worker . is told to drain")) == [
        "worker 1 is told to drain",
        "worker 2 is told to drain",
    ]


async def test_a_fresh_process_is_this_program_and_not_a_directory_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llmgate").mkdir()
    (tmp_path / "llmgate" / "__main__.py").write_text("raise SystemExit(99)\n")
    (tmp_path / "llmgate" / "__init__.py").touch()
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/llmgate"])
    process = await asyncio.create_subprocess_exec(*fresh_process(), "version", stdout=PIPE, cwd=tmp_path)
    async with asyncio.timeout(START_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert re.match(rb"\d+\.\d+", out)
    monkeypatch.setattr(sys, "argv", ["/somewhere/llmgate/__main__.py"])
    assert fresh_process() == [sys.executable, "-m", "llmgate"]


# Real daemons as workers


def state_of(pid: int) -> str:
    """The letter that the kernel has for what a process does."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@asynccontextmanager
async def only(pids: dict[int, int], number: int) -> AsyncIterator[None]:
    """Let all workers but one stand still, so that each connection lands at that one."""
    others = [pid for worker, pid in pids.items() if worker != number]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(START_SECONDS):
            for pid in others:
                while state_of(pid) != "T":
                    await asyncio.sleep(0)
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


async def test_the_setup_token_works_at_whichever_worker_and_once(tmp_path: Path) -> None:
    async with daemons(tmp_path) as (command, url, token):
        pids = await command.pids(2)

        async def redeem(at: int, token: str, password: str = PASSWORD) -> int:
            body = {"token": token, "name": "root", "password": password}
            async with only(pids, at), httpx.AsyncClient(base_url=url, trust_env=False) as client:
                return (await client.post("/gate/auth/setup", json=body)).status_code

        assert await redeem(1, "llms_wrong") == 401
        assert await redeem(1, token, password="short") == 400
        assert await redeem(2, token) == 201
        assert await redeem(1, token) == 409
        os.kill(pids[1], signal.SIGTERM)  # an operator may drain one worker; another takes its place
        pids = await command.pids(3)
        assert await redeem(1, token) == 401
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert len(command.out.seen) == 3
    assert [line["exit_code"] for line in command.logged("worker_died")] == [0]
    assert {line["worker"] for line in command.logged("upstream_changed")} == {1, 2}


@asynccontextmanager
async def in_the_middle_of_an_answer(home: Path) -> AsyncIterator[tuple[Command, str, Any]]:
    """Two workers, one of which streams: the command, the URL, and what lets the answer go on and returns it."""
    async with FakeOllama() as fake, daemons(home, fake.url) as (command, url, token):
        fake.script(Script(token_gates={2: "go"}))
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=START_SECONDS) as client:
            account = {"name": "root", "password": PASSWORD}
            assert (await client.post("/gate/auth/setup", json={"token": token, **account})).status_code == 201
            access = (await client.post("/gate/auth/login", json=account)).json()["access_token"]
            body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
            headers = {"authorization": f"Bearer {access}"}
            async with client.stream("POST", "/api/chat", json=body, headers=headers) as answer:
                lines = answer.aiter_lines()
                begun = [await anext(lines)]

                async def finish() -> list[str]:
                    fake.release("go")
                    return begun + [line async for line in lines]

                yield command, url, finish


async def test_a_service_manager_that_signals_every_process_cuts_no_answer(tmp_path: Path) -> None:
    async with in_the_middle_of_an_answer(tmp_path) as (command, url, finish):
        for pid in (command.process.pid, *(await command.pids(2)).values()):
            os.kill(pid, signal.SIGTERM)
        await until_refused(url)
        lines = await finish()
        assert json.loads(lines[-1])["done"] is True
        assert "".join(json.loads(line)["message"]["content"] for line in lines) == "Hello, world!"
        assert await command.ended() == 0
    (request,) = command.logged("request")
    assert request["outcome"] == "completed"
    assert request["worker"] in {1, 2}


async def test_answers_go_on_to_their_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    async with in_the_middle_of_an_answer(tmp_path) as (command, url, finish):
        command.signal(signal.SIGKILL)
        await until_refused(url)
        lines = await finish()
        assert json.loads(lines[-1])["done"] is True
        assert await command.ended() == -signal.SIGKILL
    assert [line["outcome"] for line in command.logged("request")] == ["completed"]
    assert "Traceback" not in "\n".join(command.err.seen)


@pytest.mark.parametrize(("output", "says"), [("text", "Error: "), ("json", '{"error": ')])
async def test_an_error_in_the_state_is_said_once(tmp_path: Path, output: str, says: str) -> None:
    config = configured(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "secret.key").write_text("0123456789abcdef" * 4, encoding="utf-8")
    (tmp_path / "state" / "secret.key").chmod(0o644)
    flags = ("--config", str(config), "--workers", "3", "-o", output)
    async with running("llmgate", "serve", *flags, home=tmp_path) as command:
        assert await command.ended() == 1
    assert command.out.seen == []
    assert len(command.err.matching(says)) == 1
    assert "chmod" in "\n".join(command.err.seen)
    assert "Traceback" not in "\n".join(command.err.seen)
