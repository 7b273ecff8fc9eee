"""The doctor tells what is wrong and what to do about it, and leaves everything as it is."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from llmgate.config import load
from llmgate.daemon.auth import secrets
from llmgate.daemon.operations import doctor
from llmgate.daemon.operations.checks import machine
from llmgate.daemon.operations.checks.base import Case, Finding, Status
from llmgate.daemon.services import seal_of
from llmgate.daemon.store import instance, upstreams
from llmgate.daemon.store import settings as stored_settings
from llmgate.daemon.store.database import sqlite_url
from tests.admin.harness import Site, run_site
from tests.cli.harness import Result, llmgate
from tests.fakes import FakeOllama
from tests.operations.support import SECRET, write_config
from tests.services.fixtures import opened
from tests.services.postgres import PostgresServer
from tests.system.processes import run


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@pytest.fixture
async def site(tmp_path: Path, quiet_daemon: None) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


def config_of(site: Site, tmp_path: Path, **sections: Mapping[str, Any]) -> Path:
    port = {"port": int(site.url.rpartition(":")[2])}
    return write_config(
        tmp_path, state=tmp_path / "state", upstreams={"fake": site.ollama.url}, server=port, **sections
    )


async def examine(config: Path, *more: str) -> dict[str, dict[str, str]]:
    """The findings by id, each with a fix where it is not well."""
    result = await llmgate("doctor", "--config", str(config), "-o", "json", *more)
    findings = {row["id"]: row for row in result.json}
    assert len(findings) == len(result.json)
    for row in result.json:
        assert set(row) == {"id", "status", "found", "fix"}
        assert row["found"]
        assert row["fix"] or row["status"] in ("ok", "skip"), row
    assert result.code == (1 if "fail" in {row["status"] for row in result.json} else 0)
    return findings


def files_in(directory: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.stat()
        found[str(path)] = (status.st_mtime_ns, status.st_size)
    return found


async def test_a_sound_installation_that_serves_has_no_failure(site: Site, tmp_path: Path) -> None:
    found = await examine(config_of(site, tmp_path))
    for check in ("config", "state", "state.secret.key", "state.llmgate.db", "state.secret", "database", "disk"):
        assert found[check]["status"] == "ok", found[check]
    for check in ("database.schema", "database.secret", "upstream.fake", "daemon", "daemon.ready"):
        assert found[check]["status"] == "ok", found[check]
    assert "fail" not in {row["status"] for row in found.values()}
    assert site.ollama.url in found["upstream.fake"]["found"]
    assert found["broker"]["status"] == "skip"
    if os.geteuid() == 0:
        assert found["user"]["status"] == "warn"


async def test_what_could_be_a_password_in_a_bad_address_is_not_repeated(tmp_path: Path) -> None:
    config = write_config(
        tmp_path, state=tmp_path / "state", upstreams={}, database={"url": "postgresql://ada:hunter2"}
    )
    for command in (("doctor",), ("backup", "--passphrase-stdin"), ("db", "status")):
        result = await llmgate(*command, "--config", str(config), stdin="correct horse battery staple\n")
        assert result.code
        assert "hunter2" not in result.out + result.err, command
        assert "database.url" in result.out + result.err, command


async def test_a_daemon_elsewhere_is_asked_by_its_url(site: Site, tmp_path: Path) -> None:
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": site.ollama.url})
    assert (await examine(config))["daemon"]["status"] == "skip"
    assert (await examine(config, "--url", site.url))["daemon.ready"]["status"] == "ok"
    secret = await llmgate("doctor", "--config", str(config), "--url", "http://ada:hunter2@127.0.0.1:1")
    assert (secret.code, "hunter2" in secret.out + secret.err) == (6, False)
    wrong = (await examine(config, "--url", site.ollama.url))["daemon"]
    assert (wrong["status"], "else than llmgate" in wrong["found"]) == ("fail", True)
    nobody = (await examine(config, "--url", "http://127.0.0.1:1"))["daemon"]
    assert (nobody["status"], "No daemon answers" in nobody["found"]) == ("fail", True)


async def test_a_daemon_that_is_not_ready_says_why(site: Site, tmp_path: Path) -> None:
    site.gateway.services.draining = True
    found = await examine(config_of(site, tmp_path))
    site.gateway.services.draining = False
    assert found["daemon.ready"]["status"] == "fail"
    assert "shutting down" in found["daemon.ready"]["found"]


async def test_nothing_is_created_where_nothing_is(ollama: FakeOllama, tmp_path: Path) -> None:
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url})
    before = files_in(tmp_path)
    found = await examine(config)
    assert found["state"]["status"] == "warn"
    assert "llmgate init" in found["state"]["fix"]
    assert found["database"]["status"] == "skip"
    assert files_in(tmp_path) == before


async def test_nothing_is_changed_where_something_is(ollama: FakeOllama, tmp_path: Path, sqlite_template: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    shutil.copy(sqlite_template, state / "llmgate.db")
    (state / "llmgate.db").chmod(0o600)
    config = write_config(tmp_path, state=state, upstreams={"fake": ollama.url})
    before = files_in(tmp_path)
    found = await examine(config)
    assert files_in(tmp_path) == before
    assert found["database"]["status"] == found["database.schema"]["status"] == "ok"
    assert "is missing" in found["state.secret"]["found"]
    assert found["state.secret"]["status"] == "fail"


async def test_what_is_wrong_with_files_is_told_with_its_command(ollama: FakeOllama, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with opened(sqlite_url(state / "llmgate.db")) as database:
        await database.migrate()
        async with database.begin() as tx:
            await instance.check_secret(tx, "of another")
    secrets.install(state / "secret.key", SECRET)
    state.chmod(0o770)
    (state / "llmgate.db").chmod(0o644)
    sections = {"database": {"url": f"sqlite:///{state / 'llmgate.db'}"}}
    config = write_config(tmp_path, state=state, upstreams={"fake": ollama.url}, **sections)
    config.chmod(0o644)
    found = await examine(config)
    assert found["state"]["fix"] == f"chmod 700 '{state}'"
    assert found["state.llmgate.db"]["fix"] == f"chmod 600 '{state / 'llmgate.db'}'"
    assert found["config"]["fix"] == f"chmod o= '{config}'"
    assert "another secret key" in found["database.secret"]["found"]
    for check in ("state", "state.llmgate.db", "database.secret"):
        assert found[check]["status"] == "fail"
    (state / "secret.key").write_text("00" * 32)
    assert "is not random" in (await examine(config))["state.secret"]["found"]


async def test_a_wrong_configuration_is_one_failure_and_skips_what_needs_it(tmp_path: Path) -> None:
    config = tmp_path / "llmgate.toml"
    config.write_text("[server]\nprot = 1\n")
    found = await examine(config)
    assert found["config"]["status"] == "fail"
    assert "'port'" in found["config"]["found"]
    assert {found[name]["status"] for name in ("database", "upstream", "daemon", "state")} == {"skip"}
    assert found["install"]["status"] in ("ok", "warn")


async def test_upstreams_are_named_with_what_only_some_of_a_pool_have(tmp_path: Path) -> None:
    async with (
        FakeOllama(models=("a:latest", "b:latest")) as one,
        FakeOllama(models=("a:latest",)) as two,
        FakeOllama(models=()) as bare,
    ):
        urls = {"gpu/one": one.url, "gpu/two": two.url, "bare": bare.url, "gone": "http://127.0.0.1:1"}
        config = write_config(tmp_path, state=tmp_path / "state", upstreams=urls)
        found = await examine(config)
    assert found["upstream.one"]["found"].endswith("has a:latest, b:latest.")
    assert (found["pool.gpu"]["status"], "b:latest" in found["pool.gpu"]["found"]) == ("warn", True)
    assert "two" in found["pool.gpu"]["fix"]
    assert found["upstream.bare"]["status"] == "warn"
    assert found["upstream.gone"]["status"] == "fail"
    assert "curl http://127.0.0.1:1" in found["upstream.gone"]["fix"]


async def test_upstreams_and_settings_of_the_database_count_as_well(
    ollama: FakeOllama, tmp_path: Path, postgres_url: str
) -> None:
    times = {"connect_timeout": 3.0, "first_byte_timeout": 600.0, "idle_timeout": 120.0}
    common = {"kind": "ollama", "url": ollama.url, "slots": 1, "pool": None, **times}
    sealed = seal_of(secrets.load_or_create(tmp_path / "other.key")).seal("token", name="foreign", url=ollama.url)
    secrets.install(tmp_path / "state" / "secret.key", SECRET)
    async with opened(postgres_url) as database, database.begin() as tx:
        await instance.check_secret(tx, SECRET.fingerprint)
        await upstreams.create(tx, name="added", api_key_sealed=None, **common)
        await upstreams.create(tx, name="foreign", api_key_sealed=sealed, **common)
        await stored_settings.put(tx, "queue.max_waiting", 5_000_000, by="test")
    sections = {"database": {"url": postgres_url}}
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, **sections)
    found = await examine(config)
    assert found["database"]["found"].startswith("postgresql ")
    assert found["database.secret"]["status"] == found["database.clock"]["status"] == "ok"
    assert found["upstream.added"]["status"] == "ok"
    assert "upstreams update foreign" in found["upstream.foreign.token"]["fix"]
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 5_000_000:
        assert "max_waiting needs 6,666" in found["limits"]["found"]


async def test_a_database_without_our_schema_is_told_apart(
    ollama: FakeOllama, tmp_path: Path, postgres: PostgresServer, new_database: Any
) -> None:
    url = new_database("postgresql")
    sections = {"database": {"url": url, "timeout": 2}}
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, **sections)
    assert (await examine(config))["database.schema"]["status"] == "warn"
    async with opened(url) as database:
        await database.migrate()
        for revision, status in (("0001", "warn"), ("9999", "fail")):
            async with database.begin() as tx:
                await tx.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
            assert (await examine(config))["database.schema"]["status"] == status
    gone = {"database": {"url": "postgresql://user:hunter2@127.0.0.1:1/x", "timeout": 2}}
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, **gone)
    found = (await examine(config))["database"]
    assert found["status"] == "fail"
    assert "hunter2" not in json.dumps(found)


async def test_a_port_that_is_taken_or_not_ours_is_told(ollama: FakeOllama, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = {"port": taken.getsockname()[1]}
        config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, server=server)
        found = (await examine(config))["daemon"]
        assert (found["status"], "taken by another program" in found["found"]) == ("fail", True)
    assert "is free" in (await examine(config))["daemon"]["found"]
    server = {"port": 11435, "host": "192.0.2.1"}
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, server=server)
    assert (await examine(config))["daemon"]["status"] == "fail"


@pytest.mark.parametrize(
    ("server", "statuses"),
    [
        ({}, {"web": "skip"}),
        ({"public_url": "https://llm.example.com"}, {"web": "ok", "web.proxy": "warn"}),
        ({"public_url": "https://llm.example.com", "trusted_proxies": ["127.0.0.1/32"]}, {"web": "ok"}),
        ({"public_url": "http://llm.example.com"}, {"web": "fail"}),
        ({"public_url": "http://llm.example.com", "allow_insecure_cookies": True}, {"web": "warn"}),
        ({"public_url": "http://localhost:80"}, {"web": "ok"}),
        ({"public_url": "https://llm.example.com/ai/", "trusted_proxies": ["127.0.0.1/32"]}, {"web": "ok"}),
    ],
)
async def test_what_browsers_need(
    ollama: FakeOllama, tmp_path: Path, server: dict[str, Any], statuses: dict[str, str]
) -> None:
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, server=server)
    found = await examine(config)
    assert {name: row["status"] for name, row in found.items() if name.startswith("web")} == statuses


async def test_two_distributions_and_little_disk_are_told(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")
    monkeypatch.setattr(machine, "_free", lambda directory: (50 * 1024**2, directory))
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url})
    found = await examine(config)
    assert "pip uninstall llmgate" in found["install"]["fix"]
    assert found["disk"]["status"] == "fail"


@pytest.mark.parametrize(("told", "status"), [("yes", "ok"), ("no", "warn"), ("", "skip")])
async def test_the_clock_is_asked_of_timedatectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, status: str
) -> None:
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {told}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert [one.status for one in await machine.check_clock(Case(load(None, environ={})))] == [status]


async def test_a_check_that_breaks_or_hangs_fails_alone() -> None:
    async def well(case: Case) -> list[Finding]:
        return [Finding("well", Status.OK, "It is.")]

    async def breaks(case: Case) -> list[Finding]:
        raise ZeroDivisionError("oh")

    async def hangs(case: Case) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    checks = {"breaks": breaks, "hangs": hangs, "well": well}
    found = await doctor.run(checks, Case(load(None, environ={})), deadline=0.2)
    assert [(one.id, one.status) for one in found] == [("breaks", "fail"), ("hangs", "fail"), ("well", "ok")]
    assert "ZeroDivisionError: oh" in found[0].found
    assert all(one.fix for one in found[:2])


async def test_people_see_a_table_with_the_fixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"gone": "http://127.0.0.1:1"})
    result: Result = await llmgate("doctor", "--config", str(config))
    assert result.code == 1
    assert "x upstream.gone" in result.out
    assert "-> Start it, or correct its url." in result.out
    assert "1 failed" in result.out
    quiet = await llmgate("doctor", "--config", str(config), "-q")
    assert "upstream.gone" in quiet.out.split()
    assert "disk" not in quiet.out.split()


async def test_libraries_do_not_write_between_the_findings(ollama: FakeOllama, tmp_path: Path) -> None:
    queue = {"backend": "rabbitmq", "url": "amqp://guest:guest@127.0.0.1:1/none"}
    config = write_config(tmp_path, state=tmp_path / "state", upstreams={"fake": ollama.url}, queue=queue)
    code, out, err = await run("doctor", "--config", str(config), "-q", home=tmp_path)
    assert code == 1
    assert "broker" in out.split()
    assert err == ""
