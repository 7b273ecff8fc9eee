"""Logging in, what is stored, and which credential a command uses."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from llmgate.contexts.stored import Store
from tests.admin.harness import PASSWORD, Site
from tests.cli.conftest import login
from tests.cli.harness import llmgate, on_terminal
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for


async def test_a_login_is_remembered_for_its_owner_only(site: Site, home: Path) -> None:
    await login(site, "ada")
    assert modes_of(home) == {"home": 0o700, "contexts.toml": 0o600, "credentials.json": 0o600, "lock": 0o600}
    assert PASSWORD not in (home / "credentials.json").read_text()
    status = (await llmgate("auth", "status", "-o", "json")).ok().json
    assert (status["url"], status["context"], status["name"], status["role"]) == (site.url, "default", "ada", "user")
    assert status["credential"] == "the login stored for context default"


async def test_a_wrong_password_is_exit_4_and_stores_nothing(site: Site, home: Path) -> None:
    wrong = await llmgate("login", "--url", site.url, "--name", "ada", "--password-stdin", stdin="wrong password\n")
    assert wrong.code == 4
    assert "Error: " in wrong.err
    assert not (home / "credentials.json").exists()


async def test_a_logout_ends_the_session_at_the_daemon_and_here(site: Site, home: Path) -> None:
    await login(site, "ada")
    session = Store(home).session("default", site.url)
    assert session is not None
    (await llmgate("logout")).ok()
    assert Store(home).session("default", site.url) is None
    headers = {"authorization": f"Bearer {session.access_token}"}
    assert (await site.nobody.get("/gate/auth/me", headers=headers)).status_code == 401
    assert (await llmgate("logout")).code == 4
    assert (await llmgate("auth", "status")).code == 4


async def test_an_expired_access_token_is_renewed_without_a_word(root: Site, home: Path) -> None:
    age(home)
    renewed = (await llmgate("users", "list", "-q")).ok()
    assert renewed.err == ""
    session = Store(home).session("default", root.url)
    assert session is not None
    assert session.expires_at > 1


async def test_many_commands_at_once_renew_the_session_once(root: Site, home: Path) -> None:
    """Two that both used the old refresh token would look like a theft and end the session."""
    store = Store(home)
    before = store.session("default", root.url)
    age(home)
    terminals = [on_terminal("users", "list", "-q", directory=home) for _ in range(4)]
    running = [await terminal.__aenter__() for terminal in terminals]
    assert await asyncio.gather(*(process.ended() for process in running)) == [0] * 4
    for terminal in terminals:
        await terminal.__aexit__(None, None, None)
    after = store.session("default", root.url)
    assert before is not None
    assert after is not None
    assert generation(after.refresh_token) == generation(before.refresh_token) + 1


async def test_a_revoked_session_says_to_log_in_again(root: Site) -> None:
    await root.admin.put("/admin/v1/users/root/password", json={"password": "another good one"})
    ended = await llmgate("users", "list")
    assert ended.code == 4
    assert "llmgate login" in ended.err


async def test_a_token_goes_nowhere_but_to_the_url_it_was_made_for(root: Site, home: Path) -> None:
    text = (home / "contexts.toml").read_text()
    (home / "contexts.toml").write_text(text.replace("127.0.0.1", "localhost"))
    assert (await llmgate("users", "list", "--url", root.url.replace("127.0.0.1", "localhost"))).code == 4
    assert (await llmgate("users", "list")).code == 4


async def test_the_credential_is_taken_from_flag_then_environment_then_login(
    root: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: (await root.made("keys", name=name))["key"] for name in ("by-flag", "by-file", "by-env")}
    files = {name: tmp_path / name for name in keys}
    for name, file in files.items():
        file.write_text(keys[name] + "\n")

    async def user(*arguments: str) -> str:
        answer: str = (await llmgate("auth", "status", "-o", "json", *arguments)).ok().json["name"]
        return answer

    assert await user() == "root"
    monkeypatch.setenv("LLMGATE_TOKEN", keys["by-env"])
    assert await user() == "by-env"
    monkeypatch.setenv("LLMGATE_TOKEN_FILE", str(files["by-file"]))
    assert await user() == "by-file"
    assert await user("--token-file", str(files["by-flag"])) == "by-flag"


async def test_a_key_in_the_environment_is_enough(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATE_URL", site.url + "/")
    monkeypatch.setenv("LLMGATE_TOKEN", site.gateway.key)
    status = (await llmgate("auth", "status", "-o", "json")).ok().json
    assert (status["kind"], status["credential"]) == ("key", "LLMGATE_TOKEN")
    assert (await llmgate("users", "list")).code == 4


async def test_a_refusal_says_what_to_do_about_the_credential_in_use(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Log in with: llmgate login" in (await llmgate("users", "list", "--url", site.url)).err
    monkeypatch.setenv("LLMGATE_TOKEN", "llmg_abcdefghij_wrong")
    refused = await llmgate("users", "list", "--url", site.url)
    assert refused.code == 4
    assert "The token of LLMGATE_TOKEN is not accepted" in refused.err
    assert "llmgate login" not in refused.err


async def test_contexts_are_listed_chosen_and_forgotten(root: Site, home: Path) -> None:
    arguments = ("login", "--url", root.url, "--context", "lab", "--name", "ada", "--password-stdin")
    (await llmgate(*arguments, stdin=PASSWORD)).ok()
    listed = (await llmgate("context", "list", "-o", "json")).ok().json
    assert [(row["name"], row["user"], row["current"]) for row in listed] == [
        ("default", "root", False),
        ("lab", "ada", True),
    ]
    assert (await llmgate("users", "list")).code == 4
    (await llmgate("users", "list", "--context", "default")).ok()
    (await llmgate("context", "use", "default")).ok()
    (await llmgate("users", "list")).ok()
    (await llmgate("context", "remove", "lab", "-y")).ok()
    assert (await llmgate("users", "list", "--context", "lab")).code == 5
    assert set(json.loads((home / "credentials.json").read_text())) == {"default"}


async def test_an_account_is_made_with_a_registration_token(root: Site) -> None:
    token = (await root.made("tokens"))["token"]
    arguments = ("login", "--register", "--name", "eve", "--password-stdin")
    (await llmgate(*arguments, stdin=f"{token}\n{PASSWORD}\n")).ok()
    assert (await llmgate("auth", "status", "-o", "json")).ok().json["name"] == "eve"
    assert (await llmgate(*arguments, stdin=f"{token}\n{PASSWORD}\n")).code == 4


async def test_the_first_administrator_is_made_with_the_setup_token_once(tmp_path: Path) -> None:
    async with FakeOllama() as ollama, run_gateway(settings_for(tmp_path / "s", [upstream_for(ollama)])) as gateway:
        token = await gateway.services.first_admin.prepare()
        arguments = ("login", "--setup", "--url", gateway.url, "--name", "chief", "--password-stdin")
        (await llmgate(*arguments, stdin=f"{token}\n{PASSWORD}\n")).ok()
        assert (await llmgate("auth", "status", "-o", "json")).ok().json["role"] == "admin"
        again = await llmgate(*arguments, stdin=f"{token}\n{PASSWORD}\n")
        assert again.code == 4


@pytest.mark.parametrize("content", ["{", "[]", '{"default": 1}', "\x00"])
async def test_damaged_files_are_named_with_what_to_do(root: Site, home: Path, content: str) -> None:
    (home / "credentials.json").write_text(content)
    damaged = await llmgate("users", "list")
    assert damaged.code == 1
    assert "credentials.json" in damaged.err
    (home / "contexts.toml").write_text("[[[")
    assert "contexts.toml" in (await llmgate("users", "list")).err


async def test_credentials_that_others_can_read_are_refused(root: Site, home: Path) -> None:
    (home / "credentials.json").chmod(0o644)
    open_file = await llmgate("users", "list")
    assert open_file.code == 1
    assert "chmod 600" in open_file.err


async def test_a_password_is_asked_for_without_showing_it(site: Site, home: Path) -> None:
    async with on_terminal("login", "--url", site.url, directory=home) as terminal:
        await terminal.shows("Name: ")
        terminal.type("ada\n")
        await terminal.shows("Password for ada: ")
        terminal.type(PASSWORD + "\n")
        assert await terminal.ended() == 0
        assert PASSWORD not in terminal.shown


def modes_of(home: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.iterdir())}


def age(home: Path) -> None:
    """Let the access token be due for renewal."""
    path = home / "credentials.json"
    sessions = json.loads(path.read_text())
    for session in sessions.values():
        session["expires_at"] = 1
    path.write_text(json.dumps(sessions))


def generation(refresh_token: str) -> int:
    return int(refresh_token.split("_")[2])
