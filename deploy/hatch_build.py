"""Runs when a package is built: without the chat page there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface[Any]):
    """Refuses to make a package whose users would find no page. An editable one may be without."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError when the page was not built."""
        if version != "editable" and not (Path(self.root) / "llmgate/daemon/static/index.html").is_file():
            raise RuntimeError("The chat page is not built. Build it with: make page")
