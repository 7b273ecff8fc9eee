"""What pydantic found wrong, in words that name the field and never repeat its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from llmgate.errors import InvalidRequest

Body = TypeVar("Body", bound=BaseModel)


def compose(kind: type[Body], /, **values: Any) -> Body:
    """A wire type of these values. Raises InvalidRequest, saying what is wrong with them."""
    try:
        return kind(**values)
    except ValidationError as failure:
        faults = faults_of(failure.errors(include_url=False, include_input=False, include_context=False))
        raise InvalidRequest(explain(faults)) from None


def faults_of(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Field and message of each error."""
    return [{"field": _field(error["loc"]), "message": _message(error["msg"])} for error in errors]


def explain(faults: Sequence[Mapping[str, str]]) -> str:
    """The faults as one sentence each."""
    return " ".join(
        f"{fault['field']}: {fault['message']}." if fault["field"] else f"{fault['message']}." for fault in faults
    )


def _field(location: Sequence[str | int]) -> str:
    parts = [str(part)[:64] for part in location if part not in ("body", "query", "path")]
    return ".".join(parts)


def _message(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
