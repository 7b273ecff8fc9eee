"""`llmgate recover`: a way back in when the last administrator's password is lost, while the daemon serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.config import DatabaseSettings
from llmgate.daemon.auth import secrets
from llmgate.daemon.operations import recovery
from llmgate.daemon.store import instance, schema
from llmgate.daemon.store.database import sqlite_url
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.cli.harness import Result, llmgate, on_terminal
from tests.operations.support import SECRET, write_config
from tests.services.fixtures import opened
from tests.system.processes import first_line, run, serving
from tests.system.test_serve import PASSWORD as FIRST
from tests.system.test_serve import initialise, url_in
from tests.trust.outages import eventually

NEW = "another horse, another battery"
PROMISED = 5.0
"""Seconds in which every daemon knows who was revoked."""


@asynccontextmanager
async def site_of(tmp_path: Path, url: str = "") -> AsyncIterator[tuple[Site, Path]]:
    """A daemon that serves, and its configuration."""
    database = DatabaseSettings.model_validate({"url": url})
    async with run_site(tmp_path / "state", database=database) as site:
        sections = {"database": {"url": url}} if url else {}
        yield site, write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": site.ollama.url}, **sections)


@pytest.fixture
async def place(tmp_path: Path, quiet_daemon: None) -> AsyncIterator[tuple[Site, Path]]:
    async with site_of(tmp_path) as found:
        yield found


async def recover(config: Path, *more: str, password: str = NEW) -> Result:
    return await llmgate("recover", "--config", str(config), "--password-stdin", *more, stdin=password + "\n")


async def is_out(client: httpx.AsyncClient) -> bool:
    return (await client.get("/gate/auth/me")).status_code == 401


async def newest(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    """The last entry of the activity log before the login, which must be whole."""
    headers = {"authorization": f"Bearer {token}"}
    assert (await client.post("/admin/v1/activity/verify", headers=headers)).json()["ok"] is True
    entries = (await client.get("/admin/v1/activity", params={"limit": 2}, headers=headers)).json()["data"]
    found: dict[str, Any] = entries[1]
    return found


async def test_the_whole_program_gives_a_daemon_that_serves_its_administrator_back(tmp_path: Path) -> None:
    config = await initialise(tmp_path)
    async with serving("--config", str(config), home=tmp_path) as daemon:
        url = url_in(await first_line(daemon))
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            login = {"name": "admin", "password": FIRST}
            tokens = (await client.post("/gate/auth/login", json=login)).json()
            client.headers["authorization"] = f"Bearer {tokens['access_token']}"
            assert not await is_out(client)
            arguments = ("recover", "--config", str(config), "--password-stdin")
            code, out, err = await run(*arguments, home=tmp_path, stdin=NEW + "\n")
            assert (code, out, err) == (0, "", "The password of admin is changed, and 1 session is ended.\n")
            await eventually(lambda: is_out(client), PROMISED)
            renewal = {"refresh_token": tokens["refresh_token"]}
            assert (await client.post("/gate/auth/refresh", json=renewal)).status_code == 401
            assert (await client.post("/gate/auth/login", json=login)).status_code == 401
            again = await client.post("/gate/auth/login", json={**login, "password": NEW})
            entry = await newest(client, again.json()["access_token"])
    assert (entry["actor_kind"], entry["action"], entry["target_name"]) == ("local", "user.recover", "admin")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_in_both_databases_the_daemon_hears_of_it_and_the_log_is_whole(
    tmp_path: Path, kind: str, new_database: Callable[[str], str], quiet_daemon: None
) -> None:
    async with site_of(tmp_path, new_database(kind) if kind == "postgresql" else "") as (site, config):
        await site.made("users", name="second", password=PASSWORD, role="admin")
        disabled = await site.admin.patch("/admin/v1/users/second", json={"disabled": True})
        assert disabled.status_code == 200
        told = (await recover(config, "SECOND")).ok().err
        assert "0 sessions are ended. It was disabled, and is enabled again." in told
        entry = await newest(site.nobody, (await site.login("second", NEW)).json()["access_token"])
        assert entry["detail"] == {"was_disabled": True, "sessions": 0}
        assert not await is_out(site.admin)

        await site.login("root")
        assert "2 sessions are ended.\n" in (await recover(config, "root")).ok().err
        await eventually(lambda: is_out(site.admin), PROMISED)
        problem(await site.login("root"), 401, "unauthenticated")
        again = (await site.login("root", NEW)).json()["access_token"]
        entry = await newest(site.nobody, again)
        assert (entry["action"], entry["target_name"], entry["detail"]["sessions"]) == ("user.recover", "root", 2)
        assert NEW not in str(entry)
        assert not await is_out(site.user)


async def test_of_several_administrators_one_must_be_named(
    place: tuple[Site, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, config = place
    await site.made("users", name="second", password=PASSWORD, role="admin")
    several = await recover(config)
    assert (several.code, "root, second." in several.err, "llmgate recover NAME" in several.err) == (2, True, True)
    with monkeypatch.context() as patch:
        patch.setattr(recovery, "MOST_NAMED", 1)
        assert "root and 1 more." in (await recover(config)).err
    (await recover(config, "second")).ok()
    assert (await site.login("second", NEW)).status_code == 200
    assert (await site.login("root")).status_code == 200


@pytest.mark.parametrize(
    ("name", "password", "code", "says"),
    [
        ("nobody-here", NEW, 5, "Administrators are: root."),
        ("ada", NEW, 6, "llmgate users password ada"),
        ("root", "short", 6, "shorter than 10"),
        ("root", "aaaaaaaaaaaaaaa", 6, "too few different"),
        ("root", "", 2, "nothing was given"),
    ],
)
async def test_what_is_refused_changes_nothing(
    place: tuple[Site, Path], name: str, password: str, code: int, says: str
) -> None:
    site, config = place
    before = (await site.admin.get("/admin/v1/activity")).json()["data"]
    refused = await recover(config, name, password=password)
    assert (refused.code, says in refused.err) == (code, True), refused.err
    assert (await site.admin.get("/admin/v1/activity")).json()["data"] == before
    for who in ("root", "ada"):
        assert (await site.login(who)).status_code == 200


async def test_the_shortest_password_is_the_daemons_also_when_that_was_changed_while_it_serves(
    place: tuple[Site, Path],
) -> None:
    site, config = place
    changed = await site.admin.put("/admin/v1/settings/auth.password_min_length", json={"value": len(NEW) + 1})
    assert changed.status_code == 200
    short = await recover(config)
    assert (short.code, f"shorter than {len(NEW) + 1} " in short.err) == (6, True)
    (await recover(config, password=NEW + "!")).ok()


async def test_a_terminal_is_asked_twice_and_shows_nothing_of_it(place: tuple[Site, Path], tmp_path: Path) -> None:
    site, config = place
    async with on_terminal("recover", "--config", str(config), directory=tmp_path) as running:
        await running.shows("New password for root:")
        running.type(NEW + "\n")
        await running.shows("Once more:")
        running.type(NEW + "?\n")
        assert await running.ended() == 3
        assert NEW not in running.shown
    assert (await site.login("root")).status_code == 200
    async with on_terminal("recover", "root", "--config", str(config), directory=tmp_path) as running:
        await running.shows("New password for root:")
        running.type(NEW + "\n")
        await running.shows("Once more:")
        running.type(NEW + "\n")
        assert await running.ended() == 0
        assert NEW not in running.shown
    assert (await site.login("root", NEW)).status_code == 200


async def test_nobody_to_ask_is_told_how_to_give_it(place: tuple[Site, Path], tmp_path: Path) -> None:
    site, config = place
    asked = await llmgate("recover", "--config", str(config))
    assert (asked.code, "--password-stdin" in asked.err) == (2, True)
    (tmp_path / "new").write_text(NEW + "\n")
    (await llmgate("recover", "--config", str(config), "--password-file", str(tmp_path / "new"))).ok()
    assert (await site.login("root", NEW)).status_code == 200


async def test_without_an_installation_there_is_nothing_to_recover(tmp_path: Path) -> None:
    state = tmp_path / "state"
    config = write_config(tmp_path, state=state, upstreams={"fake": "http://127.0.0.1:1"})
    nothing = await recover(config)
    assert (nothing.code, "no database" in nothing.err, state.exists()) == (5, True, False)
    async with opened(sqlite_url(state / "llmgate.db")) as database:
        secrets.install(state / "secret.key", SECRET)
        empty = await recover(config)
        assert (empty.code, "llmgate init" in empty.err) == (5, True)
        async with database.begin() as tx:
            await tx.run_sync(schema.upgrade, "0001")
        old = await recover(config)
        assert (old.code, "llmgate db upgrade" in old.err) == (6, True)
        await database.migrate()
        async with database.begin() as tx:
            await instance.check_secret(tx, SECRET.fingerprint)
        for name in ((), ("root",)):
            nobody = await recover(config, *name)
            assert (nobody.code, "llmgate init" in nobody.err) == (5, True)


async def test_with_another_secret_key_nothing_is_written(place: tuple[Site, Path]) -> None:
    site, config = place
    key = config.parent / "state" / "secret.key"
    key.rename(key.with_name("old.key"))
    missing = await recover(config)
    assert (missing.code, "is missing" in missing.err) == (1, True)
    secrets.install(key, SECRET)
    foreign = await recover(config)
    assert (foreign.code, "another secret key" in foreign.err) == (1, True)
    assert (await site.login("root")).status_code == 200
    assert (await site.admin.post("/admin/v1/activity/verify")).json()["ok"] is True
