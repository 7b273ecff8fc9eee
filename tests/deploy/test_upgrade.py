"""Expand first, contract a release later: daemons serve on when one of the next release has migrated the database."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import DatabaseSettings, ServerSettings, Settings, StateSettings
from llmgate.daemon import store
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.services import open_services
from llmgate.daemon.store import whitelist
from llmgate.errors import StartupError
from tests.chat.harness import log_in, open_page
from tests.fakes import FakeOllama
from tests.gateway.harness import CHAT, Running, run_gateway, upstream_for

VERSIONS = Path(store.__file__).parent / "migrations" / "versions"
EXPANDS = {"create_table", "create_index", "drop_index", "add_column", "get_bind"}
"""What a migration may do: no older daemon notices. An index is nothing that a statement names."""
CONTRACTS: dict[str, str] = {}
"""Migrations that take something away: the file, and the release that was the last to read it."""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call of an operation of Alembic's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "op":
            yield node.func.attr, node


def columns_added(tree: ast.AST) -> Iterator[ast.Call]:
    """Every column of the migration that is not part of a new table."""
    of_new_tables = {
        id(part) for name, call in calls(tree) if name == "create_table" for part in ast.walk(call)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sa.Column" and id(node) not in of_new_tables:
            yield node


def faults(source: str) -> list[str]:
    """What an older daemon would notice of a migration."""
    tree = ast.parse(source)
    found = [f"line {call.lineno}: op.{name}" for name, call in calls(tree) if name not in EXPANDS]
    added = list(columns_added(tree))
    for column in added:
        words = {keyword.arg: ast.unparse(keyword.value) for keyword in column.keywords}
        if words.get("nullable") == "False" and "server_default" not in words:
            found.append(f"line {column.lineno}: an older daemon does not fill this column")
    fresh = {ast.literal_eval(column.args[0]) for column in added}
    tables = {ast.literal_eval(call.args[0]) for name, call in calls(tree) if name == "create_table"}
    for name, call in calls(tree):
        words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "create_index" and words.get("unique") == "True":
            table, listed = ast.literal_eval(call.args[1]), ast.literal_eval(call.args[2])
            if table not in tables and not fresh & set(listed):
                found.append(f"line {call.lineno}: an older daemon may write the same value twice")
    return found


@pytest.mark.parametrize("file", sorted(VERSIONS.glob("0*.py")), ids=lambda file: file.stem)
def test_a_migration_only_adds(file: Path) -> None:
    if file.stem not in CONTRACTS:
        assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "op.drop_column('users', 'name')",
        "op.drop_table('users')",
        "op.alter_column('users', 'name', new_column_name='login')",
        "op.execute('UPDATE users SET name = lower(name)')",
        "op.add_column('users', sa.Column('mail', sa.String, nullable=False))",
        "op.create_index('ix', 'users', ['name'], unique=True)",
    ],
)
def test_a_migration_that_takes_away_is_found(statement: str) -> None:
    assert len(faults(f"def upgrade():\n    {statement}\n")) == 1


async def newer(tx: AsyncConnection) -> None:
    """What a newer llmgate may do to a database: more columns in every table, another table, another revision."""
    names = await tx.run_sync(lambda connection: sa.inspect(connection).get_table_names())
    assert {"users", "api_keys", "requests", "conversations"} <= set(names)
    for name in names:
        if name != "alembic_version":
            await tx.execute(sa.text(f'ALTER TABLE "{name}" ADD COLUMN of_tomorrow VARCHAR'))
            await tx.execute(sa.text(f"ALTER TABLE \"{name}\" ADD COLUMN needed_tomorrow VARCHAR NOT NULL DEFAULT 'x'"))
    await tx.execute(sa.text("CREATE TABLE tomorrow (id VARCHAR PRIMARY KEY)"))
    await tx.execute(sa.text("CREATE INDEX ix_users_of_tomorrow ON users (of_tomorrow)"))
    await tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


async def everything_works(gateway: Running, number: int) -> None:
    """Ask, with old and new keys, change something, log in, chat, and have it all written down."""
    admin = {"authorization": f"Bearer {await gateway.new_key(f'admin-{number}', role=Role.ADMIN)}"}
    made = await gateway.client.post("/admin/v1/keys", json={"name": f"made-{number}"}, headers=admin)
    assert made.status_code == 201, made.text
    for key in (gateway.key, made.json()["key"]):
        answer = await gateway.post("/api/chat", {**CHAT, "stream": False}, authorization=f"Bearer {key}")
        assert answer.status_code == 200, answer.text
    async with gateway.services.database.begin() as tx:
        await whitelist.create(tx, cidr=f"10.0.0.{number}/32")
    ann = await log_in(gateway)
    async with open_page(gateway, ann) as page:
        assert (await page.answer())["outcome"] == "completed"
    await gateway.services.usage.flush()
    for path in ("keys", "users", "whitelist", "requests", "activity", "upstreams", "settings", "usage?group_by=key"):
        answer = await gateway.client.get(f"/admin/v1/{path}", headers=admin)
        assert answer.status_code == 200, f"{path}: {answer.text}"
    assert (await gateway.client.get("/health/ready")).status_code == 200


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


async def test_a_daemon_serves_on_when_a_newer_one_has_migrated(
    database_url: str, tmp_path: Path, ollama: FakeOllama
) -> None:
    settings = Settings(
        server=ServerSettings(port=0),
        state=StateSettings(dir=tmp_path / "state"),
        database=DatabaseSettings(url=database_url),
        upstreams=[upstream_for(ollama)],
    )
    async with run_gateway(settings) as gateway:
        # Often enough that PostgreSQL has statements prepared by now, which a changed table could spoil.
        for number in range(6):
            await everything_works(gateway, number)
        async with gateway.services.database.begin() as tx:
            await newer(tx)
        for number in range(6, 8):
            await everything_works(gateway, number)
        assert {event.outcome for event in gateway.finished} == {"completed"}
    # One that starts now does not know the schema, and says so before it has touched anything.
    with pytest.raises(StartupError, match="schema 9999, which this version of llmgate does not know"):
        async with asyncio.timeout(20), open_services(settings):
            pass
