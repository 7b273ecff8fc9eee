"""Answers of an OpenAI server, as a client of Ollama sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.protocols import translate
from llmgate.daemon.protocols.base import Call
from llmgate.errors import UpstreamError, UpstreamProtocolError
from tests.protocols.helpers import call_of, chat_call, recorded


def answer_to(call: Call, answer: Any, elapsed: float = 2.0) -> dict[str, Any]:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    translated: dict[str, Any] = json.loads(translate.whole(call, raw, elapsed)[0])
    return translated


def choice(finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def test_a_chat_of_a_real_server() -> None:
    call = chat_call(model="SmolLM2:135m", stream=False)
    body, usage = translate.whole(call, recorded("chat.json"), 0.5)
    answer = json.loads(body)
    timings = json.loads(recorded("chat.json"))["timings"]
    assert answer["model"] == "SmolLM2:135m"
    assert answer["created_at"].endswith("Z")
    assert answer["message"]["role"] == "assistant"
    assert answer["message"]["content"]
    assert (answer["done"], answer["done_reason"]) == (True, "length")
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (32, 6)
    assert answer["prompt_eval_duration"] == pytest.approx(timings["prompt_ms"] * 1e6, abs=1)
    assert answer["eval_duration"] == pytest.approx(timings["predicted_ms"] * 1e6, abs=1)
    assert answer["total_duration"] == 500_000_000
    assert (usage.input_tokens, usage.output_tokens) == (32, 6)


def test_a_completion_of_a_real_server() -> None:
    call = call_of("/api/generate", prompt="The sky is", raw=True, stream=False)
    answer = answer_to(call, recorded("completions.json"))
    assert answer["response"]
    assert "message" not in answer
    assert answer["eval_count"] == 5


def test_durations_are_measured_where_none_are_reported() -> None:
    answer = answer_to(chat_call(stream=False), choice(content="hi"), elapsed=2.0)
    assert answer["total_duration"] == answer["eval_duration"] == 2_000_000_000
    assert "eval_count" not in answer


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_told_apart_unless_they_are_not_wanted(name: str) -> None:
    answer = choice(content="4", **{name: "2+2"})
    assert answer_to(chat_call(), answer)["message"] == {"role": "assistant", "content": "4", "thinking": "2+2"}
    assert "thinking" not in answer_to(chat_call(think=False), answer)["message"]
    assert answer_to(call_of("/api/generate", prompt="x"), answer)["thinking"] == "2+2"


def test_tool_calls_carry_their_arguments_as_an_object() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city": "Oslo"}'}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    answer = answer_to(chat_call(), choice("tool_calls", content=None, tool_calls=calls))
    assert answer["message"] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"city": "Oslo"}}},
            {"id": "c2", "function": {"index": 1, "name": "g", "arguments": {}}},
        ],
    }
    assert answer["done_reason"] == "stop"


def test_embeddings() -> None:
    answer = {
        "data": [{"index": 0, "embedding": [0.5, 1.0]}, {"index": 1, "embedding": [0.25, 2.0]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    embed = answer_to(call_of("/api/embed", input=["a", "b"]), answer)
    assert embed == {
        "model": "smollm2",
        "embeddings": [[0.5, 1.0], [0.25, 2.0]],
        "total_duration": 2_000_000_000,
        "load_duration": 0,
        "prompt_eval_count": 4,
    }
    assert answer_to(call_of("/api/embeddings", prompt="a"), answer) == {"embedding": [0.5, 1.0]}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[7]}',
        b'{"choices":[{"message":{"tool_calls":[7]}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]}',
        b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{\\"a\\":NaN}"}}]}}]}',
    ],
)
def test_what_is_no_answer_is_a_protocol_error(answer: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        translate.whole(chat_call(), answer)


@pytest.mark.parametrize(
    "answer", [b'{"data":[]}', b'{"data":[{"embedding":"AAAA"}]}', b'{"data":[{"embedding":[NaN]}]}']
)
def test_what_is_no_embedding_is_a_protocol_error(answer: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        translate.whole(call_of("/api/embed", input="a"), answer)


KEYS = [
    *("choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "finish_reason", "text"),
    *("usage", "prompt_tokens", "timings", "prompt_ms", "predicted_ms", "data", "embedding", "error", "index", "id"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=25,
)


@given(JSON, st.sampled_from(["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"]))
def test_hostile_answers_are_translated_or_an_upstream_error(answer: object, path: str) -> None:
    try:
        body, _ = translate.whole(call_of(path), json.dumps(answer).encode())
    except UpstreamError:
        return
    assert isinstance(json.loads(body), dict)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/api/chat", {}, {"message": {"role": "assistant", "content": ""}, "done_reason": "load"}),
        ("/api/chat", {"messages": [], "keep_alive": 0}, {"done_reason": "unload"}),
        ("/api/chat", {"messages": [], "keep_alive": "0s"}, {"done_reason": "unload"}),
        ("/api/chat", {"messages": [], "keep_alive": "10m"}, {"done_reason": "load"}),
        ("/api/generate", {"prompt": ""}, {"response": "", "done_reason": "load", "done": True}),
        ("/api/generate", {"keep_alive": -1}, {"done_reason": "load"}),
        ("/api/embed", {"input": []}, {"embeddings": []}),
        ("/api/embeddings", {}, {"embedding": []}),
    ],
)
def test_a_request_that_asks_nothing_is_answered_here(
    path: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    answer = translate.local_answer(call_of(path, **body))
    assert answer is not None
    assert answer.endswith(b"}\n")
    assert json.loads(answer).items() >= expected.items()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/api/generate", {"prompt": "hi", "keep_alive": 0}),
        ("/api/embed", {"input": ["a"]}),
        ("/api/embeddings", {"prompt": "a"}),
    ],
)
def test_a_request_that_asks_something_is_not(path: str, body: dict[str, Any]) -> None:
    assert translate.local_answer(call_of(path, **body)) is None


def test_a_listed_model_of_a_real_server() -> None:
    entry = json.loads(recorded("models.json"))["data"][0]
    tag = translate.listing(entry)
    assert tag["name"] == tag["model"] == "smollm2"
    assert tag["size"] == 96_576_768
    assert len(tag["digest"]) == 64
    assert tag["modified_at"].endswith("Z")
    assert tag["details"]["parameter_size"] == "134.52M"
    assert tag["details"]["quantization_level"] == "Q4_1"
    shown = translate.details(entry)
    assert shown["capabilities"] == ["completion", "tools"]
    assert shown["model_info"]["general.parameter_count"] == 134_515_008
    assert shown["model_info"]["unknown.context_length"] == 2048


def test_a_model_listed_with_its_name_only() -> None:
    assert translate.listing({"id": "qwen"})["size"] == 0
    vllm = {"id": "qwen", "max_model_len": 4096, "architecture": {"input_modalities": ["text", "image"]}}
    shown = translate.details(vllm)
    assert "vision" in shown["capabilities"]
    assert shown["model_info"] == {"general.architecture": "unknown", "unknown.context_length": 4096}


@given(st.dictionaries(st.sampled_from(["id", "meta", "created", "architecture", "owned_by"]), JSON))
def test_a_hostile_listing_is_still_listed(entry: dict[str, Any]) -> None:
    assert json.dumps([translate.listing(entry), translate.details(entry)])
