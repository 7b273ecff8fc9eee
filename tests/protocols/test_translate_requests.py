"""Requests of Ollama's API, as an OpenAI server gets them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmgate.daemon.protocols import translate
from llmgate.errors import InvalidRequest, UnsupportedByUpstream
from tests.protocols.helpers import call_of, chat_call

PNG = "iVBORw0KGgoAAAANSUhEUg=="
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def chat(**body: Any) -> dict[str, Any]:
    path, translated = translate.request(chat_call(**body))
    assert path == "/v1/chat/completions"
    return translated


def generate(**body: Any) -> tuple[str, dict[str, Any]]:
    return translate.request(call_of("/api/generate", **({"prompt": "Why?"} | body)))


def test_only_ollamas_own_protocol_is_translated() -> None:
    assert translate.needed(chat_call())
    assert not translate.needed(call_of("/v1/completions", prompt="a"))


def test_a_plain_chat() -> None:
    assert chat() == {
        "model": "smollm2",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert chat(stream=False) == {
        "model": "smollm2",
        "stream": False,
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_images_become_content_parts() -> None:
    message = {"role": "user", "content": "What is this?", "images": [PNG, "/9j/4AAQ"]}
    assert chat(messages=[message])["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}},
    ]


def test_tool_results_find_the_call_they_answer() -> None:
    def call(name: str, **rest: Any) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {"city": "Århus"}}} | rest

    messages = [
        {"role": "assistant", "tool_calls": [call("a"), call("b"), call("c", id="given")]},
        {"role": "tool", "tool_name": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "given", "content": "3"},
        {"role": "tool", "content": "1"},
    ]
    translated = chat(messages=messages)["messages"]
    first = translated[0]["tool_calls"][0]
    assert first["type"] == "function"
    assert json.loads(first["function"]["arguments"]) == {"city": "Århus"}
    ids = [made["id"] for made in translated[0]["tool_calls"]]
    assert len(set(ids)) == 3
    assert [message["tool_call_id"] for message in translated[1:]] == [ids[1], "given", ids[0]]


def test_thoughts_of_earlier_answers_are_kept() -> None:
    messages = [{"role": "assistant", "content": "4", "thinking": "2+2"}]
    assert chat(messages=messages)["messages"] == [{"role": "assistant", "content": "4", "reasoning_content": "2+2"}]


def test_tools_pass_as_they_are() -> None:
    assert chat(tools=[TOOL, {"function": {"name": "f"}}])["tools"] == [
        TOOL,
        {"type": "function", "function": {"name": "f"}},
    ]


def test_options_get_their_openai_names_and_unknown_ones_are_dropped() -> None:
    options = {
        "temperature": 0,
        "top_k": 5,
        "seed": 42,
        "num_predict": 9,
        "repeat_penalty": 1.1,
        "stop": ["\n"],
        "num_ctx": 8192,
        "min_p": None,
        "whatever": "x",
    }
    translated = chat(options=options, keep_alive="5m")
    for key in ("messages", "model", "stream", "stream_options"):
        del translated[key]
    assert translated == {
        "temperature": 0,
        "top_k": 5,
        "seed": 42,
        "max_tokens": 9,
        "repeat_penalty": 1.1,
        "repetition_penalty": 1.1,
        "stop": ["\n"],
    }


@pytest.mark.parametrize("limit", [-1, -2, 0])
def test_no_limit_on_the_answer_is_none(limit: int) -> None:
    assert "max_tokens" not in chat(options={"num_predict": limit})
    assert generate(raw=True, options={"num_predict": limit})[1]["max_tokens"] is None


def test_formats() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert "response_format" not in chat(format="")
    assert chat(format="json")["response_format"] == {"type": "json_object"}
    assert chat(format=schema)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }
    assert generate(raw=True, format="json")[1]["json_schema"] == {}
    assert generate(raw=True, format=schema)[1]["json_schema"] == schema


def test_thinking_is_switched_in_the_names_that_templates_know() -> None:
    assert "chat_template_kwargs" not in chat()
    assert chat(think=False)["chat_template_kwargs"] == {"enable_thinking": False}
    levelled = chat(think="high")
    assert levelled["reasoning_effort"] == "high"
    assert levelled["chat_template_kwargs"] == {"enable_thinking": True, "reasoning_effort": "high"}


def test_generate_is_a_chat_with_one_question() -> None:
    path, body = generate(system="Be brief.", images=[PNG], stream=False)
    assert path == "/v1/chat/completions"
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Why?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
    ]


def test_a_raw_prompt_goes_to_completions() -> None:
    path, body = generate(raw=True, stream=False, options={"num_predict": 3})
    assert path == "/v1/completions"
    assert body == {"model": "smollm2", "stream": False, "prompt": "Why?", "max_tokens": 3}


@pytest.mark.parametrize(
    ("path", "body", "texts"),
    [
        ("/api/embed", {"input": "a"}, ["a"]),
        ("/api/embed", {"input": ["a", "b"], "truncate": True}, ["a", "b"]),
        ("/api/embeddings", {"prompt": "a"}, ["a"]),
    ],
)
def test_embeddings(path: str, body: dict[str, Any], texts: list[str]) -> None:
    expected = {"model": "smollm2", "input": texts, "encoding_format": "float"}
    assert translate.request(call_of(path, **body)) == ("/v1/embeddings", expected)


@pytest.mark.parametrize(
    "body",
    [{"template": "x"}, {"context": [1, 2]}, {"suffix": "x"}, {"logprobs": True}, {"raw": True, "images": [PNG]}],
)
def test_what_only_ollama_can_do_is_refused_not_ignored(body: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedByUpstream):
        generate(**body)


@pytest.mark.parametrize(
    "body",
    [
        {"format": "xml"},
        {"format": 3},
        {"think": "deeply" * 2000},
        {"think": 3},
        {"tools": {"f": 1}},
        {"options": {"temperature": "hot"}},
        {"options": {"seed": True}},
        {"options": {"stop": [1]}},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": "user", "content": [1]}]},
        {"messages": [{"role": "user", "content": "x", "images": "y"}]},
        {"messages": [{"role": "user", "content": "x", "images": ["https://somewhere/cat.png"]}]},
        {"messages": [{"role": "assistant", "tool_calls": ["x"]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
    ],
)
def test_what_ollama_would_not_take_is_an_error(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**body)
    assert len(caught.value.text()) < 200


@pytest.mark.parametrize("body", [{"system": [], "prompt": "x"}, {"raw": True, "system": "x"}])
def test_a_prompt_that_ollama_would_not_take_is_an_error(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        generate(**body)


def test_inputs_that_are_not_text_are_an_error() -> None:
    with pytest.raises(InvalidRequest):
        translate.request(call_of("/api/embed", input=[1, 2]))
