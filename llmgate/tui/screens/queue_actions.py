"""What can be done about who waits, and about a whole pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static

from llmgate import schemas
from llmgate.text import clean
from llmgate.tui.acting import Action, ending, telling
from llmgate.tui.columns import Row
from llmgate.tui.desk import Desk
from llmgate.tui.dialogs import Dialog
from llmgate.tui.twin import twin

LEVELS = (1, 2, 3, 4, 5)
MOVE = "queue level"


class LevelChoice(Dialog[int]):
    """Answers with a level: a digit takes it at once, Enter the one under the cursor."""

    DEFAULT_CSS = """
    LevelChoice > .box { width: 64; }
    LevelChoice OptionList { height: auto; border: none; padding: 0; background: $surface; }
    LevelChoice OptionList:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(level), f"take({level})", show=False) for level in LEVELS),
        Binding("j", "step(1)", show=False),
        Binding("k", "step(-1)", show=False),
    ]

    def __init__(self, row: schemas.Waiting) -> None:
        super().__init__()
        self._row = row

    def compose(self) -> ComposeResult:
        row = self._row
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Level for {clean(who(row))}, {clean(row.model)}")
            yield Static(Content(f"{row.ahead:,} ahead of it now. Its aging starts anew."), classes="note")
            yield OptionList(*(Content(self._described(level)) for level in LEVELS), markup=False)
            yield Static(classes="twin", id="twin")
            yield Static(Content("1 to 5, or Enter; Esc leaves it as it is"), classes="note")

    def _described(self, level: int) -> str:
        words = {LEVELS[0]: "served first", LEVELS[-1]: "served last"}
        now = ("aged, from here" if self._row.aged else "now") if level == self._row.level else ""
        return f"  {level}  " + " · ".join(word for word in (words.get(level, ""), now) if word)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = LEVELS.index(self._row.level)
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def looked_at(self, event: OptionList.OptionHighlighted) -> None:
        command = twin(MOVE, self._row.ticket_id, str(LEVELS[event.option_index]))
        self.query_one("#twin", Static).update(Content(f"$ {command}"))

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(LEVELS[event.option_index])

    def action_take(self, level: int) -> None:
        self.dismiss(level)

    def action_step(self, by: int) -> None:
        options = self.query_one(OptionList)
        (options.action_cursor_down if by > 0 else options.action_cursor_up)()


def who(row: schemas.Waiting | schemas.Running) -> str:
    """Whose request it is; a daemon of an older version tells no names."""
    return row.owner_name or row.owner


def choosing(key: str, label: str) -> Action[schemas.Waiting]:
    """Move the request to a level that is asked for."""

    async def does(desk: Desk, row: schemas.Waiting) -> None:
        level = await desk.ask(LevelChoice(row))
        if level is None:
            return
        if level == row.level and not row.aged:
            desk.say(f"It is at level {level} already.")
        else:
            await _move(desk, row, level)

    return Action(key, label, MOVE, does)


def stepping(key: str, label: str, by: int) -> Action[schemas.Waiting]:
    """Move the request by levels, at once; level 1 is served first."""

    async def does(desk: Desk, row: schemas.Waiting) -> None:
        await _move(desk, row, row.level + by)

    def possible(row: schemas.Waiting) -> str:
        return "" if row.level + by in LEVELS else f"It is at level {row.level} already."

    return Action(key, label, MOVE, does, possible=possible)


async def _move(desk: Desk, row: schemas.Waiting, level: int) -> None:
    client = desk.client
    row.level, row.aged = level, False  # the next key counts from here, although the daemon has not answered yet
    await desk.do(
        lambda force: client.set_level(row.ticket_id, level),
        twin(MOVE, row.ticket_id, str(level)),
        lambda place: f"{who(row)}: at level {place.level} now.",
    )


def pool_actions(
    pool: Callable[[Row], str], state: Callable[[Row], str] | None = None, *, hidden: bool = False
) -> tuple[Action[Row], ...]:
    """Pause, resume and drain the pool of the row. ``state`` is the pool's, where the row tells it."""

    def unless(*states: str) -> Callable[[Row], str]:
        return lambda row: f"It is {state(row)}." if state is not None and state(row) in states else ""

    pause = telling(
        "P",
        "Pause",
        lambda client, row: client.pool(pool(row), "pause"),
        verb="queue pause",
        named=pool,
        done=lambda row: f"The pool {pool(row)} is paused: nothing starts, requests wait.",
        possible=unless("paused"),
    )
    resume = telling(
        "R",
        "Resume",
        lambda client, row: client.pool(pool(row), "resume"),
        verb="queue resume",
        named=pool,
        done=lambda row: f"The pool {pool(row)} is resumed.",
        possible=unless("open", "offline"),
    )
    drain = ending(
        "D",
        "Drain",
        lambda row: f"Refuse every new request of the pool {pool(row)}?",
        lambda client, row, force: client.pool(pool(row), "drain"),
        verb="queue drain",
        named=pool,
        done=lambda row: f"The pool {pool(row)} drains: what waits is still served.",
        consequence="What waits is still served. Resume ends it.",
        possible=unless("draining"),
    )
    return tuple(replace(action, hidden=hidden) for action in (pause, resume, drain))
