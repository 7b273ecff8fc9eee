"""`make soak`: a million short requests over an hour, a fifth of them given up; is one lost or repeated, does it grow?

``python -m bench.soak [--minutes 60] [--cluster] [--trace]``. It ends when so many minutes are over and the requests
are asked that belong to them, a million to an hour. A run of an hour or more writes docs/soak.md. Ctrl-C ends it
earlier, with what was found so far. It ends with 1 when something was not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench import processes
from bench.soak_daemon import VARIABLE
from bench.soak_found import Found
from bench.soak_life import beat, prepare, watch
from bench.soak_load import SLOTS, Load, upstream
from bench.soak_looks import Watcher, grown_too_much
from bench.soak_rows import Database, PostgreSQL, Rows, SQLite
from bench.soak_text import line, summary, write
from tests.services.postgres import PostgresServer
from tests.services.rabbitmq import RabbitServer

FULL_MINUTES: Final = 60.0
FULL_REQUESTS: Final = 1_000_000
LOOK_SECONDS: Final = 10.0
LINE_SECONDS: Final = 60.0
STUCK_SECONDS: Final = 60.0
"""Longest time in which a request has an answer, an error or a client that has left."""

LONGEST: Final = 2.0
"""Times of the minutes: then it ends with fewer requests, which is a fault."""


QUEUE: Final = "aging_seconds = 0.5\nkeepalive_after = 60\ndeadline_seconds = 120"
"""Who waits moves up soon."""


@dataclass(slots=True)
class Place:
    """Where the queue and the accounts are: settings for the gateway, and how its rows are read."""

    name: str
    queue: str
    more: str
    url: str = ""


@contextmanager
def cluster() -> Iterator[Place]:
    """RabbitMQ and PostgreSQL, private ones."""
    broker, database = RabbitServer(), PostgresServer()
    database.start()
    try:
        broker.start()
        database.execute("CREATE DATABASE soak")
        url = database.url("soak")
        queue = f'{QUEUE}\nbackend = "rabbitmq"\nurl = "{broker.url()}"'
        yield Place("RabbitMQ, PostgreSQL", queue, f'[database]\nurl = "{url}"', url)
    finally:
        broker.stop()
        database.stop()


@contextmanager
def alone() -> Iterator[Place]:
    yield Place("queue in memory, SQLite", QUEUE, "")


class Soak:
    """One run."""

    def __init__(
        self, found: Found, load: Load, gateway: processes.Gateway, keys: list[str], watcher: Watcher, rows: Rows
    ) -> None:
        self._found = found
        self._keys = keys
        self._load = load
        self._gateway = gateway
        self._watcher = watcher
        self._rows = rows
        self._stop = asyncio.Event()

    def interrupt(self) -> None:
        """End it, with what there is."""
        self._found.interrupted = True
        self._stop.set()

    async def run(self) -> None:
        """Until it is over; then everything is compared."""
        began = self._watcher.began = time.monotonic()
        rest = [asyncio.create_task(self._live()), asyncio.create_task(self._follow())]
        self._load.call(self._gateway.url, self._keys)
        try:
            while not self._over(time.monotonic() - began):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)
                self._look()
        except OSError as error:
            self._load.journal.troubles[f"ended: the daemon is gone ({error})"] += 1
        self._found.seconds = time.monotonic() - began
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._load.stop(STUCK_SECONDS)
        await self._settle()

    def _over(self, seconds: float) -> bool:
        wanted = 60 * self._found.minutes
        enough = seconds >= wanted and len(self._load.journal) >= self._found.requests
        return self._stop.is_set() or enough or seconds >= LONGEST * wanted

    def _look(self) -> None:
        found, load = self._found, self._load
        found.looks.append(self._watcher.look(len(load.journal)))
        self._rows.join()
        for nonce, (caller, asked) in list(load.asked.items()):
            if time.monotonic() - asked > STUCK_SECONDS:
                load.journal.troubles["lost: no answer for a minute"] += 1
                caller.leave(nonce)
        if found.looks[-1].at // LINE_SECONDS > (found.looks[-2].at // LINE_SECONDS if len(found.looks) > 1 else 0):
            print(line(found.looks, found.counts, load.journal), flush=True)

    async def _live(self) -> None:
        while True:
            try:
                self._found.counts = await asyncio.to_thread(beat, self._gateway)
                self._found.beats += 1
            except OSError as error:
                self._load.journal.troubles[f"refused: {getattr(error, 'url', '')} {error}"] += 1
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow(self) -> None:
        while True:
            try:
                await watch(self._gateway)
            except OSError as error:
                self._load.journal.troubles[f"refused: {error}"] += 1
                await asyncio.sleep(1)

    async def _settle(self) -> None:
        """Wait until everything is written down, and compare."""
        found, journal = self._found, self._load.journal
        deadline = time.monotonic() + STUCK_SECONDS
        while True:
            await asyncio.sleep(1)
            before = self._rows.read
            with suppress(OSError):
                found.counts = await asyncio.to_thread(beat, self._gateway)
            self._rows.join()
            done = found.counts is not None and self._rows.read == before == found.counts.requests
            if done or time.monotonic() > deadline:
                break
        found.rows, found.total = self._rows.read, self._rows.total()
        found.most_at_work = self._load.most_at_work
        found.grown = self._watcher.grown()
        found.faults = journal.faults()
        self._compare_sums()
        found.faults.update(grown_too_much(found.looks) if found.looks else [])

    def _compare_sums(self) -> None:
        found, faults = self._found, self._found.faults
        if found.counts is None:
            faults["ended: the gateway's counters could not be read"] += 1
            return
        if not found.rows == found.total == found.counts.requests:
            told = f"rows {found.rows:,}, hourly sums {found.total:,}, counter {found.counts.requests:,}"
            faults[f"counted otherwise: {told}"] += 1
        if found.most_at_work > SLOTS:
            faults[f"too many at once: {found.most_at_work} requests on {SLOTS} slots"] += 1
        if found.requests > len(self._load.journal) and not found.interrupted:
            faults[f"too slow: {len(self._load.journal):,} requests of {found.requests:,}"] += 1


async def soak(place: Place, folder: Path, found: Found, trace: bool) -> Load:
    """Start everything, and run."""
    answers = folder / "look.json"
    environ = {VARIABLE: str(answers), **({"PYTHONTRACEMALLOC": "1"} if trace else {})}
    load = Load()
    async with upstream(load) as url:
        starting = processes.llmgate(
            folder, url, SLOTS, place.more, place.queue, program="bench.soak_daemon", environ=environ
        )
        gateway = await asyncio.to_thread(starting.__enter__)
        try:
            keys = await asyncio.to_thread(prepare, gateway)
            state = processes.state_of(folder, SLOTS)
            database: Database = PostgreSQL(place.url) if place.url else SQLite(state / "llmgate.db")
            watcher, rows = Watcher(gateway.pid, state, answers), Rows(database, load.journal)
            run = Soak(found, load, gateway, keys, watcher, rows)
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, run.interrupt)
            await run.run()
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)
    return load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES)
    parser.add_argument("--cluster", action="store_true", help="with RabbitMQ and PostgreSQL")
    parser.add_argument("--trace", action="store_true", help="with tracemalloc, which makes it slow")
    options = parser.parse_args()
    requests = 0 if options.trace else int(FULL_REQUESTS * options.minutes / FULL_MINUTES)
    with (
        tempfile.TemporaryDirectory(prefix="llmgate-soak-") as folder,
        cluster() if options.cluster else alone() as place,
    ):
        found = Found(place.name, options.minutes, requests)
        load = uvloop.run(soak(place, Path(folder), found, options.trace))
        print(summary(found, load.journal), flush=True)
        for text in found.grown:
            print(text)
    if options.minutes >= FULL_MINUTES and not found.interrupted:
        write(found, load.journal)
    return bool(found.faults)


if __name__ == "__main__":
    sys.exit(main())
