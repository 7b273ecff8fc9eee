"""Who is served next when one comes who is more urgent than twenty that wait?

``python -m bench.priority llmgate smg`` tries these and prints their rows, without writing anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import processes
from bench.figures import Figure, Part
from bench.products import haproxy, litellm, llmgate, portkey, smg
from bench.products.base import DoesNotStart
from bench.products.turns import Asking, OneSlot, StartsOneSlot

PRODUCTS: Final[dict[str, tuple[str, StartsOneSlot]]] = {
    "llmgate": ("llmgate", llmgate.one_slot),
    "llmgate-rabbitmq": ("llmgate, RabbitMQ", llmgate.one_slot_rabbitmq),
    "smg": ("SMG", smg.one_slot),
    "haproxy": ("HAProxy", haproxy.one_slot),
    "litellm": ("LiteLLM, its waiting line", litellm.waiting_line),
    "litellm-limit": ("LiteLLM, its limit", litellm.one_slot),
    "litellm-priority": ("LiteLLM, no limit", litellm.only_priority),
    "portkey": ("Portkey", portkey.one_slot),
}
RUNS: Final = 5
WAITING: Final = 20
FIRST_SECONDS: Final = 1.4
"""For so long the first request has the slot, so that the others gather behind it."""

URGENT_AFTER: Final = 1.2
TURN_SECONDS: Final = 0.05
PATIENCE: Final = 30.0
"""Seconds until a request counts as lost."""

FIRST: Final = f"turn-{FIRST_SECONDS * 1000:.0f}"
TURN: Final = f"turn-{TURN_SECONDS * 1000:.0f}"
PLACE: Final = "place of the urgent one among those begun after it came (1: next)"
DELAY: Final = "time to its first byte"
REFUSED: Final = f"refused or lost, of {WAITING} that waited"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: ``said`` is its status, or why it has none; ``first`` is seconds after it was sent."""

    said: str
    first: float = 0.0

    @property
    def is_served(self) -> bool:
        return self.said == "200"


@dataclass(frozen=True, slots=True)
class Run:
    """``place`` is 0 when the urgent one was not served. ``passed_on``: how many of those that should wait the upstream
    had got already when the urgent one came."""

    urgent: Outcome
    place: int
    passed_on: int
    others: Counter[str]


@dataclass(slots=True)
class Tried:
    """A product's runs, or why it does not start."""

    name: str
    means: str = ""
    version: str = ""
    runs: list[Run] = field(default_factory=list)
    failed: str = ""

    @property
    def served(self) -> list[Run]:
        return [run for run in self.runs if run.place]

    def figures(self) -> list[Figure]:
        found = []
        if self.served:
            found.append(Figure(PLACE, self.name, "", [run.place for run in self.served], _goal(self.name, "1")))
            found.append(Figure(DELAY, self.name, "s", [run.urgent.first for run in self.served]))
        if self.runs:
            refused = [float(WAITING - run.others["200"]) for run in self.runs]
            found.append(Figure(REFUSED, self.name, "", refused, _goal(self.name, "0")))
        return found

    def says(self) -> str:
        """In one sentence what it does."""
        others = sum((run.others for run in self.runs), Counter[str]())
        refused = {what: count for what, count in others.items() if what != "200"}
        reasons = ", ".join(f"{count / len(self.runs):.0f} × {what}" for what, count in refused.items())
        passed_on = statistics.median(run.passed_on for run in self.runs)
        if not self.served:
            said = f"refuses the urgent one as well ({self.runs[0].urgent.said})"
        elif max(run.place for run in self.served) == 1:
            said = "serves the urgent one next"
        elif passed_on >= WAITING:
            said = "passes everything on at once, so that the upstream's line decides: first come, first served"
        else:
            said = f"serves {max(run.place for run in self.served) - 1} others first, at worst"
        if self.served and len(self.served) < len(self.runs):
            said += f", but in {len(self.runs) - len(self.served)} of {len(self.runs)} runs refuses it"
        return f"{said}; of the {WAITING} that waited, " + (
            f"refused or lost: {reasons}" if refused else "all are served"
        )


def _goal(name: str, goal: str) -> str:
    return goal if name.startswith("llmgate") else ""


async def ask(slot: OneSlot, asking: Asking, model: str, name: str) -> Outcome:
    """One request with a connection of its own, to the end of its answer."""
    target = slot.target
    parts = urlsplit(target.url)
    body = json.dumps(
        {
            "model": target.model(model),
            "messages": [{"role": "user", "content": f"request-{name} and nothing else"}],
            "stream": True,
            **asking.body,
        }
    ).encode()
    headers = {
        "host": parts.netloc,
        "authorization": f"Bearer {asking.key or target.key}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **target.headers,
        **asking.headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"POST {parts.path}/v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        sent = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
            answer = await reader.read(65536)
            first = time.monotonic() - sent
            answer += await reader.read()
        return Outcome(status if status != "200" or b"[DONE]" in answer else "cut off", first)
    except (OSError, EOFError, TimeoutError) as error:
        return Outcome(type(error).__name__)
    finally:
        writer.close()


async def run_once(slot: OneSlot, upstream: str, number: int) -> Run:
    """One has the slot, twenty wait, an urgent one comes."""

    def name(what: str) -> str:
        return f"run-{number}-{what}"

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(slot, slot.ordinary, FIRST, name("first")))
        await asyncio.sleep(0.1)
        low = []
        for one in range(WAITING):
            low.append(group.create_task(ask(slot, slot.ordinary, TURN, name(f"low-{one}"))))
            await asyncio.sleep(0.01)
        await asyncio.sleep(began + URGENT_AFTER - time.monotonic())
        came = time.monotonic()
        urgent = await ask(slot, slot.urgent, TURN, name("urgent"))
    log = {what: times for what, times in _log(upstream).items() if what.startswith(name(""))}
    others = Counter(task.result().said for task in low)
    return judge(log, came, urgent, others)


