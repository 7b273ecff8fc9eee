"""A form on the screen: judged as one types, sent, and kept with everything in it when the daemon refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Button, Input, Select, Static

from llmgate.client import AdminClient
from llmgate.errors import LLMGateError, PreconditionFailed
from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.errors import told
from llmgate.tui.forms import Field, Fill, Form, Kind
from llmgate.tui.forms.fields import fill
from llmgate.tui.twin import forced, shown_twin
from llmgate.tui.widgets.entry import Entry
from llmgate.tui.widgets.hints import Hints

SWITCH = (("yes", "on"), ("no", "off"))
TWICE = "is not the same twice"
PAUSE = 0.2
"""Seconds after the last key before the daemon is asked for a suggestion."""


class Filling(Dialog[Any]):
    """Answers with what ``form.send`` has returned, None when it was given up."""

    DEFAULT_CSS = """
    Filling VerticalScroll { height: auto; max-height: 100%; }
    Filling .base { dock: bottom; height: auto; }
    Filling .field { height: auto; width: 1fr; }
    Filling .label { width: 24; padding: 0 1 0 0; color: $text-muted; }
    Filling .field:focus-within .label { color: $text-primary; text-style: bold; }
    Filling Input, Filling Select { width: 1fr; }
    Filling .complaint { color: $text-error; padding: 0 0 0 24; height: auto; display: none; }
    Filling #fault { display: none; margin: 1 0 0 0; }
    Filling .complaint.-remark { color: $text-muted; }
    Filling .complaint.-shown, Filling #fault.-shown { display: block; }
    Filling .twin { max-height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("ctrl+s", "send", "Send"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(
        self,
        form: Form,
        client: AdminClient | Callable[[], AdminClient],
        failed: Callable[[LLMGateError], None] = lambda failure: None,
    ) -> None:
        """``client`` may be a function: who has to log in again meanwhile has another one. ``failed`` is told what
        went wrong, as the form itself says it."""
        super().__init__()
        self._form, self._failed = form, failed
        self._current = client if callable(client) else lambda: client
        self._typed = {field.name: field.was for field in form.fields}
        self._again: dict[str, str] = {}
        self._touched: set[str] = set()
        self.sent = ""
        """The twin of what was sent."""
        self._sending = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(clean(self._form.title))
            with VerticalScroll(can_focus=False):
                if self._form.note:
                    yield Static(Content(clean(self._form.note)), classes="note")
                for field in self._form.fields:
                    yield from self._asked(field)
            with Vertical(classes="base"):
                yield Static(classes="fault", id="fault")
                yield Static(classes="twin", id="twin")
                with Horizontal(classes="buttons"):
                    yield Button("Cancel", id="cancel", compact=True)
                    yield Button(self._form.button, id="send", variant="primary", compact=True)
        yield Hints()

    def _asked(self, field: Field) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Static(Content(field.label + ("*" if field.required else "")), classes="label")
            if field.kind is Kind.CHOICE:
                yield Select(
                    _options(field), value=field.was, allow_blank=False, compact=True, id=f"field-{field.name}"
                )
            elif field.kind is Kind.SWITCH:
                yield Select(
                    SWITCH, value=field.was or "off", allow_blank=False, compact=True, id=f"field-{field.name}"
                )
            else:
                yield self._line(field, f"field-{field.name}", field.hint)
        if field.repeated:
            with Horizontal(classes="field"):
                yield Static(Content("again*"), classes="label")
                yield self._line(field, f"again-{field.name}", "")
        yield Static(classes="complaint", id=f"complaint-{field.name}")

    def _line(self, field: Field, id: str, hint: str) -> Entry:  # noqa: A002  as Textual calls it
        was = "" if field.kind is Kind.SECRET else clean(field.was)
        known = _Known(self._current, field.suggest) if field.suggest is not None else None
        return Entry(
            was, placeholder=clean(hint), password=field.kind is Kind.SECRET, suggester=known, compact=True, id=id
        )

    def on_mount(self) -> None:
        self.query("Input, Select").first().focus()
        self._judge()

    # -- typing --------------------------------------------------------------------------------

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        kind, _, name = (event.input.id or "").partition("-")
        was = self._was(name)
        value = was if event.value == clean(was) else event.value  # what cannot be shown is not changed by showing it
        (self._again if kind == "again" else self._typed)[name] = value
        self._changed(name)

    @on(Select.Changed)
    def chosen(self, event: Select.Changed) -> None:
        name = (event.select.id or "").partition("-")[2]
        self._typed[name] = str(event.value)
        self._changed(name)

    def _changed(self, name: str) -> None:
        if self._typed[name] != self._was(name):
            self._touched.add(name)
        self._refuse("")
        self._judge()
        complaint = self.query_one(f"#complaint-{name}")
        if complaint.has_class("-shown"):
            complaint.call_after_refresh(complaint.scroll_visible, animate=False)

    def _was(self, name: str) -> str:
        return next(field.was for field in self._form.fields if field.name == name)

    def _refuse(self, text: str) -> None:
        """Say why it is not done; "" for nothing."""
        fault = self.query_one("#fault", Static)
        fault.update(Content(clean(text)))
        fault.set_class(bool(text), "-shown")

    def _judge(self, *, everything: bool = False) -> Fill:
        """Say what is wrong with what was typed so far; with ``everything`` also with what was not."""
        found = fill(self._form, self._typed)
        faults = dict(found.faults)
        for field in self._form.fields:
            if field.repeated and self._typed[field.name] != self._again.get(field.name, ""):
                faults.setdefault(field.name, TWICE)
            seen = everything or (field.name in self._touched and not (field.repeated and not self._again))
            self._remark(field, faults.get(field.name, ""), seen)
        self.query_one("#twin", Static).update(Content(f"$ {shown_twin(self.app, found.twin)}"))
        return Fill(found.values, faults, found.twin, found.body)

    def _remark(self, field: Field, fault: str, seen: bool) -> None:
        """Below a field: what is wrong with it, or what is worth saying of it."""
        text = fault if seen else ""
        if not fault and field.says is not None:
            text = field.says(self._typed[field.name])
        complaint = self.query_one(f"#complaint-{field.name}", Static)
        complaint.update(Content(clean(text)))
        complaint.set_class(bool(text), "-shown")
        complaint.set_class(not fault, "-remark")

    # -- sending -------------------------------------------------------------------------------

    @on(Input.Submitted)
    def entered(self) -> None:
        self.action_send()

    @on(Button.Pressed, "#send")
    def action_send(self) -> None:
        found = self._judge(everything=True)
        self.sent = shown_twin(self.app, found.twin)
        if found.faults:
            self._complain(found.faults)
        elif not self._sending:
            self._sending = True  # at once: a second key press may come before the worker begins
            self._send(found)

    def _complain(self, faults: dict[str, str] | Any) -> None:
        known = [field.name for field in self._form.fields if field.name in faults]
        others = [f"{name}: {text}" if name else text for name, text in faults.items() if name not in known]
        self._refuse("; ".join(others))
        if known:
            which = "again" if faults[known[0]] == TWICE else "field"
            self.query_one(f"#{which}-{known[0]}").focus()

    @work(exclusive=True, description="send the form")  # else Textual describes it by what was typed, passwords too
    async def _send(self, found: Fill) -> None:
        self._busy(True)
        try:
            result = await self._sent(found)
        except LLMGateError as failure:
            self._refuse(told(failure))
            self._failed(failure)
        else:
            if result is not None:  # it is done, and stays so: keys may still come that were meant for the form
                self.dismiss(result)
                return
        self._busy(False)

    async def _sent(self, found: Fill) -> Any:
        """What came of it; None when it would have locked its author out, and that is not wanted."""
        body = found.body if self._form.body is not None else found.values
        try:
            return await self._form.send(self._current(), body, False)
        except LLMGateError as warning:
            if type(warning) not in self._form.warnings:
                raise
            command = found.twin if isinstance(warning, PreconditionFailed) else forced(found.twin)
            question = Confirm(warning.message, "Do it all the same", command)
            if not await self.app.push_screen_wait(question):
                return None
            return await self._form.send(self._current(), body, True)

    def _busy(self, sending: bool) -> None:
        self._sending = sending
        if self.is_mounted and self.is_attached:
            button = self.query_one("#send", Button)
            button.disabled = sending
            button.label = "…" if sending else self._form.button

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        if not self._sending:
            self.dismiss(None)

    def action_leave(self) -> None:
        if self._touched and not self._sending:
            question = Confirm("Throw away what you typed?", "Throw away", cancel="Keep editing")
            self.app.push_screen(question, self._left)
        elif not self._sending:
            self.dismiss(None)

    def _left(self, sure: bool | None) -> None:
        if sure:
            self.dismiss(None)


class _Known(Suggester):
    """Completes what is typed with what the daemon knows; without an answer there is no suggestion."""

    def __init__(
        self, client: Callable[[], AdminClient], suggest: Callable[[AdminClient, str], Awaitable[str | None]]
    ) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._client, self._suggest = client, suggest
        self._wanted = ""
        self._found: str | None = None

    async def get_suggestion(self, value: str) -> str | None:
        """What was found last is kept as long as it fits; whoever types on is not asked for."""
        self._wanted = value
        if self._found is not None and self._found.startswith(value):
            return self._found
        await asyncio.sleep(PAUSE)
        if self._wanted != value:
            return None
        try:
            found = await self._suggest(self._client(), value)
        except LLMGateError:
            return None
        self._found = None if found is None else clean(found)
        return self._found


def _options(field: Field) -> list[tuple[Text, str]]:
    """What can be chosen, and what was, though it is none of it: a newer daemon may know more. Never read as markup."""
    choices = field.choices if field.was in field.choices else (field.was, *field.choices)
    return [(Text(clean(choice) or field.none), choice) for choice in choices]
