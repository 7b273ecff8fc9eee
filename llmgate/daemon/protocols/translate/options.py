"""How an answer shall be made: sampling options, output format, thinking."""

from __future__ import annotations

from typing import Any

from llmgate.daemon.protocols.bodies import quoted
from llmgate.errors import InvalidRequest

_SAME_NAME = (
    "frequency_penalty",
    "min_p",
    "presence_penalty",
    "repeat_last_n",
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
)
_THINKING_LEVELS = ("low", "medium", "high", "max")


def sampling(body: dict[str, Any]) -> dict[str, Any]:
    """The parameters for Ollama's ``options``; unknown ones are dropped, as Ollama does. Raises InvalidRequest."""
    options: dict[str, Any] = body.get("options") or {}
    parameters: dict[str, Any] = {name: _number(options, name) for name in _SAME_NAME if options.get(name) is not None}
    if options.get("repeat_penalty") is not None:
        # llama.cpp and vLLM name it differently, and each ignores the other's name.
        parameters["repeat_penalty"] = parameters["repetition_penalty"] = _number(options, "repeat_penalty")
    if options.get("stop") is not None:
        parameters["stop"] = _stops(options["stop"])
    if options.get("num_predict") is not None and _number(options, "num_predict") >= 1:  # -1, -2 and 0: no limit
        parameters["max_tokens"] = int(options["num_predict"])
    return parameters


def response_format(body: dict[str, Any]) -> dict[str, Any]:
    """The parameter for ``format`` of a chat: JSON of any kind, or by a schema. Raises InvalidRequest."""
    schema = json_schema(body)
    if schema is None:
        return {}
    if not schema:
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def json_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that ``format`` asks for; empty for any JSON, None for free text. Raises InvalidRequest."""
    wanted = body.get("format")
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return {}
    if isinstance(wanted, dict):
        return wanted
    raise InvalidRequest("'format' must be \"json\" or a JSON schema.", param="format")


def thinking(body: dict[str, Any]) -> dict[str, Any]:
    """The parameters for ``think``: chat templates differ in the name they look for. Raises InvalidRequest."""
    wanted = body.get("think")
    if wanted is None:
        return {}
    if isinstance(wanted, bool):
        return {"chat_template_kwargs": {"enable_thinking": wanted}}
    if wanted in _THINKING_LEVELS:
        template = {"enable_thinking": True, "reasoning_effort": wanted}
        return {"reasoning_effort": wanted, "chat_template_kwargs": template}
    shown = quoted(wanted) if isinstance(wanted, str) else "that"
    levels = ", ".join(f'"{level}"' for level in _THINKING_LEVELS)
    raise InvalidRequest(f"'think' cannot be {shown}; it is true, false or one of {levels}.", param="think")


def _number(options: dict[str, Any], name: str) -> float:
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"The option '{name}' must be a number.", param=f"options.{name}")
    return value


def _stops(value: object) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise InvalidRequest("The option 'stop' must be a list of strings.", param="options.stop")
    return stops
