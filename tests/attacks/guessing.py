"""Guessing keys, ids and names: answers are the same for all that fails, and so is the work behind them.

Work is counted in statements and password hashes. Milliseconds are looked at by `make trust` only.
"""

from __future__ import annotations

import hashlib
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from llmgate.daemon.auth import api_keys, authenticator, credentials, registration
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.sealed import seal
from llmgate.daemon.store import keys, tokens, users
from llmgate.daemon.store.types import utc_now
from llmgate.errors import LLMGateError
from tests.admin.harness import PASSWORD, Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import WHITELISTED, a_user, name, plain, whitelisted, worked

PATHS = (("GET", "/v1/models"), ("GET", "/api/tags"), ("POST", "/api/chat"), ("GET", "/gate/auth/me"))


async def dead_keys(site: Site) -> dict[str, str]:
    """A key in each state in which it is refused, and two that there never were."""
    found = {}
    for state in ("expired", "disabled", "revoked", "deleted", "of a disabled user"):
        owner = (await a_user(site))[0]["name"] if state == "of a disabled user" else None
        made = await site.made("keys", name=name("k"), user=owner)
        found[state], path = made["key"], f"/admin/v1/keys/{made['id']}"
        if state == "expired":
            async with site.gateway.services.database.begin() as tx:
                await keys.update(tx, made["id"], expires_at=utc_now() - timedelta(seconds=1))
        elif state == "disabled":
            await site.admin.patch(path, json={"disabled": True})
        elif state == "revoked":
            await site.admin.post(f"{path}/revoke")
        elif state == "deleted":
            await site.admin.delete(path)
        else:
            await site.admin.patch(f"/admin/v1/users/{owner}", json={"disabled": True})
    found["unknown"] = unknown_key(site)
    found["of another secret"] = unknown_key(site, (await site.made("keys", name=name("k")))["id"])
    return found


def unknown_key(site: Site, key_id: str | None = None) -> str:
    """A key as it should be, with or without the id of one that exists, that was never issued."""
    return api_keys.generate(site.gateway.services.secret, key_id).text


async def telling_keys_apart(site: Site) -> None:
    dead = await dead_keys(site)
    for method, path in PATHS:
        answers = {}
        for state, key in dead.items():
            for carrier in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                answer = await site.nobody.request(method, path, headers=carrier)
                answers[state, *carrier] = plain(answer)
        repelled(len(set(answers.values())) == 1, f"{method} {path} tells keys apart: {answers}")
        repelled(next(iter(answers.values()))[0] == 401, f"{method} {path} lets one in")


def told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = credentials.refused

    def told() -> LLMGateError:
        reason = sys.exc_info()[1]
        return reason if isinstance(reason, LLMGateError) else refused()

    monkeypatch.setattr(authenticator, "refused", told)


async def finding_ids(site: Site) -> None:
    """Half of a key is its id, which is shown: whether it exists must cost as much as whether it does not."""
    known = (await site.made("keys", name=name("k")))["id"]
    amounts = set()
    for _ in range(5):
        for key_id in (known, None):
            with worked(site) as work:
                answer = await site.nobody.get("/v1/models", headers={"x-api-key": unknown_key(site, key_id)})
            assert answer.status_code == 401
            amounts.add(work.amount)
    repelled(len(amounts) == 1, f"an id that exists makes other work: {amounts} statements and comparisons")


