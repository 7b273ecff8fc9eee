"""What went wrong, on a screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llmgate.errors import AuthenticationFailed, LLMGateError, WouldLockOut
from llmgate.text import clean

Warnings = tuple[type[LLMGateError], ...]
"""Refusals that are only a warning: what was refused can be done all the same, with force."""
LOCKED_OUT: Warnings = (WouldLockOut,)


LOOKING = "Nothing is changed from here: the dashboard was started with --read-only."
"""Why something is refused that would change something."""
LONGEST = 500
"""Characters of a message that are shown: what is longer is no sentence any more."""
_ODD = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


def told(failure: LLMGateError) -> str:
    """A sentence, and what to do about it; the request's id where it is the gateway's own failure."""
    hint = failure.hint or ""
    if isinstance(failure, AuthenticationFailed) and "llmgate login" in hint:
        hint = ""  # the dashboard asks for it itself
    parts = [shortened(failure.message), shortened(hint)]
    if failure.request_id and type(failure) is LLMGateError:
        parts.append(f"Request: {shortened(failure.request_id)}")
    return clean(" ".join(part for part in parts if part))


def shortened(text: str) -> str:
    """``text``, cut where it is longer than a message can be."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@contextmanager
def understood() -> Iterator[None]:
    """An answer that is not what it should be must not end the dashboard: what it makes fail here is raised as an
    LLMGateError, to be told like any other."""
    try:
        yield
    except LLMGateError:
        raise
    except _ODD as odd:
        raise LLMGateError("The daemon answered something that is not understood.") from odd
