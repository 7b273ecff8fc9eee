"""Paging, many at once, and what happens when something of ours breaks."""

from __future__ import annotations

import asyncio

import httpx
from structlog.testing import capture_logs

from tests.admin.harness import Site, problem


async def test_a_list_is_walked_page_by_page_without_gaps_or_repeats(site: Site) -> None:
    names = [f"app-{number}" for number in range(7)]
    for name in names:
        await site.made("keys", name=name)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = await site.admin.get("/admin/v1/keys", params={"limit": 3, **({"after": after} if after else {})})
        page = answer.json()
        assert len(page["data"]) <= 3
        seen += [key["name"] for key in page["data"]]
        after = page["next"]
    assert seen == ["test", *names]


async def test_an_unavailable_database_is_a_503_that_says_when_to_try_again(site: Site) -> None:
    await site.gateway.services.database.close()
    answer = await site.admin.get("/admin/v1/users")
    problem(answer, 503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_defect_is_a_500_without_details_and_the_next_request_is_served(site: Site) -> None:
    def broken(limit: int) -> None:
        raise RuntimeError("private detail")

    site.gateway.services.queue.waiting = broken  # type: ignore[assignment,method-assign]  # a defect, made on purpose
    with capture_logs() as logged:
        answer = await site.admin.get("/admin/v1/queue/waiting")
    assert [(entry["event"], entry["request_id"]) for entry in logged] == [
        ("request_broke", answer.headers["x-request-id"])
    ]
    problem(answer, 500, "internal_error")
    assert "private detail" not in answer.text
    assert (await site.admin.get("/admin/v1/users")).status_code == 200


async def test_admins_are_served_concurrently(site: Site) -> None:
    answers: list[httpx.Response] = await asyncio.gather(
        *(site.admin.post("/admin/v1/keys", json={"name": f"k-{number}"}) for number in range(20))
    )
    assert [answer.status_code for answer in answers] == [201] * 20
