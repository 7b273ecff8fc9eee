"""A fake OpenAI-compatible server, like vLLM or llama.cpp's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.fakes import dialects
from tests.fakes.dialects import Answer, go_json, whole
from tests.fakes.script import Script, Seen
from tests.fakes.server import FakeServer


class FakeOpenAI(FakeServer):
    """Like vLLM; with ``llamacpp`` it has ``/health`` and ``timings``, with ``modern`` also the
    Anthropic and the Responses route. With ``api_key`` it wants that bearer token."""

    inference_paths = frozenset(
        {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"}
    )

    def __init__(
        self,
        *,
        models: tuple[str, ...] = ("qwen3:8b",),
        port: int = 0,
        llamacpp: bool = False,
        modern: bool = False,
        api_key: str = "",
    ) -> None:
        super().__init__(models=models, port=port)
        self.llamacpp = llamacpp
        self.modern = modern
        self.api_key = api_key

    def _choose(self, seen: Seen, default: Script) -> Script:
        if self.api_key and seen.path != "/health" and seen.headers.get("authorization") != f"Bearer {self.api_key}":
            return Script(status=401, body=self.error("Unauthorized"))
        return super()._choose(seen, default)

    def answer(self, seen: Seen, script: Script) -> Answer | None:
        extra = {"timings": self._timings(script)} if self.llamacpp else None
        routes: dict[str, Callable[[dict[str, Any], Script], Answer]] = {
            "/v1/models": lambda *_: whole({"object": "list", "data": [self._listing(n) for n in self.models]}),
            "/v1/chat/completions": partial(dialects.openai_chat, extra=extra),
            "/v1/completions": partial(dialects.openai_completion, extra=extra),
            "/v1/embeddings": dialects.openai_embeddings,
        }
        if self.llamacpp:
            routes["/health"] = lambda *_: whole({"status": "ok"})
        if self.modern:
            routes["/v1/messages"] = dialects.anthropic_message
            routes["/v1/responses"] = dialects.openai_responses
        return routes[seen.path](seen.json, script) if seen.path in routes else None

    def error(self, text: str) -> bytes:
        return go_json({"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}})

    def _listing(self, name: str) -> dict[str, Any]:
        owner = "llamacpp" if self.llamacpp else "vllm"
        entry: dict[str, Any] = {"id": name, "object": "model", "created": dialects.CREATED, "owned_by": owner}
        return entry | ({"meta": {"n_ctx_train": 8192}} if self.llamacpp else {"max_model_len": 8192})

    @staticmethod
    def _timings(script: Script) -> dict[str, float]:
        return {
            "prompt_n": script.input_tokens,
            "prompt_ms": 13.07,
            "predicted_n": len(script.tokens),
            "predicted_ms": 52.48,
        }
