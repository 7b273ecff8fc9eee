"""What can be done about who waits, and about a whole pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import LLMGateError
from llmgate.text import clean
from llmgate.tui.acting import Action, ending, telling
from llmgate.tui.columns import Row
from llmgate.tui.desk import Desk
from llmgate.tui.dialogs import Dialog
from llmgate.tui.twin import shown_twin, twin

LEVELS = (1, 2, 3, 4, 5)
MOVE = "queue level"
SETTLED_SECONDS = 2.0
"""So long after a move the level of a list is not relied upon: it may have been on its way."""


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
        level = min(max(self._row.level, LEVELS[0]), LEVELS[-1])
        self.query_one(OptionList).highlighted = LEVELS.index(level)
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def looked_at(self, event: OptionList.OptionHighlighted) -> None:
        command = twin(MOVE, self._row.ticket_id, str(LEVELS[event.option_index]))
        self.query_one("#twin", Static).update(Content(f"$ {shown_twin(self.app, command)}"))

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


class Moves:
    """Moving requests to other levels. For each request the daemon is asked one thing after the other, and of what is
    wanted meanwhile only the last: two calls at once could arrive in any order."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[int, str], int] = {}
        self._moved: dict[tuple[int, str], tuple[int, float]] = {}
        """Where the daemon has put a request, and when: a list that was asked for before does not know it yet."""

    def choosing(self, key: str, label: str) -> Action[schemas.Waiting]:
        """Move the request to a level that is asked for."""

        async def does(desk: Desk, row: schemas.Waiting) -> None:
            level = await desk.ask(LevelChoice(row))
            if level is None:
                return
            if level == self._level(desk, row) and not row.aged:
                desk.say(f"It is at level {level} already.")
            else:
                self._move(desk, row, level)

        return Action(key, label, MOVE, does)

    def stepping(self, key: str, label: str, by: int) -> Action[schemas.Waiting]:
        """Move the request by levels, at once; level 1 is served first."""

        async def does(desk: Desk, row: schemas.Waiting) -> None:
            level = self._level(desk, row)
            if level + by in LEVELS:
                self._move(desk, row, level + by)
            else:
                desk.say(f"It is at level {level} already.", error=True)

        def possible(row: schemas.Waiting) -> str:
            return "" if row.level + by in LEVELS else f"It is at level {row.level} already."

        return Action(key, label, MOVE, does, possible=possible, quick=True)

    def _level(self, desk: Desk, row: schemas.Waiting) -> int:
        """Where it is, or will be when the daemon has done what it was asked for."""
        key = (id(desk.client), row.ticket_id)
        now = desk.clock()
        self._moved = {one: put for one, put in self._moved.items() if now - put[1] < SETTLED_SECONDS}
        return self._wanted.get(key, self._moved.get(key, (row.level, now))[0])

    def _move(self, desk: Desk, row: schemas.Waiting, level: int) -> None:
        row.level, row.aged = level, False  # the next key counts from here, although the daemon has not answered yet
        key = (id(desk.client), row.ticket_id)
        is_under_way = key in self._wanted
        self._wanted[key] = level
        if not is_under_way:
            desk.leave(self._send(desk, desk.client, row, key))

    async def _send(self, desk: Desk, client: AdminClient, row: schemas.Waiting, key: tuple[int, str]) -> None:
        try:
            sent = None
            while sent != self._wanted[key] and desk.client is client:
                sent = level = self._wanted[key]
                place = await desk.do(
                    lambda force, level=level: client.set_level(row.ticket_id, level),  # type: ignore[misc]
                    twin(MOVE, row.ticket_id, str(level)),
                    lambda place: f"{who(row)}: at level {place.level} now.",
                )
                if place is None:
                    return
                self._moved[key] = (place.level, desk.clock())
        finally:
            del self._wanted[key]


async def _pools(desk: Desk) -> Sequence[schemas.PoolStats]:
    """The pools as they are now, or else as the stream has told last."""
    try:
        return await desk.client.queue_stats()
    except LLMGateError:
        return desk.figures.pools if desk.figures else ()


def pausing(pool: Callable[[Row], str], possible: Callable[[Row], str]) -> Action[Row]:
    """Pause the pool of the row, after a question: it stops everybody, and its key is next to that for one request."""

    async def does(desk: Desk, row: Row) -> None:
        name, client = pool(row), desk.client
        command = twin("queue pause", name)
        known = [one for one in await _pools(desk) if one.pool == name]
        waiting = f"{known[0].waiting:,} now wait there. " if known else ""
        consequence = f"{waiting}Nothing starts there until it is resumed; what runs goes on."
        if await desk.sure(f"Pause the pool {name}, for everybody?", "Pause", command, consequence=consequence):
            done = f"The pool {name} is paused: nothing starts, requests wait."
            await desk.do(lambda force: client.pool(name, "pause"), command, done)

    return Action("P", "Pause", "queue pause", does, possible=possible)


def pool_actions(
    pool: Callable[[Row], str], state: Callable[[Row], str] | None = None, *, hidden: bool = False
) -> tuple[Action[Row], ...]:
    """Pause, resume and drain the pool of the row. ``state`` is the pool's, where the row tells it."""

    def unless(*states: str) -> Callable[[Row], str]:
        return lambda row: f"It is {state(row)}." if state is not None and state(row) in states else ""

    pause = pausing(pool, unless("paused"))
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
