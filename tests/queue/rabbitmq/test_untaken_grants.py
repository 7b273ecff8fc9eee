"""A client may hang up after its turn has come, and before anybody has noticed that it has."""

from __future__ import annotations

import pytest

from tests.queue.backends import is_quiet, until
from tests.queue.rabbitmq.support import a_manager, in_turn, running

pytestmark = pytest.mark.alone

AT_ONCE = 0.1
"""Seconds; the next look at what runs would be a fifth of a second later."""


async def test_a_grant_that_nobody_takes_frees_its_slot_at_once(vhost_url: str) -> None:
    async with running(a_manager(vhost_url)) as manager:
        await until(lambda: is_quiet(manager))
        for number in range(5):  # the look at what runs may happen to come just then
            first, second = await in_turn(manager, [f"a{number}", f"b{number}"])
            await until(lambda: len(manager.room.grants()) == 1)
            first.leave()
            grant = await second.granted(AT_ONCE)
            manager.release(grant, 1.0)
            await until(lambda: is_quiet(manager))
