"""`make bench-chat`: what open chats cost, and how smoothly the page draws. Writes docs/benchmarks-chat.md.

A whole daemon with SQLite in front of a fake model that writes at a given pace, each a process of its own; fifty open
chats of which half are answered; and a real Chromium that shows a long answer while it comes, and opens a long
conversation: as fast as this machine is, and four times slower. ``python -m bench.chat ROUNDS`` repeats the page's
figures so often, and keeps the best round: what else the machine does makes them only worse.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Browser

from bench import chat_page, chat_sockets, processes
from bench.chat_page import LENGTH, MESSAGES, Drawn
from bench.chat_sockets import BUSY, PAUSE_MS, SOCKETS, Cost
from bench.chat_text import markdown
from bench.chat_upstream import MODEL
from bench.document import ROOT
from llmgate.config import Settings, StateSettings
from llmgate.daemon.services import open_database
from llmgate.daemon.store import conversations, messages
from tests.browser.harness import DESKTOP, chromium

DOCUMENT = ROOT / "docs" / "benchmarks-chat.md"
SLOTS = 30
PEOPLE = ("ann", "ben", "cleo", "dan")
SLOWER = 4
ROUNDS = 1
GOAL_MS = 100.0
ANSWER = 1_500
"""Characters of each answer in the long conversation."""


@dataclass(slots=True)
class Found:
    cost: Cost
    streaming: list[Drawn]
    reading: list[Drawn]
    browser: str
    load: float
    """Of the machine before: what else it had to do."""


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def conversation(state: Path, user: str) -> str:
    """A long conversation of this user; its id."""
    database, _ = await open_database(Settings(state=StateSettings(dir=state)))
    async with database.begin() as tx:
        made = await conversations.create(tx, user_id=user, title="A long conversation", model=MODEL)
        parent: str | None = None
        for number in range(MESSAGES // 2):
            question, answer = f"What about number {number}?", markdown(ANSWER, number)
            asked = await messages.add(tx, conversation_id=made.id, parent=parent, role="user", content=question)
            answered = await messages.add(
                tx,
                conversation_id=made.id,
                parent=asked.id,
                role="assistant",
                content=answer,
                model=MODEL,
                outcome="completed",
            )
            parent = answered.id
    await database.close()
    return made.id


def people(gateway: processes.Gateway) -> dict[str, str]:
    """Users of the page: name → id."""
    url = f"{gateway.url}/admin/v1/users"
    bodies = [{"name": name, "password": processes.PASSWORD} for name in PEOPLE]
    return {name: processes.post(url, body, gateway.admin)["id"] for name, body in zip(PEOPLE, bodies, strict=True)}


def token(gateway: processes.Gateway, name: str) -> str:
    body = {"name": name, "password": processes.PASSWORD}
    return processes.post(f"{gateway.url}/gate/auth/login", body, {})["access_token"]


async def best(browser: Browser, rounds: int, url: str, kept: str) -> tuple[list[Drawn], list[Drawn]]:
    """Of each figure the round with the lowest p95."""
    streaming, reading = [], []
    name = PEOPLE[0]
    for slower in (1, SLOWER):
        tries = [await chat_page.streaming(browser, url, name, slower) for _ in range(rounds)]
        streaming.append(min(tries, key=lambda one: quantile(one.frames, 0.95)))
        pairs = [await chat_page.reading(browser, url, name, kept, slower) for _ in range(rounds)]
        reading += [min(both, key=lambda one: quantile(one.frames, 0.95)) for both in zip(*pairs, strict=True)]
    return streaming, reading


async def run(rounds: int) -> Found:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = '[chat]\n        titles = "first_line"'
        with (
            processes.upstream(folder, module="bench.chat_upstream") as upstream,
            processes.llmgate(folder, upstream, SLOTS, more) as gateway,
        ):
            ids = people(gateway)
            cost = await chat_sockets.measured(gateway, [token(gateway, name) for name in PEOPLE])
            kept = await conversation(processes.state_of(folder, SLOTS), ids[PEOPLE[0]])
            async with chromium() as browser:
                streaming, reading = await best(browser, rounds, gateway.url, kept)
                return Found(cost, streaming, reading, browser.version, load)


def figures(values: Sequence[float]) -> str:
    ordered = (min(values), statistics.median(values), quantile(values, 0.95), max(values))
    return " | ".join(f"{value:.0f}" for value in ordered)


def frames(drawn: Sequence[Drawn]) -> list[str]:
    rows = ["| frames | number | min | median | p95 | max | tasks over 50 ms |", "|---|---|---|---|---|---|---|"]
    for one in drawn:
        longest = f"{len(one.long)}, the longest {max(one.long):.0f}" if one.long else "none"
        rows.append(f"| {one.what} | {len(one.frames)} | {figures(one.frames)} | {longest} |")
    return rows


def sockets(cost: Cost) -> list[str]:
    none, idle, busy = cost.connections
    return [
        f"- Connections to the database that the daemon has open: {none} with no chat open, {idle} with {SOCKETS} "
        f"idle ones, {busy} while {BUSY} are answered. **Idle ones hold {max(0, idle - none)}** (aim: 0).",
        f"- Memory of the daemon: **{cost.idle_memory / 1024:.0f} KiB** for each idle chat; "
        f"{cost.busy_memory / 1024:.0f} KiB for each while half of them are answered.",
        f"- CPU of the daemon: {cost.idle_cpu:.1f} % of one core while all are idle; {cost.busy_cpu:.1f} % at "
        f"{cost.frames_per_second:.0f} frames/s of words: **{cost.frame_us:.0f} µs** for each frame.",
    ]


def repeated(rounds: int) -> str:
    return f"Of {rounds} rounds in the browser the best." if rounds > 1 else "Each figure was taken once."


def ready(drawn: Drawn) -> str:
    composer, answer = (drawn.seen[name] / 1000 for name in ("composer", "answer"))
    return f"- {drawn.what}: one can ask after {composer:.1f} s, and read the last answer after {answer:.1f} s."


def document(found: Found, rounds: int) -> str:
    keys = [f"{one.what}: p95 {quantile(one.keys, 0.95):.0f} ms" for one in found.streaming]
    late = [f"{one.what}: p95 {quantile(one.late, 0.95):.0f} ms" for one in found.streaming]
    worst = max(quantile(one.frames, 0.95) for one in (*found.streaming, *found.reading))
    return "\n".join(
        [
            "# What the chat costs\n",
            f"Written by `make bench-chat` on {datetime.now(UTC):%Y-%m-%d}; do not edit.\n",
            f"{os.cpu_count()} cores for everything together: the daemon (Python {platform.python_version()}, SQLite), "
            f"a fake model, the clients, and Chromium {found.browser} without a graphics card, in a window of "
            f"{DESKTOP[0]} × {DESKTOP[1]}. {repeated(rounds)} Before, the machine's load was {found.load:.1f}.\n",
            f"## {SOCKETS} open chats\n",
            f"First all of them idle, then {BUSY} with an answer of {1000 // PAUSE_MS} tokens a second.\n",
            *sockets(found.cost),
            f"\n## An answer of {LENGTH:,} characters at {1000 // chat_page.PAUSE_MS} tokens a second\n",
            "Markdown with headings, lists, tables, code and formulas. The milliseconds between two frames, from the "
            "first word to the last, while somebody types the next question:\n",
            *frames(found.streaming),
            "",
            f"- In the last quarter, when the answer is long: {'; '.join(late)}.",
            f"- From a key to its letter: {'; '.join(keys)}.",
            f"\n## A conversation of {MESSAGES} messages\n",
            f"Each answer has {ANSWER:,} characters of the same kind. Opened by its address, and scrolled from the end "
            "to the beginning:\n",
            *frames(found.reading),
            "",
            *(ready(one) for one in found.reading[::2]),
            f"\nThe worst p95 of all frames is **{worst:.0f} ms** (aim: {GOAL_MS:.0f} ms).\n",
        ]
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    text = document(asyncio.run(run(rounds)), rounds)
    DOCUMENT.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
