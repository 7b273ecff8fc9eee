"""Slows guessing down: after some failures each further attempt has to wait, twice as long every time."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llmgate.daemon.auth.ip_whitelist import one_client
from llmgate.errors import GatewayBusy, LimitExceeded, TooManyAttempts

_FORGET_AFTER = 3600.0
_MOST_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class _Patience:
    """``free`` failures cost nothing; then the delay grows to ``longest`` seconds."""

    free: int
    longest: float


_WITH_NAME = _Patience(free=4, longest=900)
# Several people may share an address, behind a proxy or a router: one who guesses must not keep them out for long.
_WITH_ADDRESS = _Patience(free=49, longest=30)


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last: float = 0.0


class LoginThrottle:
    """Counts failed attempts per name (or token) and address, and more leniently per address alone.

    From the fifth failure of a name from one address on, the next attempt waits 1, 2, 4 … seconds, at most 15
    minutes; from the fiftieth failure of an address on, whatever names it tries, at most 30 seconds. An account is
    never locked for other addresses. An IPv6 address stands for its /64, which is what one customer gets. Failures
    are forgotten after an hour without any.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()

    @contextmanager
    def attempt(self, name: str, address: str) -> Iterator[None]:
        """Around one check of a secret. Raises TooManyAttempts, with ``retry_after``, while it is too early.

        The attempt counts as failed from the start, so that a hundred at once are not a hundred free guesses; it is
        forgiven when the block ends well, or fails because we were busy.
        """
        network = one_client(address)
        person, source = (name[:200].casefold(), network), ("", network)
        delay = max(self._delay(person, _WITH_NAME), self._delay(source, _WITH_ADDRESS))
        if delay > 0:
            raise TooManyAttempts(
                "There were too many failed attempts.", hint=f"Try again in {math.ceil(delay)} s.", retry_after=delay
            )
        self._count(person)
        self._count(source)
        try:
            yield
        except (GatewayBusy, LimitExceeded):
            self._forgive(person)
            self._forgive(source)
            raise
        self._records.pop(person, None)
        self._forgive(source)

    def _delay(self, key: tuple[str, str], patience: _Patience) -> float:
        """Seconds until the next attempt may be made."""
        record = self._records.get(key)
        if record is None or record.failures <= patience.free:
            return 0
        pause = min(patience.longest, 2.0 ** min(record.failures - patience.free - 1, 20))
        return max(0.0, record.last + pause - self._clock())

    def _count(self, key: tuple[str, str]) -> None:
        now = self._clock()
        record = self._records.setdefault(key, _Record())
        if now - record.last > _FORGET_AFTER:
            record.failures = 0
        record.failures += 1
        record.last = now
        self._records.move_to_end(key)
        if len(self._records) > _MOST_REMEMBERED:
            self._records.popitem(last=False)

    def _forgive(self, key: tuple[str, str]) -> None:
        record = self._records.get(key)
        if record is not None:
            record.failures -= 1
