"""A conversation as Markdown (CommonMark), to be read as text or as a page.

What was said is Markdown itself, and may hold anything: a fence that is never closed, headings, HTML. So each message
is a block quote, which ends everything that was begun inside of it, and what a reader would take for HTML is written
out, but for code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.messages import Message

_SPECIAL = re.compile(r"[\\`*_\[\]<>&~|#$]")
_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`]*$)|~{3,})")
_MAYBE_FENCE = re.compile(r"[\s>*+\-0-9.)]*(```|~~~)")
_TICKS = re.compile(r"`+")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def document(conversation: Conversation, branch: Sequence[Message]) -> str:
    """The conversation with the messages of one branch. What the model has thought is not in it."""
    lines = [f"# {_plain(conversation.title)}", "", f"{_plain(conversation.model)}, {_time(conversation.created_at)}"]
    if conversation.system:
        lines += ["", "## System prompt", "", *quoted(conversation.system)]
    for message in branch:
        lines += ["", f"## {_heading(message)}", ""]
        lines += quoted(message.content)
        lines += [line for image in message.images for line in ("", f"Picture: {image.media_type}, {image.size} bytes")]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> Iterator[str]:
    """The lines of a text as a block quote. A carriage return ends a line, too: behind it the quote would be over."""
    for line in _defused(re.split(r"\r\n|\n|\r", text.strip())):
        yield f"> {line}".rstrip()


def _defused(lines: Sequence[str]) -> Iterator[str]:
    """The lines with their HTML written out, except in what every reader takes for code.

    That are fences at the beginning of a line, as long as no other one is in sight, perhaps of a list: whether it is
    one depends on all that came before. And spans inside of one line that every reader pairs alike.
    """
    fence, in_doubt, is_open = "", False, False
    for line in lines:
        found = _FENCE.match(line)
        if fence and not _has_tab_before(line, fence):
            if found and found[2].startswith(fence) and not line[found.end() :].strip():
                fence = ""
            yield line
        elif found and not found[1] and not in_doubt:
            fence, is_open = found[2], False
            yield _without_tags(line)
        else:
            in_doubt = in_doubt or bool(fence) or bool(_MAYBE_FENCE.match(line))
            fence = ""
            is_open = bool(line.strip()) and (is_open or not _has_whole_spans(line))
            yield _without_tags(line) if in_doubt or is_open else _outside_of_spans(line)


def _has_tab_before(line: str, fence: str) -> bool:
    """Whether a tab stands before what may be the end of this code: how far it moves that depends on the quote."""
    text = line.lstrip()
    return text.startswith(fence) and "\t" in line[: len(line) - len(text)]


def _has_whole_spans(line: str) -> bool:
    """Whether all backquotes of a line belong to spans that begin and end in it, for everybody. A span of an earlier
    line that is still open would turn it around; so may a cell of a table, a backslash, or the target of a link."""
    left = "".join(part for is_code, part in _parts(line) if not is_code)
    if "`" in left or "](" in line or "]:" in line:
        return False
    return "`" not in line or ("|" not in line and "\\" not in line)


def _outside_of_spans(line: str) -> str:
    return "".join(part if is_code else _without_tags(part) for is_code, part in _parts(line))


def _parts(line: str) -> Iterator[tuple[bool, str]]:
    """The line in pieces, and which of them are spans of code: from some backquotes to the next that are as many."""
    ticks = list(_TICKS.finditer(line))
    closings: list[int | None] = []
    """Of each: which one is the next that is as many. Found from the end, so that countless ones take no longer."""
    latest: dict[int, int] = {}
    for number in reversed(range(len(ticks))):
        length = len(ticks[number][0])
        closings.append(latest.get(length))
        latest[length] = number
    closings.reverse()
    at = number = 0
    while number < len(ticks):
        closing = closings[number]
        if closing is not None:
            yield False, line[at : ticks[number].start()]
            at = ticks[closing].end()
            yield True, line[ticks[number].start() : at]
            number = closing
        number += 1
    yield False, line[at:]


def _without_tags(text: str) -> str:
    return _TAG.sub("&lt;", text)


def _heading(message: Message) -> str:
    who = "You" if message.role == "user" else _plain(message.model or "Model")
    ended = f" ({message.outcome})" if message.outcome in ("stopped", "failed") else ""
    return f"{who}, {_time(message.created_at)}{ended}"


def _plain(text: str) -> str:
    """A text of one line that means nothing in Markdown."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
