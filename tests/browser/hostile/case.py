"""One hostile output of a model, and how it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

#: A host that must never be asked for anything.
HOST = "trap.invalid"
#: What a script calls that got through. A test gives the page this function and expects no call.
CALL = "trapped()"

#: Characters; longer texts come in few pieces: one character at a time would only take long.
CHARACTERS = 400
FEW, MANY = 3, 12


@dataclass(frozen=True, slots=True)
class Case:
    """`parts` are texts and how often each is repeated, so that giant texts stay small in the file.

    `cuts`: "whole", "characters", or where the text is cut, in characters from the beginning.
    """

    name: str
    parts: tuple[tuple[str, int], ...]
    cuts: str | tuple[int, ...]

    @property
    def number(self) -> int:
        """In its group, from 1."""
        return int(self.name.rpartition("-")[2])

    @property
    def text(self) -> str:
        return "".join(text * times for text, times in self.parts)

    def chunks(self) -> list[str]:
        """The text in the pieces in which it arrives."""
        text = self.text
        if self.cuts == "whole":
            return [text]
        if self.cuts == "characters":
            return list(text)
        ends = [*(cut for cut in self.cuts if isinstance(cut, int)), len(text)]
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def document(self) -> dict[str, Any]:
        cuts = self.cuts if isinstance(self.cuts, str) else list(self.cuts)
        return {"name": self.name, "parts": [list(part) for part in self.parts], "cuts": cuts}


def case(name: str, *parts: tuple[str, int], way: int) -> Case:
    """A case that arrives in one of three ways: at once, by characters, or cut at places that its name decides."""
    length = sum(len(text) * times for text, times in parts)
    if way % 3 == 0:
        return Case(name, parts, "whole")
    if way % 3 == 1 and length <= CHARACTERS:
        return Case(name, parts, "characters")
    # Where a text is cut is no secret, but has to be the same every time.
    cuts = min(MANY if length <= CHARACTERS else FEW, max(1, length - 1))
    places = Random(name).sample(range(1, max(2, length)), cuts)  # noqa: S311
    return Case(name, parts, tuple(sorted(places)))


def cases(group: str, *texts: str) -> list[Case]:
    return [case(f"{group}-{number}", (text, 1), way=number) for number, text in enumerate(texts, 1)]


def giants(group: str, *texts: tuple[tuple[str, int], ...]) -> list[Case]:
    return [case(f"{group}-{number}", *parts, way=2 * number) for number, parts in enumerate(texts, 1)]
