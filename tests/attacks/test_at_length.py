"""The same attacks at length, and the clock beside the counted work: for `make trust`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import users
from tests.admin.harness import PASSWORD, Site
from tests.attacks.common import name
from tests.attacks.floods import guessing_a_password, spraying_names
from tests.attacks.guessing import unknown_key

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

GUESSES = 10_000


async def test_ten_thousand_guesses_of_one_password(site: Site) -> None:
    await guessing_a_password(site, GUESSES)


async def test_ten_thousand_names(site: Site) -> None:
    await spraying_names(site, GUESSES)


async def test_keys_take_the_same_time(site: Site) -> None:
    """An id that exists, with another secret, and one that does not."""
    known = (await site.made("keys", name=name("k")))["id"]

    async def asked(key_id: str | None) -> float:
        key = unknown_key(site, key_id)
        begun = time.perf_counter()
        answer = await site.nobody.get("/v1/models", headers={"x-api-key": key})
        taken = time.perf_counter() - begun
        assert answer.status_code == 401
        return taken

    await _alike(lambda: asked(known), lambda: asked(None), rounds=2000)


async def test_names_take_the_same_time(site: Site) -> None:
    """A user whose password is kept as the daemon keeps it, and nobody."""
    services = site.gateway.services
    user = name("user")
    hashed = await services.hasher.hash(PASSWORD)
    async with services.database.begin() as tx:
        await users.create(tx, name=user, password_hash=hashed, role=Role.USER)

    async def tried(who: str) -> float:
        services.sessions.throttle._records.clear()
        begun = time.perf_counter()
        assert (await site.login(who, "wrong")).status_code == 401
        return time.perf_counter() - begun

    await _alike(lambda: tried(user), lambda: tried("nobody-here"), rounds=300)


async def _alike(one: Callable[[], Any], other: Callable[[], Any], *, rounds: int) -> None:
    """Samples in turn, so that whatever else the machine does meets both; then the medians of both, in halves.

    The two kinds must not differ by more than one kind differs from itself between the halves, and a little. A
    difference of 0.2 ms cannot be seen over a network without far more than the throttle allows.
    """
    ones, others = [], []
    for _ in range(rounds):
        ones.append(await one())
        others.append(await other())
    middle = statistics.median
    noise = max(_spread(ones), _spread(others))
    assert abs(middle(ones) - middle(others)) < 0.0002 + 3 * noise


def _spread(samples: Sequence[float]) -> float:
    """How far the medians of the even and of the odd samples lie apart."""
    return abs(statistics.median(samples[::2]) - statistics.median(samples[1::2]))
