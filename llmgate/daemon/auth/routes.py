"""The words with which a key is bound to some of the gateway's routes.

A family stands for the routes of all protocols that do the same; a path (``/v1/chat/completions``) for itself. What
everybody may do for themselves (``/gate``) and the lists of models are open to every key.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmgate.daemon.protocols import ENDPOINTS
from llmgate.daemon.protocols.base import Task
from llmgate.errors import InvalidRequest

CHAT, COMPLETIONS, EMBEDDINGS = "chat", "completions", "embeddings"
MANAGE = "manage"
"""Ollama's own management of models: pull, push, create, copy, delete."""
ADMIN = "admin"
"""The admin API."""
METRICS = "metrics"
FAMILIES = (CHAT, COMPLETIONS, EMBEDDINGS, MANAGE, ADMIN, METRICS)

_OF_TASK = {Task.CHAT: CHAT, Task.GENERATE: COMPLETIONS, Task.EMBED: EMBEDDINGS}


def family_of(task: Task) -> str:
    """The family of an inference route."""
    return _OF_TASK[task]


def checked(routes: Iterable[str] | None) -> list[str] | None:
    """Each of them once, in order. Raises InvalidRequest for what is neither a family nor an inference route."""
    if routes is None:
        return None
    found = sorted(set(routes))
    for route in found:
        if route not in FAMILIES and route not in ENDPOINTS:
            raise InvalidRequest(
                f"There is no route {route[:80]!r}.",
                hint=f"Use {', '.join(FAMILIES)}, or a path like /v1/chat/completions.",
                param="routes",
            )
    return found
