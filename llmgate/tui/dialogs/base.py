"""What all dialogs look like."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual._styles_cache import StylesCache
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import ScreenResume, Unmount
from textual.screen import ModalScreen

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A box in the middle of the screen that asks for something. Esc answers with ``None``."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 76; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border: round $primary; border-title-color: $text-primary;
        border-title-style: bold; padding: 0 1;
    }
    Dialog .twin { color: $text-muted; width: 1fr; height: auto; margin: 1 0 0 0; }
    Dialog .buttons { height: auto; width: 1fr; align-horizontal: right; margin: 1 0 0 0; }
    Dialog .buttons Button { margin: 0 0 0 2; min-width: 10; height: 1; border: none !important; line-pad: 1; }
    Dialog .buttons Button:disabled { border: none !important; text-style: dim; }
    Dialog .buttons Button:disabled:ansi, Dialog .buttons Button.-active:ansi { border: none !important; }
    Dialog .buttons Button:focus { text-style: reverse bold; }
    Dialog .fault { color: $text-error; width: 1fr; height: auto; }
    Dialog .note { color: $text-muted; width: 1fr; height: auto; }
    Dialog.-danger > .box { border: round $error; border-title-color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]
    _answer: tuple[Result | None] | None = None

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Answer. Behind another dialog it waits until that one is answered: Textual takes down whichever is seen."""
        if self.app.screen is self:
            done: AwaitComplete = super().dismiss(result)
            return done
        self._answer = (result,)
        return AwaitComplete()

    def on_screen_resume(self, event: ScreenResume) -> None:
        if self._answer is not None:
            self.dismiss(self._answer[0])

    def on_unmount(self, event: Unmount) -> None:
        """Let go of what was drawn. Textual caches two colours with the drawer of each widget as a part of the key, and
        so keeps the pictures of a thousand widgets that are gone: some hundred dialogs were tens of megabytes."""
        StylesCache.get_inner_outer.cache_clear()

    def action_leave(self) -> None:
        self.dismiss(None)


class Reading(Dialog[None]):
    """Something to read, in a VerticalScroll: it may be longer than the screen."""

    DEFAULT_CSS = """
    Reading VerticalScroll { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "leave", "Close"),
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("pagedown,ctrl+f", "scroll_by(10)", show=False),
        Binding("pageup,ctrl+b", "scroll_by(-10)", show=False),
        Binding("home,g", "scroll_by(-100000)", show=False),
        Binding("end,G", "scroll_by(100000)", show=False),
    ]

    def action_scroll_by(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
