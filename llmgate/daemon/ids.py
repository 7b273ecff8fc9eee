"""Identifiers and random text."""

from __future__ import annotations

import secrets
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_id() -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits in Crockford's base 32; newer ones sort later."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def random_base62(length: int) -> str:
    """Unguessable letters and digits, 5.95 bits each."""
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def to_base62(number: int, width: int) -> str:
    """``number`` in base 62, filled with zeros from the left to ``width``."""
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits)).rjust(width, "0")
