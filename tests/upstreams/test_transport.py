"""Every way in which talking to an upstream can end, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest

from llmgate.daemon.hops import via
from llmgate.daemon.upstreams.base import UpstreamAnswer
from llmgate.daemon.upstreams.transport import UpstreamClient
from llmgate.errors import (
    LLMGateError,
    UpstreamCut,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.fakes import FakeOllama, Script
from tests.upstreams.support import MESSAGES, settings_for

BODY = json.dumps({"model": "llama3.2", "messages": MESSAGES}).encode()


async def ask(client: UpstreamClient, body: bytes = BODY) -> UpstreamAnswer:
    return await client.send("/api/chat", body, {"accept": "application/x-ndjson"})


async def whole(client: UpstreamClient) -> bytes:
    answer = await ask(client)
    try:
        return await answer.read(1_000_000)
    finally:
        await answer.close()


async def test_each_piece_arrives_as_soon_as_it_is_sent(fake: FakeOllama, client: UpstreamClient) -> None:
    fake.script(Script(token_gates={1: "second", 2: "third"}))
    answer = await ask(client)
    assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
    chunks = answer.chunks()
    assert b'"Hello"' in await anext(chunks)
    fake.release("second")
    assert b'","' in await anext(chunks)
    fake.release("third")
    rest = b"".join([chunk async for chunk in chunks])
    assert rest.endswith(b"}\n")
    assert b'"done":true' in rest
    await answer.close()


async def test_a_connection_is_used_again_after_a_whole_answer(fake: FakeOllama, client: UpstreamClient) -> None:
    await whole(client)
    await whole(client)
    first, second = fake.requests
    assert first.connection == second.connection


async def test_other_kinds_get_a_connection_for_each_request(fake: FakeOllama) -> None:
    """They close kept ones unannounced, and what was sent by then could not be sent again."""
    client = UpstreamClient(settings_for(fake.url, kind="openai"))
    await whole(client)
    await whole(client)
    assert len({seen.connection for seen in fake.requests}) == 2
    await fake.wait_for(lambda: fake.connections == 0)
    await client.close()


async def test_only_what_is_meant_for_it_is_sent_to_the_upstream(fake: FakeOllama) -> None:
    client = UpstreamClient(settings_for(fake.url, api_key="its-own-key"))
    await whole(client)
    await client.close()
    assert dict(fake.requests[0].headers) == {
        "host": fake.url.removeprefix("http://"),
        "accept": "application/x-ndjson",
        "accept-encoding": "identity",
        "authorization": "Bearer its-own-key",
        "content-length": str(len(BODY)),
        "content-type": "application/json",
        "user-agent": "llmgate",
        "via": via(),
    }


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(cut_before_head=True), UpstreamCut),
        (Script(cut_before_head=True, reset=True), UpstreamCut),
        (Script(cut_after=50), UpstreamCut),
        (Script(cut_after=50, reset=True), UpstreamCut),
        (Script(body=b'{"half": "an answer"}', cut_after=8), UpstreamCut),
        (Script(raw=b"Good morning!\r\n\r\n"), UpstreamProtocolError),
        (Script(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n"), UpstreamProtocolError),
        (Script(gzip=True), UpstreamProtocolError),
        (Script(endless_line=True), UpstreamProtocolError),
        (Script(hang=True), UpstreamTimeout),
        (Script(hang_after=0), UpstreamTimeout),
        (Script(hang_after=2), UpstreamTimeout),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value).partition("(")[0],
)
async def test_a_failure_after_the_request_was_sent_is_named(
    fake: FakeOllama, client: UpstreamClient, script: Script, expected: type[LLMGateError]
) -> None:
    fake.script(script)
    with pytest.raises(expected):
        await whole(client)
    assert await whole(client), "the next request is served"


async def test_a_refused_connection_is_unreachable(fake: FakeOllama, client: UpstreamClient) -> None:
    await fake.stop()
    with pytest.raises(UpstreamUnreachable, match="refused"):
        await ask(client)


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    client = UpstreamClient(settings_for("http://nowhere.invalid:1", connect_timeout=5))
    with pytest.raises(UpstreamUnreachable):
        await ask(client)
    await client.close()


async def test_a_connection_that_is_not_accepted_in_time_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(address)
        client = UpstreamClient(settings_for(f"http://127.0.0.1:{address[1]}", connect_timeout=0.1))
        with pytest.raises(UpstreamUnreachable):
            await ask(client)
        await client.close()
        for one in filling:
            one.close()


async def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(
    fake: FakeOllama, client: UpstreamClient
) -> None:
    await whole(client)
    await fake.stop()
    await fake.start()
    assert await whole(client)


async def test_a_request_that_may_have_been_read_is_never_sent_twice(fake: FakeOllama, client: UpstreamClient) -> None:
    await whole(client)
    fake.script(Script(cut_before_head=True))
    with pytest.raises(UpstreamCut):
        await whole(client)
    assert len(fake.requests) == 2


@pytest.mark.parametrize("tokens_before", [0, 2])
async def test_closing_an_unfinished_answer_reaches_the_upstream_at_once(
    fake: FakeOllama, client: UpstreamClient, tokens_before: int
) -> None:
    fake.script(Script(hang_after=tokens_before))
    answer = await ask(client)
    seen = await fake.request(0)
    await fake.wait_for(lambda: seen.tokens_sent == tokens_before)
    closed_at = asyncio.get_running_loop().time()
    await answer.close()
    await asyncio.wait_for(seen.disconnected.wait(), 1)
    assert seen.disconnected_at is not None
    assert seen.disconnected_at - closed_at < 0.1


async def test_cancelling_before_the_head_reaches_the_upstream_at_once(
    fake: FakeOllama, client: UpstreamClient
) -> None:
    fake.script(Script(hang=True))
    asking = asyncio.create_task(ask(client))
    seen = await fake.request(0)
    asking.cancel()
    await asyncio.wait_for(seen.disconnected.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_cancelling_while_a_large_body_is_stuck_drops_the_rest_of_it() -> None:
    size = 30_000_000
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        client = UpstreamClient(settings_for(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        asking = asyncio.create_task(ask(client, b"x" * size))
        connection, _ = await loop.sock_accept(listener)
    received = len(await loop.sock_recv(connection, 100))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with connection, contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(2):
            while part := await loop.sock_recv(connection, 1_000_000):
                received += len(part)
    assert received < size
    await client.close()


async def test_a_slow_reader_is_not_mistaken_for_a_silent_upstream(fake: FakeOllama, client: UpstreamClient) -> None:
    """Time counts only while the upstream has the word."""
    fake.script(Script(token_gates={1: "go"}))
    answer = await ask(client)
    chunks = answer.chunks()
    await anext(chunks)
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_later(0.25, passed.set_result, None)  # twice the idle timeout
    await passed
    fake.release("go")
    assert [chunk async for chunk in chunks]
    await answer.close()


async def test_an_answer_past_the_limit_is_refused(fake: FakeOllama, client: UpstreamClient) -> None:
    answer = await ask(client)
    with pytest.raises(UpstreamProtocolError, match="larger than 10 bytes"):
        await answer.read(10)
    await answer.close()


async def test_the_upstreams_retry_after_is_told(fake: FakeOllama, client: UpstreamClient) -> None:
    fake.script(Script(status=503, headers={"Retry-After": "17"}))
    answer = await ask(client)
    assert (answer.status, answer.retry_after) == (503, 17.0)
    await answer.close()


async def test_a_document_is_read(client: UpstreamClient) -> None:
    assert await client.read("GET", "/api/version", 1.0) == {"version": "0.12.6"}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(status=429, headers={"Retry-After": "3"}), UpstreamRefused),
        (Script(status=401), UpstreamRejected),
        (Script(status=500), UpstreamRejected),
        (Script(body=b"<html>"), UpstreamProtocolError),
        (Script(body=b"[" * 100_000), UpstreamProtocolError),
        (Script(body=b" " * (8 * 1024 * 1024 + 1)), UpstreamProtocolError),
        (Script(raw=b"nonsense\r\n\r\n"), UpstreamProtocolError),
        (Script(hang=True), UpstreamTimeout),
        (Script(body=b"{}" * 100, cut_after=3), UpstreamUnreachable),
    ],
)
async def test_a_document_that_cannot_be_read_says_why(
    fake: FakeOllama, client: UpstreamClient, script: Script, expected: type[LLMGateError]
) -> None:
    fake.script(script, path="/api/version")
    with pytest.raises(expected):
        await client.read("GET", "/api/version", 0.3)
