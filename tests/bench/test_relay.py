"""What is counted of answers, and what the report says about it."""

from __future__ import annotations

import asyncio
import json

import pytest

from bench.client import closed, paced
from bench.figures import Figure
from bench.job import Found, Job
from bench.products.base import Target
from bench.relay_load import Measured, first_byte, per_chunk, per_request
from bench.relay_text import in_order, readme, rows_of, text, with_goals
from bench.upstream import HEAD, TOKEN, Upstream, end

ANSWER = HEAD + 3 * TOKEN + end(3)


async def answered(pieces: list[bytes], **how: float) -> Found:
    """What the client finds when each answer comes in these pieces."""

    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        while b"content-length" in (head := await reader.read(65536)):
            size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            body = head.partition(b"\r\n\r\n")[2]
            while len(body) < size:
                body += await reader.read(65536)
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)  # the client, in the same loop, reads this piece alone
            if not b"".join(pieces).endswith(b"0\r\n\r\n"):
                break
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found = Found()
    job = Job(f"http://127.0.0.1:{port}", "key", "burst-3", connections=2, requests=4, **how)  # type: ignore[arg-type]
    await (paced if job.rate else closed)(job, found)
    server.close()
    await asyncio.gather(*served)
    return found


@pytest.mark.parametrize("size", [7, 50, 10_000])
@pytest.mark.parametrize("how", [{}, {"rate": 200.0}])
async def test_events_are_counted_however_they_are_cut(size: int, how: dict[str, float]) -> None:
    found = await answered([ANSWER[begin : begin + size] for begin in range(0, len(ANSWER), size)], **how)
    assert (found.answers, found.whole, found.failures) == (4, 4, 0)
    assert (found.events, found.tokens) == (4 * 6, 4 * 3)
    assert len(found.first) == 4
    assert found.windows[0].units == 4


async def test_failures_are_told_by_their_reasons() -> None:
    refused = await answered([b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"])
    assert (refused.answers, refused.reasons) == (0, {"429 Too Many Requests": 4})
    cut = await answered([HEAD + TOKEN])
    assert (cut.answers, cut.reasons) == (0, {"cut off": 4})


async def test_without_done_an_answer_is_not_whole() -> None:
    found = await answered([HEAD + TOKEN + b"0\r\n\r\n"])
    assert (found.answers, found.whole) == (4, 0)


def measured(product: str, request: float, chunk: float) -> Measured:
    target = Target(product, "1.0", "http://127.0.0.1:1", "key", list)
    figures = [
        Figure(per_request(32), product, "µs", [request] * 5),
        Figure(per_chunk(100), product, "µs", [chunk] * 5),
        Figure(first_byte(50), product, "ms", [1.0] * 5),
    ]
    return Measured(target, figures)


def test_what_is_not_passed_on_is_noted_once() -> None:
    one = measured("SMG", 1, 1)
    for what in ("a", "a", "b"):
        one.check(what, Found(answers=10, whole=10, events=220, tokens=200), 20)
    one.check("c", Found(answers=1, whole=1, failures=1, reasons={"503": 1}), 20)
    one.check("d", Found(answers=10, whole=9, events=230, tokens=200), 20)
    assert one.remarks == {
        "1 events per answer fewer than were sent": ["a", "b"],
        "1 of 2 answers failed (503)": ["c"],
        "answers end without [DONE]": ["d"],
    }


def test_report_compares_and_judges() -> None:
    found = [measured("LiteLLM", 30_000, 600), measured("llmgate", 600, 40), measured("nginx", 80, 10)]
    found[0].remarks["one thing"] = ["per chunk"]
    figures = with_goals(in_order(found))
    assert [figure.product for figure in figures[:3]] == ["nginx", "llmgate", "LiteLLM"]
    assert figures[1].goal == "≤ 700 µs"
    told = text(figures, found, {"portkey": "no Node.js"})
    assert "| llmgate | 600 µs | 7.5 × | 50.0 × | 40.0 µs | 4.0 × | 15.0 × |" in told
    assert "≤ 3 × what nginx takes. **Not reached**: 4.0 ×." in told
    assert "LiteLLM takes ≥ 40 × as much. Reached: 50.0 ×." in told
    assert "cheaper than llmgate are nginx (0.25 ×); dearer are LiteLLM (15.0 ×)" in told
    assert "| portkey | | **does not start**: no Node.js |" in told
    assert "- LiteLLM: one thing (per chunk)." in told
    assert "| CPU per streamed chunk, 100 streams | **40.0 µs** | 10.0 µs | 600 µs |" in readme(figures)


def test_report_does_without_products() -> None:
    told = text([], [], {"nginx": "not installed"})
    assert "not installed" in told
    assert "| - |" in readme([]).replace("**-**", "-")


def test_bars_are_ordered_by_what_they_cost() -> None:
    figures = in_order([measured("LiteLLM", 30_000, 600), measured("nginx", 80, 10)])
    assert rows_of(figures, {"100 streams": per_chunk(100)}) == [
        ("100 streams: nginx", 10),
        ("100 streams: LiteLLM", 600),
    ]


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


def test_upstream_understands_bodies_in_chunks() -> None:
    body = json.dumps({"model": "burst-3"}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\n"
    chunked = head + b"transfer-encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    whole = head + b"content-length: %d\r\n\r\n" % len(body) + body
    for message in (chunked, whole, chunked):
        connection, wire = Upstream(), Wire()
        connection.connection_made(wire)
        connection.data_received(message[:60])
        assert not wire.written
        connection.data_received(message[60:] + message)  # and the next one behind it
        connection.data_received(b"")
        assert wire.written.startswith(ANSWER)
