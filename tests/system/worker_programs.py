"""Programs that test_workers.py runs as processes: parents of workers, and workers.

    worker_programs.py parent DIRECTORY COUNT SCRIPT [OPTIONS]   the real parent, of fake workers
    worker_programs.py llmgate ARGUMENTS                         the real command, parent and workers, without its
                                                                 refusal of several workers with memory queues

SCRIPT is JSON: for each number of a worker, what it does at its first, second ... start; the last is repeated.

    serve     say ready, serve, end when told to drain
    busy      say ready, and end only when told to cut
    slow      the same, and say that it may take a minute; tell after half a second that it is still there
    stubborn  say ready, and never end
    hang      never say ready
    late      say ready after SIGUSR1, and serve
    fail N    exit with N before being ready; die N: after it
    kill      be killed before being ready

A fake worker tells what happens to it on its standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from unittest import mock

from llmgate.config import LogSettings, ServerSettings
from llmgate.daemon import workers
from llmgate.daemon.listening import listen
from llmgate.daemon.logs import configure_logging
from llmgate.daemon.workers import Handover, Order, Parent, Pauses, Workers, parent_of
from llmgate.errors import LLMGateError


def say(text: str) -> None:
    """Print a line at once: unbuffered, Python writes its end separately, and the lines of processes would mix."""
    os.write(1, f"{text}\n".encode())


async def be_parent(directory: str, count: str, script: str, options: str = "{}") -> int:
    configure_logging(LogSettings(format="json"))
    chosen = json.loads(options)
    parent = Workers(
        [sys.executable, __file__, "fake", directory, script],
        int(count),
        listen(ServerSettings(port=0)),
        stop_seconds=chosen.get("stop_seconds", 60),
        pauses=Pauses(**chosen.get("pauses", {"first": 0.01})),
    )
    with mock.patch.object(workers, "SPARE_SECONDS", chosen.get("spare_seconds", workers.SPARE_SECONDS)):
        return await parent.run(lambda token: say(f"all ready, token {token}"))


async def be_fake(directory: str, script: str, handover: str) -> int:
    place = Handover.parse(handover)
    starts = Path(directory) / f"starts-{place.number}"
    earlier = len(starts.read_text()) if starts.exists() else 0
    starts.write_text("." * (earlier + 1))
    steps = json.loads(script).get(str(place.number), ["serve"])
    step, _, value = steps[min(earlier, len(steps) - 1)].partition(" ")
    me = f"worker {place.number}"
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _signalled, me, step, number)
    say(f"{me} starts as {os.getpid()}")
    if step == "fail":
        sys.stderr.write("Error: it cannot start.\n")
        return int(value)
    if step == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if step == "hang":
        await asyncio.Event().wait()
    if step == "late":
        go = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
        say(f"{me} waits")
        await go.wait()
        step = "serve"
    async with parent_of(place) as (parent, _listener):
        say(f"{me} is ready with {parent.setup_token}")
        parent.ready(needs_setup=True)
        if step == "slow":
            parent.drains(60.0)
        if step == "die":
            return int(value)
        return await _follow(parent, me, step)


async def _follow(parent: Parent, me: str, step: str) -> int:
    async for order in parent.orders():
        say(f"{me} is told to {order}")
        if order is Order.RELOAD:
            continue
        if step == "slow" and order is Order.DRAIN:
            asyncio.get_running_loop().call_later(0.5, say, f"{me} is still here after a while")
        if step == "serve" or (step in ("busy", "slow") and order is Order.CUT):
            return 0
    await asyncio.Event().wait()
    return 0


def _signalled(me: str, step: str, number: int) -> None:
    say(f"{me} gets signal {number}")
    if step in ("hang", "serve"):  # as a real one does, when the order comes before its parent knows that it is ready
        sys.exit(0)


def be_llmgate(*arguments: str) -> None:
    from llmgate.cli import main, serve  # noqa: PLC0415  fakes are many, and need neither

    again = [sys.executable, __file__, "llmgate"]
    with mock.patch.multiple(serve, _check_several=mock.Mock(), fresh_process=lambda: again):
        main.run(arguments)


def run(program: str, *arguments: str) -> None:
    if program == "llmgate":
        be_llmgate(*arguments)
        return
    try:
        sys.exit(asyncio.run((be_parent if program == "parent" else be_fake)(*arguments)))
    except LLMGateError as error:
        sys.stderr.write(f"Error: {error.text()}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run(*sys.argv[1:])
