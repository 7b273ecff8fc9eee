"""The dialects that clients speak. A new one is a module beside this file and an entry in ``PROTOCOLS``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llmgate.daemon.protocols.anthropic import AnthropicProtocol
from llmgate.daemon.protocols.base import Protocol, Route
from llmgate.daemon.protocols.ollama import OllamaProtocol
from llmgate.daemon.protocols.openai import OpenAIProtocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An inference route, and the protocol that it belongs to."""

    protocol: Protocol
    route: Route


OLLAMA = OllamaProtocol()
OPENAI = OpenAIProtocol()
ANTHROPIC = AnthropicProtocol()

PROTOCOLS: tuple[Protocol, ...] = (OLLAMA, OPENAI, ANTHROPIC)

ENDPOINTS: Mapping[str, Endpoint] = {
    path: Endpoint(protocol, route) for protocol in PROTOCOLS for path, route in protocol.routes.items()
}
"""Every inference route by its path."""


def protocol_of(path: str) -> Protocol:
    """The dialect in which a client of ``path`` wants to be answered, whether or not the path exists."""
    if path.startswith("/v1/messages"):
        return ANTHROPIC
    return OPENAI if path.startswith("/v1/") else OLLAMA
