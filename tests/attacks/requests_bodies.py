"""Bodies that wear a server out, send it into the operator's network, or say to Go something else than to Python."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from llmgate.config_requests import RequestSettings
from llmgate.daemon import clamps
from llmgate.daemon.protocols import attachments, bodies
from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, repelled

RULES = RequestSettings()
MESSAGES = [{"role": "user", "content": "Hello"}]
USUAL: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": MESSAGES, "stream": False},
    "/api/generate": {"prompt": "Hello", "stream": False},
    "/api/embed": {"input": "Hello"},
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 5},
}
Asked = tuple[str, dict[str, Any] | bytes]
"""Path, and what the body has beside the usual; or the whole body."""
Off = Callable[[pytest.MonkeyPatch], None]


def like_go(raw: bytes) -> Any:
    """JSON as ``encoding/json`` reads it into a struct: a key's case does not matter, and the last of several wins."""

    def folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key.replace("\u017f", "s").replace("\u212a", "k").lower(): value for key, value in pairs}

    return json.loads(raw, object_pairs_hook=folded)


async def reached(site: Site, path: str, body: dict[str, Any] | bytes) -> list[Any]:
    """What the upstream has read of a user's request; nothing, if it was refused."""
    before = len(site.ollama.requests)
    sent = body if isinstance(body, bytes) else json.dumps({"model": "llama3.2", **USUAL[path], **body}).encode()
    answer = await site.user.post(path, content=sent, headers={"content-type": "application/json"})
    seen = [like_go(one.body) for one in site.ollama.requests[before:]]
    assert (answer.status_code == 200) == bool(seen), answer.text
    assert answer.status_code in (200, 400), answer.text
    return seen


def nothing_of(*requests: Asked) -> Callable[[Site], Awaitable[None]]:
    """An attack that has come to nothing when the upstream has seen none of these requests."""

    async def run(site: Site) -> None:
        for path, body in requests:
            repelled(not await reached(site, path, body), f"the upstream was asked for {path} {body!r}"[:300])

    return run


def within(looks: Callable[[Any], Iterable[Any]], most: float, least: float, *requests: Asked) -> Callable[..., Any]:
    """An attack that has come to nothing when the numbers that it finds in what the upstream reads are in bounds."""

    async def run(site: Site) -> None:
        for path, body in requests:
            for seen in await reached(site, path, body):
                for number in looks(seen):
                    good = isinstance(number, int | float) and least <= number <= most
                    repelled(good, f"the upstream was given {number!r} by {path} {body!r}"[:300])

    return run


def without(module: Any, name: str, instead: Any) -> Off:
    return lambda monkeypatch: monkeypatch.setattr(module, name, instead)


def nothing(*_: Any, **__: Any) -> list[Any]:
    """In the place of a control."""
    return []


def values(*keys: str) -> Callable[[Any], Sequence[Any]]:
    return lambda seen: [seen[key] for key in keys if key in seen]


def options(*keys: str) -> Callable[[Any], Sequence[Any]]:
    return lambda seen: [seen["options"][key] for key in keys if key in seen.get("options", {})]


OLLAMA = ("/api/chat", "/api/generate", "/api/embed")
LENGTHS = ("max_tokens", "max_completion_tokens", "n_predict", "min_tokens")
IMAGE = {"role": "user", "content": "x", "images": ["aGk="]}
URL = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"


def part(**content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [content]}]}


