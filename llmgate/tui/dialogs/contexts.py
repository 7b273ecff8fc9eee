"""The known daemons: go to another one, log in there, and everything else that is kept of them here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from llmgate.contexts.known import Known
from llmgate.contexts.target import Target
from llmgate.errors import LLMGateError
from llmgate.text import clean
from llmgate.tui.columns import Column
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.dialogs.filling import Filling
from llmgate.tui.errors import told
from llmgate.tui.forms import Form
from llmgate.tui.forms.own import context_form, rename_form
from llmgate.tui.twin import twin
from llmgate.tui.widgets.hints import Hints
from llmgate.tui.widgets.rows import RowTable

if TYPE_CHECKING:  # the sessions open this dialog
    from llmgate.tui.session import Sessions

Work = Callable[[Known], Awaitable[Target | None]]


class Contexts(Dialog[Target]):
    """Answers with where to go; None: nowhere else."""

    DEFAULT_CSS = """
    Contexts > .box { width: 78; }
    Contexts RowTable { height: 10; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "use", "Use"),
        Binding("l", "log_in", "Log in"),
        Binding("n", "create", "New"),
        Binding("e", "rename", "Rename"),
        Binding("d", "remove", "Remove"),
        Binding("o", "log_out", "Log out"),
        Binding("p", "password", "Password"),
        Binding("y", "copy", "Copy the URL", show=False),
        Binding("escape,q", "leave", "Close"),
    ]

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions
        self._wanted = sessions.shown.context or ""
        """Where the cursor shall be when the rows come."""

    @property
    def table(self) -> RowTable[Known]:
        return self.query_one(RowTable)

    def compose(self) -> ComposeResult:
        shown = self._sessions.shown
        columns: tuple[Column[Known], ...] = (
            Column("name", lambda context: context.name, 16, grow=1),
            Column("url", lambda context: context.url, 24, grow=2),
            Column("user", lambda context: context.user, 8, grow=1),
            Column("", self._state, 15, tone=lambda context: "accent" if self._is_shown(context) else "dim"),
        )
        with Vertical(classes="box") as box:
            box.border_title = "Contexts"
            if shown.context is None:
                yield Static(Content(clean(f"Shown now: {shown.url}, which is none of these.")), classes="note")
            yield RowTable(
                columns,
                lambda context: context.name,
                datetime.now,
                empty="No daemon is known by a name yet. n: a new one, l: log in here.",
            )
            yield Static(classes="fault", id="fault")
            yield Static(classes="twin", id="twin")
        yield Hints()

    def _is_shown(self, context: Known) -> bool:
        return context.name == self._sessions.shown.context

    def _state(self, context: Known) -> str:
        words = (("shown", self._is_shown(context)), ("current", context.current))
        return ", ".join(word for word, holds in words if holds) or " "

    def on_mount(self) -> None:
        self.table.focus()
        self._fill()

    # -- what is seen --------------------------------------------------------------------------

    @work(exclusive=True, group="fill")
    async def _fill(self) -> None:
        try:
            contexts: Sequence[Known] = await self._sessions.every()
        except LLMGateError as failure:
            self._fault(told(failure))
            return
        if not self.query(RowTable):  # closed meanwhile
            return
        self.table.show(contexts)
        if self._wanted:
            self.table.move_to(self._wanted)
            self._wanted = ""

    @on(RowTable.Moved)
    def moved(self, event: RowTable.Moved) -> None:
        event.stop()
        context = self.table.row
        use = "" if context is None else twin("context use", context.name)
        text = f"Enter shows it here.  u: use it in commands too: $ {use}" if use else ""
        self.query_one("#twin", Static).update(Content(text))

    def _fault(self, text: str) -> None:
        for fault in self.query("#fault").results(Static):  # none when it was closed meanwhile
            fault.update(Content(clean(text)))

    # -- what is done --------------------------------------------------------------------------

    @on(RowTable.Chosen)
    def chosen(self, event: RowTable.Chosen) -> None:
        event.stop()
        self._with(lambda context: self._sessions.show(context.name))

    def action_use(self) -> None:
        async def use(context: Known) -> None:
            await self._sessions.use(context.name)

        self._with(use)

    def action_log_in(self) -> None:
        if self.table.row is None:
            shown = self._sessions.shown
            self._do(self._sessions.asked(shown.url, shown.context))
        else:
            self._with(lambda context: self._sessions.asked(context.url, context.name))

    def action_log_out(self) -> None:
        self._with(self._sessions.end)

    def action_password(self) -> None:
        self._with(self._sessions.password)

    def action_create(self) -> None:
        async def send(client: Any, values: Any, force: bool) -> Known:
            return await self._sessions.create(values["name"], values["address"])

        self._do(self._asked(context_form(send)))

    def action_rename(self) -> None:
        async def rename(context: Known) -> None:
            async def send(client: Any, values: Any, force: bool) -> Known:
                return await self._sessions.rename(context.name, values["name"])

            await self._asked(rename_form(context, send))

        self._with(rename)

    def action_remove(self) -> None:
        async def remove(context: Known) -> None:
            question = Confirm(
                f"Forget the context {context.name}?",
                "Forget it",
                twin("context remove", context.name),
                consequence="The session there is forgotten, and ends by itself; to end it now, log out first."
                if context.user
                else "",
            )
            if await self.app.push_screen_wait(question):
                await self._sessions.remove(context.name)

        self._with(remove)

    def action_copy(self) -> None:
        context = self.table.row
        if context is not None:
            self.app.copy_to_clipboard(clean(context.url))
            self.notify(f"Copied {clean(context.url)}", markup=False)

    async def _asked(self, form: Form) -> None:
        made: Known | None = await self.app.push_screen_wait(Filling(form, lambda: self._sessions.client))
        if made is not None:
            self._wanted = made.name

    def _with(self, does: Work | Callable[[Known], Awaitable[None]]) -> None:
        context = self.table.row
        if context is not None:
            self._do(does(context))

    @work(group="do")
    async def _do(self, work: Awaitable[Target | None]) -> None:
        """Do it, and go where it leads; what fails is said here."""
        self._fault("")
        try:
            target = await work
        except LLMGateError as failure:
            self._fault(told(failure))
            target = None
        if target is not None:
            self.dismiss(target)
        else:
            self._fill()
