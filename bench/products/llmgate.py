"""llmgate with everything on, with either kind of waiting line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llmgate
from bench import processes
from bench.processes import Gateway
from bench.products.base import DoesNotStart, Target, descendants
from bench.products.turns import Asking, OneSlot
from tests.services.rabbitmq import RabbitServer

SLOTS = 1024
"""As many as an upstream may have: nobody waits, so that what is measured is the way through the queue."""

NOTE = "everything on: API key, queue, accounting in SQLite, one log line per request"
MEANS = "`slots = 1`; two API keys, one of level 5 and one of level 1"


@contextmanager
def memory(folder: Path, upstream: str) -> Iterator[Target]:
    """The waiting line in the daemon itself."""
    with processes.llmgate(folder, upstream, SLOTS) as gateway:
        yield _target("llmgate", gateway, f"{NOTE}; the waiting line in memory")


@contextmanager
def rabbitmq(folder: Path, upstream: str) -> Iterator[Target]:
    """The waiting line in a broker, whose time counts as well."""
    with (
        _broker() as (broker, roots),
        processes.llmgate(folder, upstream, SLOTS, queue=_settings(broker)) as gateway,
    ):
        version = broker.eval("list_to_binary(rabbit_misc:version())")
        yield _target("llmgate, RabbitMQ", gateway, f"{NOTE}; the waiting line in RabbitMQ {version}", roots)


@contextmanager
def one_slot(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """The waiting line in memory."""
    with processes.llmgate(folder, upstream, 1) as gateway:
        yield _in_turn(_target("llmgate", gateway, NOTE), gateway)


@contextmanager
def one_slot_rabbitmq(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """The waiting line in a broker."""
    with _broker() as (broker, _), processes.llmgate(folder, upstream, 1, queue=_settings(broker)) as gateway:
        yield _in_turn(_target("llmgate, RabbitMQ", gateway, NOTE), gateway)


def _target(name: str, gateway: Gateway, note: str, more: tuple[int, ...] = ()) -> Target:
    """``more``: processes besides the daemon, whose descendants count as well."""
    roots = (gateway.pid, *more)
    return Target(
        name=name,
        version=llmgate.__version__,
        url=gateway.url,
        key=gateway.key,
        pids=lambda: [pid for root in roots for pid in descendants(root)],
        note=note,
    )


def _in_turn(target: Target, gateway: Gateway) -> OneSlot:
    keys = {
        level: processes.post(f"{gateway.url}/admin/v1/keys", {"name": f"level-{level}", "level": level}, gateway.admin)
        for level in (1, 5)
    }
    return OneSlot(target, Asking(key=keys[5]["key"]), Asking(key=keys[1]["key"]), MEANS)


@contextmanager
def _broker() -> Iterator[tuple[RabbitServer, tuple[int, ...]]]:
    """A broker of our own, and its processes."""
    before = descendants(os.getpid())
    try:
        server = RabbitServer()
        server.start()
    except RuntimeError as error:
        raise DoesNotStart(str(error)) from None
    try:
        started = [pid for pid in descendants(os.getpid()) if pid not in before]
        inner = {below for pid in started for below in descendants(pid)[1:]}
        yield server, tuple(pid for pid in started if pid not in inner)
    finally:
        server.stop()


def _settings(server: RabbitServer) -> str:
    return f'backend = "rabbitmq"\n        url = "{server.url()}"'
