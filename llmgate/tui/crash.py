"""What is said when the dashboard itself fails: where, and nothing of what was in memory."""

from __future__ import annotations

import traceback

from pydantic import ValidationError
from textual.worker import WorkerFailed

from llmgate.text import clean

REPORT = "The dashboard has failed, which is a mistake in it: please report this. The daemon goes on."


def report(error: BaseException | None) -> str:
    """The traceback without any values: among them are passwords."""
    if isinstance(error, WorkerFailed):
        error = error.error
    parts: list[str] = []
    while error is not None:
        parts.insert(0, "".join([*traceback.format_tb(error.__traceback__), _named(error)]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return clean("\n\n".join([*parts, REPORT]), keep="\n")


def _named(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, ValidationError):  # its text holds what was judged
        places = [".".join(str(part) for part in fault["loc"]) for fault in error.errors(include_input=False)]
        return f"{name}: {error.title}: {', '.join(places)}"
    return f"{name}: {error}"
