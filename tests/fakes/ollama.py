"""A fake Ollama."""

from __future__ import annotations

import hashlib
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

    def __init__(self, *, models: tuple[str, ...] = ("llama3.2:latest",), port: int = 0) -> None:
        super().__init__(models=models, port=port)
        self.described: dict[str, dict[str, Any]] = {}
        """What is told of these models in the place of the usual. They have digests of their own."""

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
            "/api/show": lambda body, _: whole(self._show() | self.described.get(self._named(body), {})),
            "/api/pull": lambda body, _: self._pull(body),
            "/api/copy": lambda body, _: self._copy(body),
            "/api/delete": lambda body, _: self._delete(body),
            "/v1/chat/completions": dialects.openai_chat,
            "/v1/completions": dialects.openai_completion,
            "/v1/embeddings": dialects.openai_embeddings,
            "/v1/responses": dialects.openai_responses,
            "/v1/messages": dialects.anthropic_message,
        }
        if seen.method == "GET":
            return reads[seen.path]() if seen.path in reads else None
        return writes[seen.path](seen.json, script) if seen.path in writes else None

    def _pull(self, body: dict[str, Any]) -> Answer:
        """A model whose name begins with "no-" is not in the registry."""
        name = self._named(body)
        if " " in name:
            return whole({"error": "invalid model name"}, 400)
        streams = body.get("stream", True)
        if name.startswith("no-"):
            failure = {"error": "pull model manifest: file does not exist"}
            return Answer(dialects.NDJSON, [go_json(failure) + b"\n"]) if streams else whole(failure, 500)
        if streams:
            return dialects.ollama_pull(lambda: self._add(name))
        self._add(name)
        return whole({"status": "success"})

    def _copy(self, body: dict[str, Any]) -> Answer:
        if self._tagged(body["source"]) not in self.models:
            return whole({"error": f'model "{body["source"]}" not found'}, 404)
        self._add(self._tagged(body["destination"]))
        return Answer(dialects.JSON, [b""], whole=True)

    def _delete(self, body: dict[str, Any]) -> Answer:
        name = self._named(body)
        if name not in self.models:
            return whole({"error": f"model '{name}' not found"}, 404)
        self.models.remove(name)
        self.loaded = [one for one in self.loaded if one != name]
        return Answer(dialects.JSON, [b""], whole=True)

    def _add(self, name: str) -> None:
        if name not in self.models:
            self.models.append(name)

    def _named(self, body: dict[str, Any]) -> str:
        return self._tagged(str(body.get("model") or body.get("name") or ""))

    @staticmethod
    def _tagged(name: str) -> str:
        return name if ":" in name else f"{name}:latest"

    def error(self, text: str) -> bytes:
        return go_json({"error": text})

    def _listing(self, name: str) -> dict[str, Any]:
        told = self.described.get(name, {})
        usual = "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"
        return {
            "name": name,
            "model": name,
            "modified_at": "2026-01-02T03:04:05.678901234Z",
            "size": 2019393189,
            "digest": hashlib.sha256(name.encode()).hexdigest() if told else usual,
            "details": told.get("details", DETAILS),
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
