"""For every route that changes something: a call that succeeds, one that fails, and what the first one notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.admin.harness import PASSWORD, Site
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT

ADMIN = "/admin/v1"
MISSING = "01K0000000000000000000000Z"
NEW_PASSWORD = "another good one"
UPSTREAM_TOKEN = "sk-upstream-7f3a9c"

Call = Callable[[], Awaitable[httpx.Response]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """``notes`` are the actions that ``good`` adds to the activity log, in their order; ``bad`` adds none."""

    good: Call
    bad: Call
    notes: tuple[str, ...] = ()


Prepare = Callable[["Stage"], AbstractAsyncContextManager[Attempt]]
ATTEMPTS: dict[tuple[str, str], Prepare] = {}


class Stage:
    """A gateway, names that are not taken yet, and every secret that was used there."""

    def __init__(self, site: Site, other: FakeOllama) -> None:
        self.site = site
        self.other = other
        self.secrets = {PASSWORD, NEW_PASSWORD, UPSTREAM_TOKEN, site.gateway.key}
        for client in (site.admin, site.user):
            self.secrets.add(client.headers["authorization"].removeprefix("Bearer "))
        self._count = 0

    def name(self, what: str = "x") -> str:
        self._count += 1
        return f"{what}-{self._count}"

    def call(self, method: str, path: str, client: httpx.AsyncClient | None = None, **options: Any) -> Call:
        async def carry_out() -> httpx.Response:
            answer = await (client or self.site.admin).request(method, path, **options)
            self._collect(answer)
            return answer

        return carry_out

    async def made(self, noun: str, **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = (await self.call("POST", f"{ADMIN}/{noun}", json=body)()).json()
        return made

    async def user(self) -> dict[str, Any]:
        return await self.made("users", name=self.name("user"), password=PASSWORD)

    async def login(self, name: str) -> dict[str, Any]:
        tokens: dict[str, Any] = (await self.site.login(name)).json()
        self._collect_tokens(tokens)
        return tokens

    def _collect(self, answer: httpx.Response) -> None:
        if answer.content and answer.headers.get("content-type", "").startswith("application/json"):
            found = answer.json()
            if isinstance(found, dict):
                self._collect_tokens(found)

    def _collect_tokens(self, found: dict[str, Any]) -> None:
        for name in ("key", "token", "access_token", "refresh_token"):
            if isinstance(found.get(name), str) and len(found[name]) > 30:
                self.secrets.add(found[name])


def attempt(method: str, path: str) -> Callable[[Callable[[Stage], AsyncIterator[Attempt]]], Prepare]:
    def register(prepare: Callable[[Stage], AsyncIterator[Attempt]]) -> Prepare:
        ATTEMPTS[method, path] = asynccontextmanager(prepare)
        return ATTEMPTS[method, path]

    return register


# -- users ---------------------------------------------------------------------------------------


@attempt("POST", f"{ADMIN}/users")
async def create_user(stage: Stage) -> AsyncIterator[Attempt]:
    body = {"name": stage.name("user"), "password": PASSWORD, "level": 4}
    path = f"{ADMIN}/users"
    bad = stage.call("POST", path, json={**body, "name": "ADA"})
    yield Attempt(stage.call("POST", path, json=body), bad, ("user.create",))


@attempt("PATCH", f"{ADMIN}/users/{{user}}")
async def update_user(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/users/{(await stage.user())['id']}"
    bad = stage.call("PATCH", path, json={"name": "ROOT"})
    yield Attempt(stage.call("PATCH", path, json={"level": 2, "disabled": True}), bad, ("user.update",))


@attempt("PUT", f"{ADMIN}/users/{{user}}/password")
async def set_password(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/users/{(await stage.user())['id']}/password"
    bad = stage.call("PUT", path, json={"password": "short"})
    yield Attempt(stage.call("PUT", path, json={"password": NEW_PASSWORD}), bad, ("user.password",))


@attempt("DELETE", f"{ADMIN}/users/{{user}}")
async def delete_user(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/users/{(await stage.user())['id']}"
    yield Attempt(stage.call("DELETE", path), stage.call("DELETE", f"{ADMIN}/users/root"), ("user.delete",))


# -- tokens and keys -----------------------------------------------------------------------------


@attempt("POST", f"{ADMIN}/tokens")
async def create_token(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/tokens"
    bad = stage.call("POST", path, json={"max_uses": 1, "expires_at": "2020-01-01T00:00:00Z"})
    yield Attempt(stage.call("POST", path, json={"label": "class"}), bad, ("token.create",))


@attempt("POST", f"{ADMIN}/tokens/{{token}}/revoke")
async def revoke_token(stage: Stage) -> AsyncIterator[Attempt]:
    made = await stage.made("tokens")
    bad = stage.call("POST", f"{ADMIN}/tokens/{MISSING}/revoke")
    yield Attempt(stage.call("POST", f"{ADMIN}/tokens/{made['id']}/revoke"), bad, ("token.revoke",))


@attempt("DELETE", f"{ADMIN}/tokens/{{token}}")
async def delete_token(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/tokens/{(await stage.made('tokens'))['id']}"
    bad = stage.call("DELETE", path, headers={"if-match": '"another"'})
    yield Attempt(stage.call("DELETE", path), bad, ("token.delete",))


@attempt("POST", f"{ADMIN}/keys")
async def create_key(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/keys"
    body = {"name": stage.name("key"), "user": "ada", "level": 4}
    bad = stage.call("POST", path, json={**body, "user": "nobody-here"})
    yield Attempt(stage.call("POST", path, json=body), bad, ("key.create",))


@attempt("PATCH", f"{ADMIN}/keys/{{key}}")
async def update_key(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/keys/{(await stage.made('keys', name=stage.name('key')))['id']}"
    bad = stage.call("PATCH", path, json={"name": "test"})
    yield Attempt(stage.call("PATCH", path, json={"level": 5}), bad, ("key.update",))


@attempt("POST", f"{ADMIN}/keys/{{key}}/rotate")
async def rotate_key(stage: Stage) -> AsyncIterator[Attempt]:
    made = await stage.made("keys", name=stage.name("key"))
    good = stage.call("POST", f"{ADMIN}/keys/{made['id']}/rotate", json={"overlap_seconds": 60})
    yield Attempt(good, stage.call("POST", f"{ADMIN}/keys/{MISSING}/rotate", json={}), ("key.rotate",))


@attempt("POST", f"{ADMIN}/keys/{{key}}/revoke")
async def revoke_key(stage: Stage) -> AsyncIterator[Attempt]:
    made = await stage.made("keys", name=stage.name("key"))
    bad = stage.call("POST", f"{ADMIN}/keys/{MISSING}/revoke")
    yield Attempt(stage.call("POST", f"{ADMIN}/keys/{made['id']}/revoke"), bad, ("key.revoke",))


@attempt("DELETE", f"{ADMIN}/keys/{{key}}")
async def delete_key(stage: Stage) -> AsyncIterator[Attempt]:
    made = await stage.made("keys", name=stage.name("key"))
    bad = stage.call("DELETE", f"{ADMIN}/keys/{MISSING}")
    yield Attempt(stage.call("DELETE", f"{ADMIN}/keys/{made['id']}"), bad, ("key.delete",))


# -- whitelist -----------------------------------------------------------------------------------


@attempt("POST", f"{ADMIN}/whitelist")
async def add_network(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/whitelist"
    bad = stage.call("POST", path, json={"cidr": "0.0.0.0/0"})
    yield Attempt(stage.call("POST", path, json={"cidr": "192.0.2.0/24"}), bad, ("whitelist.create",))


@attempt("PATCH", f"{ADMIN}/whitelist/{{entry}}")
async def update_network(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/whitelist/{(await stage.made('whitelist', cidr='198.51.100.0/24'))['id']}"
    bad = stage.call("PATCH", path, json={"level": 9})
    yield Attempt(stage.call("PATCH", path, json={"level": 3}), bad, ("whitelist.update",))


@attempt("DELETE", f"{ADMIN}/whitelist/{{entry}}")
async def delete_network(stage: Stage) -> AsyncIterator[Attempt]:
    """The one that fails would take the caller's own access away."""
    own = await stage.made("whitelist", cidr="127.0.0.1")
    path = f"{ADMIN}/whitelist/{(await stage.made('whitelist', cidr='203.0.113.0/24'))['id']}"
    bad = stage.call("DELETE", f"{ADMIN}/whitelist/{own['id']}")
    yield Attempt(stage.call("DELETE", path), bad, ("whitelist.delete",))
    await stage.call("DELETE", f"{ADMIN}/whitelist/{own['id']}", params={"force": "true"})()


