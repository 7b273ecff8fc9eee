"""Becoming more than one is: by fields that nobody asked for, by keys, by the last administrator's end."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from llmgate.daemon.admin import dependencies
from llmgate.daemon.admin import keys as admin_keys
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal, Role
from llmgate.daemon.gate import keys as gate_keys
from llmgate.daemon.store import tokens, users
from tests.admin.harness import PASSWORD, Site
from tests.admin.test_privilege import mutating
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import USERS, a_user, bearer, logged_in, name, status_as

KEYS, OWN_KEYS, REGISTER, ME = "/admin/v1/keys", "/gate/keys", "/gate/auth/register", "/gate/auth/me"
MORE: tuple[dict[str, Any], ...] = (
    {"role": "admin"}, {"Role": "admin"}, {"roles": ["admin"]}, {"is_admin": True}, {"admin": True}, {"level": 1},
    {"user": "root"}, {"user_id": "root"}, {"owner": "root"}, {"id": "0"}, {"weight": 100}, {"disabled": False},
    {"routes": ["admin"]}, {"cidrs": ["0.0.0.0/0"]}, {"tokens_per_day": 10**12}, {"created_by": "root"},
    {"__proto__": {"role": "admin"}}, {"constructor": {"role": "admin"}}, {"password_hash": "x"},
)  # fmt: skip
"""What one would like to be given besides."""


async def fields_besides(site: Site) -> None:
    """Every field that grants something, in every request that a user or a stranger may make."""
    made, tokens_ = await a_user(site, level=3)
    mine = bearer(tokens_["access_token"])
    token = (await site.made("tokens", level=4))["token"]
    new = {"token": token, "name": name("eve"), "password": PASSWORD}
    change = {"current_password": PASSWORD, "password": "another good one"}
    login = {"name": made["name"], "password": PASSWORD}
    for path, body, headers in (
        (OWN_KEYS, {"name": "k"}, mine),
        (REGISTER, new, {}),
        ("/gate/auth/setup", {**new, "token": "llms_x"}, {}),
        ("/gate/auth/login", login, {}),
        ("/gate/auth/password", change, mine),
    ):
        for more in MORE:
            answer = await site.nobody.post(path, json={**body, **more}, headers=headers)
            repelled(answer.status_code == 400, f"{path} took {more}: {answer.status_code} {answer.text}")
    me = (await site.nobody.get(ME, headers=mine)).json()
    assert (me["role"], me["level"]) == ("user", 3)


async def role_of_the_form(site: Site) -> None:
    """Who registers is what the token says."""
    token = (await site.made("tokens", level=4))["token"]
    body = {"token": token, "name": name("eve"), "password": PASSWORD}
    made = (await site.nobody.post(REGISTER, json=body)).json()
    repelled((made["role"], made["level"]) == ("user", 4), f"a token for a user made {made}")
    as_eve = bearer((await logged_in(site, made["name"]))["access_token"])
    repelled(await status_as(site, as_eve) == 403, "who has registered administers")


async def better_own_key(site: Site) -> None:
    _, given = await a_user(site, level=4)
    mine = bearer(given["access_token"])
    for level in (1, 2, 3):
        answer = await site.nobody.post(OWN_KEYS, json={"name": name("k"), "level": level}, headers=mine)
        repelled(answer.status_code == 400, f"a user of level 4 has made a key of level {level}")
    key = (await site.nobody.post(OWN_KEYS, json={"name": name("k")}, headers=mine)).json()
    me = (await site.nobody.get(ME, headers={"x-api-key": key["key"]})).json()
    repelled((me["role"], me["level"]) == ("user", 4), f"the key of a user of level 4 is {me}")


async def better_key_from_above(site: Site) -> None:
    """Not even an administrator, by mistake, makes a key that is more than its user."""
    user = (await a_user(site, level=3))[0]["name"]
    for more in ({"role": "admin"}, {"level": 1}, {"level": 2}, {"role": "admin", "level": 5}):
        answer = await site.admin.post(KEYS, json={"name": name("k"), "user": user, **more})
        repelled(answer.status_code == 400, f"a key of {user} was made with {more}")
    key = await site.made("keys", name=name("k"), user=user, level=3)
    answer = await site.admin.patch(f"{KEYS}/{key['id']}", json={"level": 1})
    repelled(answer.status_code == 400, "a key of level 1 was made of that of a user of level 3")


async def key_of_a_former_administrator(site: Site) -> None:
    made, _ = await a_user(site, "admin", level=1)
    key = {"x-api-key": (await site.made("keys", name=name("k"), user=made["name"], role="admin", level=1))["key"]}
    assert await status_as(site, key) == 200
    await site.admin.patch(f"{USERS}/{made['id']}", json={"role": "user", "level": 4})
    repelled(await status_as(site, key) == 403, "the key of a former administrator administers")
    me = (await site.nobody.get(ME, headers=key)).json()
    repelled((me["role"], me["level"]) == ("user", 4), f"the key of a user of level 4 is {me}")


async def as_a_user(site: Site) -> None:
    """Every route of the admin API that changes something, with everything that a user has."""
    made, given = await a_user(site)
    key = (await site.made("keys", name=name("k"), user=made["name"]))["key"]
    carriers = ({"authorization": f"Bearer {given['access_token']}"}, {"x-api-key": key})
    for (method, path), credential in itertools.product([("GET", USERS), *mutating(site)], carriers):
        answer = await site.nobody.request(method, path, headers=credential)
        repelled(answer.status_code == 403, f"a user may {method} {path}: {answer.status_code}")


async def bound_admin_key(site: Site) -> None:
    """A key of the role admin that is bound to inference, in whoever's hands it fell, administers nothing."""
    key = {"x-api-key": (await site.made("keys", name=name("k"), role="admin", routes=["chat"]))["key"]}
    for method, path in [("GET", USERS), *mutating(site)]:
        answer = await site.nobody.request(method, path, headers=key)
        repelled(answer.status_code == 403, f"a key for chat may {method} {path}: {answer.status_code}")