def judge(log: dict[str, tuple[float, float]], came: float, urgent: Outcome, others: Counter[str]) -> Run:
    """``log``: of each request's name when it came to the upstream, and when it was begun there (0: never)."""
    later = sorted((begun, name) for name, (_, begun) in log.items() if begun > came)
    names = [name for _, name in later]
    place = next((place for place, name in enumerate(names, 1) if name.endswith("-urgent")), 0)
    passed_on = sum("-low-" in name and arrived <= came for name, (arrived, _) in log.items())
    return Run(urgent, place if urgent.is_served else 0, passed_on, others)


def _log(upstream: str) -> dict[str, tuple[float, float]]:
    with urllib.request.urlopen(f"{upstream}/log", timeout=10) as answer:
        return {name: (came, begun) for name, (came, begun) in json.load(answer).items()}


async def _try(slot: OneSlot, upstream: str) -> list[Run]:
    warm = await ask(slot, slot.ordinary, TURN, "warm-up")
    if not warm.is_served:
        raise DoesNotStart(f"it does not serve: {warm.said}")
    return [await run_once(slot, upstream, number) for number in range(RUNS)]


def try_all(folder: Path, names: Iterable[str]) -> list[Tried]:
    found = []
    for product in names:
        title, start = PRODUCTS[product]
        place = folder / product
        place.mkdir()
        tried = Tried(title)
        with processes.upstream(place, FIRST, TURN, module="bench.turns_upstream") as upstream:
            try:
                with start(place, upstream) as slot:
                    tried.means, tried.version = slot.means, slot.target.version
                    tried.runs = asyncio.run(_try(slot, upstream))
            except DoesNotStart as reason:
                tried.failed = str(reason)
        found.append(tried)
    return found


def table(found: Sequence[Tried]) -> str:
    rows = [
        "| product | how it was told | place | first byte after | refused or lost | what it does |",
        "|---|---|--:|--:|--:|---|",
    ]
    for tried in found:
        if tried.failed:
            rows.append(f"| {tried.name} | | | | | does not start: {tried.failed} |")
            continue
        place = in_places([run.place for run in tried.served])
        delay = f"{statistics.median(run.urgent.first for run in tried.served):.2f} s" if tried.served else "never"
        refused = in_places([WAITING - run.others["200"] for run in tried.runs])
        rows.append(
            f"| {tried.name} {tried.version} | {tried.means} | {place} | {delay} | {refused} | {tried.says()} |"
        )
    return "\n".join(rows)


def in_places(places: Sequence[int]) -> str:
    """``1``, ``1 to 3``, or ``-``: without any."""
    if not places:
        return "-"
    return f"{min(places)}" if min(places) == max(places) else f"{min(places)} to {max(places)}"


def measure(folder: Path) -> Part:
    """About two and a half minutes on idle cores."""
    found = try_all(folder, PRODUCTS)
    rest = FIRST_SECONDS - URGENT_AFTER
    last = rest + WAITING * TURN_SECONDS
    text = f"""
One slot. A first request has it for {FIRST_SECONDS} s; {WAITING} ordinary ones come and wait; {rest:.1f} s before
the slot is free, an urgent one comes. Each of the others takes {TURN_SECONDS} s. The upstream is the witness: it
serves one at a time, as they come, and notes when each came and when it was begun. So place 1 and {rest:.1f} s are
the best that there is, and place {WAITING + 1} and {last:.1f} s are what happens without priorities. {RUNS} runs each.
Each product is told in its own way that one request may run at a time, and that one is more urgent:

{table(found)}

With llmgate the priority belongs to the key, and a request may only lower it. With SMG a request may raise it as far as
the tenant is allowed to; with HAProxy, as configured here, and with LiteLLM whoever asks decides.
"""
    figures = [figure for tried in found for figure in tried.figures()]
    together = [figure for what in (PLACE, DELAY, REFUSED) for figure in figures if figure.what == what]
    return Part("priority", "Priority, demonstrated", text, together)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.priority", description=__doc__)
    options.add_argument("products", nargs="+", choices=PRODUCTS)
    with tempfile.TemporaryDirectory(prefix="llmgate-priority-") as folder:
        found = try_all(Path(folder), options.parse_args().products)
    print(table(found))


if __name__ == "__main__":
    main()