EXHAUSTING = [
    Attack(
        "a context that fills the graphics memory",
        within(
            options("num_ctx"),
            RULES.max_num_ctx,
            1,
            *((path, {"options": {"num_ctx": size}}) for path in OLLAMA for size in (131_073, 10**7, 1e12, 2**63)),
        ),
        without(clamps, "_options", nothing),
        "requests.max_num_ctx",
        Breached,
    ),
    Attack(
        "an answer without end",
        within(
            options("num_predict"),
            RULES.max_output_tokens,
            1,
            *((path, {"options": {"num_predict": size}}) for path in OLLAMA for size in (-1, -2, 0, 0.5, 10**9)),
        ),
        without(clamps, "_options", nothing),
        "requests.max_output_tokens",
        Breached,
    ),
    Attack(
        "the same in the other protocols",
        within(
            values(*LENGTHS, "max_output_tokens"),
            RULES.max_output_tokens,
            0,
            *(("/v1/chat/completions", {key: size}) for key in LENGTHS for size in (-1, 10**9, 1e300)),
            ("/v1/completions", {"max_tokens": 10**9}),
            ("/v1/responses", {"max_output_tokens": 10**9}),
            ("/v1/messages", {"max_tokens": 10**9}),
        ),
        without(clamps, "_tokens", nothing),
        "requests.max_output_tokens",
        Breached,
    ),
    Attack(
        "a model that stays for ever",
        within(
            values("keep_alive"),
            RULES.keep_alive_max,
            0,
            *((path, {"keep_alive": time}) for path in OLLAMA for time in (-1, "-1m", "-1ns", "1000h", 1e300, 10**12)),
        ),
        without(clamps, "_keep_alive", nothing),
        "requests.keep_alive_max",
        Breached,
    ),
    Attack(
        "a model that others use, unloaded",
        within(
            values("keep_alive"),
            RULES.keep_alive_max,
            RULES.keep_alive_min,
            *(("/api/chat", {"keep_alive": time, "messages": []}) for time in (0, "0", "0s", "1ms", "+0h")),
        ),
        without(clamps, "_keep_alive", nothing),
        "requests.keep_alive_min",
        Breached,
    ),
    Attack(
        "a model without its graphics card",
        within(
            options(*clamps._SERVER_OPTIONS),
            0,
            1,
            *(("/api/chat", {"options": {option: 999, "top_k": 1}}) for option in clamps._SERVER_OPTIONS),
        ),
        without(clamps, "_SERVER_OPTIONS", ()),
        "requests.allow_server_options",
        Breached,
    ),
    Attack(
        "a template that is a program",
        nothing_of(
            ("/api/generate", {"template": '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}'}),
            ("/api/chat", {"template": "{{ .Prompt }}"}),
            ("/v1/chat/completions", {"chat_template": "{% for a in range(10**9) %}{% endfor %}"}),
        ),
        without(clamps, "_check_allowed", nothing),
        "requests.allow_template",
        Breached,
    ),
    Attack(
        "a thousand answers to one question",
        nothing_of(
            ("/v1/chat/completions", {"n": 1000}),
            ("/v1/completions", {"best_of": 1000}),
            ("/v1/completions", {"n": 16, "prompt": ["a", "b"]}),
            ("/v1/completions", {"prompt": ["a"] * 1000}),
        ),
        without(clamps, "_check_answers", nothing),
        "requests.max_answers",
        Breached,
    ),
    Attack(
        "the whole vocabulary for each token",
        nothing_of(
            *(("/v1/completions", {key: count}) for key in clamps._ALTERNATIVES for count in (100_000, -1)),
        ),
        without(clamps, "_check_count", nothing),
        "requests.max_logprobs",
        Breached,
    ),
    Attack(
        "a library to embed, a thousand images and tools",
        nothing_of(
            ("/v1/embeddings", {"input": ["a"] * 2049}),
            ("/api/embed", {"input": ["a"] * 2049}),
            ("/api/chat", {"messages": [IMAGE] * 101}),
            ("/v1/chat/completions", part(type="image_url", image_url="data:,") | {"tools": [{}] * 257}),
        ),
        without(clamps, "_check_length", nothing),
        "requests.max_inputs, max_images, max_tools",
        Breached,
    ),
]

