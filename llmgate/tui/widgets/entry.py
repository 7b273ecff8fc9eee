"""A line to type into."""

from __future__ import annotations

from textual.widgets import Input

from llmgate.text import clean


class Entry(Input):
    """Takes no character that a terminal would obey: of what is pasted, they are left out.

    A secret is taken as it is: nothing of it is drawn.
    """

    def insert(self, text: str, index: int) -> None:
        super().insert(self._harmless(text), index)

    def replace(self, text: str, start: int, end: int) -> None:
        super().replace(self._harmless(text), start, end)

    def _harmless(self, text: str) -> str:
        if self.password or text.isprintable():
            return text
        return "".join(character for character in text if clean(character) == character)
