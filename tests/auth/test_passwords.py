"""Passwords."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher as Argon2
from argon2 import Type

from llmgate.daemon.auth import passwords
from llmgate.daemon.auth.passwords import PasswordHasher, check_strength
from llmgate.errors import InvalidRequest, TooManyAttempts


async def test_a_password_fits_its_own_hash_only(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash("correct horse battery")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify("correct horse battery", hashed)
    assert not await hasher.verify("correct horse batterz", hashed)
    assert not await hasher.verify("", hashed)
    assert hashed != await hasher.hash("correct horse battery")


async def test_hashes_are_those_of_argon2(hasher: PasswordHasher) -> None:
    reference = Argon2(memory_cost=19_456, time_cost=2, parallelism=1, type=Type.ID)
    assert reference.verify(await hasher.hash("correct horse battery"), "correct horse battery")
    assert await hasher.verify("correct horse battery", reference.hash("correct horse battery"))


@pytest.mark.parametrize(
    "password", ["päss wörd 123", "日本語のパスワード十文字以上", "nul\0inside it", "\ud800 lone one"]
)
async def test_every_character_counts(hasher: PasswordHasher, password: str) -> None:
    hashed = await hasher.hash(password)
    assert await hasher.verify(password, hashed)
    assert not await hasher.verify(password[:-1], hashed)
    assert not await hasher.verify(password.split("\0", maxsplit=1)[0] + "x", hashed)


async def test_it_does_not_matter_how_a_keyboard_composes_its_letters(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash("caf\N{LATIN SMALL LETTER E WITH ACUTE} au lait")
    assert await hasher.verify("cafe\N{COMBINING ACUTE ACCENT} au lait", hashed)


@pytest.mark.parametrize("hashed", [None, "", "plain", "$argon2id$v=19$m=19456,t=2,p=1$$", "$1$salt$hash", "\0"])
async def test_nothing_fits_no_hash_or_a_broken_one(hasher: PasswordHasher, hashed: str | None) -> None:
    assert not await hasher.verify("correct horse battery", hashed)


async def test_a_user_that_does_not_exist_costs_as_much_as_one_that_does(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash("correct horse battery")
    assert passwords._NOBODY.split("$")[:4] == hashed.split("$")[:4]
    assert len(passwords._NOBODY) == len(hashed)
    times: dict[str | None, list[float]] = {hashed: [], None: []}
    for _ in range(25):
        for target, taken in times.items():
            started = time.perf_counter()
            await hasher.verify("wrong horse battery", target)
            taken.append(time.perf_counter() - started)
    real, nobody = (statistics.median(taken) for taken in times.values())
    assert nobody == pytest.approx(real, rel=0.5)
    assert nobody > 0.002


@pytest.mark.parametrize("password", ["", "short", "x" * 9, "x" * 1025, "aaaaaaaaaaaa", "abcabcabcabc"])
async def test_a_weak_password_is_refused_before_any_work(hasher: PasswordHasher, password: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await hasher.hash(password)
    assert caught.value.param == "password"


def test_the_shortest_length_is_a_setting() -> None:
    check_strength("eight ch", 8)
    with pytest.raises(InvalidRequest, match="12"):
        check_strength("eleven char", 12)


async def test_a_flood_is_turned_away_and_what_was_accepted_is_served() -> None:
    hasher = PasswordHasher(threads=1, waiting=2)
    try:
        results = await asyncio.gather(*(hasher.verify("x", None) for _ in range(20)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, TooManyAttempts)]
        assert len(refused) == 17
        assert refused[0].retry_after == 1
        assert results.count(False) == 3
        assert not await hasher.verify("x", None)
    finally:
        hasher.close()


async def test_work_that_was_given_up_frees_its_place() -> None:
    hasher = PasswordHasher(threads=1, waiting=1)
    try:
        for _ in range(5):
            tasks = [asyncio.create_task(hasher.verify("x", None)) for _ in range(2)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while hasher._pending:
                await asyncio.sleep(0)
        assert not await hasher.verify("x", None)
    finally:
        hasher.close()
