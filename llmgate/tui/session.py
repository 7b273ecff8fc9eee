"""Logging in and out from the dashboard, and going to another daemon.

The files of the contexts are locked while they are changed, for up to 15 s: all of that is done in threads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from textual.app import SystemCommand
from textual.screen import ModalScreen

from llmgate.client import AdminClient
from llmgate.contexts import known
from llmgate.contexts.known import Known
from llmgate.contexts.session import remember, session_of
from llmgate.contexts.target import Target, addressed, resolve
from llmgate.errors import AuthenticationFailed, LLMGateError, PermissionDenied, StartupError
from llmgate.tui.dialogs.contexts import Contexts
from llmgate.tui.dialogs.login import CONTEXTS, Login
from llmgate.tui.errors import LOOKING, told
from llmgate.tui.forms.own import password_form
from llmgate.tui.link import Link
from llmgate.tui.twin import twin

if TYPE_CHECKING:  # the application knows its sessions
    from llmgate.tui.app import Dashboard


class Sessions:
    """One thing is asked at a time, and nobody is asked again who did not want to answer."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._asking = False
        self._plain: tuple[str, str | None] | None = None
        """URL and context of what a plain ``llmgate`` talks to; None while that is not known."""

    # -- what commands would do ----------------------------------------------------------------

    async def survey(self) -> None:
        """Learn what a command talks to that names no daemon."""
        try:
            contexts = await asyncio.to_thread(self._app.store.contexts)
            self._plain = addressed(contexts, os.environ)
        except LLMGateError:
            self._plain = None

    def address(self, at: str = "") -> tuple[str, ...]:
        """The options with which a command talks to the daemon at this URL ("": what is shown), none where it would
        anyway."""
        target = self._app.link.target
        url, context = (at, None) if at and at != target.url else (target.url, target.context)
        plain = self._plain
        if plain is not None and plain[0] == url and context in (None, plain[1]):
            return ()
        return ("--context", context) if context else ("--url", url)

    # -- what is wanted ------------------------------------------------------------------------

    def need(self, reason: LLMGateError) -> None:
        """The daemon does not want us, because of this: ask for a login, once."""
        link = self._app.link
        if link.denied is None:
            link.denied = reason
            link.denied = refusal_of(link)
            self._begin(self._ask())

    def log_in(self) -> None:
        """Somebody wants to log in."""
        self._begin(self._log_in())

    def choose(self) -> None:
        """Show the known daemons."""
        self._begin(self._choose())

    def again(self) -> None:
        """Ask the daemon again that did not want us: somebody may have logged in elsewhere."""
        self._begin(self._again())

    def log_out(self) -> None:
        """End the session that is in use."""
        self._begin(self._with_context(self.end))

    def change_password(self) -> None:
        """Change one's own password."""
        self._begin(self._with_context(self.password))

    def commands(self) -> Iterator[SystemCommand]:
        """What the palette offers here."""
        yield SystemCommand("Contexts", "Other daemons: llmgate context list, use, create …", self.choose)
        yield SystemCommand("Log in", "As somebody else: llmgate login", self.log_in)
        yield SystemCommand("Log out", "End this session: llmgate logout", self.log_out)
        yield SystemCommand("Change your password", "Ends your other sessions: llmgate passwd", self.change_password)

    def _begin(self, work: Any) -> None:
        if self._asking:
            work.close()
            return
        self._asking = True
        self._app.run_worker(self._until_done(work), group="login")

    async def _until_done(self, work: Awaitable[None]) -> None:
        try:
            await work
            await self.survey()
        except LLMGateError as failure:
            self._app.desk.say(told(failure), error=True)
        finally:
            self._asking = False

    # -- one after the other -------------------------------------------------------------------

    async def _ask(self) -> None:
        link = self._app.link
        if isinstance(link.denied, PermissionDenied):
            if not link.role:  # else it has become known meanwhile
                with suppress(LLMGateError):
                    await link.introduce()
            link.denied = refusal_of(link)
        await self._log_in(told(link.denied) if link.denied else "")

    async def _log_in(self, reason: str = "") -> None:
        target = self._app.link.target
        answer = await self.asked(target.url, target.context, reason)
        if answer is not None:
            await self._go(answer)

    async def _choose(self) -> None:
        answer: Target | None = await self._app.push_screen_wait(Contexts(self))
        if answer is not None:
            await self._go(answer)

    async def _again(self) -> None:
        target = self._app.link.target
        if target.token is None and target.context is not None:
            target = await self.at(target.context)
        await self._go(target)

    async def _with_context(self, does: Callable[[Known], Awaitable[Target | None]]) -> None:
        context = self._app.link.target.context
        if context is None:
            raise AuthenticationFailed("There is no stored login here.", hint="C shows the contexts.")
        answer = await does(await asyncio.to_thread(known.one, self._app.store, context))
        if answer is not None:
            await self._go(answer)

    async def _go(self, target: Target) -> None:
        """Show it. What is asked over the daemon that was shown is for that one only."""
        app = self._app
        await self.survey()
        if target.url != app.link.target.url:
            while isinstance(app.screen, ModalScreen):
                await app.screen.dismiss(None)
        await app.switch(target)

    # -- what the dialog of the contexts does with one of them ---------------------------------

    @property
    def shown(self) -> Target:
        """What the dashboard shows now."""
        return self._app.link.target

    @property
    def client(self) -> AdminClient:
        return self._app.link.client

    @property
    def read_only(self) -> bool:
        return self._app.read_only

    async def every(self) -> Sequence[Known]:
        return await asyncio.to_thread(known.every, self._app.store)

    async def at(self, context: str) -> Target:
        """The daemon of this name, with the session that is stored for it."""
        store = self._app.store
        return await asyncio.to_thread(resolve, store, {}, url=None, context=context, token_file=None)

    async def show(self, context: str) -> Target:
        """Where to go to see it. Which daemon commands talk to stays as it is."""
        if context == self.shown.context and self.shown.token is not None:
            return self.shown
        return await self.at(context)

    async def use(self, context: str) -> None:
        """Make it the one that commands talk to; what is shown stays."""
        used = await asyncio.to_thread(known.use, self._app.store, context)
        await self.survey()
        self._app.desk.say(f"Commands talk to {used.url} now.", twin("context use", context))

    async def create(self, name: str, url: str) -> Known:
        return await asyncio.to_thread(known.create, self._app.store, name, url)

    async def rename(self, name: str, new: str) -> Known:
        """What is shown goes on under its new name."""
        renamed = await asyncio.to_thread(known.rename, self._app.store, name, new)
        await self.survey()
        if name == self.shown.context:
            if self.shown.token is not None:
                self._app.link.target = replace(self.shown, context=new)
            else:
                await self._app.switch(await self.at(new))
        return renamed

    async def remove(self, name: str) -> None:
        """What is shown goes on without a name, as long as it can."""
        await asyncio.to_thread(known.remove, self._app.store, name)
        await self.survey()
        if name == self.shown.context:
            self._app.link.target = replace(self.shown, context=None)

    async def asked(self, url: str, context: str | None, reason: str = "") -> Target | None:
        """Ask for a login until it is right; where to go then, None for nowhere."""

        async def attempt(way: str, token: SecretStr, name: str, password: SecretStr) -> Target:
            return await self._logged_in(url, context, way, token, name, password)

        app = self._app
        name = await asyncio.to_thread(app.preferences.name, url)
        login = Login(url, context, reason, attempt, name=name, accounts=not self.read_only)
        answer = await app.push_screen_wait(login)
        if answer == CONTEXTS:
            answer = await app.push_screen_wait(Contexts(self))
        return answer if isinstance(answer, Target) else None

    async def _logged_in(
        self, url: str, context: str | None, way: str, token: SecretStr, name: str, password: SecretStr
    ) -> Target:
        async with AdminClient(url) as client:
            if way != "login":
                self._check_may_change()
                await client.redeem(way, token.get_secret_value(), name, password.get_secret_value())
            try:
                tokens = await client.login(name, password.get_secret_value())
            except LLMGateError as failure:
                if way == "login":
                    raise
                raise LLMGateError(
                    f"The account is made, but logging in failed: {failure.message}", hint="Choose “Log in” now."
                ) from None
        store = self._app.store
        await asyncio.to_thread(self._app.preferences.keep_name, url, name)
        return await self.at(await asyncio.to_thread(remember, store, context, url, tokens, current=False))

    def _check_may_change(self) -> None:
        """What is kept here may be changed with --read-only too; what a daemon keeps, may not."""
        if self.read_only:
            raise PermissionDenied(LOOKING)

    async def end(self, context: Known) -> Target | None:
        """Log out there, if that is wanted; where to go then, None for nowhere."""
        if context.user is None:
            raise AuthenticationFailed(f"Nobody is logged in at {context.name}.")
        self._check_may_change()
        desk = self._app.desk
        command = twin("logout", options=["--context", context.name])
        question = f"Log out of {context.url}, where you are {context.user}?"
        if not await desk.sure(question, "Log out", command):
            return None
        target = await self.at(context.name)
        note = f"Logged out of {context.url}."
        try:
            async with self._app.client_for(target) as client:
                await client.logout()
        except AuthenticationFailed:
            pass  # it has ended already
        except StartupError:
            raise
        except LLMGateError as failure:
            note = f"{failure.message} The session is forgotten here, and ends there by itself."
        await asyncio.to_thread(known.keep, self._app.store, context.name, None)
        shown = context.name == self.shown.context
        if shown and self.shown.token is not None:
            desk.say(f"{note} The dashboard goes on with the token from {self.shown.source}.", command)
            return None
        desk.say(note, command)
        return await self.at(context.name) if shown else None

    async def password(self, context: Known) -> Target | None:
        """Ask for another password of one's own there."""
        if context.user is None:
            raise AuthenticationFailed(f"Nobody is logged in at {context.name}.")
        self._check_may_change()

        async def send(client: AdminClient, values: Any, force: bool) -> bool:
            target = await self.at(context.name)
            async with self._app.client_for(target) as own:
                tokens = await own.change_password(values["current"], values["password"])
            await asyncio.to_thread(known.keep, self._app.store, context.name, session_of(target.url, tokens))
            return True

        desk = self._app.desk
        if await desk.fill(password_form(context, send)):
            desk.say(f"The password of {context.user} is changed, and every other session is ended.", desk.filled)
        return None


def refusal_of(link: Link) -> LLMGateError | None:
    """Why the daemon does not want us, as a person understands it."""
    failure, target = link.denied, link.target
    if isinstance(failure, PermissionDenied) and link.role not in ("", "admin"):
        return PermissionDenied(f"{link.user} is no administrator there, and the dashboard is for administrators.")
    if isinstance(failure, AuthenticationFailed) and target.token is not None:
        return AuthenticationFailed(f"The token from {target.source} is not accepted: {failure.message}")
    if isinstance(failure, AuthenticationFailed) and target.session is None:
        return AuthenticationFailed("You are not logged in.")
    return failure
