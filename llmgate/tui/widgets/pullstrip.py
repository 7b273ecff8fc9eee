"""The pulls that run, one line each, below what else is seen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from llmgate.text import clean
from llmgate.tui.progress import Pull, amount, bar, percent, speed

LINES = 3
"""More of them are only counted."""
CELLS = 16
"""Of a bar."""


class PullStrip(Static):
    """Not there while nothing is pulled."""

    DEFAULT_CSS = """
    PullStrip { height: auto; display: none; background: $surface; padding: 0 1;
                text-wrap: nowrap; text-overflow: ellipsis; }
    PullStrip.-any { display: block; }
    """

    def tell(self, pulls: Sequence[Pull], now: float) -> None:
        """Show how far these have come, at ``now`` on the monotonic clock."""
        lines = [line(pull, now) for pull in pulls[:LINES]]
        if len(pulls) > LINES:
            lines.append(Content(f"  and {len(pulls) - LINES} more: see the view Pulls"))
        self.set_class(bool(lines), "-any")
        text = Content("\n").join(lines)
        if text != self.content:
            self.update(text)


def line(pull: Pull, now: float) -> Content:
    """One pull."""
    figures = [amount(pull.completed, pull.total), speed(pull.rate(now)), pull.status]
    return Content.assemble(
        (f"↓ {clean(pull.model)}  ", "$text-primary bold"),
        (bar(pull.part, CELLS), "$text-accent"),
        f" {percent(pull.part)}  ",
        (clean("  ".join(figure for figure in figures if figure)), "$text-muted"),
    )
