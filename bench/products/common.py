"""What several products need to be started."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.products.base import DoesNotStart, environment

KEY = "sk-9f8a7d6c5b4e3f2a1b0c9d8e7f6a5b4c"
"""Of products that live for a minute on loopback; some refuse one that looks weak."""

START_SECONDS = 90.0
"""LiteLLM takes a quarter of it on two idle cores."""


def local_environment(**values: str) -> dict[str, str]:
    """For a product that is to find an upstream on this machine."""
    return environment(NO_PROXY="127.0.0.1,localhost", **values)


def program(name: str) -> str:
    """The file of a program that Debian installs where only administrators look."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise DoesNotStart(f"{name} is not installed: sh bench/install.sh")
    return found


def version_of(*command: str) -> str:
    """The third word of what a program prints about itself, as in ``nginx version: nginx/1.22.1``."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return (done.stdout or done.stderr).split()[2].rpartition("/")[2]


def models_of(upstream: str) -> list[str]:
    """What the fake upstream serves; products that know no wildcard have them in their settings."""
    with urllib.request.urlopen(f"{upstream}/api/tags", timeout=10) as answer:
        return [model["name"] for model in json.load(answer)["models"]]


def wait_until_up(url: str, log: Path, child: subprocess.Popen[bytes]) -> None:
    """Until it answers there, and not with an error of its own. Raises DoesNotStart with the end of the log."""
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                return
            time.sleep(0.05)
    raise DoesNotStart(f"it does not answer: {end_of(log)}")


def end_of(log: Path) -> str:
    """What a product said last."""
    return " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-300:]