# -- queue ---------------------------------------------------------------------------------------


@asynccontextmanager
async def waiting_ticket(stage: Stage) -> AsyncIterator[str]:
    """The id of a request that waits behind one that runs."""
    site, gate = stage.site, stage.name("gate")
    site.ollama.script(Script(gate=gate))
    begun = len(site.ollama.requests)
    tasks = [asyncio.create_task(site.gateway.post("/api/chat", {**CHAT, "stream": False}))]
    await site.ollama.request(begun)
    tasks.append(asyncio.create_task(site.gateway.post("/api/chat", {**CHAT, "stream": False})))
    await site.gateway.waiting(1)
    (place,) = (await site.admin.get(f"{ADMIN}/queue/waiting")).json()["data"]
    try:
        yield place["ticket_id"]
    finally:
        site.ollama.release(gate)
        await asyncio.gather(*tasks)


@attempt("DELETE", f"{ADMIN}/queue/waiting/{{ticket}}")
async def cancel(stage: Stage) -> AsyncIterator[Attempt]:
    async with waiting_ticket(stage) as ticket:
        path = f"{ADMIN}/queue/waiting"
        yield Attempt(stage.call("DELETE", f"{path}/{ticket}"), stage.call("DELETE", f"{path}/none"), ("queue.cancel",))


