"""Floods of guesses: slowed down where they come from, cheap for the gateway, and nobody else's trouble. And one who
makes oneself many: by addresses, sessions or keys."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import pytest

from llmgate.daemon.auth import api_keys, authenticator, passwords, sessions, throttle
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.gate import keys as own_keys
from llmgate.daemon.store import keys
from tests.admin.harness import PASSWORD, Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import ELSEWHERE, a_user, bearer, name, whitelisted, worked
from tests.attacks.guessing import unknown_key
from tests.gateway.harness import CHAT
from tests.gateway.ready_made import hashed

GUESSES = 80
"""In `make test`; `make trust` makes 10,000."""
AT_ONCE = 16
WRONG = "wrong"
ATTACKER, SECOND = "192.0.2.66", "192.0.2.67"
HASHES_RUN, HASHES_WAIT = 2, 32


@asynccontextmanager
async def cheap_hashes() -> AsyncIterator[None]:
    """What is counted here is how often a password is compared; that it takes 20 ms is known."""
    with mock.patch.object(passwords, "_NOBODY", await hashed("nobody's")):
        yield


async def guess(site: Site, who: str, address: str, password: str = WRONG) -> int:
    body = {"name": who, "password": password}
    answer = await site.nobody.post("/gate/auth/login", json=body, headers={"x-forwarded-for": address})
    return answer.status_code


async def storm(site: Site, names: list[str], address: str) -> list[int]:
    """A guess for each of these names, so many at once; what was answered."""
    waiting, answers = iter(names), []

    async def one_after_the_other() -> None:
        for who in waiting:
            answers.append(await guess(site, who, address))  # noqa: PERF401  one after the other

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())
    return answers


async def guessing_a_password(site: Site, guesses: int = GUESSES) -> None:
    victim = (await a_user(site))[0]["name"]
    async with cheap_hashes():
        with clock_of(site) as clock:
            with worked(site) as work:
                answers = await storm(site, [victim] * guesses, ATTACKER)
            assert set(answers) <= {401, 429}
            repelled(work.comparisons == 5, f"of {guesses} guesses {work.comparisons} were compared")
            repelled(await guess(site, victim, ELSEWHERE, PASSWORD) == 200, "the owner cannot log in from elsewhere")
            repelled(await guess(site, victim, ATTACKER, PASSWORD) == 429, "the attacker may go on at once")
            clock.now += 900  # 15 minutes, the longest that is ever asked for
            repelled(await guess(site, victim, ATTACKER, PASSWORD) == 200, "the owner is locked out at home")


async def spraying_names(site: Site, guesses: int = GUESSES) -> None:
    """One password for many names: the address is slowed down, and gets in with a good one half a minute later."""
    neighbour = (await a_user(site))[0]["name"]
    async with cheap_hashes():
        with clock_of(site) as clock:
            with worked(site) as work:
                answers = await storm(site, [f"name{number}" for number in range(guesses)], SECOND)
            assert set(answers) <= {401, 429}
            repelled(work.comparisons == 50, f"of {guesses} guesses {work.comparisons} were compared")
            repelled(await guess(site, neighbour, ELSEWHERE, PASSWORD) == 200, "others cannot log in")
            repelled(await guess(site, neighbour, SECOND, PASSWORD) == 429, "the attacker may go on at once")
            clock.now += 30
            repelled(await guess(site, neighbour, SECOND, PASSWORD) == 200, "a neighbour waits longer than 30 s")


async def trying_names_with_a_token(site: Site, guesses: int = GUESSES) -> None:
    """Who has a token learns which names are taken: a few of them, and then slowly. Others are not held up by that."""
    victim, token = (await a_user(site))[0]["name"], await site.made("tokens", max_uses=2)

    async def attempt(who: str, address: str) -> int:
        body = {"token": token["token"], "name": who, "password": PASSWORD}
        answer = await site.nobody.post("/gate/auth/register", json=body, headers={"x-forwarded-for": address})
        return answer.status_code

    with clock_of(site) as clock:
        answers = Counter(await asyncio.gather(*(attempt(victim, ATTACKER) for _ in range(guesses))))
        assert set(answers) <= {409, 429}
        repelled(answers[409] == 5, f"of {guesses} tries {answers[409]} were answered")
        repelled(await attempt(name("user"), ELSEWHERE) == 201, "nobody else can register with the token")
        repelled(await attempt(name("user"), ATTACKER) == 429, "the attacker may go on at once")
        clock.now += 900
        repelled(await attempt(name("user"), ATTACKER) == 201, "the token is good for nothing there any more")


@dataclass(slots=True)
class Clock:
    """Of the throttle: it goes only when it is told to, however long the machine takes."""

    now: float

    def __call__(self) -> float:
        return self.now


@contextmanager
def clock_of(site: Site) -> Iterator[Clock]:
    limited = site.gateway.services.sessions.throttle
    before, stopped = limited._clock, Clock(limited._clock())
    limited._clock = stopped
    try:
        yield stopped
    finally:
        limited._clock = before


def no_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoginThrottle, "attempt", lambda *_: nullcontext())


def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_WITH_ADDRESS", replace(throttle._WITH_ADDRESS, free=10**9))


# -- the threads that hash ------------------------------------------------------------------------------


async def filling_the_hasher(site: Site, logins: int = 60) -> None:
    """Logins from everywhere at once: so many wait, and the others are refused at once, not kept."""
    go_on, check, hasher = threading.Event(), PasswordHasher._check, site.gateway.services.hasher

    def held(self: PasswordHasher, secret: bytes, against: str) -> bool:
        go_on.wait(20)
        return check(self, secret, against)

    refused: list[int] = []

    async def attempt(number: int) -> None:
        status = await guess(site, "ada", f"10.1.{number // 250}.{number % 250}", PASSWORD)
        if not go_on.is_set():
            refused.append(status)

    async with cheap_hashes():
        with mock.patch.object(PasswordHasher, "_check", held):
            tasks = [asyncio.create_task(attempt(number)) for number in range(logins)]
            try:
                held_back = await settled(lambda: len(refused) + kept(hasher) == logins, lambda: kept(hasher))
                repelled(held_back <= HASHES_RUN + HASHES_WAIT, f"{held_back} passwords wait to be compared")
                assert set(refused) == {429}
                alive = await site.nobody.get("/health/live")
                repelled(alive.status_code == 200, "the gateway does nothing else meanwhile")
            finally:
                go_on.set()
                await asyncio.gather(*tasks)


def kept(hasher: PasswordHasher) -> int:
    """Passwords that are being compared, or wait for that."""
    return hasher._pool._work_queue.qsize() + HASHES_RUN


async def settled(condition: Callable[[], bool], value: Callable[[], int]) -> int:
    """The value at the moment when the condition is true; nobody tells when."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)
    return value()