async def last_administrator(site: Site) -> None:
    """Whoever would be the last one stays, whatever is forced."""
    me = (await site.admin.get(ME)).json()["id"]
    others = [row["id"] for row in (await site.admin.get(USERS)).json()["data"] if row["role"] == "admin"]
    for other in set(others) - {me}:
        await site.admin.delete(f"{USERS}/{other}")
    path, forced = f"{USERS}/{me}", {"force": "true"}
    try:
        for method, body in (("PATCH", {"role": "user"}), ("PATCH", {"disabled": True}), ("DELETE", None)):
            answer = await site.admin.request(method, path, json=body, params=forced)
            repelled(answer.status_code == 409, f"{method} {body} of the last administrator: {answer.status_code}")
        assert await status_as(site, dict(site.admin.headers)) == 200
    finally:
        async with site.gateway.services.database.begin() as tx:
            await users.update(tx, me, role=Role.ADMIN)


# -- without the controls ---------------------------------------------------------------------------------


def generous_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    take = tokens.take

    async def generous(tx: Any, digest: str) -> Any:
        found = await take(tx, digest)
        return SimpleNamespace(role=Role.ADMIN, level=1, id=found.id)

    monkeypatch.setattr(tokens, "take", generous)


def unchecked_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gate_keys, admin_keys):
        monkeypatch.setattr(module.api_keys, "check_within", lambda *_, **__: None)


def keys_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is what it says, whoever its user has become."""
    of_key = Authenticator._of_key
    monkeypatch.setattr(Authenticator, "_of_key", lambda self, key, _owner: of_key(self, key, None))


def everybody_administers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes hold the function that checks: it gets another body."""

    async def unchecked(caller: Principal) -> Principal:
        return caller

    monkeypatch.setattr(dependencies.admin, "__code__", unchecked.__code__)


def unbound_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Principal, "check_route", lambda *_: None)


def administrators_may_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr(users, "keep_an_admin", nothing)


ATTACKS: list[Attack[Site]] = [
    Attack("the role of the form", role_of_the_form, generous_tokens, "the token decides role and level"),
    Attack("a better key of one's own", better_own_key, unchecked_keys, "a key is within its user"),
    Attack("a better key from above", better_key_from_above, unchecked_keys, "a key is within its user"),
    Attack(
        "the key of a former administrator",
        key_of_a_former_administrator,
        keys_for_themselves,
        "judged by its user as it is",
    ),
    Attack("the admin API as a user", as_a_user, everybody_administers, "the role is checked before every route"),
    Attack("an admin key that is bound", bound_admin_key, unbound_routes, "routes of keys"),
    Attack("the last administrator", last_administrator, administrators_may_end, "one administrator stays"),
]
