"""`llmgate backup`, `restore` and `db`, as they are typed."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from llmgate.daemon.auth import secrets
from llmgate.daemon.store import schema
from llmgate.daemon.store.database import sqlite_url
from tests.cli.harness import Result, llmgate, on_terminal
from tests.operations.support import PASSPHRASE, SECRET, contents, fill, write_config
from tests.services.fixtures import opened

UPSTREAM = {"fake": "http://127.0.0.1:1"}
STDIN = PASSPHRASE + "\n"


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """The configuration of an installation with rows in every table."""
    state = tmp_path / "state"
    async with opened(sqlite_url(state / "llmgate.db")) as database:
        await database.migrate()
        await fill(database)
    secrets.install(state / "secret.key", SECRET)
    return write_config(tmp_path, state=state, upstreams=UPSTREAM)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The configuration of an empty installation."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return write_config(directory, state=directory / "state", upstreams=UPSTREAM)


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def backup(config: Path, *more: str, stdin: str = STDIN) -> Result:
    return await llmgate("backup", "--config", str(config), "--passphrase-stdin", *more, stdin=stdin)


async def restore(config: Path, *more: str, stdin: str = STDIN) -> Result:
    return await llmgate("restore", "--config", str(config), "--passphrase-stdin", *more, stdin=stdin)


async def test_a_backup_is_written_and_restored(config: Path, elsewhere: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.backup"
    made = (await backup(config, str(file), "-o", "json")).ok()
    assert made.err == ""
    assert made.json["file"] == str(file)
    assert made.json["bytes"] == file.stat().st_size
    assert made.json["rows"] == sum(made.json["rows_by_table"].values())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names_in(tmp_path) >= {"my.backup"}
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]
    for secret in (SECRET.reveal().encode(), b"ada", b"users"):
        assert secret not in file.read_bytes()

    checked = (await restore(elsewhere, str(file), "--dry-run", "-o", "json")).ok().json
    assert (checked["restored"], checked["rows_by_table"]) == (False, made.json["rows_by_table"])
    assert not (elsewhere.parent / "state").exists()

    restored = (await restore(elsewhere, str(file), "-o", "json")).ok().json
    assert restored["restored"] is True
    urls = [sqlite_url(path.parent / "state" / "llmgate.db") for path in (config, elsewhere)]
    async with opened(urls[0]) as before, opened(urls[1]) as after:
        assert await contents(before) == await contents(after)


async def test_nothing_is_overwritten(config: Path, elsewhere: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.backup"
    file.write_text("precious")
    refused = await backup(config, str(file))
    assert (refused.code, "--force" in refused.err, file.read_text()) == (6, True, "precious")
    (await backup(config, str(file), "--force")).ok()

    again = await restore(config, str(file))
    assert (again.code, "not empty" in again.err) == (6, True)
    (elsewhere.parent / "state").mkdir()
    key = elsewhere.parent / "state" / "secret.key"
    other = secrets.load_or_create(key)
    refused = await restore(elsewhere, str(file))
    assert (refused.code, "another secret key" in refused.err) == (6, True)
    assert secrets.load_or_create(key) == other
    key.unlink()
    (await restore(elsewhere, str(file))).ok()
    assert (await restore(elsewhere, str(file))).code == 6


async def test_a_restore_that_fails_leaves_nothing(
    config: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my.backup"
    (await backup(config, str(file))).ok()
    wrong = await restore(elsewhere, str(file), stdin="not the passphrase\n")
    assert (wrong.code, "passphrase is not the one" in wrong.err) == (4, True)
    damaged = bytearray(file.read_bytes())
    damaged[-20] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    broken = await restore(elsewhere, str(tmp_path / "damaged"))
    assert (broken.code, "cut off, or damaged at byte" in broken.err) == (6, True)
    assert not (elsewhere.parent / "state").exists()

    with monkeypatch.context() as patch:  # the disk is full, say, when the key is written at the very end
        patch.setattr(secrets, "_create", _fail)
        failed = await restore(elsewhere, str(file))
    assert (failed.code, "No space left" in failed.err) == (1, True)
    assert not (elsewhere.parent / "state" / "secret.key").exists()
    (await restore(elsewhere, str(file))).ok()


def _fail(path: Path, text: str) -> None:
    raise OSError(28, os.strerror(28))


async def test_a_foreign_table_in_the_way_is_told(config: Path, elsewhere: Path, tmp_path: Path) -> None:
    (await backup(config, str(tmp_path / "saved"))).ok()
    url = sqlite_url(elsewhere.parent / "state" / "llmgate.db")
    async with opened(url) as database, database.begin() as tx:
        await tx.execute(text("CREATE VIEW usage AS SELECT 1"))
    refused = await restore(elsewhere, str(tmp_path / "saved"))
    assert (refused.code, "could not be restored" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("more", "stdin", "code", "says"),
    [
        ((), "tooshort\n", 6, "12 characters"),
        ((), "", 2, "nothing was given"),
        (("nowhere/at/all",), STDIN, 1, "Cannot write"),
        (("-", "-o", "json"), STDIN, 2, "standard output"),
        (("--config", "nowhere.toml"), STDIN, 6, "Cannot read"),
    ],
)
async def test_what_cannot_be_done_is_told_and_leaves_no_file(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    stdin: str,
    code: int,
    says: str,
) -> None:
    directory = tmp_path / "cwd"
    directory.mkdir()
    monkeypatch.chdir(directory)
    result = await backup(config, *more, stdin=stdin)
    assert (result.code, says in result.err) == (code, True), result.err
    assert list(directory.iterdir()) == []


async def test_without_a_database_or_a_key_there_is_nothing_to_save(
    config: Path, elsewhere: Path, tmp_path: Path
) -> None:
    nothing = await backup(elsewhere, str(tmp_path / "saved"))
    assert (nothing.code, "no database" in nothing.err) == (5, True)
    assert not (elsewhere.parent / "state").exists()
    (config.parent / "state" / "secret.key").unlink()
    without = await backup(config, str(tmp_path / "saved"))
    assert (without.code, "is missing" in without.err) == (1, True)
    assert not (tmp_path / "saved").exists()


async def test_the_passphrase_can_be_in_a_file_that_the_environment_names(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pass").write_text(STDIN)
    arguments = ("backup", "--config", str(config), str(tmp_path / "saved"))
    nobody = await llmgate(*arguments)
    assert (nobody.code, "--passphrase-file" in nobody.err) == (2, True)
    monkeypatch.setenv("LLMGATE_BACKUP_PASSPHRASE_FILE", str(tmp_path / "pass"))
    (await llmgate(*arguments)).ok()
    dry = ("restore", str(tmp_path / "saved"), "--dry-run", "--passphrase-file", str(tmp_path / "pass"))
    assert "rows" in (await llmgate(*dry)).ok().out


async def test_a_dash_writes_to_standard_output(config: Path, tmp_path: Path) -> None:
    arguments = ("-m", "llmgate", "backup", "-", "--config", str(config), "--passphrase-stdin")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, err = await process.communicate(STDIN.encode())
    assert (process.returncode, err) == (0, b"")
    (tmp_path / "saved").write_bytes(out)
    (await restore(config, str(tmp_path / "saved"), "--dry-run")).ok()


async def test_on_a_terminal_it_asks_twice_and_shows_how_far_it_is(config: Path, tmp_path: Path) -> None:
    arguments = ("backup", str(tmp_path / "saved"), "--config", str(config))
    async with on_terminal(*arguments, directory=tmp_path) as running:
        await running.shows("Passphrase of the backup:")
        running.type(STDIN)
        await running.shows("Once more:")
        running.type(STDIN)
        assert await running.ended() == 0
        await running.shows("schema")
    assert "Saving" in running.shown
    assert (tmp_path / "saved").exists()


async def test_the_schema_is_shown_and_brought_up_to_date(tmp_path: Path, new_database: Callable[[str], str]) -> None:
    url = new_database("postgresql")
    config = write_config(tmp_path, state=tmp_path / "state", upstreams=UPSTREAM, database={"url": url})
    file = ("--config", str(config))
    empty = await llmgate("db", "status", *file, "-o", "json")
    assert (empty.code, empty.json["revision"], len(empty.json["pending"])) == (1, None, len(schema.revisions()))
    async with opened(url) as database, database.begin() as tx:
        await tx.run_sync(schema.upgrade, "0001")
    old = await llmgate("db", "status", *file, "-o", "json")
    assert (old.code, old.json["revision"], old.json["kind"]) == (1, "0001", "postgresql")
    assert old.json["pending"][0]["summary"]
    assert old.json["bytes"] > 0

    unconfirmed = await llmgate("db", "upgrade", *file)
    assert (unconfirmed.code, "--yes" in unconfirmed.err) == (2, True)
    (await llmgate("db", "upgrade", *file, "--yes")).ok()
    newest = (await llmgate("db", "status", *file, "-o", "json")).ok().json
    assert (newest["revision"], newest["pending"]) == (newest["newest"], [])
    assert "newest schema already" in (await llmgate("db", "upgrade", *file)).ok().err
    assert newest["revision"] in (await llmgate("db", "status", *file)).ok().out
    async with opened(url) as database, database.begin() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer = await llmgate("db", "status", *file)
    assert (newer.code, "9999" in newer.err) == (1, True)


async def test_where_there_is_no_database_none_is_made(elsewhere: Path) -> None:
    for verb in ("status", "upgrade"):
        missing = await llmgate("db", verb, "--config", str(elsewhere))
        assert (missing.code, "no database" in missing.err) == (5, True)
    assert not (elsewhere.parent / "state").exists()
