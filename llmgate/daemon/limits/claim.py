"""One admitted request, as its principal's limits count it."""

from __future__ import annotations

from collections.abc import Callable

from llmgate.daemon.limits.tally import Tally


class Claim:
    """A request between its admission and its end. ``settle`` gives back what it holds; only the first call counts."""

    __slots__ = ("_clock", "_in_flight", "_minute", "_runs", "_settled", "_tally", "_tokens")

    def __init__(self, tally: Tally, clock: Callable[[], float], tokens: float) -> None:
        """Counts the request: it waits. ``tokens`` are those that it is expected to use."""
        self._tally = tally
        self._clock = clock
        self._tokens = tokens
        self._runs = False
        self._in_flight = True
        self._settled = False
        now = clock()
        tally.requests.add(1, now)
        self._minute = tally.tokens.add(tokens, now)
        tally.waiting += 1
        tally.unsettled += 1
        tally.reserved += tokens

    def runs(self, running: bool = True) -> None:
        """It has its turn, or waits again."""
        if not self._in_flight or running is self._runs:
            return
        self._runs = running
        self._tally.running += 1 if running else -1
        self._tally.waiting += -1 if running else 1

    def leave(self) -> None:
        """Its answer is complete: it is not in flight any more."""
        if self._in_flight:
            self._in_flight = False
            if self._runs:
                self._tally.running -= 1
            else:
                self._tally.waiting -= 1

    def settle(self, tokens: int) -> None:
        """It has ended, and has used so many tokens. What was expected is corrected in the minute of the admission,
        what it has used beyond that counts now."""
        if self._settled:
            return
        self._settled = True
        self.leave()
        tally, now = self._tally, self._clock()
        tally.unsettled -= 1
        tally.reserved = tally.reserved - self._tokens if tally.unsettled else 0.0  # no rounding errors are kept
        if tokens < self._tokens:
            tally.tokens.take_back(self._tokens - tokens, self._minute, now)
        else:
            tally.tokens.add(tokens - self._tokens, now)
        tally.ended += tokens
        tally.used_at = now
        if tally.spent is not None:
            tally.spent.today += tokens
            tally.spent.this_month += tokens
