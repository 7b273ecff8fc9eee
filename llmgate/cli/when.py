"""Points in time as people write them: ``24h``, ``30d``, ``2026-12-31``, ``2026-12-31T08:00Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta | None:
    """``90m`` as a timedelta; None when ``text`` is no such thing."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def ago(text: str) -> datetime:
    """A time in the past, relative (``24h``) or absolute."""
    return _moment(text, -1)


def ahead(text: str) -> datetime:
    """A time in the future, relative (``30d``) or absolute."""
    return _moment(text, 1)


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
        raise typer.BadParameter(f"{text!r} is no time; write 24h, 30d, or 2026-12-31T08:00Z") from None
