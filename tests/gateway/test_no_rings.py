"""What a request needed is free as soon as it has ended, however it has.

Objects that hold on to each other in a ring are freed only by the garbage collector, and the daemon lets that look
through everything very seldom (``server.COLLECT``): a few kilobytes of each request would become gigabytes in a day.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from llmgate.daemon.exchange import Exchange
from llmgate.daemon.queue.ticket import Outcome
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running
from tests.gateway.test_disconnects import RawClient

STREAM = {**CHAT, "stream": True}


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Nothing is tidied up before the test looks."""
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def rings() -> Counter[str]:
    """What of a request is only freed now."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        kinds = (type(one) for one in gc.garbage)
        return Counter(
            kind.__qualname__ for kind in kinds if kind.__module__.startswith(("llmgate.", "uvicorn.", "httptools."))
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def left_behind() -> int:
    """Requests that something still holds on to: a timer that goes on for ever is no ring."""
    return sum(type(one) is Exchange for one in gc.get_objects())


async def whole(gateway: Running, ollama: FakeOllama) -> None:
    assert (await gateway.post("/api/chat", STREAM)).status_code == 200


async def refused(gateway: Running, ollama: FakeOllama) -> None:
    assert (await gateway.post("/api/chat", {**STREAM, "model": "unknown"})).status_code == 404


async def embedded(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(body=json.dumps({"embeddings": ["x" * 1_000_000]}).encode()))
    assert (await gateway.post("/api/embed", {"model": "llama3.2", "input": "x"})).status_code == 200


async def lists(gateway: Running, ollama: FakeOllama) -> None:
    for path in ("/api/tags", "/api/ps", "/api/version", "/v1/models"):
        assert (await gateway.client.get(path)).status_code == 200
    assert (await gateway.client.get("/v1/models/unknown")).status_code == 404
    assert (await gateway.post("/api/show", {"model": "llama3.2"})).status_code == 200


async def finds_nothing(gateway: Running, ollama: FakeOllama) -> None:
    for path in ("/nope", "/api/nope", "/v1/nope", "/gate/nope", "/admin/v1/nope"):
        assert (await gateway.client.get(path)).status_code == 404


async def leaves_the_line(gateway: Running, ollama: FakeOllama) -> None:
    begun = len(ollama.requests)
    gate = f"gate {begun}"
    ollama.script(Script(gate=gate))
    first = asyncio.create_task(gateway.post("/api/chat", STREAM))
    await ollama.request(begun)
    client = await RawClient.ask(gateway, "/api/chat", STREAM)
    await gateway.waiting(1)
    await client.hang_up()
    await gateway.waiting(0)
    ollama.release(gate)
    await first


async def leaves_the_answer(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(hang_after=1))
    client = await RawClient.ask(gateway, "/api/chat", STREAM)
    await client.reader.readuntil(b"Hello")
    before = len(gateway.finished)
    await client.hang_up(reset=True)
    finished = await gateway.outcome(before)
    assert finished.outcome is Outcome.CLIENT_DISCONNECTED


WAYS = [whole, refused, embedded, lists, finds_nothing, leaves_the_line, leaves_the_answer]


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_a_request_waits_for_the_garbage_collector(
    gateway: Running, ollama: FakeOllama, way: object
) -> None:
    assert callable(way)
    await way(gateway, ollama)  # what is made once, is made now
    gc.collect()
    gc.freeze()  # neither this gateway nor what other tests have left is looked at
    for _ in range(5):
        await way(gateway, ollama)
    await gateway.client.aclose()
    with suppress(TimeoutError):  # the last one may still be ending
        async with asyncio.timeout(2):
            while left_behind():
                await asyncio.sleep(0)
    assert rings() == {}
    assert left_behind() == 0
