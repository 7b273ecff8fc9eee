"""Starting and stopping `llmgate serve`, and what it says when it cannot start."""

from __future__ import annotations

import re
import socket
import stat
from pathlib import Path

import httpx
import pytest

from tests.fakes import FakeOllama
from tests.system.processes import first_line, run, serving

PASSWORD = "correct-horse-battery"


async def initialise(home: Path, upstream: str = "http://127.0.0.1:9") -> Path:
    config = home / "llmgate.toml"
    code, _, err = await run(
        "init", "--config", str(config), "--state-dir", str(home / "state"), "--upstream", upstream,
        "--port", "0", "--password-stdin", home=home, stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert code == 0, err
    return config


def url_in(line: str) -> str:
    found = re.search(r"http://\S+", line)
    assert found
    return found[0]


async def test_init_then_serve_then_login(tmp_path: Path) -> None:
    async with FakeOllama() as fake:
        config = await initialise(tmp_path, fake.url)
        async with serving("--config", str(config), home=tmp_path) as daemon:
            url = url_in(await first_line(daemon))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                login = await client.post("/gate/auth/login", json={"name": "admin", "password": PASSWORD})
                token = login.json()["access_token"]
                body = {"model": "llama3.2", "messages": [], "stream": False}
                answer = await client.post("/api/chat", json=body, headers={"authorization": f"Bearer {token}"})
                assert answer.status_code == 200
                assert (await client.get("/health/ready")).status_code == 200


async def test_state_is_private(tmp_path: Path) -> None:
    config = await initialise(tmp_path)
    async with serving("--config", str(config), home=tmp_path) as daemon:
        await first_line(daemon)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        assert set(modes.values()) == {0o600}, modes
        assert {"llmgate.db", "secret.key"} <= set(modes)
        assert stat.S_IMODE(config.stat().st_mode) == 0o600


async def test_a_second_init_makes_no_second_administrator(tmp_path: Path) -> None:
    config = await initialise(tmp_path)
    code, _, err = await run("init", "--config", str(config), "--password-stdin", home=tmp_path, stdin=PASSWORD + "\n")
    assert code == 6
    assert "administrator already" in err


async def test_without_an_administrator_a_setup_token_works_once(tmp_path: Path) -> None:
    config = tmp_path / "llmgate.toml"
    config.write_text(f'[server]\nport = 0\n[state]\ndir = "{tmp_path / "state"}"\n', encoding="utf-8")
    async with serving("--config", str(config), home=tmp_path) as daemon:
        url = url_in(await first_line(daemon))
        assert daemon.stdout is not None
        await daemon.stdout.readline()
        token = (await daemon.stdout.readline()).decode().rsplit("setup token: ", 1)[1].rstrip(")\n")
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            redeem = {"token": token, "name": "root", "password": PASSWORD}
            wrong = await client.post("/gate/auth/setup", json={**redeem, "token": "wrong"})
            first = await client.post("/gate/auth/setup", json=redeem)
            second = await client.post("/gate/auth/setup", json={**redeem, "name": "root2"})
            assert wrong.status_code == 401
            assert first.status_code in (200, 201)
            assert second.status_code in (401, 409)


async def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    config = await initialise(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = await run("serve", "--config", str(config), "--port", str(port), home=tmp_path)
    assert code == 6
    assert f"Port {port}" in err
    assert "--port" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[server]\nprot = 1\n", "Did you mean 'port'?"),
        ("[server]\nport = 99999\n", "server.port"),
        ("[server\n", "not valid TOML"),
        ('[[upstreams]]\nname = "a"\nurl = "ftp://x"\n', "http://host:port"),
        ('[database]\nurl = "nonsense"\n', "database.url"),
    ],
)
async def test_a_bad_setting_is_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    config = tmp_path / "llmgate.toml"
    config.write_text(content, encoding="utf-8")
    code, out, err = await run("serve", "--config", str(config), home=tmp_path)
    assert code == 6
    assert says in err
    assert "Traceback" not in out + err


async def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    config = await initialise(tmp_path)
    (tmp_path / "state" / "secret.key").chmod(0o644)
    code, _, err = await run("serve", "--config", str(config), home=tmp_path)
    assert code == 1
    assert "chmod" in err
    assert "Traceback" not in err


async def test_a_lost_secret_is_not_replaced_and_another_one_is_refused(tmp_path: Path) -> None:
    config = await initialise(tmp_path)
    key = tmp_path / "state" / "secret.key"
    key.unlink()
    for content, says in ((None, "Put the old secret.key back"), ("0123456789abcdef" * 4, "another secret key")):
        if content:
            key.write_text(content, encoding="utf-8")
            key.chmod(0o600)
        code, _, err = await run("serve", "--config", str(config), home=tmp_path)
        assert code == 1
        assert says in err
        assert "Traceback" not in err
        assert key.exists() is bool(content)


async def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "llmgate.toml"
    text = f'[server]\nport = 0\n[state]\ndir = "{tmp_path / "state"}"\n[database]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n'
    config.write_text(text, encoding="utf-8")
    code, _, err = await run("serve", "--config", str(config), home=tmp_path)
    assert code == 7
    assert "PostgreSQL" in err
    assert "Traceback" not in err
