"""What an action of the dashboard works with: the client, questions, forms, and a place to say what was done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import AuthenticationFailed, LLMGateError
from llmgate.text import clean
from llmgate.tui.dialogs import Confirm, Dialog, Facts, Filling, Secret
from llmgate.tui.errors import LOCKED_OUT, Warnings, told
from llmgate.tui.forms import Form
from llmgate.tui.twin import forced, shown_twin

if TYPE_CHECKING:  # the application knows its desk
    from llmgate.tui.app import Dashboard
    from llmgate.tui.pulls import Pulls

Result = TypeVar("Result")
STORE = "Store it now: it is not shown again."


class Desk:
    """Everything here is awaited in a worker of the application: the screen behind it goes on."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self.filled = ""
        """The twin of the form that was sent last."""

    @property
    def client(self) -> AdminClient:
        return self._app.link.client

    @property
    def pulls(self) -> Pulls:
        """The pulls that were begun here."""
        return self._app.pulls

    @property
    def user(self) -> str:
        """The name of who is logged in."""
        return self._app.link.user

    def clock(self) -> float:
        """Seconds, on the dashboard's clock."""
        return self._app.clock()

    @property
    def figures(self) -> schemas.StatsEvent | None:
        """What the daemon has told last; None before it has told anything."""
        return self._app.picture.stats

    async def fill(self, form: Form) -> Any:
        """Ask and send; what came of it, or None. What was refused stays in the form, with the reason."""
        filling = Filling(form, lambda: self.client, self._failed)
        result = await self._app.push_screen_wait(filling)
        if result is not None:
            self.filled = filling.sent
            self._app.changed()
        return result

    def leave(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it go on by itself: the action is done, and another can be begun."""
        self._app.run_worker(work, group="left")

    async def ask_for(self, call: Callable[[AdminClient], Awaitable[Result]]) -> Result | None:
        """What the daemon says to this; what fails is told, and answered with None."""
        try:
            return await call(self.client)
        except LLMGateError as failure:
            self.say(told(failure), error=True)
            self._failed(failure)
            return None

    async def ask(self, dialog: Dialog[Result]) -> Result | None:
        """Show a dialog; its answer, None when it was left."""
        return await self._app.push_screen_wait(dialog)

    async def sure(self, question: str, button: str, twin: str, *, consequence: str = "", typed: str = "") -> bool:
        """Ask before something that cannot be undone."""
        dialog = Confirm(question, button, twin, consequence=consequence, typed=typed)
        answer: bool | None = await self._app.push_screen_wait(dialog)
        return bool(answer)

    async def do(
        self,
        call: Callable[[bool], Awaitable[Result]],
        twin: str,
        done: str | Callable[[Result], str],
        *,
        warnings: Warnings = LOCKED_OUT,
    ) -> Result | None:
        """Do it and say so, together with its twin. ``call`` is given whether to force what warns.

        What fails is told, and answered with None.
        """
        twin = shown_twin(self._app, twin)  # now: when it is done, another daemon may be shown
        try:
            try:
                result = await call(False)
            except LLMGateError as warning:
                if type(warning) not in warnings:
                    raise
                if not await self.sure(warning.message, "Do it all the same", forced(twin)):
                    return None
                result = await call(True)
        except LLMGateError as failure:
            self.say(told(failure), error=True)
            self._failed(failure)
            return None
        self.say(done if isinstance(done, str) else done(result), twin)
        self._app.changed()
        return result

    def _failed(self, failure: LLMGateError) -> None:
        """A session that has ended is found out by whatever is done first."""
        if isinstance(failure, AuthenticationFailed):
            self._app.refused(self._app.link, failure)

    async def secret(self, title: str, text: str, note: str = STORE) -> None:
        await self._app.push_screen_wait(Secret(title, text, note))

    async def facts(self, title: str, facts: Sequence[tuple[str, object]], twin: str, *, names: str = "") -> None:
        """Show what is known about one thing; ``names`` is what identifies it."""
        await self._app.push_screen_wait(Facts(title, facts, twin, names=names))

    def say(self, text: str, twin: str = "", *, error: bool = False) -> None:
        """A word at the edge of the screen."""
        words = f"{clean(text)}\n$ {twin}" if twin else clean(text)
        self._app.notify(words, severity="error" if error else "information", markup=False, timeout=8 if error else 5)
