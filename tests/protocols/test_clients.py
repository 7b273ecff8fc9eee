"""The official clients understand what the dialects write: keep-alives, answers, errors in a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import ollama
import openai
import pytest

from llmgate.daemon.protocols import ANTHROPIC, OLLAMA, OPENAI, translate
from llmgate.daemon.protocols.base import Call, Protocol
from llmgate.errors import QueueTimeout, UpstreamCut
from tests.protocols.helpers import call_of, chat_call, delta, recorded, relayed, sse, usage_chunk

MESSAGES = [{"role": "user", "content": "hi"}]
CUT = UpstreamCut("The upstream ended in the middle of its answer.")


@asynccontextmanager
async def served(status: int, content_type: str, body: bytes) -> AsyncIterator[str]:
    """A server on loopback that gives one answer to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode() + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


def waited(protocol: Protocol, call: Call, stream: bytes) -> bytes:
    """What a client gets that waited through two keep-alives first."""
    return protocol.keepalive(call) * 2 + relayed(protocol.reader(call), stream)


async def test_openai_streams_with_its_usage() -> None:
    call = call_of("/v1/chat/completions", messages=MESSAGES, stream=True, stream_options={"include_usage": True})
    body = waited(OPENAI, call, recorded("chat.sse"))
    async with served(200, OPENAI.stream_type, body) as url, openai.AsyncOpenAI(base_url=url, api_key="x") as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


async def test_openai_responses_stream() -> None:
    call = call_of("/v1/responses", input="hi", stream=True)
    body = waited(OPENAI, call, recorded("responses.sse"))
    async with served(200, OPENAI.stream_type, body) as url, openai.AsyncOpenAI(base_url=url, api_key="x") as client:
        stream = await client.responses.create(model="m", input="hi", stream=True)
        kinds = [event.type async for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


async def test_openai_raises_an_error_in_a_stream() -> None:
    body = sse(delta(content="a"), done=False) + OPENAI.error_event(CUT, "r1")
    async with served(200, OPENAI.stream_type, body) as url, openai.AsyncOpenAI(base_url=url, api_key="x") as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="in the middle of its answer"):
            [chunk async for chunk in stream]


async def test_openai_raises_an_error_status() -> None:
    body = OPENAI.error_body(QueueTimeout("Too long."), "r1")
    async with (
        served(504, "application/json", body) as url,
        openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "queue_timeout"


async def anthropic_message(body: bytes) -> anthropic.types.Message:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hi"}]
    async with (
        served(200, ANTHROPIC.stream_type, body) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="x") as client,
        client.messages.stream(model="m", max_tokens=6, messages=messages) as stream,
    ):
        return await stream.get_final_message()


async def test_anthropic_streams() -> None:
    call = call_of("/v1/messages", messages=MESSAGES, stream=True)
    message = await anthropic_message(waited(ANTHROPIC, call, recorded("messages.sse")))
    assert message.usage.output_tokens == 6
    assert message.stop_reason == "max_tokens"


async def test_anthropic_raises_an_error_in_a_stream() -> None:
    body = recorded("messages.sse").split(b"event: message_delta")[0] + ANTHROPIC.error_event(CUT, "r1")
    with pytest.raises(anthropic.APIStatusError, match="in the middle of its answer"):
        await anthropic_message(body)


async def test_ollama_streams_a_translated_answer() -> None:
    call = chat_call()
    body = OLLAMA.keepalive(call) * 2 + relayed(translate.reader(call), recorded("chat.sse"))
    async with served(200, OLLAMA.stream_type, body) as url, ollama.AsyncClient(host=url) as client:
        parts = [part async for part in await client.chat(model="m", messages=MESSAGES, stream=True)]
    assert "".join(part.message.content or "" for part in parts)
    assert parts[-1].done
    assert (parts[-1].prompt_eval_count, parts[-1].eval_count) == (32, 6)


async def test_ollama_understands_translated_tool_calls() -> None:
    piece = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    call = chat_call()
    stream = sse(delta(tool_calls=[piece]), delta("tool_calls"), usage_chunk())
    body = relayed(translate.reader(call), stream)
    async with served(200, OLLAMA.stream_type, body) as url, ollama.AsyncClient(host=url) as client:
        parts = [part async for part in await client.chat(model="m", messages=MESSAGES, stream=True)]
    assert parts[0].message.tool_calls is not None
    assert parts[0].message.tool_calls[0].function.arguments == {"city": "Oslo"}


async def test_ollama_raises_an_error_in_a_stream() -> None:
    body = relayed(translate.reader(chat_call()), sse(delta(content="a"), done=False)) + OLLAMA.error_event(CUT, "r1")
    async with served(200, OLLAMA.stream_type, body) as url, ollama.AsyncClient(host=url) as client:
        with pytest.raises(ollama.ResponseError, match="in the middle of its answer"):
            [part async for part in await client.chat(model="m", messages=MESSAGES, stream=True)]


def test_ollama_lists_and_shows_translated_models() -> None:
    entry = {"id": "qwen", "max_model_len": 4096, "created": 1_700_000_000}
    tags = ollama.ListResponse.model_validate({"models": [translate.listing(entry)]})
    assert tags.models[0].model == "qwen"
    shown = ollama.ShowResponse.model_validate(translate.details(entry))
    assert shown.capabilities == ["completion", "tools"]
