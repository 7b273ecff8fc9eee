"""What holds for all tests."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Iterator
from itertools import groupby
from types import SimpleNamespace
from typing import Any
from unittest import mock

import httpx
import pytest
from structlog.dev import RichTracebackFormatter, plain_traceback

from llmgate.cli.main import COLLECT

pytest_plugins = ["tests.services.fixtures"]

UVICORN_LOOKS = 0.005
"""Seconds. By itself uvicorn looks ten times a second whether it shall end, and whether everybody has left."""
SLOW_UNTIL = 0.8
"""After so much of the other tests' files no slow test is left."""


@pytest.fixture(scope="session", autouse=True)
def impatient_uvicorn() -> Iterator[None]:
    """Servers in this process end without delay: over a thousand tests start one, and would wait for two looks each."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, UVICORN_LOOKS))

    # All that uvicorn sleeps for is the next look: how long it lets requests go on is a timeout, and stays.
    with mock.patch("uvicorn.server.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep})):
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Iterator[None]:
    """A command makes an HTTP client, and httpx reads all authorities of the web for each: 30 ms of the processor."""
    with mock.patch("httpx._transports.default.create_ssl_context", functools.cache(httpx.create_ssl_context)):
        yield


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> Iterator[None]:
    """In the log. With the values of all variables, and in colors, one takes a second of the processor."""

    def plain(_: RichTracebackFormatter, *told: Any) -> None:
        plain_traceback(*told)

    with mock.patch.object(RichTracebackFormatter, "__call__", plain):
        yield


def pytest_collection_finish() -> None:
    """What stays until the end, all modules and tests, is looked through once, not all the time: a sixth of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


@pytest.hookimpl(trylast=True)  # when it is known which tests will run
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the slow tests, which mostly wait for processes, over the others, and end with some of those.

    So of two tests that run beside each other one has the processor for itself, and both processes end together.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    files = [list(tests) for _, tests in groupby(others, lambda item: item.path)]
    if not files:
        return
    share = len(slow) / (SLOW_UNTIL * len(files))
    # Between files only: what the tests of one have in common would be made anew after each interruption.
    spread, taken = [], 0
    for number, tests in enumerate(files, 1):
        due = min(round(number * share), len(slow))
        spread += [*slow[taken:due], *tests]
        taken = due
    items[:] = spread
