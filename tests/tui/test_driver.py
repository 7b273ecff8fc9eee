"""How often the terminal is looked at."""

from __future__ import annotations

import selectors
from typing import Any

import pytest
from textual.drivers import linux_driver

from llmgate.tui.driver import LOOK_SECONDS, notice_escape_soon


def test_the_terminal_is_looked_at_often_enough_for_a_lone_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float | None] = []

    def select(self: selectors.SelectSelector, timeout: float | None = None) -> list[Any]:
        waited.append(timeout)
        return []

    monkeypatch.setattr(selectors.SelectSelector, "select", select)
    monkeypatch.setattr(linux_driver, "selectors", selectors)  # given back at the end
    notice_escape_soon()
    with vars(linux_driver)["selectors"].SelectSelector() as selector:
        for asked in (0.1, 0.001, None):
            selector.select(asked)
    assert waited == [LOOK_SECONDS, 0.001, LOOK_SECONDS]
