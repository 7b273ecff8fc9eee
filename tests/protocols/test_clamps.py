"""What a request may ask of a server: lowered, left out, refused, or as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.config_requests import RequestSettings
from llmgate.daemon import clamps
from llmgate.daemon.protocols import ENDPOINTS, bodies, translate
from llmgate.daemon.protocols.base import Call
from llmgate.errors import InvalidRequest

RULES = RequestSettings()
OPEN = RequestSettings(allow_template=True, allow_server_options=True, allow_remote_urls=True)
MESSAGES = [{"role": "user", "content": "Hello"}]
USUAL: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": MESSAGES},
    "/api/generate": {"prompt": "Hello"},
    "/api/embed": {"input": "Hello"},
    "/api/embeddings": {"prompt": "Hello"},
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 100},
}


def call_of(path: str, **more: Any) -> Call:
    endpoint = ENDPOINTS[path]
    return endpoint.protocol.parse("id", endpoint.route, {"model": "m", **USUAL[path], **more})


def held(path: str, rules: RequestSettings = RULES, *, is_admin: bool = False, **more: Any) -> tuple[Call, str]:
    """What becomes of a request, and what its client is told."""
    call = call_of(path, **more)
    return call, clamps.apply(call, clamps.judge(call, rules, is_admin=is_admin))


def refused(path: str, rules: RequestSettings = RULES, *, is_admin: bool = False, **more: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        clamps.judge(call_of(path, **more), rules, is_admin=is_admin)
    assert len(caught.value.text()) < 300
    return caught.value.text()


def test_what_is_looked_at_cannot_hide_behind_another_case() -> None:
    assert clamps.WATCHED <= bodies._JUDGED


@pytest.mark.parametrize("path", USUAL)
def test_a_usual_request_is_as_it_came(path: str) -> None:
    call, told = held(path)
    assert (call.body, told) == ({"model": "m", **USUAL[path]}, "")


ORDINARY: list[tuple[str, dict[str, Any]]] = [
    # Open WebUI, with everything set that its users can set
    (
        "/api/chat",
        {
            "keep_alive": "5m",
            "options": {"num_ctx": 32_768, "num_predict": 4096, "temperature": 0.7, "mirostat": 0, "stop": ["END"]},
            "think": True,
            "format": "json",
        },
    ),
    # ollama run
    ("/api/generate", {"template": "", "system": "", "raw": False, "context": [1, 2], "options": {}, "suffix": ""}),
    ("/api/chat", {"keep_alive": None, "options": None, "tools": None, "format": ""}),
    # completion in editors
    ("/api/generate", {"raw": True, "options": {"num_predict": 128}, "keep_alive": "30m"}),
    # coding agents
    ("/v1/chat/completions", {"max_tokens": 128_000, "tools": [{"type": "function"}] * 200, "n": 1}),
    ("/v1/chat/completions", {"max_completion_tokens": 64_000, "logprobs": True, "top_logprobs": 20}),
    ("/v1/messages", {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 32_000}}),
    ("/v1/responses", {"max_output_tokens": 100_000, "store": False}),
    # LangChain, LlamaIndex, lm-eval
    ("/v1/embeddings", {"input": ["text"] * 2048, "encoding_format": "base64"}),
    ("/v1/embeddings", {"input": [[1, 2, 3]] * 100}),
    ("/v1/embeddings", {"input": list(range(8000))}),
    ("/v1/completions", {"prompt": list(range(8000)), "logprobs": 5, "echo": True, "max_tokens": 0}),
]


@pytest.mark.parametrize(("path", "more"), ORDINARY)
def test_what_ordinary_clients_send_is_as_it_came(path: str, more: dict[str, Any]) -> None:
    call, told = held(path, **more)
    assert told == ""
    assert json.dumps(call.body) == json.dumps({"model": "m", **USUAL[path], **more})


@pytest.mark.parametrize(
    ("path", "key", "value", "becomes"),
    [
        ("/v1/chat/completions", "max_tokens", 10**9, 131_072),
        ("/v1/chat/completions", "max_tokens", 1e300, 131_072),
        ("/v1/chat/completions", "max_completion_tokens", 131_073, 131_072),
        ("/v1/chat/completions", "max_tokens", -1, 131_072),
        ("/v1/chat/completions", "n_predict", -1, 131_072),
        ("/v1/chat/completions", "min_tokens", 10**9, 131_072),
        ("/v1/completions", "max_tokens", 10**9, 131_072),
        ("/v1/responses", "max_output_tokens", 10**9, 131_072),
        ("/v1/messages", "max_tokens", 10**9, 131_072),
        ("/api/chat", "keep_alive", -1, 86_400),
        ("/api/chat", "keep_alive", "-1m", 86_400),
        ("/api/chat", "keep_alive", "-1ns", 86_400),
        ("/api/chat", "keep_alive", "24h0.5s", 86_400),
        ("/api/chat", "keep_alive", "1441m", 86_400),
        ("/api/chat", "keep_alive", 10**18, 86_400),
        ("/api/chat", "keep_alive", 1e300, 86_400),
        ("/api/chat", "keep_alive", 0, 60),
        ("/api/chat", "keep_alive", "0", 60),
        ("/api/chat", "keep_alive", "300ms", 60),
        ("/api/embed", "keep_alive", "0s", 60),
        ("/api/generate", "keep_alive", "59.9s", 60),
    ],
)
def test_how_far_something_may_go_is_brought_within_the_settings(path: str, key: str, value: Any, becomes: int) -> None:
    call, told = held(path, **{key: value})
    assert (call.body[key], told) == (becomes, f"{key}={becomes}")


@pytest.mark.parametrize("value", ["24h", "1m", "1h30m", "+5m", "1.5h", ".5h", "90000ms", 60, 86_400, 300.5])
def test_a_keep_alive_within_the_settings_is_as_it_came(value: Any) -> None:
    call, told = held("/api/chat", keep_alive=value)
    assert (call.body["keep_alive"], told) == (value, "")


@pytest.mark.parametrize("value", ["", "5", "5 m", "m", "1d", "5M", "1h-1m", "9" * 5000 + "h", "\u0665m", True, [], {}])
def test_a_keep_alive_that_ollama_would_not_read_is_refused(value: Any) -> None:
    assert "keep_alive" in refused("/api/chat", keep_alive=value)


@pytest.mark.parametrize(
    ("options", "becomes", "told"),
    [
        ({"num_ctx": 10**7}, {"num_ctx": 131_072}, "options.num_ctx=131072"),
        ({"num_ctx": 1e9}, {"num_ctx": 131_072}, "options.num_ctx=131072"),
        ({"num_predict": -1}, {"num_predict": 131_072}, "options.num_predict=131072"),
        ({"num_predict": -2}, {"num_predict": 131_072}, "options.num_predict=131072"),
        ({"num_predict": 0}, {"num_predict": 131_072}, "options.num_predict=131072"),
        ({"num_predict": 0.5}, {"num_predict": 131_072}, "options.num_predict=131072"),
        ({"num_predict": 10**9}, {"num_predict": 131_072}, "options.num_predict=131072"),
        ({"num_gpu": 0, "top_k": 3}, {"top_k": 3}, "options.num_gpu"),
        ({"num_thread": 999, "use_mlock": True}, {}, "options.num_thread, options.use_mlock"),
    ],
)
def test_options_of_ollama(options: dict[str, Any], becomes: dict[str, Any], told: str) -> None:
    for path in ("/api/chat", "/api/generate", "/api/embed"):
        call, said = held(path, options=dict(options))
        assert (call.body["options"], said) == (becomes, told)


@pytest.mark.parametrize(
    ("path", "more", "names"),
    [
        ("/v1/chat/completions", {"n": 17}, "requests.max_answers"),
        ("/v1/completions", {"best_of": 10**9}, "requests.max_answers"),
        ("/v1/completions", {"n": 4, "prompt": ["a"] * 5}, "requests.max_answers"),
        ("/v1/completions", {"prompt": [[1, 2]] * 17}, "requests.max_answers"),
        ("/v1/chat/completions", {"logprobs": True, "top_logprobs": 21}, "requests.max_logprobs"),
        ("/v1/completions", {"logprobs": 21}, "requests.max_logprobs"),
        ("/v1/chat/completions", {"n_probs": 10**6}, "requests.max_logprobs"),
        ("/v1/chat/completions", {"prompt_logprobs": -1}, "negative"),
        ("/v1/embeddings", {"input": ["a"] * 2049}, "requests.max_inputs"),
        ("/api/embed", {"input": ["a"] * 2049}, "requests.max_inputs"),
        ("/v1/chat/completions", {"tools": [{}] * 257}, "requests.max_tools"),
        ("/api/chat", {"tools": [{}] * 257}, "requests.max_tools"),
        ("/api/chat", {"messages": [{"role": "user", "images": ["aGk="]}] * 101}, "requests.max_images"),
        ("/api/generate", {"images": ["aGk="] * 101}, "requests.max_images"),
        ("/api/generate", {"template": "{{ .Prompt }}"}, "requests.allow_template"),
        ("/v1/chat/completions", {"chat_template": "{{ messages }}"}, "requests.allow_template"),
        ("/v1/chat/completions", {"n": "1000"}, "number"),
        ("/v1/chat/completions", {"max_tokens": "1000000"}, "number"),
        ("/v1/chat/completions", {"max_tokens": [10**9]}, "number"),
        ("/api/chat", {"options": {"num_ctx": "1000000"}}, "options.num_ctx"),
    ],
)
def test_what_would_change_the_answer_is_refused(path: str, more: dict[str, Any], names: str) -> None:
    assert names in refused(path, **more)


def test_without_raw() -> None:
    assert "requests.allow_raw" in refused("/api/generate", RequestSettings(allow_raw=False), raw=True)


def test_what_the_administrator_allows_is_as_it_came() -> None:
    options = {"num_gpu": 1, "num_thread": 4}
    call, told = held("/api/generate", OPEN, template="{{ .Prompt }}", options=dict(options), priority=1)
    assert (call.body["template"], call.body["options"], call.body["priority"], told) == (
        "{{ .Prompt }}",
        options,
        1,
        "",
    )
    _, told = held("/v1/chat/completions", priority=-5, id_slot=0)
    assert told == "id_slot, priority"


@pytest.mark.parametrize(
    "more",
    [{"keep_alive": -1}, {"options": {"num_ctx": 10**6, "num_gpu": 1}}, {"tools": [{}] * 300}, {"template": "x"}],
)
def test_administrators_may_ask_for_more(more: dict[str, Any]) -> None:
    call, told = held("/api/chat", is_admin=True, **more)
    assert told == ""
    assert call.body == {"model": "m", **USUAL["/api/chat"], **more}


def test_what_has_no_end_is_left_to_a_server_that_ends_at_its_context() -> None:
    ways: list[tuple[str, dict[str, Any]]] = [("/api/chat", {}), ("/api/generate", {"raw": True})]
    for path, more in ways:
        endless, _ = held(path, options={"num_predict": -1}, **more)
        assert translate.request(endless)[1].get("max_tokens") is None
        long, _ = held(path, options={"num_predict": 10**9}, **more)
        assert translate.request(long)[1]["max_tokens"] == 131_072


def test_the_estimate_is_of_what_will_be_asked_for() -> None:
    def cost(path: str, **more: Any) -> float:
        call, _ = held(path, RequestSettings(max_output_tokens=100), **more)
        return call.protocol.cost_of(call, 400)

    assert cost("/v1/chat/completions", max_tokens=10**6) == 100 + 2 * 100
    assert cost("/api/chat", options={"num_predict": -1}) == 100 + 2 * 100
    assert cost("/v1/chat/completions", max_tokens=100, n=3) == 100 + 3 * 2 * 100


# -- files ---------------------------------------------------------------------------------------

DATA = "data:image/png;base64,iVBORw0KGgo="
ELSEWHERE = [
    "http://169.254.169.254/latest/meta-data/",
    "HTTPS://example.com/a.png",
    "file:///etc/passwd",
    "ftp://example.com/a",
    " http://example.com/a.png",
    "\thttp://example.com/a.png",
    "//example.com/a.png",
    "gopher://example.com",
    "data",
    "blob:http://example.com",
]


def bodies_with(url: str) -> list[tuple[str, dict[str, Any]]]:
    """Requests that name something by this URL, in every way that a server is known to read."""

    def chat(*parts: Any) -> tuple[str, dict[str, Any]]:
        return "/v1/chat/completions", {"messages": [{"role": "user", "content": list(parts)}]}

    def claude(*blocks: Any) -> tuple[str, dict[str, Any]]:
        return "/v1/messages", {"messages": [{"role": "user", "content": list(blocks)}]}

    source = {"type": "image", "source": {"type": "url", "url": url}}
    return [
        chat({"type": "image_url", "image_url": {"url": url}}),
        chat({"type": "image_url", "image_url": url}),
        chat({"image_url": url}),
        chat({"type": "text", "text": "x"}, {"type": "video_url", "video_url": {"url": url}}),
        chat({"type": "audio_url", "audio_url": {"url": url, "detail": "low"}}),
        chat({"type": "image", "image": url}),
        chat({"type": "image", "url": url}),
        claude(source),
        claude({"type": "document", "source": {"type": "url", "url": url}}),
        claude({"type": "tool_result", "tool_use_id": "1", "content": [source]}),
        claude({"type": "document", "source": {"type": "content", "content": [source]}}),
        ("/v1/messages", {"messages": MESSAGES, "system": [source]}),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]}),
        ("/v1/responses", {"input": ["x", {"type": "input_image", "image_url": url}]}),
        (
            "/v1/responses",
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": url}]}]},
        ),
        ("/v1/embeddings", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}),
    ]


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("is_admin", [False, True])
def test_what_is_elsewhere_is_refused(url: str, is_admin: bool) -> None:
    for path, more in bodies_with(url):
        assert "requests.allow_remote_urls" in refused(path, is_admin=is_admin, **more), more


def test_what_is_in_the_request_is_passed_on() -> None:
    few = RequestSettings(max_images=0)
    for path, more in bodies_with(DATA):
        call, told = held(path, **more)
        assert (call.body, told) == ({"model": "m", **USUAL[path], **more}, "")
        assert "requests.max_images" in refused(path, few, **more), more


def test_with_leave_only_the_web_is_asked() -> None:
    for path, more in bodies_with("https://example.com/a.png"):
        held(path, OPEN, **more)
    for path, more in bodies_with("file:///etc/passwd"):
        refused(path, OPEN, **more)


@pytest.mark.parametrize("image", ["https://example.com/a.png", "file:///etc/passwd", "http://[::1]/"])
def test_images_of_ollama_are_base64(image: str) -> None:
    refused("/api/chat", messages=[{"role": "user", "content": "x", "images": [image]}])
    refused("/api/generate", images=["aGk=", image])


@pytest.mark.parametrize(
    "more",
    [
        {"mcp_servers": [{"type": "url", "url": "http://10.0.0.1"}]},
        {"kv_transfer_params": {"remote_host": "10.0.0.1", "remote_port": 1}},
        {"tools": [{"type": "mcp", "server_url": "http://10.0.0.1"}]},
        {"tools": [{"type": "function"}, {"type": "mcp", "Server_URL": "http://10.0.0.1"}]},
    ],
)
def test_a_server_is_not_sent_to_another_one(more: dict[str, Any]) -> None:
    refused("/v1/responses", **more)
    refused("/v1/responses", is_admin=True, **more)


@pytest.mark.parametrize(
    "message",
    [
        # What a tool is called with, or has found, is text; nobody fetches it.
        {"role": "assistant", "tool_calls": [{"function": {"name": "open", "arguments": {"url": "http://a"}}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "o", "input": {"URL": "http://a"}}]},
        {"role": "user", "content": [{"type": "search_result", "source": "https://a", "title": "t", "content": []}]},
        {"role": "user", "content": "see https://example.com/a.png"},
        {"role": "user", "content": [{"type": "text", "text": "http://a"}, {"type": "thinking", "url": "http://a"}]},
    ],
)
def test_a_url_that_is_only_words_is_passed_on(message: dict[str, Any]) -> None:
    held("/v1/chat/completions", messages=[message])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "a", "Content": [{"type": "image_url", "image_url": "http://a"}]},
        {"role": "user", "CONTENT": [{"type": "image_url", "image_url": "http://a"}]},
        {"role": "user", "content": [{"type": "image", "\u017fource": {"type": "url", "url": "http://a"}}]},
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "Url": "http://a"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA, "URL": "http://a"}}]},
        {"role": "user", "content": [{"type": "image_url", "Image_URL": {"url": "http://a"}}]},
        {"role": "user", "content": "a", "Images": ["http://a"]},
    ],
)
def test_keys_that_go_would_read_as_others_are_refused_inside_too(message: dict[str, Any]) -> None:
    for path in ("/v1/messages", "/api/chat"):
        assert "key" in refused(path, messages=[message])


@pytest.mark.parametrize("key", ["NUM_CTX", "num_Predict", "Num_GPU", "u\u017fe_mmap", "use_mloc\u212a"])
def test_options_that_go_would_read_as_others_are_refused(key: str) -> None:
    assert "must be written" in refused("/api/chat", options={key: 10**9})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    path=st.sampled_from(sorted(USUAL)),
    more=st.dictionaries(st.sampled_from(sorted(clamps.WATCHED - {"input", "prompt"})), VALUES, max_size=4),
    options=st.dictionaries(st.sampled_from(["num_ctx", "num_predict", "num_gpu"]), VALUES),
)
def test_whatever_comes_is_within_the_settings_or_refused(
    path: str, more: dict[str, Any], options: dict[str, Any]
) -> None:
    try:
        call = call_of(path, **{**more, "options": options})
        clamps.apply(call, clamps.judge(call, RULES, is_admin=False))
    except InvalidRequest:
        return
    body = call.body
    for key in ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict"):
        assert body.get(key) is None or body[key] is False or 0 <= body[key] <= RULES.max_output_tokens
    assert (body["options"].get("num_predict") or 1) <= RULES.max_output_tokens
    assert (body["options"].get("num_ctx") or 1) <= RULES.max_num_ctx
    assert "num_gpu" not in body["options"]
    assert not body.get("template")
    assert clamps.judge(call, RULES, is_admin=False) == []
