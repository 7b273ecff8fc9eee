"""What was used: by one and by two dimensions, narrowed, and for spreadsheets; and the single requests."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmgate.daemon.admin import spreadsheet
from llmgate.daemon.admin import usage as api
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import requests, usage
from llmgate.daemon.store.usage_sums import UsageRow
from tests.admin.harness import Site, problem
from tests.store.test_accounting import DONE

USAGE, REQUESTS = "/admin/v1/usage", "/admin/v1/requests"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def finished(number: int, **changes: Any) -> RequestFinished:
    return replace(DONE, **{"finished_at": NOW, **changes, "request_id": f"r{number}"})


async def log(site: Site, *events: RequestFinished) -> None:
    async with site.gateway.services.database.begin() as tx:
        await usage.add(tx, await requests.insert_many(tx, events))


async def some(site: Site) -> dict[str, str]:
    """Two keys of ada's, one of nobody's, over two models, two levels, two upstreams. Returns ids by name."""
    made = {"laptop": (await site.made("keys", name="laptop", user="ada"))["id"]}
    made["ada"] = (await site.admin.get("/admin/v1/users/ada")).json()["id"]
    ada = {"principal_id": made["laptop"], "principal_name": "laptop", "user_id": made["ada"]}
    await log(
        site,
        finished(1, **ada),
        finished(2, **ada, model="qwen", submitted_level=5, finished_at=NOW - HOUR),
        finished(3, **ada, model="qwen", upstream="gpu-2", outcome=Outcome.UPSTREAM_FAILED, status=502),
        finished(4, principal_name="=cmd|' /C calc'!A0", finished_at=NOW - 2 * HOUR),
    )
    return made


async def rows(site: Site, **query: Any) -> list[dict[str, Any]]:
    answer = await site.admin.get(USAGE, params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def test_two_dimensions_are_summed_together(site: Site) -> None:
    made = await some(site)
    found = await rows(site, group_by="model", then_by="level")
    assert [(row["key"], row["then_key"], row["requests"]) for row in found] == [
        ("llama3:latest", "2", 2), ("qwen", "2", 1), ("qwen", "5", 1),
    ]  # fmt: skip
    found = await rows(site, group_by="user", then_by="model")
    assert ("ada", "qwen", 2) in [(row["name"], row["then_name"], row["requests"]) for row in found]
    assert {row["key"] for row in found} == {made["ada"], "-"}
    assert {row["then_key"] for row in await rows(site, group_by="day")} == {None}
    report = (await site.admin.get(USAGE, params={"group_by": "hour", "then_by": "key"})).json()
    assert (report["group_by"], report["then_by"]) == ("hour", "key")
    assert [row["key"] for row in report["data"]] == sorted(row["key"] for row in report["data"])
    problem(await site.admin.get(USAGE, params={"group_by": "day", "then_by": "day"}), 400, "invalid_request")


async def test_usage_is_narrowed_by_whatever_it_is_grouped_by(site: Site) -> None:
    made = await some(site)

    async def count(**query: Any) -> int:
        return sum(row["requests"] for row in await rows(site, group_by="model", **query))

    assert await count() == 4
    for query, expected in (
        ({"user": "ada"}, 3), ({"user": "ADA"}, 3), ({"user": made["ada"]}, 3), ({"user": "nobody"}, 0),
        ({"key": "laptop"}, 3), ({"key": made["laptop"]}, 3), ({"key": "aB3dE5gH7j"}, 1),
        ({"level": 5}, 1), ({"model": "qwen"}, 2), ({"model": "qwen", "level": 2}, 1),
        ({"user": "ada", "principal": f"key:{made['laptop']}"}, 3),
        ({"until": (NOW - 2 * HOUR).isoformat()}, 1),
    ):  # fmt: skip
        assert await count(**query) == expected, query
    problem(await site.admin.get(USAGE, params={"level": 6}), 400, "invalid_request")


async def test_what_a_deleted_key_has_used_is_found_by_its_id(site: Site) -> None:
    made = await some(site)
    assert (await site.admin.delete("/admin/v1/keys/laptop")).status_code == 204
    assert sum(row["requests"] for row in await rows(site, key=made["laptop"])) == 3
    assert [row["name"] for row in await rows(site, group_by="key", key=made["laptop"])] == ["laptop"]


async def test_requests_are_narrowed_and_paged(site: Site) -> None:
    made = await some(site)

    async def ids(**query: Any) -> list[str]:
        found: list[str] = []
        after = None
        while True:
            answer = await site.admin.get(REQUESTS, params={**query, "limit": 1, **({"after": after} if after else {})})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [row["request_id"] for row in page["data"]]
            after = page["next"]
            if after is None:
                return found

    assert await ids() == ["r3", "r1", "r2", "r4"]
    for query, expected in (
        ({"user": "ada"}, ["r3", "r1", "r2"]), ({"key": "laptop", "model": "qwen"}, ["r3", "r2"]),
        ({"key": made["laptop"]}, ["r3", "r1", "r2"]), ({"key": "aB3dE5gH7j"}, ["r4"]), ({"level": 5}, ["r2"]),
        ({"upstream": "gpu-2"}, ["r3"]), ({"outcome": "upstream_failed"}, ["r3"]),
        ({"since": (NOW - HOUR).isoformat()}, ["r3", "r1", "r2"]), ({"until": (NOW - HOUR).isoformat()}, ["r4"]),
        ({"since": (NOW - HOUR).isoformat(), "until": NOW.isoformat()}, ["r2"]),
        ({"principal": f"key:{made['laptop']}", "level": 5}, ["r2"]),
    ):  # fmt: skip
        assert await ids(**query) == expected, query
    both = {"key": "laptop", "principal": "key:aB3dE5gH7j"}
    problem(await site.admin.get(REQUESTS, params=both), 400, "invalid_request")


async def test_a_spreadsheet_gets_titles_and_no_formula(site: Site) -> None:
    made = await some(site)
    query = {"group_by": "user", "then_by": "key", "format": "csv"}
    answer = await site.admin.get(USAGE, params=query)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "usage.csv" in answer.headers["content-disposition"]
    table = list(csv.reader(io.StringIO(answer.text, newline="")))
    sums = ["requests", "errors", "input_tokens", "output_tokens", "wait_seconds"]
    assert table[0] == ["user", "user_name", "key", "key_name", *sums]
    assert [made["ada"], "ada", made["laptop"], "laptop", "3", "1", "30", "60", "1.5"] in table
    assert ["-", "-", "aB3dE5gH7j", "'=cmd|' /C calc'!A0", "1", "0", "10", "20", "0.5"] in table
    (titles, *_) = csv.reader(io.StringIO((await site.admin.get(USAGE, params={**query, "then_by": "day"})).text))
    assert titles == ["user", "user_name", "day", *sums]
    problem(await site.user.get(USAGE, params=query), 403, "forbidden")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\tx", "\r=1", "\n=1", "\uff1d1"])
def test_what_looks_like_a_formula_is_text(text: str) -> None:
    row = UsageRow("k", text, None, None, 1, 0, 0, 0, 0.0)
    _, cells = csv.reader(io.StringIO(spreadsheet.usage([row], "key", None), newline=""))
    assert cells[1] == f"'{text}"


async def test_a_report_has_an_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await some(site)
    monkeypatch.setattr(api, "MOST_GROUPS", 2)
    assert len(await rows(site, group_by="model")) == 2
    refused = problem(await site.admin.get(USAGE, params={"group_by": "hour"}), 400, "invalid_request")
    assert "narrow" in refused["hint"]


async def test_the_description_names_both_forms(site: Site) -> None:
    document = (await site.admin.get("/admin/v1/openapi.json")).json()
    path = document["paths"]["/usage"] if "/usage" in document["paths"] else document["paths"][USAGE]
    assert set(path["get"]["responses"]["200"]["content"]) == {"application/json", "text/csv"}