FETCHING = [
    Attack(
        "an image that the server would fetch",
        nothing_of(
            ("/v1/chat/completions", part(type="image_url", image_url={"url": URL})),
            ("/v1/chat/completions", part(image_url=URL)),
            ("/v1/chat/completions", part(type="video_url", video_url={"url": "file:///etc/passwd"})),
            ("/v1/chat/completions", part(type="image_url", image_url={"url": " HTTP://0x7f.1/"})),
            ("/v1/messages", part(type="image", source={"type": "url", "url": URL})),
            ("/v1/messages", part(type="tool_result", content=[{"type": "image", "source": {"url": URL}}])),
            ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]}),
            ("/v1/responses", {"input": [{"type": "input_file", "file_url": URL}]}),
        ),
        without(attachments, "_file", lambda *_: 1),
        "requests.allow_remote_urls",
        Breached,
    ),
    Attack(
        "an image by URL in Ollama's own protocol",
        nothing_of(("/api/chat", {"messages": [{**IMAGE, "images": [URL]}]}), ("/api/generate", {"images": [URL]})),
        without(attachments, "_pictures", lambda *_: 1),
        "requests.allow_remote_urls",
        Breached,
    ),
    Attack(
        "tools on another server",
        nothing_of(
            ("/v1/responses", {"tools": [{"type": "mcp", "server_label": "a", "server_url": URL}]}),
            ("/v1/messages", {"mcp_servers": [{"type": "url", "url": URL}]}),
            ("/v1/completions", {"kv_transfer_params": {"remote_host": "10.0.0.1", "remote_port": 1}}),
        ),
        without(clamps, "refuse_remote_servers", nothing),
        "requests.allow_remote_urls",
        Breached,
    ),
]


def spelt_otherwise(key: str, value: str) -> list[str]:
    """A pair in spellings that Go takes for the same key."""
    spellings = [key.upper(), key.title(), key[:1].upper() + key[1:], key[:-1] + key[-1].upper()]
    spellings += [key.replace("s", "\u017f"), key.replace("k", "\u212a"), key.replace("k", "\\u212A")]
    return [f'"{spelling}":{value}' for spelling in spellings if spelling != key]


START = '"model":"llama3.2","messages":[{"role":"user","content":"Hello"}],"stream":false'
JUDGED = {"model": '"secret"', "stream": "true", "messages": "[]", "keep_alive": "-1", "options": '{"num_ctx":1e9}'}
COLLIDING = [
    Attack(
        "another model under a key of another case",
        nothing_of(
            *(
                ("/api/chat", f"{{{START},{pair}}}".encode())
                for key, value in JUDGED.items()
                for pair in spelt_otherwise(key, value)
            ),
        ),
        without(bodies, "refuse_case_variants", nothing),
        "keys that Go folds are refused",
        Breached,
    ),
    Attack(
        "the same key first",
        nothing_of(
            *(
                ("/api/chat", f"{{{pair},{START}}}".encode())
                for key, value in JUDGED.items()
                for pair in spelt_otherwise(key, value)
            ),
        ),
        without(bodies, "refuse_case_variants", nothing),
        "keys that Go folds are refused",
        Breached,
    ),
    Attack(
        "a limit that is lifted by a second option",
        within(
            options("num_ctx", "num_predict"),
            RULES.max_num_ctx,
            1,
            *(
                ("/api/chat", {"options": {"num_ctx": 10, key: 10**9}})
                for key in ("NUM_CTX", "Num_Ctx", "num_ctX", "NUM_PREDICT", "num_predicT")
            ),
        ),
        without(clamps, "refuse_case_variants", nothing),
        "keys that Go folds are refused, also in options",
        Breached,
    ),
    Attack(
        "a second content inside a message",
        nothing_of(
            ("/v1/messages", {"messages": [{"role": "user", "content": "x", "CONTENT": part(source={"url": URL})}]}),
            ("/v1/messages", part(type="image", ſource={"type": "url", "url": URL})),
            ("/v1/messages", part(type="image", source={"type": "base64", "data": "", "URL": URL})),
            ("/api/chat", {"messages": [{"role": "user", "content": "x", "Images": [URL]}]}),
        ),
        without(attachments, "refuse_case_variants", nothing),
        "keys that Go folds are refused, also in messages",
        Breached,
    ),
]

ATTACKS = [*EXHAUSTING, *FETCHING, *COLLIDING]
