"""How much happens per second: requests, tokens, first tokens, over the last seconds and over all daemons."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Self

from llmgate.daemon.events import Event, RequestFinished, RequestRefused
from llmgate.daemon.queue.ticket import Outcome

WINDOW = 10
"""Seconds that are looked back."""
SAMPLES = 200
"""First-token times that are kept of one second of one daemon."""
_DAEMONS = 256
"""Seconds of other daemons that are kept, of all daemons together, for each second of the window."""


@dataclass(slots=True)
class Second:
    """What ended within one second."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    first: list[float] = field(default_factory=list)
    """Seconds to the first byte of an answer, of up to ``SAMPLES`` requests."""

    def note(self, event: Event) -> None:
        if isinstance(event, RequestFinished):
            self.requests += 1
            self.errors += event.outcome is not Outcome.COMPLETED
            self.input_tokens += event.input_tokens or 0
            self.output_tokens += event.output_tokens or 0
            if event.first_byte is not None and len(self.first) < SAMPLES:
                self.first.append(event.first_byte)
        elif isinstance(event, RequestRefused):
            self.refused += 1

    def to_wire(self) -> list[Any]:
        *counts, first = astuple(self)
        return [*counts, [round(seconds, 4) for seconds in first]]

    @classmethod
    def from_wire(cls, told: Any) -> Self:
        """Raises ValueError or TypeError when it is none."""
        *counts, first = told
        requests, errors, refused, input_tokens, output_tokens = map(int, counts)
        return cls(requests, errors, refused, input_tokens, output_tokens, [float(one) for one in first[:SAMPLES]])


class Pulse:
    """A subscriber of the event bus that keeps a few numbers for each of the last seconds, and nothing else."""

    def __init__(self) -> None:
        self._now = Second()
        self._own: deque[Second] = deque(maxlen=WINDOW)
        self._others: deque[list[Second]] = deque([[]], maxlen=WINDOW)

    def __call__(self, event: Event) -> None:
        self._now.note(event)

    def turn(self) -> Second:
        """A second is over. Returns what this daemon has seen in it."""
        over, self._now = self._now, Second()
        self._own.append(over)
        self._others.append([])
        return over

    def heard(self, second: Second) -> None:
        """What another daemon has seen in its last second."""
        if len(self._others[-1]) < _DAEMONS:
            self._others[-1].append(second)

    def facts(self) -> dict[str, Any]:
        """The rates and percentiles of a ``stats`` event."""
        seconds = max(1, len(self._own))
        all_of_them = [*self._own, *(second for told in self._others for second in told)]
        first = sorted(one for second in all_of_them for one in second.first)
        return {
            "seconds": float(seconds),
            "requests_per_second": _rate((one.requests for one in all_of_them), seconds),
            "errors_per_second": _rate((one.errors for one in all_of_them), seconds),
            "refused_per_second": _rate((one.refused for one in all_of_them), seconds),
            "input_tokens_per_second": _rate((one.input_tokens for one in all_of_them), seconds),
            "output_tokens_per_second": _rate((one.output_tokens for one in all_of_them), seconds),
            "first_token_p50": _percentile(first, 0.50),
            "first_token_p95": _percentile(first, 0.95),
        }


def _rate(counts: Iterable[int], seconds: int) -> float:
    return round(sum(counts) / seconds, 3)


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4) if ordered else None
