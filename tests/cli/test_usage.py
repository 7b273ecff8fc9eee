"""What was used, from the command line."""

from __future__ import annotations

import csv
import io
import re

from tests.admin.harness import Site
from tests.admin.test_usage import some
from tests.cli.harness import llmgate


async def test_usage_by_two_words_and_narrowed(root: Site) -> None:
    await some(root)
    table = (await llmgate("usage", "--by", "model", "--then-by", "level", "--user", "ada")).ok().out.splitlines()
    assert table[0].split()[:3] == ["MODEL", "LEVEL", "REQUESTS"]
    assert [line.split()[:3] for line in table[1:]] == [
        ["llama3:latest", "2", "1"],
        ["qwen", "2", "1"],
        ["qwen", "5", "1"],
    ]
    found = (await llmgate("usage", "--by", "key", "--level", "5", "--json", "--fields", "name,requests")).ok().json
    assert found == [{"name": "laptop", "requests": 1}]


async def test_an_hour_is_told_as_other_times_are(root: Site) -> None:
    await some(root)
    table = (await llmgate("usage", "--by", "hour", "--then-by", "model")).ok().out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:00Z  (llama3|qwen)", table[1])
    by_day = (await llmgate("usage", "--by", "day", "--then-by", "hour")).ok().out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d  \d{4}-\d\d-\d\d \d\d:00Z", by_day[1])


async def test_usage_as_a_spreadsheet_is_the_daemons_own(root: Site) -> None:
    await some(root)
    printed = (await llmgate("usage", "--by", "principal", "--csv")).ok().out
    query = {"group_by": "principal", "format": "csv"}
    assert printed == (await root.admin.get("/admin/v1/usage", params=query)).text
    assert len(list(csv.reader(io.StringIO(printed, newline="")))) == 3
    for more in (("--watch",), ("-o", "json"), ("--fields", "key")):
        assert (await llmgate("usage", "--csv", *more)).code == 6


async def test_requests_are_listed_by_whatever_is_asked_for(root: Site) -> None:
    await some(root)

    async def ids(*arguments: str) -> list[str]:
        return (await llmgate("requests", "list", "-q", *arguments)).ok().out.split()

    assert await ids() == ["r3", "r1", "r2", "r4"]
    assert await ids("--key", "laptop", "--model", "qwen") == ["r3", "r2"]
    assert await ids("--user", "ada", "--level", "5") == ["r2"]
    assert await ids("--upstream", "gpu-2", "--outcome", "upstream_failed") == ["r3"]
    assert await ids("--since", "90m") == ["r3", "r1", "r2"]
    assert await ids("--until", "90m") == ["r4"]
    assert await ids("--all", "--limit", "1") == ["r3", "r1", "r2", "r4"]
