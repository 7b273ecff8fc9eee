"""A product that lets one request through at a time, and how it is told that one is more urgent than others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.products.base import Target


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request has in addition: ``key`` instead of the product's, more headers, more fields in the body."""

    key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OneSlot:
    """``means``: by which of its own means it was told to serve one at a time, and the urgent one first."""

    target: Target
    ordinary: Asking
    urgent: Asking
    means: str


StartsOneSlot = Callable[[Path, str], AbstractContextManager[OneSlot]]
"""As ``Starts``."""
