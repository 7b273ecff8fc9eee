"""Streams of an OpenAI server, as a client of Ollama sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llmgate.daemon.protocols import translate
from llmgate.daemon.protocols.base import Call, StreamReader
from llmgate.daemon.protocols.streams import HELD_BACK_LIMIT
from llmgate.errors import UpstreamProtocolError
from tests.protocols.helpers import call_of, chat_call, delta, lines, recorded, relayed, sse, usage_chunk


def reader_of(call: Call, *times: float) -> StreamReader:
    clock: Iterator[float] = iter(times)
    return translate.reader(call, clock=lambda: next(clock, times[-1] if times else 0.0), wall=lambda: 1_800_000_000.25)


def tool_delta(index: int, call_id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    call = {"index": index, "function": function} | ({"id": call_id, "type": "function"} if call_id else {})
    return delta(tool_calls=[call])


def test_a_chat_of_a_real_server() -> None:
    reader = reader_of(chat_call(model="SmolLM2"))
    *pieces, last = lines(relayed(reader, recorded("chat.sse")))
    assert [piece["done"] for piece in pieces] == [False] * len(pieces)
    assert all(piece["message"]["content"] for piece in pieces)
    assert {piece["model"] for piece in [*pieces, last]} == {"SmolLM2"}
    assert last["created_at"] == "2027-01-15T08:00:00.250000Z"
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "length")
    assert (last["prompt_eval_count"], last["eval_count"]) == (32, 6)
    assert last["prompt_eval_duration"] > 0
    assert last["eval_duration"] > 0
    assert last["total_duration"] == last["prompt_eval_duration"] + last["eval_duration"]
    assert reader.complete
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (32, 6)


def test_a_completion_of_a_real_server() -> None:
    reader = reader_of(call_of("/api/generate", prompt="The sky is", raw=True))
    *pieces, last = lines(relayed(reader, recorded("completions.sse")))
    assert "".join(piece["response"] for piece in pieces)
    assert (last["response"], last["done_reason"], last["eval_count"]) == ("", "length", 5)


def test_every_token_is_told_at_once() -> None:
    reader = reader_of(chat_call())
    assert reader.feed(sse(delta(role="assistant", content=None), done=False)) == b""
    assert lines(reader.feed(sse(delta(content="a"), done=False)))[0]["message"]["content"] == "a"


def test_durations_are_measured_where_none_are_reported() -> None:
    reader = reader_of(chat_call(), 10.0, 10.5, 12.0)
    last = lines(relayed(reader, sse(delta(content="a"), delta("stop"), usage_chunk())))[-1]
    assert last["total_duration"] == 2_000_000_000
    assert last["prompt_eval_duration"] == 500_000_000
    assert last["eval_duration"] == 1_500_000_000


def test_durations_count_from_when_the_request_was_sent() -> None:
    call = chat_call()
    call.sent_at = 9.0
    last = lines(relayed(reader_of(call, 10.5, 12.0), sse(delta(content="a"), delta("stop"), usage_chunk())))[-1]
    assert last["total_duration"] == 3_000_000_000
    assert last["prompt_eval_duration"] == 1_500_000_000


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_told_apart_unless_they_are_not_wanted(name: str) -> None:
    stream = sse(delta(**{name: "hm"}), delta(content="4"), delta("stop"), usage_chunk())
    told = lines(relayed(reader_of(chat_call()), stream))
    assert told[0]["message"] == {"role": "assistant", "content": "", "thinking": "hm"}
    assert told[1]["message"] == {"role": "assistant", "content": "4"}
    assert len(lines(relayed(reader_of(chat_call(think=False)), stream))) == 2


def test_tool_calls_are_told_once_and_whole() -> None:
    stream = sse(
        tool_delta(0, "c1", "weather"),
        tool_delta(0, arguments='{"city":'),
        tool_delta(1, "c2", "time"),
        tool_delta(0, arguments=' "Oslo"}'),
        delta("tool_calls"),
        usage_chunk(),
    )
    called, last = lines(relayed(reader_of(chat_call()), stream))
    assert called["message"]["tool_calls"] == [
        {"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}},
        {"id": "c2", "function": {"index": 1, "name": "time", "arguments": {}}},
    ]
    assert called["done"] is False
    assert (last["done"], last["done_reason"]) == (True, "stop")


def test_a_cut_stream_has_no_last_line() -> None:
    reader = reader_of(chat_call())
    told = lines(relayed(reader, sse(delta(content="a"), delta(content="b"), done=False)))
    assert [piece["done"] for piece in told] == [False, False]
    assert not reader.complete


def test_a_stream_cut_before_its_usage_is_not_complete() -> None:
    reader = reader_of(chat_call())
    relayed(reader, sse(delta(content="a"), delta("stop"), done=False))
    assert not reader.complete


def test_a_server_that_forgets_to_say_done_has_said_enough_with_its_usage() -> None:
    reader = reader_of(chat_call())
    assert lines(relayed(reader, sse(delta(content="a"), delta("stop"), usage_chunk(), done=False)))[-1]["done"]
    assert reader.complete


def test_an_error_in_the_stream_is_the_last_line() -> None:
    reader = reader_of(chat_call())
    stream = sse(delta(content="a"), {"error": {"message": "out of memory", "code": 500}}, delta(content="b"))
    assert lines(relayed(reader, stream))[1:] == [{"error": "out of memory"}]
    assert reader.failed == "out of memory"
    assert not reader.complete


def test_comments_say_nothing() -> None:
    stream = b": ping\n\n" + sse(delta(content="a"), delta("stop"), usage_chunk()).replace(b"\n\n", b"\n\n:\n\n")
    assert len(lines(relayed(reader_of(chat_call()), stream))) == 2


@pytest.mark.parametrize(
    "stream",
    [
        b"data: <html>\n\n",
        b"data: [1]\n\n",
        sse(tool_delta(0, "c1", "f", "{"), delta("tool_calls")),
        sse(tool_delta(0, "c1"), delta("tool_calls")),
        sse(tool_delta(0, "c1", "f", '{"a":1e999}'), delta("tool_calls")),
    ],
)
def test_what_is_no_answer_is_a_protocol_error(stream: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        relayed(reader_of(chat_call()), stream)


def test_endless_tool_calls_are_an_error_before_they_fill_the_memory() -> None:
    piece = sse(tool_delta(0, "c1", "f", "x" * 65536), done=False)
    reader = reader_of(chat_call())
    with pytest.raises(UpstreamProtocolError):
        relayed(reader, *[piece] * (HELD_BACK_LIMIT // 65536 + 1))
