"""Fields that several nouns ask for, written as the CLI's options are."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from llmgate.notation import NO_LIMIT, ahead, amount
from llmgate.tui.forms.fields import Field, Kind

LEVELS = ("", "1", "2", "3", "4", "5")
ROLES = ("user", "admin")


def level(was: int | None = None, *, cleared: str | None = None) -> Field:
    """``--level``; with ``cleared`` it can be taken away again."""
    shown = "" if was is None else str(was)
    return Field("level", "level", "--level", Kind.CHOICE, int, shown, choices=LEVELS, cleared=cleared)


def role(was: str = "user") -> Field:
    return Field("role", "role", "--role", Kind.CHOICE, was=was, choices=ROLES)


def expires(was: datetime | None = None, *, cleared: str | None = None) -> Field:
    """``--expires``: relative or absolute."""
    shown = "" if was is None else was.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    hint = "never; 30d, or 2026-12-31"
    return Field("expires_at", "expires", "--expires", read=ahead, was=shown, hint=hint, cleared=cleared)


def many(
    name: str,
    label: str,
    flag: str,
    hint: str,
    was: Sequence[str] | None = None,
    cleared: str = "",
    read: Callable[[str], Any] = str,
) -> Field:
    """Several words; none of them means all."""
    return Field(name, label, flag, Kind.MANY, read, " ".join(was or ()), hint, cleared=cleared or None)


def limit(name: str, label: str, was: int | None = None) -> Field:
    """A limit of a key: 500, 200k, 5M; empty is none."""
    flag = "--" + name.replace("_", "-")
    shown = "" if was is None else str(was)
    return Field(name, label, flag, read=_bounded, was=shown, hint="no limit; 500, 200k, 5M", cleared=f"{flag} none")


def number(text: str) -> int:
    """A whole number. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError("write a whole number")
    return int(text)


def network(text: str) -> str:
    """An address or a network, as the CLI hands it on. Raises ValueError."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("write 10.1.2.3, 10.1.0.0/16 or 2001:db8::/32") from None
    return text


def decimal(text: str) -> float:
    """A number. Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        raise ValueError("write a number") from None


def _bounded(text: str) -> Any:
    value = amount(text)
    return None if value == NO_LIMIT else value
