"""Request bodies: read strictly, so that what is judged here is what the upstream reads.

Ollama is written in Go, whose ``encoding/json`` takes keys whatever their case (U+017F and U+212A fold
to ``s`` and ``k``) and lets the last of several win; Python would keep them apart. A body in which the two could
disagree about a key that we judge is refused.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, TypeVar

from llmgate.daemon.protocols.nodes import refuse_many_values
from llmgate.errors import InvalidRequest

Raw = TypeVar("Raw", bytes, str)
Parsed = TypeVar("Parsed")

MAX_DEPTH = 64
_CONTAINERS = (dict, list)
MAX_DIGITS = 400
"""Of an integer. A float of IEEE 754 ends at 309."""
MAX_MODEL_NAME = 512
INLINE_BYTES = 256 * 1024
"""Bodies up to this size are parsed on the event loop; larger ones in a thread."""
_PARSERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="large-body")
"""So few at once, because each holds up the event loop a little and takes several times its size in memory.
Its own threads, so that a caller who gives up does not make room while the parser is still at work."""

_JUDGED = frozenset(
    {
        "best_of",
        "chat_template",
        "context",
        "dimensions",
        "format",
        "id_slot",
        "images",
        "input",
        "instructions",
        "keep_alive",
        "kv_transfer_params",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "mcp_servers",
        "messages",
        "min_tokens",
        "model",
        "n",
        "n_predict",
        "n_probs",
        "name",
        "options",
        "priority",
        "prompt",
        "prompt_logprobs",
        "raw",
        "response_format",
        "stream",
        "stream_options",
        "suffix",
        "system",
        "template",
        "think",
        "thinking",
        "tool_choice",
        "tools",
        "top_logprobs",
        "truncate",
    }
)
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


async def parse_body_async(raw: bytes) -> dict[str, Any]:
    """``parse_body`` that does not hold the event loop up with large bodies."""
    return await off_the_loop(parse_body, raw)


async def off_the_loop(parse: Callable[[Raw], Parsed], raw: Raw) -> Parsed:
    """``parse(raw)``, in a thread where ``raw`` is large."""
    return await done_with(len(raw), partial(parse, raw))


async def done_with(size: int, work: Callable[[], Parsed]) -> Parsed:
    """What ``work`` makes of a body of so many bytes, in a thread where that is large."""
    if size <= INLINE_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_PARSERS, work)


def parse_body(raw: bytes) -> dict[str, Any]:
    """The one JSON object in ``raw``. Raises InvalidRequest, saying what is wrong with it."""
    refuse_many_values(raw)
    try:
        body = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidRequest("The request body is not valid UTF-8.") from None
    except json.JSONDecodeError as failure:
        where = f"line {failure.lineno}, column {failure.colno}"
        raise InvalidRequest(f"The request body is not valid JSON: {failure.msg} at {where}.") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    # Every level costs a bracket, so a body with few of them needs no closer look.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _refuse_depth(body)
    refuse_case_variants(body, _JUDGED)
    return body


def dump_body(body: dict[str, Any] | list[Any]) -> bytes:
    """Compact UTF-8. A lone surrogate, which UTF-8 cannot carry, stays escaped as it came."""
    try:
        return _ENCODE(body).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")


def refuse_case_variants(body: dict[str, Any], judged: Iterable[str]) -> None:
    """Raise InvalidRequest when Go could read a key of ``body`` as another one, or as one of ``judged``."""
    seen: dict[str, str] = {}
    for key in body:
        folded = key.casefold()
        if folded in seen:
            raise InvalidRequest(f"The keys {quoted(seen[folded])} and {quoted(key)} differ only by case.")
        if folded != key and folded in judged:
            raise InvalidRequest(f"The key {quoted(key)} must be written {folded!r}.", param=folded)
        seen[folded] = key


def normalise_model(name: str) -> str:
    """A model's name in the form that is compared, never shown.

    As Ollama does: the default host, the default namespace and the tag ``latest`` are implied, and
    case does not matter. Raises InvalidRequest when it is too long to be a name.
    """
    if len(name) > MAX_MODEL_NAME:
        raise InvalidRequest(f"The model name is longer than {MAX_MODEL_NAME} characters.", param="model")
    name = name.casefold()
    for prefix in ("https://", "http://"):
        name = name.removeprefix(prefix)
    if name.count("/") == 2:
        name = name.removeprefix("registry.ollama.ai/")
    if name.count("/") == 1:
        name = name.removeprefix("library/")
    has_tag = name.rfind(":") > name.rfind("/")
    return name if has_tag else f"{name}:latest"


def quoted(text: str, limit: int = 60) -> str:
    """Text from outside, safe and short enough to be shown in an error or a log line."""
    printable = ascii(text[: limit + 1])
    return printable if len(printable) <= limit + 2 else f"{printable[:limit]}…'"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidRequest(f"The key {quoted(key)} appears twice in one object.")
            seen.add(key)
    return content


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidRequest("The request body contains a number that is too large.")
    return value


def _short(text: str) -> int:
    if len(text) > MAX_DIGITS:  # reading them takes a time that grows with their square
        raise InvalidRequest("The request body contains a number with too many digits.")
    return int(text)


def _no_constant(text: str) -> NoReturn:
    raise InvalidRequest(f"The request body contains {text}, which is not JSON.")


def _refuse_depth(body: dict[str, Any]) -> None:
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [
            value
            for container in level
            for value in (container.values() if isinstance(container, dict) else container)
            if isinstance(value, _CONTAINERS)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_short, parse_constant=_no_constant
)
