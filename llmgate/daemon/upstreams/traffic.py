"""What a request says about the health of its upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from llmgate.daemon.upstreams.health import ALIVE, BEGUN, Kind, Sign, sign_of
from llmgate.daemon.upstreams.pool import Member
from llmgate.errors import UpstreamError, UpstreamRefused

Report = Callable[[Sign, bool], None]


class Traffic:
    """Watches one request on one upstream, as a context manager around it.

    Bytes are proof of life: the head of a good answer ends the trial of an upstream that is being tried again,
    the first part of it forgives what failed before. ``owner`` is whose request it is. ``report`` takes the
    sign, and whether no request on this upstream got a byte since this one began.
    """

    __slots__ = ("_clock", "_good", "_member", "_owner", "_report", "_started_at", "_status")

    def __init__(self, member: Member, clock: Callable[[], float], report: Report, owner: str = "") -> None:
        self._member = member
        self._clock = clock
        self._report = report
        self._owner = owner
        self._status: int | None = None
        self._good = False

    def __enter__(self) -> Self:
        self._member.hold()
        self._started_at = self._clock()
        return self

    def answered(self, status: int = 200) -> None:
        """The head of the answer has come."""
        self._status = status
        self._member.heard_at = self._clock()
        if status == 200:
            self._report(BEGUN, False)

    def progressed(self) -> None:
        """A part of the answer has come."""
        self._member.heard_at = self._clock()
        if not self._good and self._status == 200:
            self._good = True
            self._report(ALIVE, False)

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._judge(failure)
        finally:
            self._member.let_go()

    def _judge(self, failure: BaseException | None) -> None:
        if failure is None:
            if not self._good:
                self._report(ALIVE, False)
            return
        sign = self._sign(failure)
        if sign is not None:
            self._report(replace(sign, owner=self._owner), self._member.heard_at < self._started_at)

    def _sign(self, failure: BaseException) -> Sign | None:
        if self._status in (401, 403):
            return Sign(Kind.FORBIDDEN, f"it refuses our credentials ({self._status})")
        if self._status == 429 and isinstance(failure, UpstreamRefused):
            return Sign(Kind.LIMITED, "it limits our rate", retry_after=failure.retry_after)
        if isinstance(failure, UpstreamError):
            return sign_of(failure, probe=False)
        return None  # the client hung up, or the request was at fault
