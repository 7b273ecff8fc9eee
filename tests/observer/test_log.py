"""The log waits for nobody."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

from llmgate.daemon.log_writer import AT_ONCE, MOST_BYTES, LogWriter
from tests.cli.harness import COMMAND
from tests.fakes import FakeOllama
from tests.system.commands import configured
from tests.system.processes import START_SECONDS, environment
from tests.system.test_metrics_of_workers import admin_of, ask


def read_all(descriptor: int, until: bytes) -> bytes:
    seen = b""
    while until not in seen:
        seen += os.read(descriptor, 65_536)
    return seen


def test_what_nobody_reads_is_kept_up_to_a_bound_and_then_counted() -> None:
    reader, descriptor = os.pipe()
    writer = LogWriter(descriptor, lambda count: f"dropped {count}\n")
    lines = [f"{number:06} {'x' * 493}\n" for number in range(4000)]
    for line in lines:
        assert writer.write(line) == len(line)
    assert writer._size <= MOST_BYTES
    seen = read_all(reader, b"dropped").decode().splitlines()
    *told, last = seen
    assert told == [line.rstrip("\n") for line in lines[: len(told)]]  # the oldest, in order
    assert int(last.split()[1]) == len(lines) - len(told)
    writer.write("after\n")
    read_all(reader, b"after\n")
    for end in (reader, descriptor):
        os.close(end)


def test_long_lines_are_written_whole() -> None:
    reader, descriptor = os.pipe()
    writer = LogWriter(descriptor, lambda count: f"dropped {count}\n")
    writer.write("y" * (AT_ONCE * 3) + "\n")
    writer.write("short\n")
    assert read_all(reader, b"short\n") == b"y" * (AT_ONCE * 3) + b"\nshort\n"
    writer.close()
    for end in (reader, descriptor):
        os.close(end)


def test_a_reader_that_is_gone_breaks_nothing() -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    writer = LogWriter(descriptor, lambda count: f"dropped {count}\n")
    for text in ("one\n", "y" * (AT_ONCE + 1) + "\n", "\ud800 half a character\n"):
        writer.write(text)
    writer.close()
    assert not writer._waiting
    os.close(descriptor)


async def test_a_daemon_whose_log_is_not_read_serves_on(tmp_path: Path) -> None:
    reader, descriptor = os.pipe()
    async with FakeOllama() as fake:
        arguments = ("serve", "--config", str(configured(tmp_path, fake.url)))
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, stdout=PIPE, stderr=descriptor, env=environment(tmp_path)
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_SECONDS):
                said = (await process.stdout.readuntil(b"setup token: ")).decode()
                token = (await process.stdout.readuntil(b")")).decode().rstrip(")")
            url = said.split()[3]
            headers = await admin_of(url, token)
            _fill(descriptor)
            await ask(url, headers, 4)  # each is a line of the log
        finally:
            process.terminate()
            async with asyncio.timeout(START_SECONDS):
                code = await process.wait()
            for end in (reader, descriptor):
                os.close(end)
    assert code == 0


def _fill(pipe: int) -> None:
    """As somebody who has stopped reading would let it fill."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 512)
    os.set_blocking(pipe, True)
