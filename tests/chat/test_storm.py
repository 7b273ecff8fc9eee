"""Many pages that do everything at once: in the end nothing is left, and nothing ran twice."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from llmgate.config import ChatSettings
from tests.chat.harness import Page, Person, log_in, open_page, start, until
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for

SLOTS = 3
PEOPLE = 4
PAGES = 4
ROUNDS = 12


async def behave(page: Page, chance: random.Random, known: list[str]) -> None:
    """One thing that a page may do."""
    match chance.randrange(7):
        case 0 | 1 | 2:
            await page.send(start(f"nonce-{chance.randrange(10**9)}", keep=chance.random() < 0.5))
            frame = await page.next("accepted", "refused")
            if frame["type"] == "accepted":
                known.append(frame["turn"])
        case 3 if known:
            await page.send({"type": "stop", "turn": chance.choice(known)})
        case 4 if known:
            await page.send({"type": "attach", "turn": chance.choice(known)})
            await page.next("snapshot", "gone")
        case 5:
            await page.send({"type": "bye"})
        case _:
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
            await page.send({"type": "here"})
            await page.next("here")


async def visit(gateway: Running, person: Person, chance: random.Random, known: list[str]) -> None:
    for _ in range(ROUNDS):
        with suppress(ConnectionClosed):
            async with open_page(gateway, person) as page:
                for _ in range(chance.randrange(1, 5)):
                    await behave(page, chance, known)
                if chance.random() < 0.5:
                    await page.lose()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))])
async def test_a_storm_of_pages(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    async with FakeOllama() as ollama:
        ollama.default = Script(tokens=["word "] * 30, thinking=["Hm"], interval=0.001)
        settings = settings_for(tmp_path / "state", [upstream_for(ollama, slots=SLOTS)])
        settings = settings.model_copy(update={"chat": ChatSettings(titles="first_line")})
        async with run_gateway(settings) as gateway:
            chat = gateway.services.chat
            chat.turns.grace = 0.2
            people = [await log_in(gateway, f"user{number}") for number in range(PEOPLE)]
            before = len(asyncio.all_tasks())
            async with asyncio.TaskGroup() as group:
                for person in people:
                    known: list[str] = []
                    for _ in range(PAGES):
                        own = random.Random(chance.random())  # noqa: S311
                        group.create_task(visit(gateway, person, own, known))
            turns = chat.turns
            await until(lambda: not turns._turns and not len(chat.connections))
            assert not any((turns._by_ref, turns._ended, turns._running, chat.positions._waiting))
            await until(lambda: gateway.services.gateway.active == 0)
            assert not await gateway.services.queue.running()
            bodies = gateway.services.gateway.bodies
            assert (bodies._held, bodies._of) == (0, {})
            assert ollama.max_concurrency <= SLOTS
            asked = [seen.nonce for seen in ollama.requests]
            assert len(asked) == len(set(asked)) > 20
            await until(lambda: len(asyncio.all_tasks()) <= before + 2)
            assert gateway.services.supervisor.failed == {}