def unbounded_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(self: PasswordHasher, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._pool.submit(work))

    monkeypatch.setattr(PasswordHasher, "_run", run)


# -- API keys -------------------------------------------------------------------------------------------


async def random_keys(site: Site) -> None:
    """Of 62 to the sixth random texts one has the right checksum: the others never reach the database."""
    good = unknown_key(site)
    changed = [good[:place] + ("a" if good[place] != "a" else "b") + good[place + 1 :] for place in range(5, 53)]
    with worked(site) as work:
        for key in [*changed, "llmg_", "llmg_" + "x" * 49, "llmg_" + "\u00e9" * 49, good + "x"]:
            sent = [(b"x-api-key", key.encode("latin-1"))]
            answer = await site.nobody.get("/v1/models", headers=sent)
            assert answer.status_code == 401
    repelled(work.statements == [], f"guesses that cannot be right made {len(work.statements)} statements")


def no_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "parse", lambda text: text)


async def guessing_beside_inference(site: Site) -> None:
    """Well-formed keys by the hundred: those who are known are served all the while without a question to the database,
    and are not forgotten for the sake of the others."""
    headers = {"x-api-key": (await site.made("keys", name=name("k")))["key"]}
    body = {**CHAT, "stream": False}
    assert (await site.nobody.post("/api/chat", json=body, headers=headers)).status_code == 200
    remembered = set(site.gateway.services.authenticator._cache)
    bad = [unknown_key(site) for _ in range(40)]
    statuses: list[int] = []

    async def guesses(keys: list[str]) -> None:
        for key in keys:
            answer = await site.nobody.get("/v1/models", headers={"x-api-key": key})
            statuses.append(answer.status_code)

    with worked(site) as work:
        async with asyncio.TaskGroup() as group:
            for first in range(0, 40, 10):
                group.create_task(guesses(bad[first : first + 10]))
            for _ in range(10):
                answer = await site.nobody.post("/api/chat", json=body, headers=headers)
                assert answer.status_code == 200, answer.text
    assert set(statuses) == {401}
    repelled(remembered <= set(site.gateway.services.authenticator._cache), "guesses push out who is known")
    looked_up = sum(statement.startswith("SELECT api_keys.id") for statement in work.statements)
    repelled(looked_up <= 2 * len(bad), f"{looked_up - 2 * len(bad)} statements were made for who is known")


