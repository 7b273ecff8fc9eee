"""The dashboard in a real terminal, from the login to the last key, before a daemon that is killed and comes back."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bench.processes import free_port
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT
from tests.system.processes import START_SECONDS, environment, run
from tests.tui.terminal import Seat, seat

PASSWORD = "correct-horse-battery"


@asynccontextmanager
async def daemon(config: Path, home: Path) -> AsyncIterator[Process]:
    """A daemon, killed at the end of the block as by a power cut."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llmgate", "serve", "--config", str(config),
        stdout=PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment(home), cwd=home,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            assert b"llmgate serves at" in await process.stdout.readline()
        yield process
    finally:
        process.kill()
        await process.communicate()


async def logged_in(sitting: Seat) -> None:
    await sitting.sees("Log in to")
    sitting.press("admin")
    await sitting.sees("--name admin")
    await sitting.moves_to("password", "\t")
    sitting.press(PASSWORD)
    await sitting.sees("•" * len(PASSWORD))
    sitting.press("\r")
    await sitting.sees_no_more("Log in to")
    await sitting.sees("admin@")
    await sitting.sees("● live")


async def new_key(sitting: Seat) -> str:
    """Make a key with the form; what was shown of it, once."""
    sitting.press("5")
    await sitting.sees("There are no")
    sitting.press("n")
    await sitting.sees("New API key")
    sitting.press("tool")
    await sitting.sees("$ llmgate keys create tool")
    sitting.press("\r")
    line = await sitting.sees("llmg_")
    found = re.search(r"llmg_\w+", line)
    assert found is not None
    sitting.press("c")
    await sitting.sees("clipboard")
    assert "\x1b]52;c;" in sitting.terminal.shown
    sitting.press("\x1b")
    await sitting.sees("choose")
    sitting.press("\r")
    await sitting.sees_no_more(found[0])
    await sitting.sees("tool")
    return found[0]


@pytest.mark.slow
async def test_a_day_before_the_terminal(tmp_path: Path) -> None:
    port = free_port()
    async with FakeOllama() as ollama:
        config = tmp_path / "llmgate.toml"
        config.write_text(
            f'[server]\nport = {port}\n[state]\ndir = "{tmp_path / "state"}"\n[[upstreams]]\nname = "fake"\n'
            f'url = "{ollama.url}"\nslots = 1\n',
            encoding="utf-8",
        )
        code, _, err = await run("init", "--config", str(config), "--password-stdin", home=tmp_path, stdin=PASSWORD)
        assert code == 0, err
        url = f"http://127.0.0.1:{port}"
        async with seat(tmp_path / "home", "--url", url) as sitting:
            async with daemon(config, tmp_path):
                await logged_in(sitting)
                key = await new_key(sitting)
                async with httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=60) as client:
                    await _load_is_seen_promoted_and_cancelled(sitting, client, ollama)
            await sitting.sees("STALE")
            async with daemon(config, tmp_path):
                await sitting.sees("● live")
                sitting.press("q")
                assert await sitting.terminal.ended() == 0
                assert "\x1b[?1049l" in sitting.terminal.shown


async def _load_is_seen_promoted_and_cancelled(sitting: Seat, client: httpx.AsyncClient, ollama: FakeOllama) -> None:
    ollama.script(Script(gate="first"))
    asks = [asyncio.create_task(client.post("/api/chat", json={**CHAT, "stream": False})) for _ in range(3)]
    await ollama.request(0)
    sitting.press("2")
    await sitting.sees("2 waiting")
    await sitting.sees("llama3.2")
    sitting.press("p")
    await sitting.sees("queue level")
    sitting.press("1")
    await sitting.sees_no_more("$ llmgate queue level 1")
    await sitting.sees("level 1")
    sitting.press("x")
    await sitting.sees("Are you sure?")
    sitting.press("\x1b[C\r")
    await sitting.sees("1 waiting")
    done, _ = await asyncio.wait(asks, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().status_code for task in done] == [503]
    ollama.release("first")
    answers = [answer.status_code for answer in await asyncio.gather(*asks)]
    assert sorted(answers) == [200, 200, 503]
