"""SIGHUP on real processes: the configuration is read again, all of it or nothing; and what a closed terminal does."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

import httpx

from tests.cli.harness import own_terminal
from tests.system.commands import PASSWORD, configured, daemons, running
from tests.system.processes import START_SECONDS, environment


async def test_sighup_reads_the_file_again_all_of_it_or_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path)
    good = config.read_text()
    async with running("llmgate", "serve", "--config", str(config), home=tmp_path) as command:
        await command.out.have("setup token")
        config.write_text(f'{good}[queue]\nwindow = 77\naging_seconds = 12\n[log]\nlevel = "debug"\n')
        command.signal(signal.SIGHUP)
        await command.err.have("settings_reloaded")
        (done,) = command.logged("settings_reloaded")
        assert done["changed"] == ["queue.aging_seconds", "log.level"]
        assert done["needs_restart"] == ["queue.window"]
        assert done["file"] == str(config)
        config.write_text(f"{good}[queue]\naging_seconds = 13\naged_share = 7\n")
        command.signal(signal.SIGHUP)
        await command.err.have("settings_not_reloaded")
        (refused,) = command.logged("settings_not_reloaded")
        assert "queue.aged_share" in refused["reason"]
        config.write_text(good)
        command.signal(signal.SIGHUP)
        await command.err.have("settings_reloaded", 2)
        assert command.logged("settings_reloaded")[1]["changed"] == ["queue.aging_seconds", "log.level"]
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0
    assert "Traceback" not in "\n".join(command.err.seen)


async def test_sighup_in_the_middle_of_a_start_does_not_end_the_daemon(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        config = configured(tmp_path, f"http://127.0.0.1:{port}")
        async with running("llmgate", "serve", "--config", str(config), home=tmp_path) as command:
            async with asyncio.timeout(START_SECONDS):
                await asked.wait()  # it waits for its upstream to tell what it has
            config.write_text(f"{config.read_text()}[levels]\nuser = 5\n")
            command.signal(signal.SIGHUP)
            await command.out.have("setup token")
            await command.err.have("settings_reloaded")
            assert command.logged("settings_reloaded")[0]["changed"] == ["levels.user"]
            command.signal(signal.SIGTERM)
            assert await command.ended() == 0


async def test_every_worker_reads_it_when_one_is_asked_or_the_parent_is_told(tmp_path: Path) -> None:
    async with daemons(tmp_path) as (command, url, token), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        account = {"name": "root", "password": PASSWORD}
        assert (await client.post("/gate/auth/setup", json={"token": token, **account})).status_code == 201
        access = (await client.post("/gate/auth/login", json=account)).json()["access_token"]
        config = tmp_path / "llmgate.toml"
        config.write_text(f"{config.read_text()}[levels]\nuser = 5\n")
        client.headers["authorization"] = f"Bearer {access}"
        answer = await client.post("/admin/v1/settings/reload")
        assert [change["key"] for change in answer.json()["changed"]] == ["levels.user"]
        await command.err.have("settings_reloaded")  # that is the other one: who was asked has answered
        config.write_text(f"{config.read_text()}api_key = 5\n")
        command.signal(signal.SIGHUP)
        await command.err.have("settings_reloaded", 3)
        found = command.logged("settings_reloaded")
        assert [line["changed"] for line in found] == [["levels.user"], ["levels.api_key"], ["levels.api_key"]]
        assert {line["worker"] for line in found[1:]} == {1, 2}
        command.signal(signal.SIGTERM)
        assert await command.ended() == 0


async def test_a_daemon_whose_terminal_is_closed_ends_kindly(tmp_path: Path) -> None:
    config = configured(tmp_path)
    terminal, inside = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llmgate", "serve", "--config", str(config),
        stdin=inside, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=environment(tmp_path), cwd=tmp_path, start_new_session=True, preexec_fn=lambda: own_terminal(inside),
    )  # fmt: skip
    os.close(inside)
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        await process.stdout.readline()
        process.send_signal(signal.SIGHUP)  # it has its terminal: this only reads the file again
        os.close(terminal)  # this is the end
        assert await process.wait() == 0
