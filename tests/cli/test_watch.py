"""How the queue does from the command line: once, again and again, on a terminal and through a pipe."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.cells import cell_len

from llmgate import schemas
from llmgate.cli.queue_columns import dispatchers
from llmgate.cli.watch import Sight, paint
from llmgate.daemon.auth.principals import Role
from llmgate.errors import DaemonUnreachable, StoreUnavailable
from llmgate.text import precise
from tests.admin.harness import Site
from tests.admin.test_queue_status import share
from tests.cli.harness import COMMAND, llmgate, on_terminal
from tests.cli.test_work import occupied
from tests.gateway.harness import CHAT
from tests.services.proxy import FaultProxy

WATCH = ("queue", "watch", "--interval", "0.1")
STYLES = re.compile(r"\x1b\[[0-9;]*m")
LEAVES = "\x1b[?25h\x1b[?1049l"


@asynccontextmanager
async def piped(*arguments: str) -> AsyncIterator[Process]:
    """A command of which somebody reads what it prints. Its home is the environment's."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=PIPE, stderr=PIPE, limit=2**20)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: Process) -> dict[str, object]:
    assert process.stdout is not None
    async with asyncio.timeout(15):
        document: dict[str, object] = json.loads(await process.stdout.readline())
    return document


async def end_of(process: Process) -> tuple[int, bytes]:
    """Exit code and what was said beside the data."""
    assert process.stderr is not None
    async with asyncio.timeout(15):
        said = await process.stderr.read()
        return await process.wait(), said


async def test_the_status_is_a_line_and_a_table_of_daemons(root: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await llmgate("queue", "status")).ok().out == "memory, connected\n"
    share(root, monkeypatch, "fake", "other", state="degraded")
    line, titles, first, second = (await llmgate("queue", "status")).ok().out.splitlines()
    assert line == "rabbitmq, degraded: The broker is gone"
    assert titles.split() == ["DAEMON", "STATE", "DISPATCHES", "WAITING", "RUNNING", "HEARD", "REASON"]
    assert re.split(r"  +", first.strip())[:6] == ["gpu/1", "degraded", "fake, other", "3", "1", "this one"]
    assert re.split(r"  +", second.strip())[:6] == ["gpu/2", "connected", "-", "0", "2", "0.4 s"]
    assert (await llmgate("queue", "status", "-q")).ok().out == "gpu/1\ngpu/2\n"


