"""Once a reader says that its stream is complete, nothing more comes of it."""

from __future__ import annotations

import pytest

from llmgate.daemon.protocols import translate
from llmgate.daemon.protocols.base import Call, StreamReader
from llmgate.daemon.protocols.streams import HELD_BACK_LIMIT
from tests.protocols.helpers import call_of, chat_call, recorded
from tests.protocols.test_streams import MESSAGES, OLLAMA_STREAM

LATER = [
    b"data: [DONE]\n\n",
    b"data: [DONE]\n",
    b": ping\n\n",
    b'data: {"error":"late"}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":99,"completion_tokens":99}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'{"error":"late"}\n',
    b'{"done":true,"prompt_eval_count":99,"eval_count":99}',
    b"\xff" * (HELD_BACK_LIMIT + 1),
]
STREAMS: list[tuple[Call, bytes]] = [
    (chat_call(), OLLAMA_STREAM),
    (call_of("/api/generate", prompt="a"), OLLAMA_STREAM),
    (call_of("/v1/chat/completions", messages=MESSAGES, stream=True), recorded("chat.sse")),
    (call_of("/v1/completions", prompt="a", stream=True), recorded("completions.sse")),
    (call_of("/v1/responses", input="a", stream=True), recorded("responses.sse")),
    (call_of("/v1/messages", messages=MESSAGES, stream=True), recorded("messages.sse")),
]
TRANSLATED: list[tuple[Call, bytes]] = [
    (chat_call(), recorded("chat.sse")),
    (call_of("/api/generate", prompt="a", raw=True), recorded("completions.sse")),
]


def readers() -> list[tuple[StreamReader, bytes]]:
    passed = [(call.protocol.reader(call), stream) for call, stream in STREAMS]
    translated = [(translate.reader(call, lambda: 0.0, lambda: 0.0), stream) for call, stream in TRANSLATED]
    return [*passed, *translated]


CASES = range(len(STREAMS) + len(TRANSLATED))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("later", LATER)
def test_nothing_that_comes_after_the_end_is_shown_or_counted(case: int, later: bytes) -> None:
    reader, stream = readers()[case]
    shown = reader.feed(stream)
    assert reader.complete
    usage = reader.usage
    assert shown
    assert usage.service
    assert reader.feed(later) == b""
    assert reader.finish() == b""
    assert (reader.complete, reader.failed, reader.usage) == (True, None, usage)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("later", LATER[:-1])
def test_nothing_that_arrives_together_with_the_end_is_shown_or_counted(case: int, later: bytes) -> None:
    alone, stream = readers()[case]
    shown = alone.feed(stream)
    together, _ = readers()[case]
    assert together.feed(stream + later) + together.finish() == shown
    assert (together.complete, together.failed, together.usage) == (True, None, alone.usage)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_is_complete_with_the_chunk_that_shows_its_last_byte(case: int) -> None:
    whole, stream = readers()[case]
    expected = whole.feed(stream)
    reader, _ = readers()[case]
    shown = b""
    for start in range(len(stream)):
        shown += reader.feed(stream[start : start + 1])
        assert reader.complete is (shown == expected)
    assert reader.complete
