"""The load of the demo: crowds of clients that ask nginx, each of them one request after the other."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

KEPT_WAITS = 1000
TOKENS = (8, 40)
PATIENCE = (0.2, 2.5)
"""Seconds after which those who hang up do so."""
AFTER_FAILURE = (0.5, 1.5)
QUESTIONS = (
    "Say hello.",
    "What is the capital of France?",
    "Name three colours.",
    "Why is the sky blue?",
    "Write one line about the sea.",
    "Count to five.",
)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Clients that share a credential. ``pause`` is between two requests; without ``key`` the address is known."""

    name: str
    level: int
    clients: int
    pause: tuple[float, float]
    leaves: float = 0.1
    """Share of the requests whose client hangs up early."""
    address: str | None = None


CROWDS = (
    Crowd("front-desk", 1, 1, (4.0, 9.0), leaves=0.0, address="127.0.0.71"),
    Crowd("interactive", 2, 2, (2.0, 6.0), leaves=0.2),
    Crowd("app", 3, 3, (0.5, 3.0)),
    Crowd("batch", 5, 12, (0.0, 0.2)),
)


@dataclass(slots=True)
class Tally:
    """What became of a crowd's requests, and how long the first words took."""

    results: Counter[str] = field(default_factory=Counter)
    first: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_WAITS))

    def document(self) -> dict[str, Any]:
        known = {name: self.results[name] for name in ("answered", "left", "failed")}
        return {**known, "first_p50": statistics.median(self.first) if self.first else None}


class Load:
    """Runs until it is cancelled; ``tallies`` by the name of the crowd."""

    def __init__(self, url: str, model: str, keys: Mapping[str, str], crowds: Sequence[Crowd] = CROWDS) -> None:
        self.tallies = {crowd.name: Tally() for crowd in crowds}
        self._url, self._model, self._keys, self._crowds = url, model, keys, crowds
        self._random = random.Random()  # noqa: S311 - a demo's load

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for crowd in self._crowds:
                for _ in range(crowd.clients):
                    tasks.create_task(self._client(crowd))

    async def _client(self, crowd: Crowd) -> None:
        headers = {"authorization": f"Bearer {self._keys[crowd.name]}"} if crowd.name in self._keys else {}
        transport = httpx.AsyncHTTPTransport(local_address=crowd.address)
        async with httpx.AsyncClient(transport=transport, headers=headers, timeout=700, trust_env=False) as http:
            await asyncio.sleep(self._random.random())  # not all of them at the same moment
            while True:
                failed = await self._ask(http, crowd) == "failed"
                await asyncio.sleep(self._random.uniform(*(AFTER_FAILURE if failed else crowd.pause)))

    async def _ask(self, http: httpx.AsyncClient, crowd: Crowd) -> str:
        tally = self.tallies[crowd.name]
        leaves = self._random.random() < crowd.leaves
        try:
            async with asyncio.timeout(self._random.uniform(*PATIENCE) if leaves else None):
                result = await self._answer(http, tally)
        except TimeoutError:
            result = "left"
        except (httpx.HTTPError, ValueError):
            result = "failed"
        tally.results[result] += 1
        return result

    async def _answer(self, http: httpx.AsyncClient, tally: Tally) -> str:
        """Read a whole answer. Raises httpx.HTTPError or ValueError when it is none."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": self._random.choice(QUESTIONS)}],
            "max_tokens": self._random.randint(*TOKENS),
            "stream": True,
        }
        asked, words = time.monotonic(), 0
        async with http.stream("POST", f"{self._url}/v1/chat/completions", json=body) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if data == "[DONE]":
                    return "answered" if words else "failed"
                if data and _is_content(json.loads(data)):
                    words += 1
                    if words == 1:
                        tally.first.append(time.monotonic() - asked)
        return "failed"


def _is_content(chunk: Any) -> bool:
    """Whether a chunk has words. Raises ValueError for one that tells of an error."""
    if not isinstance(chunk, dict) or "error" in chunk:
        raise ValueError("an error instead of an answer")
    return any(choice.get("delta", {}).get("content") for choice in chunk.get("choices", ()))
