"""What each request shall meet, decided by the seed and the request's nonce alone: its answer, how the upstream cuts
it, how its client leaves. So the checker knows every byte that may have been sent, without being told."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.fakes import Script, dialects
from tests.fakes.dialects import Answer

Dialect = Literal["ollama", "openai", "anthropic"]
Leave = Literal["", "early", "first", "middle"]

PATHS: dict[str, Dialect] = {
    "/api/chat": "ollama",
    "/v1/chat/completions": "openai",
    "/v1/messages": "anthropic",
}
MODEL = "llama3.2:latest"
CUT_SHARE = 0.09
LEAVE_SHARE = 0.32
WHOLE_SHARE = 0.15
"""Of the requests that want no stream."""
PROMPT_CANARY = "promptCanaryZ4vR8mQ1"
ANSWER_CANARY = "answerCanaryX7pL2nW9"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request meets. Times are in seconds; ``cut`` is the number of bytes after which the upstream's answer,
    head and framing included, ends: with a RST if ``reset``, else with a FIN. ``leave`` is when the client hangs up:
    early (after ``patience``), when the upstream has begun but sent nothing, or in the middle (after ``taken`` bytes);
    ``rude`` is with a RST."""

    path: str
    stream: bool
    level: int
    tokens: Sequence[str]
    delay: float
    interval: float
    cut: int | None
    reset: bool
    leave: Leave
    patience: float
    taken: int
    rude: bool


def plan(seed: int, nonce: str) -> Plan:
    """The same for the same seed and nonce, in every process."""
    dice = random.Random(f"{seed}/{nonce}")  # noqa: S311 - a test's load
    path = dice.choices(list(PATHS), (5, 3, 2))[0]
    stream = dice.random() >= WHOLE_SHARE
    level = dice.randint(2, 5)
    count = dice.randint(3, 10)
    leave: Leave = ""
    if dice.random() < LEAVE_SHARE:
        leave = dice.choices(("early", "first", "middle"), (4, 3, 3))[0]
    if leave in ("first", "middle"):
        count = 60  # so long that an upstream that nobody stops is found out
    tokens = [f"{nonce}.{number}-{ANSWER_CANARY}{'x' * dice.randint(0, 20)} " for number in range(count)]
    cut = dice.randint(0, 150 + 150 * count) if not leave and dice.random() < CUT_SHARE else None
    return Plan(
        path=path,
        stream=stream,
        level=level,
        tokens=tokens,
        delay=0.4 if leave == "first" else dice.choice((0.0, 0.0, 0.02, 0.1)),
        interval=0.2 if leave in ("first", "middle") else dice.uniform(0.0, 0.04),
        cut=cut,
        reset=dice.random() < 0.5,
        leave=leave,
        patience=dice.uniform(0.0, 1.5),
        taken=dice.randint(1, 700),
        rude=dice.random() < 0.5,
    )


def question(nonce: str, wanted: Plan) -> bytes:
    """The body of the request."""
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"{nonce} {PROMPT_CANARY}"}],
        "stream": wanted.stream,
    }
    if PATHS[wanted.path] == "anthropic":
        body["max_tokens"] = 100
    if PATHS[wanted.path] == "openai" and wanted.stream:
        body["stream_options"] = {"include_usage": True}  # else the gateway takes that event out
    return json.dumps(body).encode()


def answer_to(wanted: Plan) -> Answer:
    """The upstream's whole answer, as the fake servers write it."""
    script = Script(tokens=wanted.tokens)
    body = {"model": MODEL, "stream": wanted.stream, "stream_options": {"include_usage": True}}
    match PATHS[wanted.path]:
        case "ollama":
            return dialects.ollama_answer(body, script, chat=True)
        case "openai":
            return dialects.openai_chat(body, script)
        case "anthropic":
            return dialects.anthropic_message(body, script)


def expected(wanted: Plan) -> bytes:
    """All that a client may see of the answer: every byte of a stream; of a whole answer, which may be written anew
    on the way, what the model said."""
    if not wanted.stream:
        return "".join(wanted.tokens).encode()
    answer = answer_to(wanted)
    return b"".join((*answer.before, *answer.tokens, *answer.after))
