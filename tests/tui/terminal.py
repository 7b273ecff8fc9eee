"""The dashboard as its user has it: a process of its own on a pseudo terminal, whose screen is read as it is drawn."""

from __future__ import annotations

import asyncio
import fcntl
import re
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pyte

from tests.cli.harness import OnTerminal, on_terminal

PATIENCE = 30.0
COLUMNS, LINES = 80, 24
# Questions to the terminal and its newer modes, which the emulator would write on the screen.
_UNKNOWN = re.compile(r"\x1b\[[<>=?][0-9;]*\$?[a-zA-Z]|\x1b_[^\x1b]*\x1b\\|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


@dataclass(slots=True)
class Seat:
    """Somebody before the terminal."""

    terminal: OnTerminal
    screen: pyte.Screen
    stream: pyte.Stream
    read: int = 0

    @property
    def lines(self) -> list[str]:
        drawn = self.terminal.shown[self.read :]
        self.read += len(drawn)
        self.stream.feed(_UNKNOWN.sub("", drawn))
        return [line.rstrip() for line in self.screen.display]

    def press(self, keys: str) -> None:
        self.terminal.type(keys)

    async def moves_to(self, label: str, keys: str) -> None:
        """Press keys that move the cursor to this line: what is typed before it is there would go elsewhere."""
        self.press(keys)
        async with asyncio.timeout(PATIENCE):
            while label not in self.lines[self.screen.cursor.y]:
                await self.terminal.more()

    async def sees(self, text: str) -> str:
        """Wait until this is on the screen; the line that it is in."""
        return await self._until(text, there=True)

    async def sees_no_more(self, text: str) -> None:
        """Wait until this is not on the screen."""
        await self._until(text, there=False)

    async def _until(self, text: str, *, there: bool) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = [line for line in self.lines if text in line]
                    if bool(found) is there:
                        return found[0] if found else ""
                    await self.terminal.more()
        except TimeoutError:
            picture = "\n".join(self.lines)
            raise AssertionError(f"{text!r} is{' not' if there else ' still'} on the screen:\n{picture}") from None


@asynccontextmanager
async def seat(home: Path, *arguments: str) -> AsyncIterator[Seat]:
    """`llmgate tui` on a terminal of 80 × 24 cells, with its files in ``home``."""
    async with on_terminal("tui", *arguments, directory=home) as terminal:
        fcntl.ioctl(terminal.side, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        screen = pyte.Screen(COLUMNS, LINES)
        yield Seat(terminal, screen, pyte.Stream(screen))
