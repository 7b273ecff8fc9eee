"""Fields that several nouns ask for, written as the CLI's options are."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from llmgate.notation import NO_LIMIT, ahead, amount
from llmgate.tui.forms.fields import Field, Kind, parts

LEVELS = ("", "1", "2", "3", "4", "5")
ROLES = ("user", "admin")
FAMILIES = ("chat", "completions", "embeddings", "manage", "admin", "metrics")
"""Of routes, as the daemon calls them."""
USER_NAME = "letters, digits and . _ @ + -, at most 64"
KEY_NAME = "lower-case letters, digits, - and _, at most 40"
PASSWORD = "at least 10 characters, if not set otherwise"  # noqa: S105  a hint


def level(was: int | None = None, *, cleared: str | None = None) -> Field:
    """``--level``; with ``cleared`` it can be taken away again."""
    shown = "" if was is None else str(was)
    return Field("level", "level", "--level", Kind.CHOICE, int, shown, choices=LEVELS, cleared=cleared, none="default")


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
    says: Callable[[str], str] | None = None,
) -> Field:
    """Several words; none of them means all."""
    shown = " ".join(was or ())
    return Field(name, label, flag, Kind.MANY, read, shown, hint, cleared=cleared or None, says=says)


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
    _network(text)
    return text


def becomes(text: str) -> str:
    """Which networks are meant, of those that are not written as the daemon keeps them."""
    told = []
    for word in parts(text):
        with contextlib.suppress(ValueError):  # what was there before is nobody's fault
            found = str(_network(word))
            if "/" in word and found != word.lower():
                told.append(f"{word} is the network {found}")
    return "; ".join(told)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        if not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?", text):
            raise ValueError  # masks like /255.0.0.0 have more than one reading: the daemon takes none
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("write 10.1.2.3, 10.1.0.0/16 or 2001:db8::/32") from None


def user_name(text: str) -> str:
    """The name of a user, as the daemon takes it. Raises ValueError."""
    if not re.fullmatch(r"[\w.@+-]{1,64}", unicodedata.normalize("NFKC", text[:1000])):
        raise ValueError(USER_NAME)
    return text


def key_name(text: str) -> str:
    """The name of a key, as the daemon takes it. Raises ValueError."""
    if not re.fullmatch("[a-z0-9_-]{1,40}", text):
        raise ValueError(KEY_NAME)
    return text


def route(text: str) -> str:
    """A family of routes, or a path. Raises ValueError."""
    if text not in FAMILIES and not text.startswith("/"):
        raise ValueError(f"write {', '.join(FAMILIES)}, or a path like /v1/chat/completions")
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
