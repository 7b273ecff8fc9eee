"""How this program was called: what a user can type again, and what starts it again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def called() -> str:
    """``llmgate`` where the shell finds this program under that name, else the path that it was started by."""
    started = Path(sys.argv[0])
    if _by_module():
        return f"{sys.executable} -m llmgate"
    found = shutil.which("llmgate")
    if started.name != "llmgate" or (found and Path(found).resolve() == started.resolve()):
        return "llmgate"
    return str(started)


def fresh_process() -> list[str]:
    """The command line that starts this program in another process; arguments may follow."""
    # Started as `python -m llmgate`, it was looked for in the working directory as well. Started by its name it was
    # not, and a directory there that happens to have the package's name must not be run.
    return [sys.executable, *([] if _by_module() else ["-P"]), "-m", "llmgate"]


def _by_module() -> bool:
    return Path(sys.argv[0]).name == "__main__.py"