async def test_the_status_in_json_is_the_whole_answer(root: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    share(root, monkeypatch, "fake")
    status = (await llmgate("queue", "status", "-o", "json")).ok().json
    assert status == (await root.admin.get("/admin/v1/queue/status")).json()
    assert (await llmgate("queue", "status", "-o", "jsonl")).ok().json == status


@pytest.mark.parametrize("form", [(), ("-o", "json"), ("-o", "jsonl")])
async def test_without_a_terminal_every_look_is_a_line_of_json_until_ctrl_c(root: Site, form: tuple[str, ...]) -> None:
    async with piped(*WATCH, *form) as process:
        looks = [await line_of(process) for _ in range(3)]
        assert [list(look) for look in looks] == [["at", "queue", "pools", "waiting"]] * 3
        times = [datetime.fromisoformat(str(look["at"])) for look in looks]
        assert times[0] < times[1] < times[2]
        process.send_signal(signal.SIGINT)
        assert await end_of(process) == (130, b"")


async def test_a_reader_that_has_seen_enough_ends_the_watch_quietly(root: Site) -> None:
    inside, outside = os.pipe()
    process = await asyncio.create_subprocess_exec(*COMMAND, *WATCH, stdout=outside, stderr=PIPE)
    os.close(outside)
    assert await asyncio.to_thread(os.read, inside, 1) == b"{"
    os.close(inside)
    assert await end_of(process) == (0, b"")


async def test_a_daemon_that_goes_away_for_a_moment_does_not_end_the_watch(root: Site, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(await root.gateway.new_key("watcher", role=Role.ADMIN))
    async with FaultProxy(urlsplit(root.url).port or 0) as way:
        arguments = ("--url", f"http://127.0.0.1:{way.port}", "--token-file", str(file))
        async with piped(*WATCH, *arguments) as process:
            assert "pools" in await line_of(process)
            await way.refuse()
            while "error" not in (look := await line_of(process)):
                pass
            assert list(look) == ["at", "error"]
            assert json.dumps(look).count("daemon_unreachable") == 1
            await way.heal()
            while "error" in await line_of(process):
                pass
            process.send_signal(signal.SIGINT)
            assert (await end_of(process))[0] == 130


async def test_what_will_not_pass_by_itself_ends_the_watch(root: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATE_TOKEN", await root.gateway.new_key("nobody"))
    assert (await llmgate(*WATCH)).code == 4
    secret = await root.gateway.new_key("watcher", role=Role.ADMIN)
    monkeypatch.setenv("LLMGATE_TOKEN", secret)
    async with piped(*WATCH) as process:
        await line_of(process)
        (key,) = [key for key in (await root.admin.get("/admin/v1/keys")).json()["data"] if key["name"] == "watcher"]
        assert (await root.admin.post(f"/admin/v1/keys/{key['id']}/revoke")).status_code == 200
        assert (await end_of(process))[0] == 4


async def test_no_daemon_at_all_is_exit_7_and_leaves_the_terminal_alone(home: Path) -> None:
    async with on_terminal(*WATCH, "--url", "http://127.0.0.1:9", directory=home) as terminal:
        assert await terminal.ended() == 7
        await terminal.shows("llmgate serve")
        assert "\x1b[?" not in terminal.shown


async def test_on_a_terminal_one_picture_is_drawn_over_the_other_and_the_terminal_is_given_back(
    root: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await occupied(root)
    second = asyncio.create_task(root.gateway.post("/api/chat", {**CHAT, "stream": False}))
    await root.gateway.waiting(1)
    (name,) = [row["owner_name"] for row in (await root.admin.get("/admin/v1/queue/waiting")).json()["data"]]
    share(root, monkeypatch, "fake")
    async with on_terminal(*WATCH, directory=home) as terminal:
        for text in ("rabbitmq, connected", "gpu/2", "1 of 1", "llama3.2", name):
            await terminal.shows(text)
        assert "\x1b[2J" not in terminal.shown
        root.ollama.release("first")
        await asyncio.gather(first, second)
        seen = terminal.shown.count("\x1b[H")
        async with asyncio.timeout(10):
            while terminal.shown.count("\x1b[H") < seen + 2:
                await terminal.more()
        terminal.type("\x03")
        assert await terminal.ended() == 130
        await terminal.shows(LEAVES)


async def test_a_broken_database_is_told_on_the_picture_and_sigterm_gives_the_terminal_back(
    root: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise StoreUnavailable("It is gone.")

    async with on_terminal(*WATCH, directory=home) as terminal:
        await terminal.shows("memory, connected")
        with monkeypatch.context() as patch:
            patch.setattr(root.gateway.services.queue, "stats", broken)
            await terminal.shows("It is gone. No answer for")
        seen = terminal.shown.count("memory, connected")
        async with asyncio.timeout(10):
            while terminal.shown.count("memory, connected") == seen:
                await terminal.more()
        terminal.process.terminate()
        assert await terminal.ended() == 143
        await terminal.shows(LEAVES)


async def test_without_color_the_picture_has_none(root: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for colorless in (False, True):
        if colorless:
            monkeypatch.setenv("NO_COLOR", "1")
        async with on_terminal(*WATCH, directory=home) as terminal:
            await terminal.shows("fake")
            terminal.type("\x03")
            assert await terminal.ended() == 130
        assert bool(STYLES.search(terminal.shown)) is not colorless


POOL = {
    "pool": "a-pool\x1b[2J", "state": "draining", "slots": 16, "running": 12, "waiting": 1234, "aged_waiting": 7,
    "waiting_by_level": {1: 0, 2: 1200, 3: 27, 4: 0, 5: 0}, "oldest_wait": 1800, "granted": 99_999, "granted_aged": 1,
    "promotions": 12_345, "wait_p50": {2: 600, 5: 1}, "wait_p95": {2: 900, 5: 2}, "wait_max": {2: 9000, 5: 0.01},
    "arrivals_per_second": 123.4, "grants_per_second": 12.3, "service_p50": 1.5, "service_p95": 121,
    "upstreams": {}, "dispatcher": "gpu-box.example.org/12345", "epoch": 4,
}  # fmt: skip
DAEMON = {
    "name": "gpu-box.example.org/12345", "boot": "b", "state": "connected", "reason": "a reason",
    "dispatches": ["a-pool\x1b[2J"], "waiting": 617, "running": 6, "heard": 0.0,
}  # fmt: skip
PLACE = {
    "ticket_id": "0123456789abcdef", "pool": "a-pool\x1b[2J", "model": "名前" * 20, "owner": "key:\u202eabc",
    "submitted_level": 5, "level": 2, "aged": False, "ahead": 10, "waited": 12.3, "estimated_wait": None,
}  # fmt: skip


def sight(pools: int = 1, daemons: int = 2, **changes: object) -> Sight:
    status = {"backend": "rabbitmq", "state": "connected", "reason": "", "serves": True, **changes}
    return Sight(
        at=datetime.now().astimezone(),
        queue=schemas.QueueStatus.model_validate({**status, "daemons": [DAEMON] * daemons}),
        pools=[schemas.PoolStats.model_validate(POOL)] * pools,
        waiting=[schemas.Waiting.model_validate(PLACE)] * 10,
    )


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("plain_terminal")
@pytest.mark.parametrize("failure", [None, DaemonUnreachable("Gone\x1b[2J.")])
@pytest.mark.parametrize("width", [20, 60, 79, 99, 139, 300])
def test_a_picture_is_never_larger_than_the_terminal_and_always_harmless(
    width: int, failure: DaemonUnreachable | None
) -> None:
    for height in range(6, 60, 3):
        for pools in (0, 1, 3, 30):
            lines = paint(sight(pools), failure, width, height)
            assert len(lines) <= max(height, 6)
            assert max(cell_len(line) for line in lines) <= width
            assert all(line.isprintable() for line in lines)


@pytest.mark.usefixtures("plain_terminal")
def test_eighty_columns_show_all_that_matters() -> None:
    lines = paint(sight(), None, 79, 24)
    shown = "\n".join(lines)
    for part in (
        "gpu-box.example.org/12345 dispatches", "draining", "12 of 16", "1234", "30 min", "123.4", "12.3", "12345",
        "1200", "10 min", "15 min", "2 h", "1.5 s", "2 min", "0123456789abcdef", "unknown",
    ):  # fmt: skip
        assert part in shown
    assert lines[-1] == "… and 1227 more"
    assert len(lines) <= 24


@pytest.mark.usefixtures("plain_terminal")
def test_the_headline_tells_what_is_wrong() -> None:
    degraded = paint(sight(state="degraded", reason="The broker is gone."), None, 200, 24)[0]
    assert "rabbitmq, degraded: The broker is gone. It decides alone" in degraded
    assert "no slot can be given here" in paint(sight(state="degraded", serves=False), None, 200, 24)[0]
    assert "Gone. No answer for" in paint(sight(), DaemonUnreachable("Gone."), 200, 24)[0]


def test_who_dispatches_is_told_as_short_as_it_can_be() -> None:
    pool = schemas.PoolStats.model_validate(POOL)
    one, two, none = (
        pool.model_copy(update={"pool": name, "dispatcher": who}) for name, who in (("p", "a"), ("q", "b"), ("r", ""))
    )
    assert dispatchers([one, one]) == "a dispatches"
    assert dispatchers([none]) == "nobody dispatches"
    assert dispatchers([one, two, none]) == "a dispatches p; b dispatches q; nobody dispatches r"


def test_a_time_is_told_with_two_digits() -> None:
    told = [precise(value) for value in (None, 0.0, 0.0994, 0.0996, 9.94, 9.96, 119, 121, 7199, 7201)]
    assert told == ["-", "0 ms", "99 ms", "0.1 s", "9.9 s", "10 s", "119 s", "2 min", "120 min", "2 h"]
