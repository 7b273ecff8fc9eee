"""A terminal that is drawn anew in place, and left as it was found."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import RenderableType

from llmgate.cli.output import console

Paint = Callable[[int, int], Sequence[str]]
"""Makes the lines for so many columns and lines."""

_ENTER = "\x1b[?1049h\x1b[?25l"  # the other screen, without a cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Screen:
    """See ``screen``, which makes one."""

    def __init__(self, stream: TextIO, *, in_place: bool) -> None:
        self._stream = stream
        self._in_place = in_place
        self._paint: Paint = lambda width, height: ()
        self._keyboard: list[Any] | None = None
        self.terminated = False

    def draw(self, paint: Paint) -> None:
        """Show this, also when the size of the terminal changes."""
        self._paint = paint
        self.redraw()

    def redraw(self) -> None:
        width, height = shutil.get_terminal_size()
        # A line that ends in the last column leaves some terminals in a state in which erasing eats its end.
        lines = self._paint(width - 1, height)
        if self._in_place:
            # In one piece, over what stands there: nothing is empty for a moment, so nothing flickers.
            self._write(_HOME + "\n".join(line + _REST_OF_LINE for line in lines[:height]) + _REST_OF_SCREEN)
        else:
            self._write("\n".join((*lines, "", "")))

    def enter(self) -> None:
        if self._in_place:
            self._silence_keyboard()
            self._write(_ENTER)

    def leave(self) -> None:
        if self._in_place:
            self._write(_LEAVE)
            if self._keyboard is not None:
                # What was typed meanwhile was meant for nobody, least of all for the shell.
                termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, self._keyboard)

    def suspend(self) -> None:
        """Ctrl-Z: the shell gets its own screen."""
        self.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.enter()
        self.redraw()

    def _silence_keyboard(self) -> None:
        if not sys.stdin.isatty():
            return
        self._keyboard = termios.tcgetattr(sys.stdin)
        silent = termios.tcgetattr(sys.stdin)
        silent[3] &= ~termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def screen(stream: TextIO) -> Iterator[Screen]:
    """Until the end of the block the terminal is a picture. For coroutines: it follows the size, Ctrl-Z, SIGTERM.

    A terminal that cannot move its cursor gets one picture after the other.
    """
    shown = Screen(stream, in_place=os.environ.get("TERM", "dumb") not in ("dumb", "unknown", ""))
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def terminate() -> None:
        shown.terminated = True
        if task is not None:
            task.cancel()

    handlers = {signal.SIGWINCH: shown.redraw, signal.SIGTSTP: shown.suspend, signal.SIGTERM: terminate}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    shown.enter()
    try:
        yield shown
    except asyncio.CancelledError:
        if shown.terminated:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        shown.leave()
        for number in handlers:
            loop.remove_signal_handler(number)


def lines_of(drawn: RenderableType, width: int, style: str | None = None) -> list[str]:
    """What is drawn, as lines for a terminal."""
    paper = io.StringIO()
    target = console(paper, width=width)
    target.print(drawn, style=style)
    return paper.getvalue().removesuffix("\n").split("\n")