def looked_up_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual way: find the row by the part that is no secret, then compare."""
    ids: list[str] = []
    parse = api_keys.parse

    def noted(text: str) -> str | None:
        ids.append(parse(text) or "")
        return ids[-1] or None

    async def by_id(tx: Any, digest: str, now: Any) -> Any:
        await keys.get(tx, ids[-1])
        return await keys.by_digest(tx, digest), None

    monkeypatch.setattr(api_keys, "parse", noted)
    monkeypatch.setattr(keys, "by_secret", by_id)


async def finding_users(site: Site) -> None:
    """Names that exist, that do not, and that may not log in: one answer, and the same work."""
    disabled = (await a_user(site))[0]["name"]
    await site.admin.patch(f"/admin/v1/users/{disabled}", json={"disabled": True})
    answers, amounts = set(), set()
    for who, password in (("ada", "wrong"), ("root", "wrong"), ("nobody-here", "wrong"), (disabled, "wrong")):
        with worked(site) as work:
            answer = await site.login(who, password)
        answers.add(plain(answer))
        amounts.add(work.amount)
    answers.add(plain(await site.login(disabled, PASSWORD)))
    repelled(len(answers) == 1, f"the answers tell names apart: {answers}")
    repelled(
        len(amounts) == 1 and amounts.pop()[1] == 1, f"the work tells names apart: {amounts} statements and comparisons"
    )


def nothing_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    verify = PasswordHasher.verify

    async def quick(self: PasswordHasher, password: str, hashed: str | None) -> bool:
        return hashed is not None and await verify(self, password, hashed)

    monkeypatch.setattr(PasswordHasher, "verify", quick)


async def beginning_of_a_key(site: Site) -> None:
    """What is remembered of a good key is remembered of the whole of it."""
    made = await site.made("keys", name=name("k"))
    assert (await site.nobody.get("/v1/models", headers={"x-api-key": made["key"]})).status_code == 200
    for same in (16, 20, 40):
        body = made["key"][:same] + "A" * (len(made["key"]) - same - 6)
        for text in (seal(body), api_keys.generate(site.gateway.services.secret, made["id"]).text):
            answer = await site.nobody.get("/v1/models", headers={"x-api-key": text})
            repelled(answer.status_code == 401, f"a key with the same {same} characters in front was let in")


def remembered_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "hashlib", SimpleNamespace(sha256=lambda secret: hashlib.sha256(secret[:16])))


async def bad_key_from_a_good_address(site: Site) -> None:
    """Who brings a credential is judged by it, and does not become the address that it comes from."""
    here = {"x-forwarded-for": WHITELISTED}
    async with whitelisted(site):
        assert (await site.nobody.get("/v1/models", headers=here)).status_code == 200
        for key in ("nonsense", "llmg_wrong", unknown_key(site), site.gateway.key[:-1]):
            answer = await site.nobody.get("/v1/models", headers={**here, "x-api-key": key})
            repelled(answer.status_code == 401, f"the bad key {key!r} was passed over")


def bad_keys_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    extract = credentials.extract

    def lenient(*arguments: Any, **options: Any) -> tuple[bytes | None, bool]:
        found, is_cookie = extract(*arguments, **options)
        return (None, False) if found and found.startswith((b"llmg_", b"nonsense")) else (found, is_cookie)

    monkeypatch.setattr(credentials, "extract", lenient)


async def hashing_for_strangers(site: Site) -> None:
    """A password costs 20 ms to hash: nobody makes the gateway do it without a token that is good."""
    services = site.gateway.services
    spent = (await site.made("tokens"))["token"]
    body = {"token": spent, "name": name("user"), "password": PASSWORD}
    assert (await site.nobody.post("/gate/auth/register", json=body)).status_code == 201
    revoked = await site.made("tokens")
    await site.admin.post(f"/admin/v1/tokens/{revoked['id']}/revoke")
    answers, hashes = set(), Counted(services.hasher)
    with hashes:
        for token in (spent, revoked["token"], registration.new_token(services.secret)[0], "llmr_x"):
            sent = {"token": token, "name": name("user"), "password": PASSWORD}
            answers.add(plain(await site.nobody.post("/gate/auth/register", json=sent)))
        sent = {"token": "llms_guess", "name": name("user"), "password": PASSWORD}
        assert (await site.nobody.post("/gate/auth/setup", json=sent)).status_code == 401
    repelled(len(answers) == 1, f"the answers tell tokens apart: {answers}")
    repelled(hashes.count == 0, f"{hashes.count} passwords were hashed for strangers")


async def hashing_for_a_taken_name(site: Site) -> None:
    """Nor with a token that is good, and that is not used up by a name that somebody has already."""
    token = await site.made("tokens")
    answers, hashes = set(), Counted(site.gateway.services.hasher)
    with hashes:
        for taken in ("ada", "ADA", "root"):
            sent = {"token": token["token"], "name": taken, "password": PASSWORD}
            answers.add((await site.nobody.post("/gate/auth/register", json=sent)).status_code)
        for bad in ({"name": "no good"}, {"password": "short"}):
            sent = {"token": token["token"], "name": name("user"), "password": PASSWORD, **bad}
            assert (await site.nobody.post("/gate/auth/register", json=sent)).status_code == 400
    assert answers == {409}
    repelled(hashes.count == 0, f"{hashes.count} passwords were hashed for names that are taken")
    assert (await site.admin.get(f"/admin/v1/tokens/{token['id']}")).json()["uses"] == 0


class Counted:
    """How often passwords are hashed in the block."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher: Any = hasher
        self.count = 0

    def __enter__(self) -> None:
        hash_ = self._hasher.hash

        async def counted(password: str) -> str:
            self.count += 1
            hashed: str = await hash_(password)
            return hashed

        self._hasher.hash = counted

    def __exit__(self, *_: object) -> None:
        del self._hasher.hash


def any_name_looks_free(monkeypatch: pytest.MonkeyPatch) -> None:
    async def looks_free(*_: Any) -> None:
        pass

    monkeypatch.setattr(users, "check_free", looks_free)


def any_token_looks_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def usable(*_: Any) -> str:
        return "anything"

    monkeypatch.setattr(tokens, "usable_id", usable)


ATTACKS: list[Attack[Site]] = [
    Attack("telling dead keys apart", telling_keys_apart, told_why, "one answer to every bad credential"),
    Attack("finding ids of keys", finding_ids, looked_up_by_id, "keys are found by the digest of all of them"),
    Attack("finding names of users", finding_users, nothing_for_nobody, "a hash is compared for nobody, too"),
    Attack("the beginning of a good key", beginning_of_a_key, remembered_by_its_beginning, "cached by full digest"),
    Attack(
        "a bad key from a good address",
        bad_key_from_a_good_address,
        bad_keys_passed_over,
        "a bad key is never passed over",
    ),
    Attack("hashing for strangers", hashing_for_strangers, any_token_looks_usable, "the token is judged first"),
    Attack("hashing for a name that is taken", hashing_for_a_taken_name, any_name_looks_free, "so is the name"),
]