@attempt("DELETE", f"{ADMIN}/queue/running/{{ticket}}")
async def stop(stage: Stage) -> AsyncIterator[Attempt]:
    async with waiting_ticket(stage):
        (held,) = (await stage.site.admin.get(f"{ADMIN}/queue/running")).json()["data"]
        path = f"{ADMIN}/queue/running"
        good = stage.call("DELETE", f"{path}/{held['ticket_id']}")
        yield Attempt(good, stage.call("DELETE", f"{path}/none"), ("queue.stop",))


@attempt("PATCH", f"{ADMIN}/queue/waiting/{{ticket}}")
async def level(stage: Stage) -> AsyncIterator[Attempt]:
    async with waiting_ticket(stage) as ticket:
        path = f"{ADMIN}/queue/waiting/{ticket}"
        bad = stage.call("PATCH", path, json={"level": 6})
        yield Attempt(stage.call("PATCH", path, json={"level": 4}), bad, ("queue.level",))


def pool_verb(verb: str) -> None:
    @attempt("POST", f"{ADMIN}/queue/pools/{{pool}}/{verb}")
    async def tell(stage: Stage) -> AsyncIterator[Attempt]:
        path = f"{ADMIN}/queue/pools"
        bad = stage.call("POST", f"{path}/none/{verb}")
        yield Attempt(stage.call("POST", f"{path}/fake/{verb}"), bad, (f"pool.{verb}",))


for verb in ("pause", "drain", "resume"):
    pool_verb(verb)


# -- upstreams and models ------------------------------------------------------------------------


@attempt("POST", f"{ADMIN}/upstreams")
async def create_upstream(stage: Stage) -> AsyncIterator[Attempt]:
    path, name = f"{ADMIN}/upstreams", stage.name("up")
    body = {"name": name, "url": stage.other.url, "api_key": UPSTREAM_TOKEN}
    bad = stage.call("POST", path, json={**body, "url": "ftp://x"})
    yield Attempt(stage.call("POST", path, json=body), bad, ("upstream.create",))
    await stage.call("DELETE", f"{path}/{name}")()


