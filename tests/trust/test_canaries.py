"""The search for secrets finds them, wherever and however they are written."""

from __future__ import annotations

import base64
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.trust.canaries import CHUNK, Canaries, Wire

SECRET = bytes(range(200, 232))


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        SECRET.hex().encode(),
        base64.b64encode(b"" + SECRET),
        base64.urlsafe_b64encode(SECRET),
        b"before" + SECRET + b"after",
    ],
    ids=["plain", "hex", "base64", "base64url", "inside"],
)
def test_each_form_is_found(written: bytes) -> None:
    assert Canaries({"key": SECRET}).found_in(b"x" * 50 + written)


def test_nothing_is_found_where_nothing_is() -> None:
    assert Canaries({"key": SECRET}).found_in(bytes(reversed(SECRET))) == []


def test_it_is_found_in_files_also_at_the_edge_of_a_piece(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    edge = tmp_path / "deep" / "wal"
    edge.write_bytes(b"\0" * (CHUNK - 10) + SECRET + b"\0" * 100)
    allowed = tmp_path / "secret.key"
    allowed.write_bytes(SECRET)
    found = Canaries({"key": SECRET}).found_below([tmp_path], allowed=[allowed])
    assert found == [f"{edge}: key (plain)"]


async def test_it_is_found_in_arguments_and_environment() -> None:
    canaries = Canaries({"key": b"canary-of-this-test"})
    process = await create_subprocess_exec(
        sys.executable, "-c", "input()", "canary-of-this-test",
        stdin=PIPE, env={**os.environ, "A": "canary-of-this-test"},
    )  # fmt: skip
    try:
        found = canaries.found_in_processes([process.pid])
    finally:
        await process.communicate(b"\n")
    assert [what.split(": ")[0] for what in found] == [
        f"process {process.pid} {part}" for part in ("cmdline", "environ")
    ]


def test_it_is_found_on_the_wire() -> None:
    wire = Wire()
    wire(SECRET)
    assert wire.found == set()
    wire.canaries = Canaries({"key": SECRET})
    wire(b"frame " + SECRET)
    assert wire.found == {"key (plain)"}
