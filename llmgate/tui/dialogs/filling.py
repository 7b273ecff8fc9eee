"""A form on the screen: judged as one types, sent, and kept with everything in it when the daemon refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Button, Input, Select, Static

from llmgate.client import AdminClient
from llmgate.errors import LLMGateError
from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.errors import told
from llmgate.tui.forms import Field, Fill, Form, Kind
from llmgate.tui.forms.fields import fill
from llmgate.tui.twin import forced
from llmgate.tui.widgets.hints import Hints

NONE = "(none)"
"""How a choice of nothing is shown."""
SWITCH = (("yes", "on"), ("no", "off"))


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
                options = [(choice or NONE, choice) for choice in field.choices]
                yield Select(options, value=field.was, allow_blank=False, compact=True, id=f"field-{field.name}")
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

    def _line(self, field: Field, id: str, hint: str) -> Input:  # noqa: A002  as Textual calls it
        was = "" if field.kind is Kind.SECRET else clean(field.was)
        known = _Known(self._current, field.suggest) if field.suggest is not None else None
        return Input(
            was, placeholder=clean(hint), password=field.kind is Kind.SECRET, suggester=known, compact=True, id=id
        )

    def on_mount(self) -> None:
        self.query("Input, Select").first().focus()
        self._judge()

    # -- typing --------------------------------------------------------------------------------

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        kind, _, name = (event.input.id or "").partition("-")
        (self._again if kind == "again" else self._typed)[name] = event.value
        self._changed(name)

    @on(Select.Changed)
    def chosen(self, event: Select.Changed) -> None:
        name = (event.select.id or "").partition("-")[2]
        self._typed[name] = str(event.value)
        self._changed(name)

    def _changed(self, name: str) -> None:
        if self._typed[name] != next(field.was for field in self._form.fields if field.name == name):
            self._touched.add(name)
        self._refuse("")
        self._judge()
        complaint = self.query_one(f"#complaint-{name}")
        if complaint.has_class("-shown"):
            complaint.call_after_refresh(complaint.scroll_visible, animate=False)

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
                faults.setdefault(field.name, "is not the same twice")
            seen = everything or (field.name in self._touched and not (field.repeated and not self._again))
            complaint = self.query_one(f"#complaint-{field.name}", Static)
            text = faults.get(field.name, "") if seen else ""
            complaint.update(Content(clean(text)))
            complaint.set_class(bool(text), "-shown")
        self.query_one("#twin", Static).update(Content(f"$ {found.twin}"))
        return Fill(found.values, faults, found.twin, found.body)

    # -- sending -------------------------------------------------------------------------------

    @on(Input.Submitted)
    def entered(self) -> None:
        self.action_send()

    @on(Button.Pressed, "#send")
    def action_send(self) -> None:
        found = self._judge(everything=True)
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
            self.query_one(f"#field-{known[0]}").focus()

    @work(exclusive=True)
    async def _send(self, found: Fill) -> None:
        self._busy(True)
        try:
            result = await self._sent(found)
        except LLMGateError as failure:
            self._refuse(told(failure))
            self._failed(failure)
        else:
            if result is not None:
                self.dismiss(result)
        finally:
            self._busy(False)

    async def _sent(self, found: Fill) -> Any:
        """What came of it; None when it would have locked its author out, and that is not wanted."""
        body = found.body if self._form.body is not None else found.values
        try:
            return await self._form.send(self._current(), body, False)
        except LLMGateError as warning:
            if type(warning) not in self._form.warnings:
                raise
            question = Confirm(warning.message, "Do it all the same", forced(found.twin))
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
            self.app.push_screen(Confirm("Throw away what you typed?", "Throw away"), self._left)
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

    async def get_suggestion(self, value: str) -> str | None:
        try:
            found = await self._suggest(self._client(), value)
        except LLMGateError:
            return None
        return None if found is None else clean(found)
