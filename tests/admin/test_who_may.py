"""Who may what: every route, every method, every kind of caller, compared with the table in docs/access.md."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from llmgate.config import ServerSettings
from llmgate.daemon.app import Application
from llmgate.daemon.auth.principals import Role
from tests.admin.harness import PASSWORD, Site, run_site
from tests.admin.routes import METHODS, SOCKET, filled, methods_by_path, verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = Path(__file__).parents[2] / "docs" / "access.md"
COLUMNS = ("nobody", "address", "key", "session", "admin key", "admin session")
ADDRESS, ELSEWHERE = "203.0.113.9", "198.51.100.1"

Row = tuple[str, ...]


@dataclass
class Callers:
    """The headers of every kind of caller. Two kinds of keys share a column: a user's and an application's."""

    site: Site
    keys: Mapping[str, str]
    sessions: dict[str, Mapping[str, str]]

    async def headers(self, kind: str) -> Mapping[str, str]:
        if kind == "nobody":
            return {"x-forwarded-for": ELSEWHERE}
        if kind == "address":
            return {"x-forwarded-for": ADDRESS}
        if kind in self.keys:
            return {"x-forwarded-for": ELSEWHERE, "x-api-key": self.keys[kind]}
        return {"x-forwarded-for": ELSEWHERE, **await self._session("root" if "admin" in kind else "ada")}

    async def _session(self, name: str) -> Mapping[str, str]:
        """A session, begun anew when one of the requests has ended it."""
        known = self.sessions.get(name)
        if known is None or (await self.site.nobody.get("/gate/auth/me", headers=dict(known))).status_code == 401:
            services = self.site.gateway.services
            tokens = await services.sessions.login(name, PASSWORD, address=ELSEWHERE, client="test")
            self.sessions[name] = known = {"authorization": f"Bearer {tokens.access_token}"}
        return known


KINDS = {
    "nobody": ("nobody",),
    "address": ("address",),
    "key": ("user's key", "application's key"),
    "session": ("session",),
    "admin key": ("administrator's key", "application's admin key"),
    "admin session": ("admin session",),
}
"""Column of the table → the callers that it stands for."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callers]:
    server = ServerSettings(port=0, drain_seconds=5, trusted_proxies=["127.0.0.1"])
    async with run_site(tmp_path_factory.mktemp("who") / "state", server=server) as site:
        await site.made("whitelist", cidr=f"{ADDRESS}/32")
        keys = {
            "user's key": (await site.made("keys", name="k1", user="ada"))["key"],
            "application's key": (await site.made("keys", name="k2"))["key"],
            "administrator's key": (await site.made("keys", name="k3", user="root", role="admin"))["key"],
            "application's admin key": await site.gateway.new_key("k4", role=Role.ADMIN),
        }
        yield Callers(site, keys, {})


@pytest.fixture(scope="module")
def paths(callers: Callers) -> dict[str, set[str]]:
    application = callers.site.gateway.server.config.app
    assert isinstance(application, Application)
    return methods_by_path(application)


def rows_of(text: str) -> dict[tuple[str, str], Row]:
    """The table of the document: method and path → what each column says."""
    found: dict[tuple[str, str], Row] = {}
    for line in re.findall(r"^\| `(/.*) \|$", text, re.MULTILINE):
        path, methods, *cells = [cell.strip().strip("`") for cell in line.split("|")]
        for method in methods.split(", "):
            assert (method, path) not in found, f"{method} {path} stands twice in the table"
            found[method, path] = tuple(cells)
    return found


async def test_everybody_gets_what_the_table_says(callers: Callers, paths: dict[str, set[str]]) -> None:
    found: dict[tuple[str, str], Row] = {}
    for path, methods in paths.items():
        for method in methods:
            cells = []
            for column in COLUMNS:
                got = {
                    await verdict(callers.site.nobody, method, path, await callers.headers(kind))
                    for kind in KINDS[column]
                }
                cells.append("/".join(sorted(got)))
            found[method, path] = tuple(cells)
    table = rows_of(DOCUMENT.read_text(encoding="utf-8"))
    wrong = [
        f"| `{path}` | {method} | {' | '.join(cells)} |"
        for (method, path), cells in found.items()
        if table.get((method, path)) != cells
    ]
    assert wrong == [], "the table lacks these rows, or has others in their place:\n" + "\n".join(sorted(wrong))
    assert set(table) - set(found) == set(), "the table has rows of routes that do not exist"


async def test_methods_that_are_not_listed_are_refused(callers: Callers, paths: dict[str, set[str]]) -> None:
    admin = dict(await callers.headers("administrator's key"))
    for path, methods in paths.items():
        if methods == {SOCKET}:
            continue
        for method in set(METHODS) - methods:
            answer = await callers.site.nobody.request(method, filled(path), headers=admin)
            assert answer.status_code == 405, f"{method} {path}"


@pytest.mark.parametrize("kind", ["nobody", "session", "administrator's key"])
async def test_what_is_not_listed_is_not_there(callers: Callers, paths: dict[str, set[str]], kind: str) -> None:
    headers = dict(await callers.headers(kind))
    starts = {"/".join(path.split("/")[:depth]).rstrip("/") for path in paths for depth in (1, 2, 3)}
    for start in sorted(starts):
        for path in (f"{start}/nothing-here/at/all/0", f"{start or '/x'}//"):
            answer = await callers.site.nobody.get(path, headers=headers)
            allowed = (200, 401, 404) if path.startswith("/v1/models/") else (404,)  # a model's name may hold slashes
            assert answer.status_code in allowed, f"{path}: {answer.status_code}"


async def test_the_columns_are_those_of_the_document() -> None:
    header = "| route | methods | " + " | ".join(COLUMNS) + " |"
    assert header in DOCUMENT.read_text(encoding="utf-8")
