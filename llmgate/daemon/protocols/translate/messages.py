"""Messages of Ollama's chat as OpenAI's: images become content parts, tool calls get ids."""

from __future__ import annotations

import json
from typing import Any

from llmgate.errors import InvalidRequest

_IMAGE_TYPES = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
)
"""The first bytes of image files, in base64."""


def translated_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A whole conversation. Raises InvalidRequest where a message is not what Ollama takes."""
    ids = _CallIds()
    return [_message(message, ids) for message in messages]


def content_of(text: str, images: object) -> str | list[dict[str, Any]]:
    """The text alone, or content parts when there are images (base64). Raises InvalidRequest."""
    if not images:
        return text
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise InvalidRequest("'images' must be a list of base64 strings.", param="images")
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in images]


def text_of(body: dict[str, Any], key: str) -> str:
    """A string, empty where it is absent. Raises InvalidRequest."""
    text = body.get(key)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InvalidRequest(f"'{key}' must be a string.", param=key)
    return text


class _CallIds:
    """Ollama's tool results name the tool, OpenAI's the call: pairs them in the order they were made."""

    def __init__(self) -> None:
        self._unanswered: list[tuple[str, str]] = []
        self._made = 0

    def called(self, given: object, name: str) -> str:
        call_id = given if isinstance(given, str) and given else self._next()
        self._unanswered.append((call_id, name))
        return call_id

    def answered(self, message: dict[str, Any]) -> str:
        given = message.get("tool_call_id")
        if isinstance(given, str) and given:
            self._unanswered = [pair for pair in self._unanswered if pair[0] != given]
            return given
        if not self._unanswered:
            return self._next()
        name = message.get("tool_name") or message.get("name")
        match = next((pair for pair in self._unanswered if pair[1] == name), self._unanswered[0])
        self._unanswered.remove(match)
        return match[0]

    def _next(self) -> str:
        self._made += 1
        return f"call_{self._made}"


def _message(message: dict[str, Any], ids: _CallIds) -> dict[str, Any]:
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise InvalidRequest("Every message needs a 'role'.", param="messages")
    translated: dict[str, Any] = {"role": role}
    translated["content"] = content_of(text_of(message, "content"), message.get("images"))
    if message.get("thinking"):
        translated["reasoning_content"] = text_of(message, "thinking")
    if message.get("tool_calls"):
        translated["tool_calls"] = [_tool_call(call, ids) for call in _objects(message["tool_calls"])]
    if role == "tool":
        translated["tool_call_id"] = ids.answered(message)
    return translated


def _tool_call(call: dict[str, Any], ids: _CallIds) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise InvalidRequest("Every tool call needs a 'function' with a 'name'.", param="messages")
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    name = function["name"]
    return {
        "id": ids.called(call.get("id"), name),
        "type": "function",
        "function": {"name": name, "arguments": text},
    }


def _objects(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest("'tool_calls' must be a list of objects.", param="messages")
    return value


def _data_url(image: str) -> str:
    kind = next((kind for start, kind in _IMAGE_TYPES if image.startswith(start)), None)
    if kind is None:
        raise InvalidRequest("An image is not base64 of a PNG, JPEG, GIF, WebP or BMP file.", param="images")
    return f"data:{kind};base64,{image}"
