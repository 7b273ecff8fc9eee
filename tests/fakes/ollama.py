"""A fake Ollama."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.fakes import dialects
from tests.fakes.dialects import Answer, go_json, whole
from tests.fakes.script import Script, Seen
from tests.fakes.server import FakeServer

DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}


class FakeOllama(FakeServer):
    """Speaks all three protocols, as Ollama does."""

    inference_paths = frozenset(
        {f"/api/{name}" for name in ("chat", "generate", "embed", "embeddings")}
        | {f"/v1/{name}" for name in ("chat/completions", "completions", "embeddings", "responses", "messages")}
    )
    release_version = "0.12.6"

    def answer(self, seen: Seen, script: Script) -> Answer | None:
        reads: dict[str, Callable[[], Answer]] = {
            "/api/tags": lambda: whole({"models": [self._listing(name) for name in self.models]}),
            "/api/ps": lambda: whole({"models": [self._listing(name) | self._memory() for name in self.loaded]}),
            "/api/version": lambda: whole({"version": self.release_version}),
            "/v1/models": lambda: whole({"object": "list", "data": [self._openai_listing(n) for n in self.models]}),
        }
        writes: dict[str, Callable[[dict[str, Any], Script], Answer]] = {
            "/api/chat": partial(dialects.ollama_answer, chat=True),
            "/api/generate": partial(dialects.ollama_answer, chat=False),
            "/api/embed": dialects.ollama_embed,
            "/api/embeddings": dialects.ollama_embed,
            "/api/show": lambda *_: whole(self._show()),
            "/v1/chat/completions": dialects.openai_chat,
            "/v1/completions": dialects.openai_completion,
            "/v1/embeddings": dialects.openai_embeddings,
            "/v1/responses": dialects.openai_responses,
            "/v1/messages": dialects.anthropic_message,
        }
        if seen.method == "GET":
            return reads[seen.path]() if seen.path in reads else None
        return writes[seen.path](seen.json, script) if seen.path in writes else None

    def error(self, text: str) -> bytes:
        return go_json({"error": text})

    @staticmethod
    def _listing(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "model": name,
            "modified_at": "2026-01-02T03:04:05.678901234Z",
            "size": 2019393189,
            "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
            "details": DETAILS,
        }

    @staticmethod
    def _openai_listing(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": dialects.CREATED, "owned_by": "library"}

    @staticmethod
    def _memory() -> dict[str, Any]:
        return {"expires_at": "2026-01-02T03:09:05Z", "size_vram": 2019393189, "context_length": 4096}

    @staticmethod
    def _show() -> dict[str, Any]:
        return {
            "license": "a license",
            "modelfile": "FROM llama3.2",
            "parameters": 'stop "<|eot_id|>"',
            "template": "{{ .Prompt }}",
            "details": DETAILS,
            "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
            "capabilities": ["completion", "tools"],
            "modified_at": "2026-01-02T03:04:05.678901234Z",
        }
