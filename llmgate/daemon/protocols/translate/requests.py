"""Requests of Ollama's API as requests of OpenAI's."""

from __future__ import annotations

from typing import Any

from llmgate.daemon.protocols.base import Call, Task
from llmgate.daemon.protocols.ollama import OllamaProtocol
from llmgate.daemon.protocols.translate.messages import content_of, text_of, translated_messages
from llmgate.daemon.protocols.translate.options import json_schema, response_format, sampling, thinking
from llmgate.errors import InvalidRequest, UnsupportedByUpstream

_ONLY_OLLAMA = {
    "template": "its own prompt template",
    "context": "the context of an earlier answer; send the conversation to /api/chat instead",
    "suffix": "text that comes after the answer",
    "logprobs": "log probabilities through the Ollama API; ask for them through /v1",
}
"""What an OpenAI server cannot do, or would silently ignore."""


def needed(call: Call) -> bool:
    """Whether an upstream that speaks OpenAI's API needs this call translated."""
    return isinstance(call.protocol, OllamaProtocol)


def request(call: Call) -> tuple[str, dict[str, Any]]:
    """Where to post what. Raises InvalidRequest, and UnsupportedByUpstream for what only Ollama can do."""
    for key, what in _ONLY_OLLAMA.items():
        if call.body.get(key):
            raise UnsupportedByUpstream(f"The upstream of this model is not Ollama and cannot take {what}.", param=key)
    if call.route.task is Task.EMBED:
        return "/v1/embeddings", _embeddings(call)
    if call.route.task is Task.GENERATE and call.body.get("raw"):
        return "/v1/completions", _base(call) | _raw(call)
    return "/v1/chat/completions", _base(call) | _chat(call)


def _base(call: Call) -> dict[str, Any]:
    body: dict[str, Any] = {"model": call.body["model"], "stream": call.stream}
    if call.stream:
        body["stream_options"] = {"include_usage": True}
    return body


def _chat(call: Call) -> dict[str, Any]:
    body = call.body
    if call.route.task is Task.GENERATE:
        messages = _prompt_as_messages(body)
    else:
        messages = translated_messages(body.get("messages") or [])
    chat = {"messages": messages} | sampling(body) | response_format(body) | thinking(body)
    if body.get("tools"):
        chat["tools"] = _tools(body["tools"])
    return _as_long_as_it_may_be(chat, call)


def _as_long_as_it_may_be(asked: dict[str, Any], call: Call) -> dict[str, Any]:
    """Such a server ends at its context by itself, and some refuse a limit that is beyond it."""
    if call.is_endless and asked.get("max_tokens") is not None:
        del asked["max_tokens"]
    return asked


def _prompt_as_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    system = text_of(body, "system")
    question = {"role": "user", "content": content_of(text_of(body, "prompt"), body.get("images"))}
    return [{"role": "system", "content": system}, question] if system else [question]


def _raw(call: Call) -> dict[str, Any]:
    body = call.body
    if body.get("system"):
        raise InvalidRequest("With 'raw' there can be no 'system'.", param="system")
    if body.get("images"):
        raise UnsupportedByUpstream("The upstream of this model takes no images with 'raw'.", param="images")
    # Left out, max_tokens would mean 16 here; null means no limit.
    completion: dict[str, Any] = {"prompt": text_of(body, "prompt"), "max_tokens": None}
    completion |= _as_long_as_it_may_be(sampling(body), call)
    schema = json_schema(body)
    if schema is not None:
        completion |= response_format(body)
        completion["json_schema"] = schema  # llama.cpp reads only this one here, vLLM only the other
    return completion


def _tools(tools: object) -> list[dict[str, Any]]:
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidRequest("'tools' must be a list of objects.", param="tools")
    return [{"type": "function"} | tool for tool in tools]


def _embeddings(call: Call) -> dict[str, Any]:
    body = call.body
    given = body.get("input") if call.route.path == "/api/embed" else body.get("prompt")
    texts = given if isinstance(given, list) else [given or ""]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("'input' must be a string or a list of strings.", param="input")
    wanted = {"model": body["model"], "input": texts, "encoding_format": "float"}
    return wanted | ({"dimensions": body["dimensions"]} if body.get("dimensions") else {})
