"""What went wrong, on a screen."""

from __future__ import annotations

from llmgate.errors import LLMGateError, WouldLockOut
from llmgate.text import clean

Warnings = tuple[type[LLMGateError], ...]
"""Refusals that are only a warning: what was refused can be done all the same, with force."""
LOCKED_OUT: Warnings = (WouldLockOut,)


def told(failure: LLMGateError) -> str:
    """A sentence, and what to do about it; the request's id where it is the gateway's own failure."""
    parts = [failure.message, failure.hint or ""]
    if failure.request_id and type(failure) is LLMGateError:
        parts.append(f"Request: {failure.request_id}")
    return clean(" ".join(part for part in parts if part))
