"""What our own APIs answer is what their documents say, whatever they are asked: as administrator, user and nobody.

``make fuzz`` asks much more: ``LLMGATE_FUZZ`` is the number of random requests of each operation.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from llmgate.daemon.auth.principals import Role
from tests.admin.fuzzing import Report, attack
from tests.admin.harness import PASSWORD, Site, run_site

EXAMPLES = int(os.environ.get("LLMGATE_FUZZ", "2"))
IS_LONG = "LLMGATE_FUZZ" in os.environ
ADMIN, GATE = "/admin/v1", "/gate"
AT_HOME = {(ADMIN, "admin"), (GATE, "user")}
"""Whose routes these are: the others get the same answers, and are asked everything in the long form only."""

Headers = Mapping[str, str]


class Immortal:
    """The headers of a caller that is made anew whenever its last request has ended it.

    Call it from another thread than the event loop's.
    """

    def __init__(self, url: str, make: Callable[[], Awaitable[Headers]]) -> None:
        self.client = httpx.Client(base_url=url, trust_env=False)
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._headers: Headers = {}

    def __call__(self) -> Headers:
        if not self._headers or not self._lives():
            self._headers = asyncio.run_coroutine_threadsafe(self._made(), self._loop).result(10)
        return self._headers

    def _lives(self) -> bool:
        return self.client.get("/gate/auth/me", headers=dict(self._headers)).status_code == 200

    async def _made(self) -> Headers:
        return await self._make()


async def furnish(site: Site) -> None:
    """Something to find, to change and to delete."""
    for number in range(3):
        await site.made("users", name=f"user-{number}", password=PASSWORD)
        await site.made("tokens", label=f"token-{number}")
        await site.made("keys", name=f"key-{number}")
        await site.made("whitelist", cidr=f"203.0.113.{number}/32")


@contextmanager
def caller(site: Site, who: str, mount: str) -> Iterator[Callable[[], Headers]]:
    """An application's administrator where administrators are at home, a logged-in person elsewhere."""
    numbers = iter(range(10_000))

    async def key() -> Headers:
        return {"x-api-key": await site.gateway.new_key(f"immortal-{next(numbers)}", role=Role.ADMIN)}

    async def session() -> Headers:
        name = {"admin": "root", "user": "ada"}[who]
        # From elsewhere than the requests, among which are failed logins.
        tokens = await site.gateway.services.sessions.login(name, PASSWORD, address="192.0.2.1", client="test")
        return {"authorization": f"Bearer {tokens.access_token}"}

    immortal = Immortal(site.url, key if who == "admin" and mount == ADMIN else session)
    with immortal.client:
        yield dict if who == "nobody" else immortal


async def attacked(state: Path, mount: str, who: str) -> Report:
    """What a site of its own answered to this caller."""
    async with run_site(state) as site:
        await furnish(site)
        reader = {"x-api-key": await site.gateway.new_key("reader", role=Role.ADMIN)}
        # Who is not let in gets the same answer to everything.
        is_in = who == "admin" or mount == GATE
        path = f"{mount}/openapi.json"
        with caller(site, who, mount) as headers:
            return await asyncio.to_thread(
                attack,
                site.url,
                path,
                reader=reader,
                headers=headers,
                examples=EXAMPLES if is_in else 1,
                systematic=is_in and (IS_LONG or (mount, who) in AT_HOME),
            )


@pytest.mark.filterwarnings(
    "ignore:.*socket:ResourceWarning",
    "ignore:.*socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:Generating overly large repr",
)
@pytest.mark.parametrize(
    ("who", "mount"),
    [
        pytest.param(who, mount, marks=[] if (mount, who) in AT_HOME else [pytest.mark.long])
        for who in ("admin", "user", "nobody")
        for mount in (ADMIN, GATE)
    ],
)
async def test_every_answer_is_described(tmp_path: Path, who: str, mount: str) -> None:
    report = await attacked(tmp_path / "state", mount, who)
    gc.collect()  # Schemathesis leaves its connections to the collector; no other test shall hear of that
    if report.faults:
        pytest.fail(report.told(), pytrace=False)
    assert len(report.operations()) >= {ADMIN: 60, GATE: 30}[mount]
    met = report.statuses()
    assert max(met) < 500
    if mount == ADMIN:
        assert met >= {"admin": {200, 201, 400, 404, 405, 409}, "user": {403}, "nobody": {401}}[who]
        assert (who == "admin") == (200 in met)
