"""What all dialogs look like."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
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
    Dialog .buttons Button { margin: 0 0 0 2; min-width: 10; height: 1; border: none; line-pad: 1; }
    Dialog .buttons Button:focus { text-style: reverse bold; }
    Dialog .fault { color: $text-error; width: 1fr; height: auto; }
    Dialog .note { color: $text-muted; width: 1fr; height: auto; }
    Dialog.-danger > .box { border: round $error; border-title-color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]

    def action_leave(self) -> None:
        self.dismiss(None)
