"""Keys as they stand on a keyboard."""

from __future__ import annotations

from textual.keys import format_key


def shown(key: str) -> str:
    """``,`` for what Textual calls ``comma``; several, with commas between them, get spaces instead."""
    return " ".join(format_key(name) for name in key.split(","))
