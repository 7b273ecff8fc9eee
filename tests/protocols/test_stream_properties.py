"""However a stream is cut into chunks, and whatever is in it."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.protocols import translate
from llmgate.daemon.protocols.base import Call, StreamReader
from llmgate.errors import UpstreamProtocolError
from tests.protocols.helpers import call_of, chat_call, recorded, relayed
from tests.protocols.test_streams import MESSAGES, OLLAMA_STREAM

CRLF = recorded("chat.sse").replace(b"\n", b"\r\n")
COMMENTED = b": hello\n" + recorded("chat.sse").replace(b"\n\n", b"\n\n: ping\n\n:\n")
STREAMS: list[tuple[str, bytes]] = [
    ("/api/chat", OLLAMA_STREAM),
    ("/v1/chat/completions", recorded("chat.sse")),
    ("/v1/chat/completions", CRLF),
    ("/v1/chat/completions", COMMENTED),
    ("/v1/completions", recorded("completions.sse")),
    ("/v1/responses", recorded("responses.sse")),
    ("/v1/messages", recorded("messages.sse")),
]
FRAGMENTS = st.sampled_from(
    [
        b"data: ",
        b"event: error\n",
        b"\n",
        b"\n\n",
        b"\r\n\r\n",
        b":",
        b"[DONE]",
        b"{",
        b"}",
        b'{"error":',
        b'"usage":{"prompt_tokens":1e400,"completion_tokens":NaN}',
        b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]},"finish_reason":"stop"}]}',
        b'{"choices":[{"delta":{"content":"\\ud800"}}]}',
        b'{"choices":[{"delta":7,"finish_reason":[]}],"usage":{"prompt_tokens":-1},"timings":{"prompt_ms":1e999}}',
        b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}',
        b'{"type":"message_delta","usage":[]}',
        b'{"type":"response.completed","response":[]}',
        b'{"done":true,"eval_count":"x"}',
        b'"message_stop"',
        b"\xff",
        b"[" * 5000,
        b"9" * 5000,
    ]
)


def reader_of(call: Call, translated: bool) -> StreamReader:
    if translated:
        return translate.reader(call, clock=lambda: 0.0, wall=lambda: 0.0)
    return call.protocol.reader(call)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(("path", "stream"), STREAMS)
def test_a_cut_at_any_byte_changes_nothing(path: str, stream: bytes) -> None:
    call = call_of(path, messages=MESSAGES, prompt="a", input="a", stream=True)
    whole = call.protocol.reader(call)
    expected = relayed(whole, stream)
    for cut in range(len(stream) + 1):
        reader = call.protocol.reader(call)
        assert relayed(reader, stream[:cut], stream[cut:]) == expected
        assert (reader.complete, reader.usage) == (whole.complete, whole.usage)


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 2**16), max_size=40))
def test_any_chunks_give_the_same_bytes(case: tuple[str, bytes], cuts: list[int]) -> None:
    path, stream = case
    call = call_of(path, messages=MESSAGES, prompt="a", input="a", stream=True)
    assert relayed(call.protocol.reader(call), *pieces(stream, cuts)) == relayed(call.protocol.reader(call), stream)


@pytest.mark.parametrize("name", ["chat.sse", "completions.sse"])
def test_a_translated_stream_may_be_cut_at_any_byte(name: str) -> None:
    stream = recorded(name)
    expected = relayed(reader_of(chat_call(), translated=True), stream)
    for cut in range(len(stream) + 1):
        assert relayed(reader_of(chat_call(), translated=True), stream[:cut], stream[cut:]) == expected


@given(st.sampled_from(STREAMS), st.integers(0, 2**16), st.lists(st.integers(0, 2**16), max_size=9))
def test_what_is_passed_through_is_always_a_beginning_of_what_came(
    case: tuple[str, bytes], length: int, cuts: list[int]
) -> None:
    path, stream = case
    options = {"include_usage": True}
    call = call_of(path, messages=MESSAGES, prompt="a", input="a", stream=True, stream_options=options)
    reader = call.protocol.reader(call)
    came = stream[: length % (len(stream) + 1)]
    passed = b"".join(reader.feed(piece) for piece in pieces(came, cuts))
    assert came.startswith(passed)
    assert (passed + reader.finish()).rstrip() in (passed.rstrip(), came.rstrip())


@given(
    st.sampled_from(["/api/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages"]),
    st.booleans(),
    st.lists(FRAGMENTS | st.binary(max_size=20), max_size=25),
    st.lists(st.integers(0, 2**16), max_size=5),
)
def test_a_hostile_upstream_can_only_cause_a_protocol_error(
    path: str, translated: bool, fragments: list[bytes], cuts: list[int]
) -> None:
    call = call_of(path, messages=MESSAGES, input="a", stream=True)
    if translated:
        call = chat_call()
    with suppress(UpstreamProtocolError):
        relayed(reader_of(call, translated), *pieces(b"".join(fragments), cuts))
