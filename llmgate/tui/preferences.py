"""What the dashboard keeps of how somebody likes it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container
from pathlib import Path


class Preferences:
    """A file beside the contexts. What cannot be read or written is done without: it is about taste only."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "dashboard.json"

    def theme(self, known: Container[str]) -> str | None:
        """The theme that was chosen last, if there is such a one."""
        try:
            theme = json.loads(self._file.read_text(encoding="utf-8"))["theme"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return theme if isinstance(theme, str) and theme in known else None

    def keep_theme(self, theme: str) -> None:
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.write_text(json.dumps({"theme": theme}) + "\n", encoding="utf-8")
