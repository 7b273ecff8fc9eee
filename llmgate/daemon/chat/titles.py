"""Titles of conversations, as texts: the first line of a question, and what a model has answered to be one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 60
"""Characters of a title."""
UNTITLED: Final = "New conversation"
"""What a conversation is called whose question has no words, but pictures perhaps."""

_LOOKED_AT: Final = 8_000
_LONGEST_LINE: Final = 400
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_LEADING = re.compile(r"(?:#{1,6}\s+|>\s?|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+|\|\s*)")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_MARKS = re.compile(r"`+|(?<!\w)(?:\*{1,3}|_{1,3}|~~)(?=\S)|(?<=\S)(?:\*{1,3}|_{1,3}|~~)(?!\w)")
_LABEL = re.compile(
    r"^(?:the\s+|conversation\s+|chat\s+)*(?:title|titel|titre|titolo|título|tytuł|заголовок|название|标题|標題|タイトル|제목)"
    r"\s*[:\uff1a]\s*",
    re.IGNORECASE,
)
_QUOTES: Final = '"`\u00ab\u00bb\u201a\u201c\u201d\u201e\u2039\u203a\u300a\u300b\u300c\u300d\u300e\u300f '
_APOSTROPHES: Final = "'\u2018\u2019"
"""Quotation marks as well, where there is one at both ends."""
_EXCUSES = re.compile(r"(?:i['\u2019]m sorry|i am sorry|i can(?:no|['\u2019])t|as an ai)\b", re.IGNORECASE)
_STOPS: Final = ".\u3002"
_MOST_WORDS: Final = 12
_LONGEST_ANSWER: Final = 100
"""More words or characters are an explanation, and no title."""
_JOINERS: Final = "\u200c\u200d"
"""Invisible, but words of some scripts and many emoji need them."""


def first_line(text: str) -> str:
    """A title out of a question: its first line with words, as plain text, at most ``LONGEST`` characters.

    A line outside of code is taken where there is one.
    """
    words, code, rest = "", "", ""
    for line, is_code in _lines(text[:_LOOKED_AT]):
        plain = plain_line(line if is_code else _unmarked(line))
        if not any(character.isalnum() for character in plain):
            rest = rest or plain
        elif is_code:
            code = code or plain
        else:
            words = plain
            break
    return shortened(words or code or rest) or UNTITLED


def cleaned(answer: str) -> str | None:
    """The title in what a model has answered, None when there is none: without what it thought, quotation marks, a
    label, Markdown and a full stop; at most ``LONGEST`` characters."""
    answer = answer[:_LOOKED_AT]
    if "<think>" in answer:  # some servers do not tell thinking from answers
        answer = answer.partition("</think>")[2]
    for line, _ in _lines(answer):
        title = _undressed(plain_line(_unmarked(line)))
        if title.endswith((":", "\uff1a")) or not any(character.isalnum() for character in title):
            continue  # "Here is a title:"
        if len(title) > _LONGEST_ANSWER or len(title.split()) > _MOST_WORDS or _EXCUSES.match(title):
            return None
        return shortened(title)
    return None


def _undressed(line: str) -> str:
    before = None
    while line != before:
        before = line
        line = _LABEL.sub("", line.strip(_QUOTES), count=1)
        if len(line) > 2 and line[0] in _APOSTROPHES and line[-1] in _APOSTROPHES:
            line = line[1:-1]
        if not line.endswith("..."):
            line = line.rstrip(_STOPS)
    return line


def plain_line(text: str) -> str:
    """``text`` on one line, without what is invisible or changes the direction of what follows."""
    visible = (_visible(character) for character in text)
    return " ".join("".join(visible).split()).strip(_JOINERS)


def shortened(line: str) -> str:
    """At most ``LONGEST`` characters, cut between two words where there are any."""
    if len(line) <= LONGEST:
        return line
    end = LONGEST - 1
    blank = line.rfind(" ", LONGEST // 2, end + 1)
    if blank != -1:
        end = blank
    else:
        while end > LONGEST // 2 and _belongs_to_the_one_before(line, end):
            end -= 1
    return line[:end].rstrip(" ,;:.-" + _JOINERS) + "…"


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is in a block of code."""
    is_code = False
    for line in text.splitlines():
        if _FENCE.match(line):
            is_code = not is_code
        elif line.strip():
            yield line.strip()[:_LONGEST_LINE], is_code


def _unmarked(line: str) -> str:
    """A line of Markdown without its marks."""
    while (mark := _LEADING.match(line)) is not None:
        line = line[mark.end() :]
    return _MARKS.sub("", _LINK.sub(r"\1", line))


def _visible(character: str) -> str:
    if character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp", "Zs"}:
        return " "
    return "" if category in {"Cf", "Cs", "Co", "Cn"} else character


def _belongs_to_the_one_before(line: str, index: int) -> bool:
    """Whether a cut before this character would tear one that people see as a whole."""
    return (
        line[index] in _JOINERS
        or line[index - 1] in _JOINERS
        or unicodedata.category(line[index]) in {"Mn", "Me", "Mc"}
        or "\U0001f3fb" <= line[index] <= "\U0001f3ff"
    )
