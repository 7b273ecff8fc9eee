"""Streams are relayed as they are, whole units only, and the few that matter are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmgate.daemon.protocols.base import StreamReader
from llmgate.daemon.protocols.streams import HELD_BACK_LIMIT
from llmgate.errors import UpstreamProtocolError
from tests.protocols.helpers import call_of, chat_call, delta, recorded, relayed, sse, usage_chunk

MESSAGES = [{"role": "user", "content": "hi"}]
OLLAMA_STREAM = (
    b'{"model":"m","message":{"role":"assistant","content":"a\\n\\"done\\":true"},"done":false}\n'
    b'{"model":"m","message":{"role":"assistant","content":"b"},"done":false}\n'
    b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"prompt_eval_count":3,"eval_count":2}\n'
)


def reader_of(path: str, **body: Any) -> StreamReader:
    call = call_of(path, **({"messages": MESSAGES, "stream": True} | body))
    return call.protocol.reader(call)


def counts(reader: StreamReader) -> tuple[int | None, int | None]:
    return reader.usage.input_tokens, reader.usage.output_tokens


def test_a_chunk_of_whole_lines_goes_through_as_the_same_object() -> None:
    reader = reader_of("/api/chat")
    chunk = OLLAMA_STREAM.splitlines(keepends=True)[0]
    assert reader.feed(chunk) is chunk


def test_ollama_counts_come_from_the_last_line() -> None:
    reader = reader_of("/api/chat")
    assert relayed(reader, OLLAMA_STREAM) == OLLAMA_STREAM
    assert reader.complete
    assert reader.failed is None
    assert counts(reader) == (3, 2)


def test_half_a_line_is_never_shown() -> None:
    reader = reader_of("/api/chat")
    assert relayed(reader, OLLAMA_STREAM[:-10]) == b"".join(OLLAMA_STREAM.splitlines(keepends=True)[:2])
    assert not reader.complete


def test_a_last_line_without_its_newline_is_whole() -> None:
    reader = reader_of("/api/chat")
    assert relayed(reader, OLLAMA_STREAM[:-1]) == OLLAMA_STREAM
    assert reader.complete


def test_an_error_line_of_ollama_is_relayed_and_noticed() -> None:
    reader = reader_of("/api/generate")
    line = b'{"error":"an error was encountered"}\n'
    assert relayed(reader, line) == line
    assert reader.failed == "an error was encountered"
    assert not reader.complete


def test_a_tool_call_cannot_pretend_to_be_the_end() -> None:
    reader = reader_of("/api/chat")
    arguments = {"done": True, "error": "x", "eval_count": 9}
    message = {"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    line = json.dumps({"message": message, "done": False}, separators=(",", ":")).encode() + b"\n"
    assert relayed(reader, line) == line
    assert not reader.complete
    assert reader.failed is None
    assert counts(reader) == (None, None)


def test_chat_of_a_real_server_loses_only_the_usage_chunk_that_nobody_asked_for() -> None:
    stream = recorded("chat.sse")
    events = stream.split(b"\n\n")
    without = b"\n\n".join(event for event in events if b'"choices":[]' not in event)
    reader = reader_of("/v1/chat/completions")
    assert relayed(reader, stream) == without
    assert len(without) < len(stream)
    assert reader.complete
    assert counts(reader) == (32, 6)


def test_a_client_that_asked_for_usage_gets_it() -> None:
    reader = reader_of("/v1/chat/completions", stream_options={"include_usage": True})
    assert relayed(reader, recorded("chat.sse")) == recorded("chat.sse")
    assert counts(reader) == (32, 6)


@pytest.mark.parametrize(
    ("path", "name", "usage"),
    [
        ("/v1/completions", "completions.sse", (3, 5)),
        ("/v1/responses", "responses.sse", (32, 4)),
        ("/v1/messages", "messages.sse", (35, 6)),
    ],
)
def test_other_streams_of_a_real_server_are_relayed_unchanged(path: str, name: str, usage: tuple[int, int]) -> None:
    reader = reader_of(path, prompt="a", input="a")
    assert relayed(reader, recorded(name)) == recorded(name)
    assert reader.complete
    assert counts(reader) == usage


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat.sse"),
        ("/v1/completions", "completions.sse"),
        ("/v1/responses", "responses.sse"),
        ("/v1/messages", "messages.sse"),
    ],
)
def test_carriage_returns_change_nothing(path: str, name: str) -> None:
    stream = recorded(name).replace(b"\n", b"\r\n")
    reader = reader_of(path, prompt="a", input="a", stream_options={"include_usage": True})
    assert relayed(reader, stream) == stream
    assert reader.complete
    assert reader.usage.service is not None


@pytest.mark.parametrize(
    ("path", "name", "last"),
    [
        ("/v1/chat/completions", "chat.sse", b"data: [DONE]"),
        ("/v1/responses", "responses.sse", b"event: response.completed"),
        ("/v1/messages", "messages.sse", b"event: message_stop"),
    ],
)
def test_a_stream_cut_inside_its_last_event_shows_nothing_of_it(path: str, name: str, last: bytes) -> None:
    stream = recorded(name)
    start = stream.rindex(last)
    reader = reader_of(path, input="a", stream_options={"include_usage": True})
    assert relayed(reader, stream[: start + len(last) - 3]) == stream[:start]
    assert not reader.complete


def test_a_last_event_without_its_empty_line_is_whole() -> None:
    reader = reader_of("/v1/chat/completions")
    assert relayed(reader, b"data: [DONE]\n") == b"data: [DONE]\n\n"
    assert reader.complete


@pytest.mark.parametrize(
    ("path", "event"),
    [
        ("/v1/chat/completions", b'data: {"error":{"message":"out of memory","code":500}}\n\n'),
        ("/v1/completions", b'data: {"error": "out of memory"}\n\n'),
        ("/v1/responses", b'event: error\ndata: {"type":"error","message":"out of memory"}\n\n'),
        ("/v1/messages", b'event: error\ndata: {"type":"error","error":{"message":"out of memory"}}\n\n'),
    ],
)
def test_an_error_event_is_relayed_and_noticed(path: str, event: bytes) -> None:
    reader = reader_of(path, prompt="a", input="a")
    assert relayed(reader, event) == event
    assert reader.failed == "out of memory"
    assert not reader.complete


def test_a_failed_response_is_complete_and_failed() -> None:
    response = {"status": "failed", "error": {"code": "server_error", "message": "broke"}, "usage": None}
    reader = reader_of("/v1/responses", input="a")
    relayed(reader, sse({"type": "response.failed", "response": response}, done=False))
    assert (reader.complete, reader.failed) == (True, "broke")


def test_usage_null_on_every_chunk_is_left_as_it_is() -> None:
    stream = sse(delta(content="a") | {"usage": None}, delta("stop") | {"usage": None}, usage_chunk())
    reader = reader_of("/v1/chat/completions")
    assert relayed(reader, stream).count(b'"usage": null') == 2
    assert counts(reader) == (5, 7)


def test_an_empty_choice_without_usage_is_not_ours_to_drop() -> None:
    stream = sse({"choices": [], "prompt_filter_results": []})
    assert relayed(reader_of("/v1/chat/completions"), stream) == stream


def test_comments_of_the_upstream_pass_at_once_with_one_newline_or_two() -> None:
    reader = reader_of("/v1/chat/completions")
    assert reader.feed(b": processing\n") == b": processing\n"
    assert reader.feed(b":\n") + reader.feed(b"\n") == b":\n\n"
    assert reader.feed(b"data: {") == b""
    assert reader.feed(b"}\n: not between events\n") == b""
    assert reader.feed(b"\n") == b"data: {}\n: not between events\n\n"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_an_endless_line_is_an_error_before_it_fills_the_memory(path: str) -> None:
    reader = reader_of(path, input="a")
    for _ in range(HELD_BACK_LIMIT // 65536):
        assert reader.feed(b"x" * 65536) == b""
    with pytest.raises(UpstreamProtocolError):
        reader.feed(b"x")


def test_a_long_line_of_ollama_is_no_error() -> None:
    context = list(range(100_000))
    last = json.dumps({"done": True, "context": context, "eval_count": 1}).encode() + b"\n"
    reader = reader_of("/api/generate")
    pieces = [last[start : start + 65536] for start in range(0, len(last), 65536)]
    assert relayed(reader, *pieces) == last
    assert reader.complete


def test_a_reader_is_made_for_each_answer() -> None:
    call = chat_call()
    assert call.protocol.reader(call) is not call.protocol.reader(call)
