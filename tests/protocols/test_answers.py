"""Whole answers of status 200: what is none is not handed on as one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.answers import PARSED_BYTES, answer_in
from llmgate.daemon.upstreams.base import Upstream
from llmgate.daemon.upstreams.ollama import OllamaUpstream
from llmgate.daemon.upstreams.openai import OpenAIUpstream
from llmgate.errors import UpstreamError, UpstreamProtocolError
from tests.protocols.helpers import call_of

MESSAGES = [{"role": "user", "content": "hi"}]
KINDS: list[tuple[type[OllamaUpstream | OpenAIUpstream], str]] = [
    (OllamaUpstream, "/api/chat"),
    (OllamaUpstream, "/api/embed"),
    (OllamaUpstream, "/v1/chat/completions"),
    (OllamaUpstream, "/v1/messages"),
    (OpenAIUpstream, "/api/chat"),
    (OpenAIUpstream, "/v1/embeddings"),
    (OpenAIUpstream, "/v1/responses"),
    (OpenAIUpstream, "/v1/messages"),
]
EMBEDDINGS = [[0.25] * 1000] * 600


def upstream_of(kind: type[OllamaUpstream | OpenAIUpstream]) -> Upstream:
    return kind(UpstreamSettings(name="gpu1", url="http://127.0.0.1:1"), timeout=1.0)


def whole(kind: type[OllamaUpstream | OpenAIUpstream], path: str, answer: bytes) -> bytes:
    call = call_of(path, messages=MESSAGES, input="a", stream=False)
    return upstream_of(kind).whole(call, answer)[0]


@pytest.mark.parametrize(("kind", "path"), KINDS)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>log in</html>",
        b'{"model":"x","respo',
        b"[]",
        b"null",
        b"\xff",
        b"[" * 99_999,
        b"<" + b"a" * PARSED_BYTES + b"}",
        b'{"model":"x","response":"' + b"a" * PARSED_BYTES,
    ],
)
def test_what_is_no_json_object_is_a_protocol_error(
    kind: type[OllamaUpstream | OpenAIUpstream], path: str, answer: bytes
) -> None:
    with pytest.raises(UpstreamProtocolError, match="not a JSON object"):
        whole(kind, path, answer)


@pytest.mark.parametrize(("kind", "path"), KINDS)
@pytest.mark.parametrize(
    "answer",
    [
        {"error": "out of memory"},
        {"error": {"message": "out of memory", "type": "server_error", "code": 500}},
        {"type": "error", "error": {"type": "api_error", "message": "out of memory"}},
        {"object": "response", "status": "failed", "error": {"code": "server_error", "message": "out of memory"}},
    ],
)
def test_an_error_in_any_dialect_is_told_in_the_upstreams_own_words(
    kind: type[OllamaUpstream | OpenAIUpstream], path: str, answer: dict[str, Any]
) -> None:
    with pytest.raises(UpstreamError, match="out of memory") as caught:
        whole(kind, path, json.dumps(answer).encode())
    assert caught.value.code == "upstream_failed"


def test_an_error_that_is_null_is_none() -> None:
    answer = b'{"object":"response","error":null,"usage":{"input_tokens":1,"output_tokens":4}}'
    assert whole(OpenAIUpstream, "/v1/responses", answer) == answer


@pytest.mark.parametrize(
    ("path", "answer", "tokens"),
    [
        ("/api/embed", {"model": "m", "embeddings": EMBEDDINGS, "load_duration": 1, "prompt_eval_count": 5}, 5),
        ("/api/generate", {"response": "a\n" * PARSED_BYTES, "prompt_eval_count": 5, "eval_count": 7}, 5 + 14),
        ("/v1/embeddings", {"data": EMBEDDINGS, "model": "m", "usage": {"prompt_tokens": 5}}, 5),
        ("/v1/embeddings", {"model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}, "data": EMBEDDINGS}, 5),
        ("/v1/messages", {"content": "a" * PARSED_BYTES, "usage": {"input_tokens": 1, "output_tokens": 2}}, 5),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_of_a_very_large_answer_only_the_usage_is_read(
    path: str, answer: dict[str, Any], tokens: int, indent: int | None
) -> None:
    raw = json.dumps(answer, indent=indent).encode() + b"\n"
    call = call_of(path, messages=MESSAGES, input="a", stream=False)
    body, usage = upstream_of(OllamaUpstream).whole(call, raw)
    assert body is raw
    assert usage.service == tokens


def test_text_cannot_pretend_to_be_the_usage_of_a_very_large_answer() -> None:
    text = "a" * PARSED_BYTES + '"eval_count":9,"usage":{"prompt_tokens":9}'
    assert answer_in(json.dumps({"response": text, "eval_count": 7}).encode()) == {"eval_count": 7}


@pytest.mark.parametrize(
    "rest", [b'"usage":{"prompt_tokens":', b'"eval_count":', b'"usage":' + b"[" * 4000, b'"usage":\xff']
)
def test_a_usage_that_cannot_be_read_is_unknown(rest: bytes) -> None:
    assert answer_in(b'{"a":"' + b"a" * PARSED_BYTES + b'",' + rest + b"}") == {}


def test_a_count_that_is_cut_off_is_not_taken_for_a_smaller_one() -> None:
    head = b'{"model":"m","eval_count":'
    answer = head.ljust(4094) + b"12345" + b',"data":"' + b"a" * PARSED_BYTES + b'"}'
    assert answer_in(answer) == {}
