"""Who are you?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Select, Static

from llmgate.contexts.naming import readable_on_the_way
from llmgate.errors import LLMGateError
from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.errors import told
from llmgate.tui.twin import twin

WAYS = (
    ("Log in", "login"),
    ("Make the first administrator, with the setup token", "setup"),
    ("Make an account, with a registration token", "register"),
)

Try = Callable[[str, str, str, str], Awaitable[None]]
"""Way, token, name, password: raises what was wrong with them."""


class Login(Dialog[bool]):
    """Asks until it is right; answers False when it was left."""

    DEFAULT_CSS = """
    Login .label { width: 12; color: $text-muted; }
    Login Horizontal.field { height: 1; }
    Login Input, Login Select { width: 1fr; }
    Login #token-field { display: none; }
    Login.-token #token-field { display: block; }
    """

    def __init__(self, url: str, context: str | None, reason: str, attempt: Try, *, name: str = "") -> None:
        super().__init__()
        self._url, self._known_as, self._reason, self._try, self._user = url, context, reason, attempt, name

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Log in to {clean(self._url)}")
            if self._reason:
                yield Static(Content(clean(self._reason)), classes="note")
            if readable_on_the_way(self._url):
                yield Static(
                    Content("Careful: this is not encrypted; the password can be read on the way."), classes="fault"
                )
            yield from _field("way", Select(WAYS, value="login", allow_blank=False, compact=True, id="way"))
            with Horizontal(classes="field", id="token-field"):
                yield Static("token", classes="label")
                yield Input(password=True, compact=True, id="token")
            yield from _field("name", Input(clean(self._user), compact=True, id="name"))
            yield from _field("password", Input(password=True, compact=True, id="password"))
            yield Static(classes="fault", id="fault")
            yield Static(classes="twin", id="twin")
            with Horizontal(classes="buttons"):
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
        if event.input.id == "password":
            self.send()
        else:
            self.app.action_focus_next()

    @on(Button.Pressed, "#login")
    def send(self) -> None:
        values = {name: self.query_one(f"#{name}", Input).value for name in ("token", "name", "password")}
        if not values["name"] or not values["password"]:
            self._fault("A name and a password are needed.")
            return
        self._send(
            str(self.query_one("#way", Select).value), values["token"].strip(), values["name"], values["password"]
        )

    @work(exclusive=True)
    async def _send(self, way: str, token: str, name: str, password: str) -> None:
        button = self.query_one("#login", Button)
        button.disabled = True
        try:
            await self._try(way, token, name, password)
        except LLMGateError as failure:
            self._fault(told(failure))
            self.query_one("#password", Input).focus()
            button.disabled = False
        else:
            self.dismiss(True)

    def _fault(self, text: str) -> None:
        self.query_one("#fault", Static).update(Content(text))

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        self.dismiss(False)


def _field(label: str, widget: Input | Select[str]) -> ComposeResult:
    with Horizontal(classes="field"):
        yield Static(Content(label), classes="label")
        yield widget