@asynccontextmanager
async def second_upstream(stage: Stage) -> AsyncIterator[str]:
    name = stage.name("up")
    made = await stage.call("POST", f"{ADMIN}/upstreams", json={"name": name, "url": stage.other.url})()
    assert made.status_code == 201, made.text
    yield name
    await stage.call("DELETE", f"{ADMIN}/upstreams/{name}")()


@attempt("PATCH", f"{ADMIN}/upstreams/{{upstream}}")
async def update_upstream(stage: Stage) -> AsyncIterator[Attempt]:
    async with second_upstream(stage) as name:
        bad = stage.call("PATCH", f"{ADMIN}/upstreams/fake", json={"slots": 2})
        good = stage.call("PATCH", f"{ADMIN}/upstreams/{name}", json={"slots": 2, "api_key": UPSTREAM_TOKEN})
        yield Attempt(good, bad, ("upstream.update",))


@attempt("DELETE", f"{ADMIN}/upstreams/{{upstream}}")
async def delete_upstream(stage: Stage) -> AsyncIterator[Attempt]:
    async with second_upstream(stage) as name:
        bad = stage.call("DELETE", f"{ADMIN}/upstreams/fake")
        yield Attempt(stage.call("DELETE", f"{ADMIN}/upstreams/{name}"), bad, ("upstream.delete",))


