"""Who are you?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import SecretStr
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Select, Static

from llmgate.contexts.naming import readable_on_the_way
from llmgate.contexts.target import Target
from llmgate.errors import LLMGateError
from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.errors import told
from llmgate.tui.twin import twin
from llmgate.tui.widgets.entry import Entry

WAYS = (
    ("Log in", "login"),
    ("Make the first administrator, with the setup token", "setup"),
    ("Make an account, with a registration token", "register"),
)

CONTEXTS = "contexts"
"""The answer of who wants to go to another daemon instead."""
Try = Callable[[str, SecretStr, str, SecretStr], Awaitable[Target]]
"""Way, token, name, password: where to go then, or raises what was wrong with them."""


class Login(Dialog[Target | str]):
    """Asks until it is right; answers with where to go then, with CONTEXTS, or with None when it was left."""

    DEFAULT_CSS = """
    Login .label { width: 12; color: $text-muted; }
    Login Horizontal.field { height: 1; }
    Login Input, Login Select { width: 1fr; }
    Login #token-field { display: none; }
    Login.-token #token-field, Login.-token #again-field { display: block; }
    Login #again-field { display: none; }
    """

    def __init__(
        self, url: str, context: str | None, reason: str, attempt: Try, *, name: str = "", accounts: bool = True
    ) -> None:
        """``accounts``: whether one can be made here as well."""
        super().__init__()
        self._ways = WAYS if accounts else WAYS[:1]
        self._url, self._known_as, self._reason, self._try, self._user = url, context, reason, attempt, name
        self._sending = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Log in to {clean(self._url)}")
            if self._reason:
                yield Static(Content(clean(self._reason)), classes="note")
            if readable_on_the_way(self._url):
                yield Static(
                    Content("Careful: this is not encrypted; the password can be read on the way."), classes="fault"
                )
            yield from _field("way", Select(self._ways, value="login", allow_blank=False, compact=True, id="way"))
            with Horizontal(classes="field", id="token-field"):
                yield Static("token", classes="label")
                yield Entry(password=True, compact=True, id="token")
            yield from _field("name", Entry(clean(self._user), compact=True, id="name"))
            yield from _field("password", Entry(password=True, compact=True, id="password"))
            with Horizontal(classes="field", id="again-field"):
                yield Static("again", classes="label")
                yield Entry(password=True, compact=True, id="again")
            yield Static(classes="fault", id="fault")
            yield Static(classes="twin", id="twin")
            with Horizontal(classes="buttons"):
                yield Button("Contexts", id="contexts", compact=True)
                yield Button("Cancel", id="cancel", compact=True)
                yield Button("Log in", id="login", variant="primary", compact=True)

    def on_mount(self) -> None:
        self.query_one("#password" if self._user else "#name").focus()
        self._tell()

    @on(Select.Changed, "#way")
    @on(Input.Changed, "#name")
    def _tell(self) -> None:
        way = str(self.query_one("#way", Select).value)
        self.set_class(way != "login", "-token")
        name = self.query_one("#name", Input).value
        options = [f"--{way}"] if way != "login" else []
        options += ["--name", name] if name else []
        options += ["--context", self._known_as] if self._known_as else ["--url", self._url]
        self.query_one("#twin", Static).update(Content(f"$ {twin('login', options=options)}"))

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        last = "again" if self.has_class("-token") else "password"
        if event.input.id == last:
            self.send()
        else:
            self.app.action_focus_next()

    @on(Button.Pressed, "#login")
    def send(self) -> None:
        way = str(self.query_one("#way", Select).value)
        typed = {name: self.query_one(f"#{name}", Input).value for name in ("token", "name", "password", "again")}
        if not typed["name"] or not typed["password"]:
            self._fault("A name and a password are needed.")
        elif way != "login" and not typed["token"].strip():
            self._fault("A token is needed.")
        elif way != "login" and typed["password"] != typed["again"]:
            self._fault("The password is not the same twice.")
        elif not self._sending:
            self._sending = True
            self._send(way, SecretStr(typed["token"].strip()), typed["name"], SecretStr(typed["password"]))

    @work(exclusive=True, description="log in")
    async def _send(self, way: str, token: SecretStr, name: str, password: SecretStr) -> None:
        button = self.query_one("#login", Button)
        button.disabled = True
        self._fault("")
        try:
            answer = await self._try(way, token, name, password)
        except LLMGateError as failure:
            self._fault(told(failure))
            self.query_one("#password", Input).focus()
        else:
            self.dismiss(answer)
        finally:
            self._sending = button.disabled = False

    def _fault(self, text: str) -> None:
        self.query_one("#fault", Static).update(Content(text))

    @on(Button.Pressed, "#contexts")
    def elsewhere(self) -> None:
        self.dismiss(CONTEXTS)

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        self.dismiss(None)


def _field(label: str, widget: Input | Select[str]) -> ComposeResult:
    with Horizontal(classes="field"):
        yield Static(Content(label), classes="label")
        yield widget
