"""What each dialect takes, refuses, and how its errors and keep-alives look."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from llmgate.daemon.protocols import ANTHROPIC, ENDPOINTS, OLLAMA, OPENAI, PROTOCOLS, protocol_of
from llmgate.daemon.protocols.base import Protocol
from llmgate.daemon.protocols.failures import error_text, own_words
from llmgate.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    InvalidRequest,
    LimitExceeded,
    LLMGateError,
    ModelNotFound,
    PermissionDenied,
    QueueFull,
    QueueTimeout,
    UpstreamCut,
)
from tests.protocols.helpers import call_of, recorded

MESSAGES = [{"role": "user", "content": "hi"}]
ERRORS: list[tuple[LLMGateError, str, str]] = [
    (InvalidRequest("no", param="model"), "invalid_request_error", "invalid_request_error"),
    (BodyTooLarge("no"), "invalid_request_error", "request_too_large"),
    (AuthenticationFailed("no"), "authentication_error", "authentication_error"),
    (PermissionDenied("no"), "permission_error", "permission_error"),
    (ModelNotFound("no"), "not_found_error", "not_found_error"),
    (LimitExceeded("no"), "rate_limit_error", "rate_limit_error"),
    (QueueFull("no"), "server_error", "overloaded_error"),
    (QueueTimeout("no"), "server_error", "api_error"),
    (UpstreamCut("no"), "server_error", "api_error"),
]


def test_every_inference_route_belongs_to_one_protocol() -> None:
    assert {path: endpoint.protocol.name for path, endpoint in ENDPOINTS.items()} == {
        "/api/chat": "ollama",
        "/api/generate": "ollama",
        "/api/embed": "ollama",
        "/api/embeddings": "ollama",
        "/v1/chat/completions": "openai",
        "/v1/completions": "openai",
        "/v1/embeddings": "openai",
        "/v1/responses": "openai",
        "/v1/messages": "anthropic",
    }


def test_a_path_that_does_not_exist_has_a_dialect_too() -> None:
    assert protocol_of("/api/nothing") is OLLAMA
    assert protocol_of("/v1/models") is OPENAI
    assert protocol_of("/v1/messages/count_tokens") is ANTHROPIC


@pytest.mark.parametrize(
    ("path", "body", "streams"),
    [
        ("/api/chat", {}, True),
        ("/api/generate", {"stream": None}, True),
        ("/api/generate", {"stream": False}, False),
        ("/api/embed", {"input": "a", "stream": True}, False),
        ("/v1/chat/completions", {"messages": MESSAGES}, False),
        ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}, True),
        ("/v1/embeddings", {"input": "a", "stream": True}, False),
        ("/v1/messages", {"messages": MESSAGES, "stream": True}, True),
    ],
)
def test_whether_a_call_streams_follows_its_route(path: str, body: dict[str, Any], streams: bool) -> None:
    assert call_of(path, **body).stream is streams


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/api/chat", {"model": None}, "model"),
        ("/api/chat", {"model": " "}, "model"),
        ("/api/chat", {"model": ["a"]}, "model"),
        ("/api/chat", {"model": "m" * 10_000}, "model"),
        ("/api/chat", {"model": "a\nb"}, "model"),
        ("/api/chat", {"model": "\ud800"}, "model"),
        ("/api/chat", {"stream": "yes"}, "stream"),
        ("/api/chat", {"messages": "hi"}, "messages"),
        ("/api/chat", {"messages": ["hi"]}, "messages"),
        ("/api/chat", {"options": []}, "options"),
        ("/api/generate", {"prompt": ["hi"]}, "prompt"),
        ("/api/embed", {"input": {}}, "input"),
        ("/v1/chat/completions", {}, "messages"),
        ("/v1/chat/completions", {"messages": MESSAGES, "stream": True, "stream_options": 1}, "stream_options"),
        ("/v1/completions", {"prompt": 3}, "prompt"),
        ("/v1/responses", {"input": 3}, "input"),
        ("/v1/messages", {"messages": {}}, "messages"),
    ],
)
def test_a_wrong_field_is_named(path: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_of(path, **body)
    assert caught.value.param == param
    assert len(caught.value.text()) < 150


def test_openai_streams_always_report_usage() -> None:
    call = call_of("/v1/chat/completions", messages=MESSAGES, stream=True)
    assert call.body["stream_options"] == {"include_usage": True}
    assert not call.wants_usage


def test_a_client_that_asks_for_usage_itself_is_remembered() -> None:
    call = call_of("/v1/completions", prompt="a", stream=True, stream_options={"include_usage": True, "x": 1})
    assert call.body["stream_options"] == {"include_usage": True, "x": 1}
    assert call.wants_usage


def test_usage_cannot_be_switched_off_behind_our_back() -> None:
    with pytest.raises(InvalidRequest):
        call_of(
            "/v1/chat/completions",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True, "Include_Usage": False},
        )


def test_usage_on_every_chunk_is_for_those_who_ask_for_usage() -> None:
    options = {"include_usage": False, "continuous_usage_stats": True}
    call = call_of("/v1/chat/completions", messages=MESSAGES, stream=True, stream_options=options)
    assert call.body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(("error", "openai_type", "anthropic_type"), ERRORS)
def test_errors_look_like_those_of_the_dialect(error: LLMGateError, openai_type: str, anthropic_type: str) -> None:
    assert json.loads(OLLAMA.error_body(error, "r1")) == {"error": "no"}
    openai = json.loads(OPENAI.error_body(error, "r1"))["error"]
    assert openai == {"message": "no", "type": openai_type, "code": error.code, "param": error.param}
    anthropic = json.loads(ANTHROPIC.error_body(error, "r1"))
    assert anthropic == {"type": "error", "error": {"type": anthropic_type, "message": "no"}, "request_id": "r1"}


def test_error_events_end_a_stream_in_the_dialect() -> None:
    error = UpstreamCut("It broke.", hint="Try again.")
    assert OLLAMA.error_event(error, "r1") == b'{"error":"It broke. Try again."}\n'
    assert re.fullmatch(rb'data: \{"error":\{.*\}\}\n\n', OPENAI.error_event(error, "r1"))
    assert re.fullmatch(rb'event: error\ndata: \{"type":"error",.*\}\n\n', ANTHROPIC.error_event(error, "r1"))


def test_keepalives_mean_nothing_in_the_dialect() -> None:
    chat = json.loads(OLLAMA.keepalive(call_of("/api/chat")))
    assert chat.pop("created_at").endswith("Z")
    assert chat == {"model": "smollm2", "message": {"role": "assistant", "content": ""}, "done": False}
    generate = json.loads(OLLAMA.keepalive(call_of("/api/generate")))
    assert generate["response"] == ""
    assert OPENAI.keepalive(call_of("/v1/responses", input="a")) == b": keep-alive\n"
    assert ANTHROPIC.keepalive(call_of("/v1/messages", messages=MESSAGES)).startswith(b"event: ping\ndata: {")


@pytest.mark.parametrize(
    ("path", "name", "counts"),
    [
        ("/v1/chat/completions", "chat.json", (32, 6)),
        ("/v1/completions", "completions.json", (3, 5)),
    ],
)
def test_usage_of_a_whole_answer_is_what_the_server_reported(path: str, name: str, counts: tuple[int, int]) -> None:
    call = call_of(path, messages=MESSAGES)
    usage = call.protocol.usage_of(call, json.loads(recorded(name)))
    assert (usage.input_tokens, usage.output_tokens) == counts


def test_usage_of_other_whole_answers() -> None:
    ollama = call_of("/api/chat")
    assert OLLAMA.usage_of(ollama, {"done": True, "prompt_eval_count": 3, "eval_count": 4}).service == 11
    anthropic = call_of("/v1/messages", messages=MESSAGES)
    answer = {"usage": {"input_tokens": 1, "cache_read_input_tokens": 31, "output_tokens": 4}}
    assert ANTHROPIC.usage_of(anthropic, answer).service == 40
    responses = call_of("/v1/responses", input="a")
    assert OPENAI.usage_of(responses, {"usage": {"input_tokens": 1, "output_tokens": 4}}).service == 9


@pytest.mark.parametrize("answer", [{}, {"usage": []}, {"usage": {"prompt_tokens": -1}}, {"eval_count": "3"}])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_usage_of_nonsense_is_unknown(protocol: Protocol, answer: dict[str, Any]) -> None:
    path = next(iter(protocol.routes))
    assert protocol.usage_of(call_of(path, messages=MESSAGES), answer).service is None


def test_the_expected_cost_follows_the_size_and_the_clients_own_limit() -> None:
    def cost(path: str, size: int, **body: Any) -> float:
        call = call_of(path, **body)
        return call.protocol.cost_of(call, size)

    assert cost("/api/chat", 400) == 100 + 2 * 256
    assert cost("/api/chat", 400, options={"num_predict": 10}) == 120
    assert cost("/api/chat", 400, options={"num_predict": -1}) == 100 + 2 * 256
    assert cost("/v1/chat/completions", 400, messages=MESSAGES, max_completion_tokens=5) == 110
    assert cost("/v1/messages", 400, messages=MESSAGES, max_tokens=100_000) == 100 + 2 * 256
    assert cost("/api/embed", 400, input="a") == 100


def test_images_cost_what_a_model_makes_of_them_not_their_size() -> None:
    image = "A" * 4_000_000
    ollama = call_of("/api/chat", messages=[{"role": "user", "content": "what?", "images": [image]}])
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + image}}
    openai = call_of("/v1/chat/completions", messages=[{"role": "user", "content": [part]}])
    source = {"type": "base64", "media_type": "image/png", "data": image}
    anthropic = call_of("/v1/messages", messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    for call in (ollama, openai, anthropic):
        assert call.protocol.cost_of(call, 4_000_100) < 2000


def test_an_upstreams_own_error_is_passed_on_only_in_the_callers_dialect() -> None:
    openai, ollama = b'{"error":{"message":"too long","code":400}}', b'{"error":"too long"}'
    anthropic = b'{"type":"error","error":{"type":"api_error","message":"too long"}}'
    assert own_words(OPENAI, openai) == openai
    assert own_words(OLLAMA, ollama) == ollama
    assert own_words(ANTHROPIC, anthropic) == anthropic
    assert own_words(OLLAMA, openai) is None
    assert own_words(ANTHROPIC, openai) is None
    assert own_words(OPENAI, b"<html>") is None
    assert {error_text(400, body) for body in (openai, ollama, anthropic)} == {"too long"}


def test_the_text_of_an_upstreams_error_is_one_short_line() -> None:
    assert error_text(502, b"<html>Bad gateway</html>") == "The upstream answered with status 502."
    assert error_text(422, b'{"detail":"bad\\n  thing"}') == "bad thing"
    assert error_text(422, b'{"detail":[{"msg":"x"}]}') == "The upstream answered with status 422."
    assert len(error_text(400, json.dumps({"error": "x" * 99_999}).encode())) <= 1001
