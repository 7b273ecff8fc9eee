"""What every error is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class LLMGateError(Exception):
    """Something went wrong inside llmgate."""

    code: ClassVar[str] = "internal_error"
    status: int = 500
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        subject: str | None = None,
    ) -> None:
        """``retry_after`` is in seconds; ``param`` names the field of the request at fault, ``subject`` is the id of
        what the error is about."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        self.retry_after = retry_after
        self.param = param
        self.subject = subject
        self.request_id: str | None = None
        """The daemon's id of the request that failed, in a client that was told it."""
        super().__init__(self.message)

    @classmethod
    def kinds(cls) -> Iterator[type[LLMGateError]]:
        """This error, and every kind of it."""
        yield cls
        for kind in cls.__subclasses__():
            yield from kind.kinds()

    def text(self) -> str:
        """What is wrong and what to do, as one line."""
        return f"{self.message} {self.hint}" if self.hint else self.message

    def problem(self, request_id: str | None = None) -> dict[str, Any]:
        """The error as an RFC 9457 problem document."""
        document: dict[str, Any] = {
            "type": f"urn:llmgate:error:{self.code}",
            "title": (type(self).__doc__ or "").strip().splitlines()[0],
            "status": self.status,
            "detail": self.message,
            "code": self.code,
        }
        if self.hint:
            document["hint"] = self.hint
        if self.param:
            document["param"] = self.param
        if self.subject:
            document["id"] = self.subject
        if request_id:
            document["request_id"] = request_id
        return document