def nobody_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authenticator, "_remember", lambda *_: None)


# -- one who is many -----------------------------------------------------------------------------------


async def many_addresses_of_one_machine(site: Site) -> None:
    """What is shared out by address, a machine gets once: it may choose from a /64 whichever address it likes."""
    async with whitelisted(site, "2001:db8:7::/48"):

        async def seen_as(address: str) -> str:
            answer = await site.nobody.get("/gate/auth/me", headers={"x-forwarded-for": address})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["id"])

        own = {await seen_as(f"2001:db8:7:1:{number:x}::{number:x}") for number in range(1, 20)}
        repelled(len(own) == 1, f"one machine is {len(own)} principals")
        assert await seen_as("2001:db8:7:2::1") not in own


def each_address_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "one_client", str)


async def sessions_without_end(site: Site) -> None:
    """One who logs in again and again has so many sessions, and leaves so many rows."""
    user = (await a_user(site))[0]
    with mock.patch.object(sessions, "MOST", 3):
        for _ in range(8):
            assert (await site.login(user["name"])).status_code == 200
    listed = {"user": user["id"], "live": "true"}
    live = (await site.admin.get("/admin/v1/sessions", params=listed)).json()["data"]
    repelled(len(live) <= 3, f"{len(live)} sessions of one user are live")
    every = (await site.admin.get("/admin/v1/sessions", params={"user": user["id"]})).json()["data"]
    repelled(len(every) <= 6, f"{len(every)} rows are kept of one user's sessions")


def room_for_any_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> bool:
        return False

    monkeypatch.setattr(Sessions, "_make_room", nothing)


async def keys_without_end(site: Site) -> None:
    """One who makes keys and revokes them leaves so many rows."""
    user, tokens = await a_user(site)
    headers = bearer(tokens["access_token"])
    with mock.patch.object(own_keys, "MOST_ENDED", 3):
        for _ in range(8):
            made = await site.nobody.post("/gate/keys", json={"name": "again"}, headers=headers)
            if made.status_code != 201:
                assert made.status_code == 409
                break
            path = f"/gate/keys/{made.json()['id']}/revoke"
            assert (await site.nobody.post(path, headers=headers)).status_code == 200
    kept = (await site.admin.get("/admin/v1/keys", params={"user": user["id"]})).json()["data"]
    repelled(len(kept) <= 3, f"{len(kept)} keys of one user are kept")


def ended_keys_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: Any) -> int:
        return 0

    monkeypatch.setattr(keys, "count_ended", none)


ATTACKS: list[Attack[Site]] = [
    Attack("guessing a password", guessing_a_password, no_throttle, "delays by name and address"),
    Attack("spraying names", spraying_names, endless_patience, "delays by address"),
    Attack("trying names with a token", trying_names_with_a_token, no_throttle, "delays by token and address"),
    Attack("filling the hasher", filling_the_hasher, unbounded_pool, "two threads, and 32 that wait"),
    Attack("random keys", random_keys, no_checksum, "a checksum, before the database"),
    Attack("guessing beside inference", guessing_beside_inference, nobody_is_remembered, "who is known is remembered"),
    Attack(
        "many addresses of one machine", many_addresses_of_one_machine, each_address_by_itself, "a /64 is one principal"
    ),
    Attack("sessions without end", sessions_without_end, room_for_any_session, "so many sessions for each user"),
    Attack("keys without end", keys_without_end, ended_keys_uncounted, "so many ended keys for each user"),
]
