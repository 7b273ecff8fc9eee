"""What a real bash completes: commands, options, and names that only the daemon knows."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
import time
from pathlib import Path

import pytest

from llmgate.cli import completion
from llmgate.contexts.target import Target
from llmgate.daemon.auth.principals import Role
from tests.admin.harness import Site
from tests.cli.conftest import login
from tests.cli.harness import llmgate


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command under its name, as a shell finds it; with time, so that a busy machine makes no difference."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "llmgate"
    patient = (
        "import os; from llmgate.cli import completion, main;completion.SECONDS = float(os.environ['S']); main.run()"
    )
    monkeypatch.setenv("S", "20")
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{patient}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


async def bash(line: str) -> list[str]:
    """What bash offers at the end of this line. Its words are broken as its line editor breaks them."""
    words = line.replace(":", " : ").split() + ([""] if line.endswith((" ", ":")) else [])
    program = "\n".join(
        (
            (await llmgate("completion", "show", "bash")).ok().out,
            f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}",
            f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}",
            "_llmgate_completion llmgate",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        )
    )
    shell = await asyncio.create_subprocess_exec(
        "bash", "--norc", "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, err = await shell.communicate()
    assert err == b"", err
    return out.decode().split()


async def test_commands_nouns_verbs_and_options_are_completed_without_a_daemon() -> None:
    assert await bash("llmgate us") == ["usage", "users"]
    assert {"list", "show", "create"} <= set(await bash("llmgate users "))
    assert await bash("llmgate users list --fi") == ["--fields"]
    assert await bash("llmgate usage --by mo") == ["model"]
    (await llmgate("context", "create", "office", "http://127.0.0.1:9")).ok()
    assert await bash("llmgate context use ") == ["office"]
    assert await bash("llmgate users list --context o") == ["office"]


async def test_names_come_from_the_daemon(root: Site) -> None:
    for name in ("nightly", "night-two", "day"):
        await root.made("keys", name=name)
    entry = await root.made("whitelist", cidr="10.1.0.0/16")
    assert await bash("llmgate users show ") == ["ada", "root"]
    assert await bash("llmgate keys show night") == ["night-two", "nightly"]
    assert await bash("llmgate requests list --key d") == ["day"]
    assert await bash("llmgate queue pause ") == ["fake"]
    assert await bash("llmgate queue list --pool ") == ["fake"]
    assert await bash("llmgate queue running --owner night") == ["night-two", "nightly"]
    assert await bash("llmgate whitelist show ") == [entry["cidr"]]


@pytest.mark.parametrize("what", sorted(completion.NAMES))
async def test_whatever_is_called_like_this_is_listed_there(root: Site, what: str) -> None:
    token = root.admin.headers["authorization"].removeprefix("Bearer ")
    await root.made("keys", name="app")
    await root.made("tokens", label="for-ann")
    await root.made("whitelist", cidr="10.1.0.0/16")
    found = await asyncio.to_thread(completion.names_of, what, "", Target(root.url, None, "login", token))
    assert bool(found) is (what not in ("TICKET", "REQUEST"))


async def test_a_name_with_a_colon_is_completed_behind_it(root: Site) -> None:
    name = "llama3.2:latest"
    assert await bash("llmgate usage --model lla") == [name]
    assert await bash("llmgate usage --model llama3.2:la") == ["latest"]


async def test_the_credential_of_the_line_is_used(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(await site.gateway.new_key("admin", role=Role.ADMIN))
    options = f"--url {site.url} --token-file {file}"
    assert await bash(f"llmgate {options} users show a") == ["ada"]
    assert await bash(f"llmgate users show {options} a") == ["ada"]


async def test_a_session_that_has_ended_meanwhile_is_renewed_by_another_process(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await login(site, "root")
    file = home / "credentials.json"
    stored = json.loads(file.read_text())
    stored["default"]["expires_at"] = time.time() - 1
    file.write_text(json.dumps(stored))
    token = await asyncio.to_thread(completion.renewed, "default")
    assert token
    assert token != stored["default"]["access_token"]
    assert await bash("llmgate users show a") == ["ada"]


async def test_nothing_is_said_when_nobody_answers_or_may_not_ask(site: Site) -> None:
    assert await bash("llmgate users show --url http://127.0.0.1:9 a") == []
    await login(site, "ada")
    assert await bash("llmgate users show a") == []


async def test_a_daemon_that_is_silent_costs_a_second_and_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", str(completion.SECONDS))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert await bash(f"llmgate users show --url {url} a") == []


async def test_a_name_that_a_shell_would_carry_out_is_not_offered(root: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"data": [{"name": name} for name in ("$(touch x)", "a`b`", "a;b", "a*", "good", "a b", "a\nb", "a'b")]}
    monkeypatch.setattr(completion, "_asked", lambda target, path: rows)
    assert completion.names_of("USER", "", Target(root.url, None, "none")) == ["good"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_the_script_is_shown_and_installed(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    script = (await llmgate("completion", "show", shell)).ok().out
    assert "_LLMGATE_COMPLETE" in script
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    told = (await llmgate("completion", "install")).ok().err
    path = Path(told.split()[1].rstrip("."))
    assert path.is_relative_to(tmp_path)
    assert await asyncio.to_thread(path.read_text) == script.strip() + ("" if shell == "zsh" else "\n")
    monkeypatch.setenv("SHELL", "/bin/other")
    assert (await llmgate("completion", "show")).code == 2
