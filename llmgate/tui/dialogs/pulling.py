"""A pull as it goes: a bar for each upstream. It can be left, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, ProgressBar, Static

from llmgate.text import clean, seconds
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.dialogs.confirm import Confirm
from llmgate.tui.errors import told
from llmgate.tui.progress import Pull, Share, amount, speed
from llmgate.tui.twin import shown_twin
from llmgate.tui.widgets.hints import Hints

LOOK_SECONDS = 0.5
"""How often it is looked at how far it has come."""
GOES_ON = "Esc leaves this picture: the pull goes on, and its line stays below the list of models."


class Pulling(Dialog[None]):
    """``stop`` ends the pull; it is asked for here."""

    DEFAULT_CSS = """
    Pulling VerticalScroll { height: auto; max-height: 100%; }
    Pulling .share { height: auto; width: 1fr; margin: 0 0 1 0; }
    Pulling .share Horizontal { height: 1; width: 1fr; }
    Pulling .share .name { width: 18; height: 1; text-style: bold; text-overflow: ellipsis; text-wrap: nowrap; }
    Pulling .share ProgressBar { width: 1fr; height: 1; }
    Pulling .share ProgressBar Bar { width: 1fr; }
    Pulling .share ProgressBar Bar > .bar--bar { background: $secondary-muted; }
    Pulling:ansi .share ProgressBar Bar > .bar--bar { background: ansi_bright_black; }
    Pulling .share .words { color: $text-muted; width: 1fr; height: auto; padding: 0 0 0 18; }
    Pulling .share.-bad .words { color: $text-error; }
    Pulling .share.-good .words { color: $text-success; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Leave"),
        Binding("x", "stop", "Stop it"),
    ]

    def __init__(self, pull: Pull, clock: Callable[[], float], stop: Callable[[Pull], None]) -> None:
        super().__init__()
        self._pull, self._clock, self._stop_it = pull, clock, stop
        self._lines: dict[str, _Line] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(clean(f"Pull {self._pull.model}"))
            yield VerticalScroll(can_focus=False)
            yield Static(classes="note", id="words")
            yield Static(Content(f"$ {shown_twin(self.app, self._pull.twin, self._pull.at)}"), classes="twin")
            with Horizontal(classes="buttons"):
                yield Button("Stop it (x)", id="stop", compact=True)
                yield Button("Leave it running", id="leave", variant="primary", compact=True)
        yield Hints()

    def on_mount(self) -> None:
        self.query_one("#leave").focus()
        self.set_interval(LOOK_SECONDS, self._look)
        self._look()

    def _look(self) -> None:
        pull = self._pull
        for name, share in list(pull.shares.items()):
            if name not in self._lines:
                self._lines[name] = _Line(share, self._clock)
                self.query_one(VerticalScroll).mount(self._lines[name])
            elif self._lines[name].is_mounted:
                self._lines[name].show()
        if pull.running:
            text = GOES_ON if pull.shares else "Asking the upstreams …"
        elif pull.stopped:
            text = "It is stopped. Pulled again, it goes on where it was."
        elif pull.failed:
            text = " ".join(["It has failed.", *([told(pull.failure)] if pull.failure else [])])
        else:
            text = "It is there."
        self.query_one("#words", Static).update(Content(text))
        self.query_one("#stop", Button).display = pull.running
        self.query_one("#leave", Button).label = "Leave it running" if pull.running else "Close"
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What has ended cannot be stopped: then there is no hint either."""
        return action != "stop" or self._pull.running

    @on(Button.Pressed, "#leave")
    def left(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#stop")
    @work(exclusive=True, group="stop")
    async def action_stop(self) -> None:
        if await self.app.push_screen_wait(question(self._pull)):
            self._stop_it(self._pull)


def question(pull: Pull) -> Confirm:
    """Before a pull is stopped."""
    return Confirm(f"Stop the pull of {pull.model}?", "Stop it", consequence="Pulled again, it goes on where it was.")


class _Line(Vertical):
    """One upstream."""

    def __init__(self, share: Share, clock: Callable[[], float]) -> None:
        super().__init__(classes="share")
        self._share, self._clock = share, clock

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(Content(clean(self._share.upstream)), classes="name")
            yield ProgressBar(total=100, show_eta=False)
        yield Static(classes="words")

    def on_mount(self) -> None:
        self.show()

    def show(self) -> None:
        """Show how far it has come."""
        share, rate = self._share, self._share.rate(self._clock())
        self.query_one(ProgressBar).update(progress=int(share.part * 100))
        left = f"{seconds((share.total - share.completed) / rate)} left" if rate and rate >= 1 else ""
        doing = share.error or ("done" if share.done else share.status)
        parts = [amount(share.completed, share.total), speed(rate), left, doing]
        self.query_one(".words", Static).update(Content(clean("  ·  ".join(part for part in parts if part))))
        self.set_class(bool(share.error), "-bad")
        self.set_class(share.done and not share.error, "-good")
