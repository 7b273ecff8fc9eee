"""How this program was called: what a user can type again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def called() -> str:
    """``llmgate`` where the shell finds this program under that name, else the path that it was started by."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{sys.executable} -m llmgate"
    found = shutil.which("llmgate")
    if started.name != "llmgate" or (found and Path(found).resolve() == started.resolve()):
        return "llmgate"
    return str(started)
