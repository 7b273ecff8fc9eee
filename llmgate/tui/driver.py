"""How soon a lone Esc is taken for what it is.

A terminal sends Esc as the first byte of many longer keys. Textual waits for the rest as long as ``ESCDELAY`` says, but
looks only ten times a second whether that time is over; whoever closes a dialog with Esc feels it.
"""

from __future__ import annotations

import os
import selectors
from types import SimpleNamespace

from textual.drivers import linux_driver

LOOK_SECONDS = 0.02


class Attentive(selectors.SelectSelector):
    """Waits for the terminal never longer than ``LOOK_SECONDS`` at once."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(LOOK_SECONDS if timeout is None else min(timeout, LOOK_SECONDS))


def notice_escape_soon() -> None:
    """Let the thread that reads the terminal look more often. Where Textual reads in another way, nothing changes."""
    if os.name == "posix":
        here = SimpleNamespace(SelectSelector=Attentive, EVENT_READ=selectors.EVENT_READ)
        vars(linux_driver)["selectors"] = here  # it offers no way to say it
