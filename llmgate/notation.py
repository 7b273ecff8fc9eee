"""What people type for times and amounts: ``24h``, ``30d``, ``2026-12-31``, ``2026-12-31T08:00Z``; ``200k``, ``5M``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

NO_LIMIT = -1
"""What ``amount`` makes of ``none``."""
_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AMOUNTS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def span(text: str) -> timedelta | None:
    """``90m`` as a timedelta; None when ``text`` is no such thing."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    return timedelta(**{_SPANS[found[2]]: int(found[1])}) if found else None


def ago(text: str) -> datetime:
    """A time in the past, relative (``24h``) or absolute. Raises ValueError."""
    return _moment(text, -1)


def ahead(text: str) -> datetime:
    """A time in the future, relative (``30d``) or absolute. Raises ValueError."""
    return _moment(text, 1)


def amount(text: str) -> int:
    """``500``, ``200k`` or ``5M`` as a number; ``none`` is NO_LIMIT. Raises ValueError."""
    if text.strip().lower() == "none":
        return NO_LIMIT
    found = re.fullmatch(r"(\d{1,15})([kmg]?)", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no number; write 500, 200k, 5M or none")
    return int(found[1]) * _AMOUNTS[found[2]]


def length(text: str) -> int:
    """``1h`` as seconds. Raises ValueError."""
    found = span(text)
    if found is None and text.strip() != "0":
        raise ValueError(f"{text!r} is no length of time; write 30m, 1h, 2d or 0")
    return round(found.total_seconds()) if found else 0


def told(text: str | None) -> datetime | str | None:
    """A time that an upstream tells, to be shown as other times are; as it came where it is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return text
    return moment if moment.tzinfo and 1970 <= moment.year < 9999 else text


def _moment(text: str, direction: int) -> datetime:
    distance = span(text)
    try:
        if distance is not None:
            return datetime.now(UTC) + direction * distance
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; write 24h, 30d, or 2026-12-31T08:00Z") from None
