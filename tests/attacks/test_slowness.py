"""Whoever is slow on purpose keeps nobody out, and does not stay."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from llmgate.config import ServerSettings
from llmgate.daemon import exchange, http, page, unread
from tests.attacks import slowness
from tests.attacks.cases import Attack, comes_to_nothing, every, succeeds_without_control
from tests.attacks.smuggling import Site
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(http, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(http, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(exchange, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 1.2)
    monkeypatch.setattr(slowness, "SECONDS", 4.0)
    monkeypatch.setattr(page, "load", partial(page.load, built(tmp_path / "page")))
    server = ServerSettings(port=0, drain_seconds=0.1, max_connections=slowness.PLACES)
    async with (
        FakeOllama() as upstream,
        run_gateway(settings_for(tmp_path / "state", [upstream_for(upstream)], server=server)) as gateway,
    ):
        for listener in gateway.server.servers[0].sockets:  # what it accepts is as it is: the kernel keeps little
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield Site(gateway, upstream)


def built(directory: Path) -> Path:
    """A page with one large file."""
    file = directory / slowness.FILE.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"/" * slowness.FILE_BYTES)
    (directory / page.INDEX).write_text("<!doctype html>")
    return directory


@every(slowness.ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Site], site: Site) -> None:
    await comes_to_nothing(attack, site)


@every(slowness.ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Site], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowness, "SECONDS", 1.5)
    await succeeds_without_control(attack, site, monkeypatch)
