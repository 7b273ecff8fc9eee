"""What the dashboard keeps of how somebody likes it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Container
from pathlib import Path
from typing import Any


class Preferences:
    """A file beside the contexts. What cannot be read or written is done without: it is about taste only.

    Writing may take long where the disk does: it is done in threads.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "dashboard.json"
        self._changing = threading.Lock()

    def theme(self, known: Container[str]) -> str | None:
        """The theme that was chosen last, if there is such a one."""
        theme = self._kept().get("theme")
        return theme if isinstance(theme, str) and theme in known else None

    def keep_theme(self, theme: str) -> None:
        with self._changing:
            self._keep({**self._kept(), "theme": theme})

    def name(self, url: str) -> str:
        """As whom somebody logged in there last; "" when that is not known."""
        names = self._kept().get("names")
        name = names.get(url) if isinstance(names, dict) else None
        return name if isinstance(name, str) else ""

    def keep_name(self, url: str, name: str) -> None:
        with self._changing:
            kept = self._kept()
            names = kept.get("names")
            self._keep({**kept, "names": {**(names if isinstance(names, dict) else {}), url: name}})

    def _kept(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self, kept: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
