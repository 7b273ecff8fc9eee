"""The shape of an attack, and the two ways in which every attack is tried.

A module of attacks has a list ``ATTACKS``; its test module says with it, for every attack:

    @every(ATTACKS)
    async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
        await comes_to_nothing(attack, site)

    @every(ATTACKS)
    async def test_without_its_control_it_succeeds(
        attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await succeeds_without_control(attack, site, monkeypatch)

The second test is what makes the first one worth something: a control that nobody misses protects nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

PATIENCE = 60.0
"""Seconds. An attack that takes longer is one that hangs, which is neither of the two answers."""
S = TypeVar("S")
"""What is attacked: the running gateway (``tests.admin.harness.Site``, or ``tests.gateway.harness.Running``)."""


class Breached(AssertionError):  # it says what happened
    """An attack has succeeded. Raised by `repelled`, so that no other failed assertion is taken for a success."""


@dataclass(frozen=True, slots=True)
class Attack(Generic[S]):
    """One attack, and the control that stops it.

    ``run`` attacks and asserts that nothing came of it. ``switch_off`` takes the control away in the program itself
    (never in the test), while the gateway runs. ``control`` names what stops it, for the table in the documents.
    ``sign`` is how ``run`` says that it succeeded: `Breached`, where that is only ever by `repelled`, is sharper.
    """

    name: str
    run: Callable[[S], Awaitable[None]]
    switch_off: Callable[[pytest.MonkeyPatch], None]
    control: str = ""
    sign: type[AssertionError] = AssertionError

    def __repr__(self) -> str:
        return f"<attack: {self.name}>"


def every(attacks: Iterable[Attack[Any]]) -> pytest.MarkDecorator:
    """Runs a test once for each of these attacks, as its argument ``attack``."""
    return pytest.mark.parametrize("attack", [pytest.param(attack, id=attack.name) for attack in attacks])


async def comes_to_nothing(attack: Attack[S], site: S) -> None:
    """The attack fails.

    Raises: AssertionError: it succeeded.
    """
    async with asyncio.timeout(PATIENCE):
        await attack.run(site)


async def succeeds_without_control(
    attack: Attack[S], site: S, monkeypatch: pytest.MonkeyPatch, sign: type[AssertionError] | None = None
) -> None:
    """The same attack, with its control switched off, succeeds. ``sign`` goes before that of the attack."""
    attack.switch_off(monkeypatch)
    with pytest.raises(sign or attack.sign):
        async with asyncio.timeout(PATIENCE):
            await attack.run(site)


def repelled(condition: object, happened: str) -> None:
    """Say in an attack what must hold for it to have failed; ``happened`` is told when it succeeded.

    Raises: Breached: the condition does not hold.
    """
    if not condition:
        raise Breached(happened)
