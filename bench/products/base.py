"""What is measured: a product that runs in front of the fake upstream, and how it is talked to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.document import ROOT

ENVIRONMENTS = ROOT / ".venv" / "bench"
"""Where each product has its own environment. It is installed by the first run that wants it."""


class DoesNotStart(Exception):
    """It cannot be installed or started here; the message is the reason, for the report."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running product.

    ``url`` is where it answers ``/v1/chat/completions``; ``model`` turns the fake's model (``burst-20``) into the name
    by which this product is asked for it; ``headers`` go with each request, besides ``authorization``; ``pids`` are the
    processes whose time counts, asked for anew each time; ``version`` as it is written in the report, ``note`` what
    is on and off.
    """

    name: str
    version: str
    url: str
    key: str
    pids: Callable[[], list[int]]
    note: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    model: Callable[[str], str] = str
    slow: bool = False
    """Gets fewer requests, so that a run ends."""


Starts = Callable[[Path, str], AbstractContextManager[Target]]
"""Start a product in front of the upstream at this address; the folder is for its files. Raises DoesNotStart."""


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run what installs something. Raises DoesNotStart with the end of what it said."""
    done = subprocess.run(
        [str(part) for part in command], check=False, cwd=cwd, capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise DoesNotStart(f"{command[0]}: {' '.join(said)}"[:400])


def python_environment(name: str, *requirements: str) -> Path:
    """The ``bin`` of a virtual environment with these requirements, installed when they are not."""
    home = ENVIRONMENTS / name
    done = home / ".installed"
    if not done.exists() or done.read_text() != "\n".join(requirements):
        home.parent.mkdir(parents=True, exist_ok=True)
        run(sys.executable, "-m", "venv", "--clear", home)
        run(home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
        done.write_text("\n".join(requirements))
    return home / "bin"


def descendants(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def environment(**values: str) -> dict[str, str]:
    """The variables of this process with some more, and without proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, **values}