@attempt("POST", f"{ADMIN}/models/pull")
async def pull(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/models/pull"
    good = stage.call("POST", path, json={"model": "new:1b", "pool": "fake"})
    yield Attempt(good, stage.call("POST", path, json={"model": "new:1b", "pool": "none"}), ("model.pull",) * 2)


@attempt("POST", f"{ADMIN}/models/copy")
async def copy(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/models/copy"
    good = stage.call("POST", path, json={"source": "llama3.2", "destination": "second"})
    yield Attempt(good, stage.call("POST", path, json={"source": "none", "destination": "x"}), ("model.copy",) * 2)


@attempt("DELETE", f"{ADMIN}/models/{{model}}")
async def delete_model(stage: Stage) -> AsyncIterator[Attempt]:
    await stage.call("POST", f"{ADMIN}/models/copy", json={"source": "llama3.2", "destination": "third"})()
    bad = stage.call("DELETE", f"{ADMIN}/models/none")
    yield Attempt(stage.call("DELETE", f"{ADMIN}/models/third"), bad, ("model.delete",) * 2)


# -- settings, sessions, the log itself -----------------------------------------------------------


@attempt("PUT", f"{ADMIN}/settings/{{key}}")
async def put_setting(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/settings/activity.days"
    bad = stage.call("PUT", path, json={"value": -1})
    yield Attempt(stage.call("PUT", path, json={"value": 400}), bad, ("settings.set",))


@attempt("DELETE", f"{ADMIN}/settings/{{key}}")
async def reset_setting(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/settings/usage.usage_days"
    await stage.call("PUT", path, json={"value": 400})()
    bad = stage.call("DELETE", f"{ADMIN}/settings/usage.nothing")
    yield Attempt(stage.call("DELETE", path), bad, ("settings.reset",))


@attempt("POST", f"{ADMIN}/settings/reload")
async def reload(stage: Stage) -> AsyncIterator[Attempt]:
    """This gateway was started without a file that could be read again."""
    path = f"{ADMIN}/settings/reload"
    bad = stage.call("POST", path, params={"nothing": "1"})
    yield Attempt(stage.call("POST", path), bad)


@attempt("POST", f"{ADMIN}/sessions/{{session}}/revoke")
async def revoke_session(stage: Stage) -> AsyncIterator[Attempt]:
    user = await stage.user()
    await stage.login(user["name"])
    (session,) = (await stage.site.admin.get(f"{ADMIN}/sessions", params={"user": user["id"]})).json()["data"]
    bad = stage.call("POST", f"{ADMIN}/sessions/{MISSING}/revoke")
    yield Attempt(stage.call("POST", f"{ADMIN}/sessions/{session['id']}/revoke"), bad, ("session.revoke",))


@attempt("POST", f"{ADMIN}/sessions/revoke")
async def revoke_sessions(stage: Stage) -> AsyncIterator[Attempt]:
    user = await stage.user()
    await stage.login(user["name"])
    path = f"{ADMIN}/sessions/revoke"
    bad = stage.call("POST", path, json={"user": "nobody-here"})
    yield Attempt(stage.call("POST", path, json={"user": user["name"]}), bad, ("session.revoke_all",))


@attempt("POST", f"{ADMIN}/activity/verify")
async def verify(stage: Stage) -> AsyncIterator[Attempt]:
    path = f"{ADMIN}/activity/verify"
    yield Attempt(stage.call("POST", path), stage.call("POST", path, json={"expected": {"seq": 0, "hash": "x"}}))


# -- what everybody may do for themselves ----------------------------------------------------------


@attempt("POST", "/gate/auth/login")
async def login(stage: Stage) -> AsyncIterator[Attempt]:
    user, path, nobody = await stage.user(), "/gate/auth/login", stage.site.nobody
    good = stage.call("POST", path, nobody, json={"name": user["name"], "password": PASSWORD})
    wrong = {"name": user["name"], "password": "a wrong-password"}
    yield Attempt(good, stage.call("POST", path, nobody, json=wrong), ("session.login",))


@attempt("POST", "/gate/auth/refresh")
async def refresh(stage: Stage) -> AsyncIterator[Attempt]:
    """It renews what the login has given, and gives nothing new."""
    tokens = await stage.login((await stage.user())["name"])
    path, nobody = "/gate/auth/refresh", stage.site.nobody
    good = stage.call("POST", path, nobody, json={"refresh_token": tokens["refresh_token"]})
    yield Attempt(good, stage.call("POST", path, nobody, json={"refresh_token": "llmf_nonsense"}))


@attempt("POST", "/gate/auth/logout")
async def logout(stage: Stage) -> AsyncIterator[Attempt]:
    tokens = await stage.login((await stage.user())["name"])
    path, nobody = "/gate/auth/logout", stage.site.nobody
    bad = stage.call("POST", path, nobody, headers={"x-api-key": stage.site.gateway.key})
    yield Attempt(stage.call("POST", path, nobody, headers=bearer(tokens)), bad, ("session.logout",))


@attempt("POST", "/gate/auth/register")
async def register(stage: Stage) -> AsyncIterator[Attempt]:
    token = (await stage.made("tokens"))["token"]
    body = {"token": token, "name": stage.name("user"), "password": PASSWORD}
    path, nobody = "/gate/auth/register", stage.site.nobody
    bad = stage.call("POST", path, nobody, json={**body, "name": "ada"})
    yield Attempt(stage.call("POST", path, nobody, json=body), bad, ("user.register",))


@attempt("POST", "/gate/auth/password")
async def password(stage: Stage) -> AsyncIterator[Attempt]:
    tokens = await stage.login((await stage.user())["name"])
    path, nobody = "/gate/auth/password", stage.site.nobody
    body = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    bad = stage.call("POST", path, nobody, headers=bearer(tokens), json={**body, "password": "short"})
    good = stage.call("POST", path, nobody, headers=bearer(tokens), json=body)
    yield Attempt(good, bad, ("user.password", "session.login"))


@attempt("POST", "/gate/auth/sessions/{session}/revoke")
async def revoke_own_session(stage: Stage) -> AsyncIterator[Attempt]:
    user = await stage.user()
    tokens, _ = await stage.login(user["name"]), await stage.login(user["name"])
    nobody = stage.site.nobody
    rows = (await nobody.get("/gate/auth/sessions", headers=bearer(tokens))).json()["data"]
    other = next(row["id"] for row in rows if not row["current"])
    (foreign, *_) = (await stage.site.admin.get(f"{ADMIN}/sessions", params={"user": "ada"})).json()["data"]
    bad = stage.call("POST", f"/gate/auth/sessions/{foreign['id']}/revoke", nobody, headers=bearer(tokens))
    good = stage.call("POST", f"/gate/auth/sessions/{other}/revoke", nobody, headers=bearer(tokens))
    yield Attempt(good, bad, ("session.revoke",))


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


NOT_HERE = {("POST", "/gate/auth/setup")}
"""It works before there is any administrator, so it has a test of its own."""
