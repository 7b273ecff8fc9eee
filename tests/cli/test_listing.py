"""Long lists: page by page, all of them where that is wanted, and looked at again and again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmgate import schemas
from llmgate.cli import listing
from llmgate.cli.command import Cli
from llmgate.cli.output import Column, Format, table
from llmgate.cli.pools import COLUMNS as POOLS
from llmgate.cli.queue_columns import RUNNING, WAITING
from llmgate.cli.screen import lines_of
from llmgate.cli.shared import Options
from llmgate.errors import InvalidRequest
from llmgate.text import cell
from tests.admin.harness import Site
from tests.cli.harness import llmgate, on_terminal
from tests.cli.test_watch import line_of, piped
from tests.cli.test_work import occupied
from tests.gateway.harness import CHAT

COLUMNS = (Column("name", lambda row: row.name),)


class Row(schemas.Answer):
    id: str
    name: str


class Many:
    """A noun with so many rows. It counts how often it was asked, and what was printed before each time."""

    def __init__(self, rows: int) -> None:
        self.rows = [Row(id=str(number), name=f"n{number}") for number in range(rows)]
        self.asked: list[int] = []

    async def page(self, after: str | None = None, limit: int = listing.PAGE, **filters: object) -> schemas.Page[Row]:
        assert limit <= listing.PAGE
        begin = int(after or 0)
        self.asked.append(begin)
        rows = self.rows[begin : begin + limit]
        end = begin + len(rows)
        return schemas.Page[Row](data=rows, next=str(end) if end < len(self.rows) else None)


async def listed(capsys: pytest.CaptureFixture[str], form: Format, rows: int, limit: int | None) -> tuple[str, str]:
    await listing.listing(Cli(Options(output=form)), Many(rows), COLUMNS, limit=limit)
    found = capsys.readouterr()
    return found.out, found.err


@pytest.mark.parametrize("rows", [0, 1, 200, 201, 1000])
async def test_all_rows_come_whatever_the_form(capsys: pytest.CaptureFixture[str], rows: int) -> None:
    names = [f"n{number}" for number in range(rows)]
    out, err = await listed(capsys, Format.JSON, rows, None)
    assert [row["name"] for row in json.loads(out)] == names
    out, _ = await listed(capsys, Format.JSONL, rows, None)
    assert [json.loads(line)["name"] for line in out.splitlines()] == names
    out, _ = await listed(capsys, Format.TABLE, rows, None)
    assert [line.strip() for line in out.splitlines()][1:] == names
    assert err == ""


async def test_a_list_that_was_cut_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = await listed(capsys, Format.JSONL, 1000, 300)
    assert len(out.splitlines()) == 300
    assert "first 300" in err
    assert "--all" in err
    assert (await listed(capsys, Format.JSONL, 300, 300))[1] == ""


async def test_lines_are_written_before_the_next_page_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    noun = Many(600)
    answer = noun.page

    async def page(after: str | None = None, limit: int = 200, **filters: object) -> schemas.Page[Row]:
        seen.append(len(capsys.readouterr().out.splitlines()))
        return await answer(after, limit, **filters)

    monkeypatch.setattr(noun, "page", page)
    await listing.listing(Cli(Options(output=Format.JSONL)), noun, COLUMNS, limit=None)
    assert seen == [0, 200, 200]


async def test_a_table_has_an_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LONGEST_TABLE", 300)
    with pytest.raises(InvalidRequest, match="do not make a table"):
        await listed(capsys, Format.TABLE, 1000, None)
    assert len((await listed(capsys, Format.JSONL, 1000, None))[0].splitlines()) == 1000


async def test_a_noun_lists_all_or_some(root: Site) -> None:
    for number in range(3):
        await root.made("users", name=f"u{number}", password="correct horse battery")
    assert len((await llmgate("users", "list", "-q", "--all", "--limit", "1")).ok().out.split()) == 5
    cut = (await llmgate("users", "list", "-o", "json", "--limit", "2")).ok()
    assert [row["name"] for row in cut.json] == ["root", "ada"]
    assert "--all" in cut.err


async def test_on_a_terminal_a_long_list_is_counted_while_it_comes(root: Site, home: Path) -> None:
    program = (
        "import asyncio, sys; from llmgate.cli import listing; listing.PATIENCE = 0; from llmgate.cli.main import run;"
        "run(['users', 'list', '--limit', '1000'])"
    )
    async with on_terminal(directory=home, command=(sys.executable, "-c", program)) as terminal:
        await terminal.shows("ada")
        assert await terminal.ended() == 0
    assert "\r2 rows …\r\x1b[K" in terminal.shown


@pytest.mark.parametrize(
    "command", ["queue running", "queue list", "queue stats", "usage", "upstreams list", "models loaded", "system show"]
)
async def test_without_a_terminal_a_watched_list_is_lines_of_json(root: Site, command: str) -> None:
    async with piped(*command.split(), "--watch", "--interval", "0.1") as process:
        looks = [await line_of(process) for _ in range(2)]
    assert [list(look) for look in looks] == [["at", "data"]] * 2


async def test_who_runs_and_who_waits_is_listed_of_one_or_of_all(root: Site) -> None:
    busy = await occupied(root)
    waiting = asyncio.create_task(root.gateway.post("/api/chat", {**CHAT, "stream": False}))
    await root.gateway.waiting(1)
    (held,) = (await llmgate("queue", "running", "--json")).ok().json
    assert (held["pool"], held["upstream"]) == ("fake", "fake")
    assert held["owner"].startswith("key:")
    assert (await llmgate("queue", "running", "-q", "--owner", held["owner"])).ok().out.strip() == held["ticket_id"]
    assert (await llmgate("queue", "running", "--owner", "key:other", "--json")).ok().json == []
    assert (await llmgate("queue", "running", "--pool", "other", "--json")).ok().json == []
    (place,) = (await llmgate("queue", "list", "--json", "--owner", held["owner"])).ok().json
    assert place["owner"] == held["owner"]
    assert (await llmgate("queue", "list", "--json", "--owner", "key:other")).ok().json == []
    name, level = held["owner_name"], str(held["level"])
    for verb in ("list", "running"):
        filters = ("--owner", name, "--pool", "fake", "--model", "llama3.2", "--level", level)
        shown = (await llmgate("queue", verb, *filters)).ok()
        assert name in shown.out
        assert held["owner"] not in shown.out
        for option, other in (("--owner", "nobody"), ("--pool", "other"), ("--model", "other"), ("--level", "5")):
            assert (await llmgate("queue", verb, option, other, "--json")).ok().json == []
    root.ollama.release("first")
    await asyncio.gather(busy, waiting)


async def test_who_is_not_listed_is_counted(root: Site) -> None:
    busy = await occupied(root)
    waiting = [asyncio.create_task(root.gateway.post("/api/chat", {**CHAT, "stream": False})) for _ in range(2)]
    await root.gateway.waiting(2)
    cut = (await llmgate("queue", "list", "--limit", "1")).ok()
    assert "first 1 of 2" in cut.err
    assert len(cut.out.splitlines()) == 2
    assert "first" not in (await llmgate("queue", "list", "-q", "--limit", "1")).ok().err
    assert "first" not in (await llmgate("queue", "list")).ok().err
    root.ollama.release("first")
    await asyncio.gather(busy, *waiting)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (
            WAITING,
            schemas.Waiting(
                ticket_id="3f2a9c1b7d4e5f60",
                pool="main",
                model="llama3.2:latest",
                owner="key:aB3dE5gH7j",
                owner_name="ann/editor",
                submitted_level=5,
                level=2,
                aged=True,
                ahead=1234,
                waited=1203.4,
                estimated_wait=None,
            ),
        ),
        (
            RUNNING,
            schemas.Running(
                ticket_id="3f2a9c1b7d4e5f60",
                pool="main",
                model="llama3.2:latest",
                owner="key:aB3dE5gH7j",
                owner_name="",
                level=2,
                upstream="gpu-box-1",
                running_for=1203.4,
            ),
        ),
        (
            POOLS,
            schemas.Pool.model_construct(
                pool="main",
                state="draining",
                upstreams=["gpu-1", "gpu-2"],
                usable_upstreams=["gpu-1"],
                slots=16,
                running=12,
                waiting=1234,
                models=["llama3.2:latest"],
                partial_models={},
            ),
        ),
    ],
)
def test_eighty_columns_hold_a_row_on_one_line(columns: Sequence[Column], row: schemas.Answer) -> None:
    lines = lines_of(table([row], columns, 80), 80)
    assert len(lines) == 2
    for column in columns:
        if column.fits(80):
            assert column.title.upper() in lines[0]
            assert cell(column.value(row)) in lines[1]


async def test_what_is_listed_can_be_watched(root: Site, home: Path) -> None:
    answered = await root.admin.post("/api/chat", json={**CHAT, "stream": False})
    assert answered.status_code == 200
    async with on_terminal("usage", "--by", "model", "--watch", "--interval", "0.1", directory=home) as terminal:
        await terminal.shows("llama3.2")
        seen = terminal.shown.count("\x1b[H")
        while terminal.shown.count("\x1b[H") < seen + 2:
            await terminal.more()
        terminal.type("\x03")
        assert await terminal.ended() == 130
