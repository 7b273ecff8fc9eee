"""How values are written for people, on a terminal that hostile text must not reach.

Whatever comes from a daemon is hostile to a terminal until it has been through ``clean``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_HOSTILE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_PAIRED = {"settings.set", "settings.reset", "queue.level"}
"""Actions whose entries in the activity log hold values before and after, beside those that end with ``.update``."""


def clean(text: str, keep: str = "") -> str:
    """``text`` with control and direction-changing characters written out, except those in ``keep``."""
    return _HOSTILE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"


def as_json(value: object) -> str:
    """JSON on one line, readable and harmless on a terminal."""
    return clean(json.dumps(value, ensure_ascii=False))


def cell(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value) or "-"
    match value:
        case None | "":
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = _utc(value).strftime("%Y-%m-%d %H:%M:%SZ")
        case float():
            text = f"{value:.1f}".removesuffix(".0")
        case _:
            text = clean(str(value))
    return text


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return value.replace(tzinfo=UTC)


def moment(value: datetime, now: datetime) -> str:
    """A time as short as it can be told, on the clock of ``now``: of today, of this year, or of another."""
    try:
        local = value.astimezone(now.tzinfo)
    except OverflowError:  # at the ends of time it is not the same year everywhere
        return value.date().isoformat()
    if local.date() == now.date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%m-%d %H:%M:%S" if local.year == now.year else "%Y-%m-%d")


def seconds(value: float | None) -> str:
    """A duration as people say it."""
    if value is None:
        return "unknown"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def precise(value: float | None) -> str:
    """A measured duration, of which the first two digits matter."""
    if value is None:
        return "-"
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    return seconds(value) if value < 7200 else f"{value / 3600:.0f} h"


def lasting(value: float) -> str:
    """How long something has lasted, in its two largest units."""
    minutes, hours, days = int(value // 60), int(value // 3600), int(value // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(value % 60)} s"


def size(count: int | None) -> str | None:
    """Bytes of memory and disks as people read them, in powers of 1024."""
    if count is None:
        return None
    value, unit = float(count), "B"
    for following in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, following
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def model_size(count: int | None) -> str | None:
    """Bytes of a model as people say them, in powers of ten as Ollama does."""
    if count is None:
        return None
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if value >= 10 or units[0] == "B" else f"{value:.1f} {units[0]}"


def shortly(action: str, detail: Mapping[str, Any]) -> str:
    """What an entry of the activity log says more, on a line: of a change, the values before and after."""
    return ", ".join(f"{name}: {change}" for name, change in changes(action, detail))


def changes(action: str, detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same, each field for itself. Only of some actions two values are those before and after; the two models
    of a key that was created are two models."""
    if action == "settings.reload" and isinstance(detail.get("changed"), Mapping):
        others = {name: value for name, value in detail.items() if name != "changed"}
        return [*_told(detail["changed"], pairs=True), *_told(others, pairs=False)]
    return _told(detail, pairs=action.endswith(".update") or action in _PAIRED)


def _told(values: Mapping[str, Any], *, pairs: bool) -> list[tuple[str, str]]:
    parts = []
    for name, value in values.items():
        is_change = pairs and isinstance(value, list) and len(value) == 2
        parts.append((name, f"{_word(value[0])} → {_word(value[1])}" if is_change else _word(value)))
    return parts


def _word(value: object) -> str:
    return value if isinstance(value, str) else as_json(value)
