"""The dashboard in the test's own event loop, before a real daemon: keys go in, lines of the screen come out."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input, Static
from typer.core import TyperGroup
from typer.main import get_command

from llmgate.cli.main import build
from llmgate.client import AdminClient
from llmgate.contexts.session import remember
from llmgate.contexts.stored import Store
from llmgate.contexts.target import resolve
from llmgate.tui.app import Dashboard, Launch
from llmgate.tui.listing import Listing
from tests.admin.harness import PASSWORD, Site

PATIENCE = 10.0
"""Seconds after which what is waited for will not come."""
ROUNDS = 3
"""How often every widget is let do what was asked of it after a key: one thing leads to another."""
TICK = 0.1
"""Seconds between two looks of the dashboard: a test need not wait for its usual second."""

Kind = TypeVar("Kind", bound=Listing[Any])


@dataclass(frozen=True, slots=True)
class Hand:
    """Somebody at the keyboard."""

    app: Dashboard
    pilot: Pilot[None]
    site: Site

    @property
    def lines(self) -> list[str]:
        """The screen as it is seen, line by line; behind a dialog there is nothing."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def told(self) -> list[str]:
        """The words at the edge of the screen."""
        return [note.message for note in self.app._notifications]

    @property
    def twin(self) -> str:
        """The command that the form or the question shows, however many lines it takes."""
        return str(self.app.screen.query_one(".twin", Static).content).removeprefix("$ ")

    async def says_twin(self, command: str) -> None:
        """Wait until the form or the question shows this command."""

        def shown() -> bool:
            return self.twin == command

        await self.until(shown, command)

    async def press(self, *keys: str) -> None:
        """Keys as Textual names them: "n", "enter", "ctrl+s", "slash"."""
        for key in keys:
            await self.pilot.press(key)
            for _ in range(ROUNDS):
                await self.pilot._wait_for_screen()

    async def write(self, text: str) -> None:
        """Text into what has the focus, in one go, as a terminal hands over what is pasted."""
        self.app.post_message(Paste(text))
        await self.pilot.pause()

    async def to(self, field: str) -> None:
        """To a field of the form that is seen, by Tab."""
        for _ in range(len(self.app.screen.focus_chain)):
            before = self.app.focused
            if before is not None and before.id == f"field-{field}":
                return
            self.app.post_message(Key("tab", None))  # ``press`` would wait each time until everything stands still
            await self.until(lambda before=before: self.app.focused is not before, "the next field")  # type: ignore[misc]
        raise AssertionError(f"There is no field {field!r}. The screen is:\n{self.text}")

    async def enter(self, **fields: str) -> None:
        """Text into fields of the form that is seen, instead of what is there."""
        for field, text in fields.items():
            await self.to(field)
            line = self.app.screen.query_one(f"#field-{field}", Input)
            if line.value:
                self.app.post_message(Key("ctrl+u", None))
            await self.until(lambda line=line: line.value == "", "an empty field")  # type: ignore[misc]
            self.app.post_message(Paste(text))
            await self.until(lambda line=line, text=text: line.value == text, f"{text!r} in the field")  # type: ignore[misc]
        await self.pilot.pause(0.01)

    async def go(self, name: str) -> None:
        """To a section, by its key."""
        section = next(section for section in self.app.sections if section.name_ == name)
        await self.press(section.key)
        await self.until(lambda: type(self.app.screen) is section, f"the section {name}")

    def listing(self, kind: type[Kind]) -> Kind:
        """The list of this noun in the section that is seen."""
        found: Kind = self.app.screen.query_one(kind)
        return found

    async def filled(self, kind: type[Kind], *, again: bool = False) -> Kind:
        """The list, when the daemon has filled it; with ``again`` once more than now."""
        await self.until(lambda: bool(self.app.screen.query(kind)), f"{kind.__name__} on the screen")
        listing = self.listing(kind)
        loads = listing.loads if again else 0
        await self.until(lambda: listing.loads > loads, f"rows of {kind.__name__}")
        return listing

    async def on(self, kind: type[Kind], identity: str) -> Kind:
        """The list, when the cursor is on this row."""
        listing = await self.filled(kind)
        await self.until(lambda: listing.table.move_to(identity), f"the row {identity}")
        await self.pilot.pause()
        return listing

    async def seen(self, text: str) -> None:
        """Wait until this stands on the screen."""
        await self.until(lambda: text in self.text, f"{text!r} on the screen")

    async def gone(self, text: str) -> None:
        """Wait until this does not stand on the screen any more."""
        await self.until(lambda: text not in self.text, f"{text!r} gone from the screen")

    async def hears(self, text: str) -> str:
        """Wait for a word at the edge of the screen that holds this; all of it."""
        await self.until(lambda: any(text in note for note in self.told), f"the word {text!r} (there are {self.told})")
        return next(note for note in self.told if text in note)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something that is worked at elsewhere is done. Fails saying ``what`` was not, and what is seen."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await self.pilot.pause(0.01)
        except TimeoutError:
            raise AssertionError(f"Not within {PATIENCE} s: {what}. The screen is:\n{self.text}") from None


@asynccontextmanager
async def dashboard(
    site: Site,
    home: Path,
    *,
    size: tuple[int, int] = (120, 40),
    read_only: bool = False,
    name: str | None = "root",
    token: str = "",
    refresh: float = TICK,
) -> AsyncIterator[Hand]:
    """A dashboard for this daemon, logged in as ``name`` (None: not at all), with its files in ``home``.

    With ``token``, that is its credential, as where it is in the environment.
    """
    store = Store(home)
    if name is not None:
        async with AdminClient(site.url) as client:
            remember(store, "test", site.url, await client.login(name, PASSWORD))
    environ = {"LLMGATE_TOKEN": token} if token else {}
    target = resolve(store, environ, url=site.url, context=None, token_file=None)
    app = Dashboard(Launch(store, target, read_only, refresh, theme="llmgate-dark"))
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Hand(app, pilot, site)
        app.exit()  # as q does: the pilot takes the screens down while they are still worked at


def parses(twin: str) -> str:
    """The verb of a CLI twin, which must be a command that the command line takes: every option and argument."""
    program, *words = shlex.split(twin.strip().removeprefix("$ "))
    assert program == "llmgate", twin
    command: Any = get_command(build())
    context: Any = command.make_context("llmgate", words)
    path = []
    while isinstance(command, TyperGroup):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None, twin
        path.append(str(name))
        context = command.make_context(name, list(words), parent=context)
    return " ".join(path)
