"""Logging in and out from the dashboard, and going to another daemon."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from llmgate.contexts.session import remember
from llmgate.contexts.target import Target, resolve
from llmgate.errors import LLMGateError
from llmgate.tui.dialogs.login import Login
from llmgate.tui.errors import told

if TYPE_CHECKING:  # the application knows its sessions
    from llmgate.tui.app import Dashboard


class Sessions:
    """One login is asked for at a time."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._asking = False

    def need(self, reason: LLMGateError) -> None:
        """Ask for a login, because of this."""
        if not self._asking:
            self._asking = True
            self._app.run_worker(self._ask(reason), group="login")

    def choose(self) -> None:
        """Show the known daemons."""

    def commands(self) -> Iterator[SystemCommand]:
        """What the palette offers here."""
        yield SystemCommand("Log in", "As somebody else: llmgate login", lambda: self.need(LLMGateError("")))

    async def _ask(self, reason: LLMGateError) -> None:
        target = self._app.link.target
        try:
            dialog = Login(target.url, target.context, told(reason), self._try)
            await self._app.push_screen_wait(dialog)
        finally:
            self._asking = False

    async def _try(self, way: str, token: str, name: str, password: str) -> None:
        app = self._app
        client, target = app.link.client, app.link.target
        if way != "login":
            await client.redeem(way, token, name, password)
        tokens = await client.login(name, password)
        context = remember(app.store, target.context, target.url, tokens)
        await app.switch(self._at(context))

    def _at(self, context: str) -> Target:
        return resolve(self._app.store, {}, url=None, context=context, token_file=None)
