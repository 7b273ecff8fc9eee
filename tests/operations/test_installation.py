"""A command on the daemon's machine finds what the configuration names, and does no harm to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from llmgate.config import Settings, StateSettings
from llmgate.daemon.operations.installation import check_user, place_of
from llmgate.daemon.operations.outfile import new_file
from llmgate.daemon.store import instance
from llmgate.daemon.store.database import Database
from llmgate.errors import Conflict, StateUnreadable, StoreUnavailable
from tests.services.fixtures import opened


async def test_a_look_at_a_database_writes_nothing_and_sees_what_others_write(database_url: str) -> None:
    looking = Database(database_url, read_only=True)
    await looking.connect()
    with pytest.raises((DBAPIError, StoreUnavailable)):
        async with looking.read() as tx:
            await tx.execute(text("INSERT INTO instance VALUES ('a', 'b')"))
    await looking.close()
    async with opened(database_url) as writing:
        async with writing.begin() as tx:
            await instance.set(tx, "a", "1")
        await looking.connect()
        async with looking.read() as tx:
            assert await instance.get(tx, "a") == "1"
        await looking.close()


async def test_a_look_at_no_database_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no database at"):
        await Database(f"sqlite:///{tmp_path}/a/b.db", read_only=True).connect()
    assert not (tmp_path / "a").exists()


async def test_a_snapshot_holds_still_while_others_write(database_url: str) -> None:
    async with opened(database_url) as reading, opened(database_url) as writing, reading.snapshot() as tx:
        assert await instance.get(tx, "a") is None
        async with writing.begin() as other:
            await instance.set(other, "a", "1")
        assert await instance.get(tx, "a") is None
        async with writing.read() as other:
            assert await instance.get(other, "a") == "1"


def test_another_user_than_the_daemons_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state=StateSettings(dir=tmp_path))
    check_user(settings)
    check_user(Settings(state=StateSettings(dir=tmp_path / "none")))
    owner = 12_345 if os.geteuid() == 0 else os.geteuid()
    if os.geteuid() == 0:
        os.chown(tmp_path, owner, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StateUnreadable, match="belongs to the user") as caught:
        check_user(settings)
    assert "sudo -u" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://me:hunter2@db.example:5433/gate", "gate at db.example:5433"),
        ("postgresql:///gate?host=/run/pg", "gate at /run/pg"),
        ("postgresql://", "the default database at the local socket"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
    ],
)
def test_a_database_is_named_without_its_password(url: str, place: str) -> None:
    assert place_of(Settings(database={"url": url})) == place


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "saved"

    def fail_halfway(*, replace: bool) -> None:
        with new_file(path, replace=replace) as file:
            file.write(b"half")
            raise ZeroDivisionError

    def is_overtaken() -> None:
        with new_file(path, replace=False) as file:
            file.write(b"late")
            path.write_bytes(b"first")

    with pytest.raises(ZeroDivisionError):
        fail_halfway(replace=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Conflict):
        is_overtaken()
    with pytest.raises(ZeroDivisionError):
        fail_halfway(replace=True)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"first"]
