"""Images and other files in a request: how many there are, and whether they are in it or only named.

What is only named, by a URL, the model's server would fetch: from inside the operator's network, whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmgate.daemon.protocols.bodies import refuse_case_variants
from llmgate.errors import InvalidRequest

_PLAIN = frozenset(
    {
        "arguments",
        "cache_control",
        "call_id",
        "citations",
        "content",
        "id",
        "is_error",
        "name",
        "reasoning_content",
        "refusal",
        "role",
        "signature",
        "status",
        "summary",
        "text",
        "thinking",
        "tool_call_id",
        "tool_calls",
        "tool_name",
        "tool_use_id",
        "type",
    }
)
"""What messages and their parts have that neither is a file nor can hold one, but for the list in ``content``."""
_LINKS = ("image_url", "video_url", "audio_url", "file_url", "source")
"""What holds a file, or where it is: a URL, or an object with one."""
_DIRECT = ("url", "image", "video", "audio")
"""The same in parts whose type says that they are one. Elsewhere (search results) these are words."""
_FILE_TYPES = frozenset({"image", "video", "audio", "document", "file"})
_JUDGED = frozenset({*_PLAIN, *_LINKS, *_DIRECT, "images", "output", "file", "input_audio"})
_IN_SOURCE = frozenset({"url", "type", "data", "media_type", "content"})

_USUAL_IN_TOOLS = frozenset(
    {"type", "function", "name", "description", "parameters", "input_schema", "strict", "cache_control"}
)


def files_in(body: dict[str, Any], *, allow_remote: bool) -> int:
    """How many images and other files a request has.

    Raises InvalidRequest for one that is only named, unless that is allowed (then by http or https), and where Go could
    read a key as another one.
    """
    found = 0
    for key in ("messages", "input", "system"):
        nodes = body.get(key)
        if type(nodes) is list:
            found += _files_of(nodes, allow_remote)
    if "images" in body:
        found += _pictures(body["images"])
    return found


def refuse_remote_servers(body: dict[str, Any]) -> None:
    """Raise InvalidRequest when the model's server shall call another one, for tools or for its memory of a prompt."""
    for key in ("mcp_servers", "kv_transfer_params"):
        if body.get(key):
            raise _refused(f"{key} names a server", key)
    tools = body.get("tools")
    if type(tools) is list:
        for tool in tools:
            if type(tool) is dict and not tool.keys() <= _USUAL_IN_TOOLS:
                refuse_case_variants(tool, ("server_url",))
                if tool.get("server_url"):
                    raise _refused("A tool names a server", "tools")


def _files_of(nodes: Iterable[Any], allow_remote: bool) -> int:
    found = 0
    for node in nodes:
        if type(node) is not dict:
            continue
        if not node.keys() <= _PLAIN:
            found += _files_at(node, allow_remote)
        content = node.get("content")
        if type(content) is list:
            found += _files_of(content, allow_remote)
    return found


def _files_at(node: dict[str, Any], allow_remote: bool) -> int:
    refuse_case_variants(node, _JUDGED)
    found = 0
    for key in _LINKS:
        if key in node:
            found += _file(node[key], key, allow_remote)
    if node.get("type") in _FILE_TYPES:
        for key in _DIRECT:
            if type(node.get(key)) is str:
                found += _file(node[key], key, allow_remote)
    found += ("file" in node) + ("input_audio" in node)
    if "images" in node:
        found += _pictures(node["images"])
    output = node.get("output")
    if type(output) is list:
        found += _files_of(output, allow_remote)
    return found


def _file(value: Any, key: str, allow_remote: bool) -> int:
    """The same of one that is here or elsewhere. A ``source`` of text is the name of a search result."""
    if value is None or (key == "source" and type(value) is str):
        return 0
    url = value
    if type(value) is dict:
        refuse_case_variants(value, _IN_SOURCE)
        inside = value.get("content")
        if type(inside) is list:
            return _files_of(inside, allow_remote)
        url = value.get("url")
        if url is None:
            return 1
    if type(url) is not str:
        raise InvalidRequest(f"{key!r} must be a URL, or an object with one.", param=key)
    scheme = url[:8].lower()
    if not scheme.startswith("data:") and not (allow_remote and scheme.startswith(("http://", "https://"))):
        raise _refused(f"{key!r} is not a data: URL", key)
    return 1


def _pictures(images: Any) -> int:
    """Ollama's own: base64, which has no colon."""
    if type(images) is not list:
        return 0
    for image in images:
        if type(image) is str and ":" in image[:2048]:
            raise InvalidRequest("'images' must be in base64; a URL is not fetched.", param="images")
    return len(images)


def _refused(what: str, key: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what}, and nothing is fetched for a request.",
        hint="Send it in the request, as a data: URL; or ask the administrator about requests.allow_remote_urls.",
        param=key,
    )
