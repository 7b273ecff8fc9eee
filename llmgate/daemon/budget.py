"""How much of the gateway's memory the bodies of waiting requests, and large answers, may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from llmgate.errors import LimitExceeded, QueueFull, TooManyConcurrent

OWNER_SHARE = 4
"""One principal may take a fourth of it, so that one cannot lock out all others."""
RETRY_AFTER = 10.0
MOST_READS = 4
"""Large answers that one principal may have at once."""
READ_RETRY_AFTER = 1.0


class Reads:
    """Counts the large answers of each principal, from before they are read until they were taken: how large one is
    is only known when it is in memory."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Within this block there is one more. Raises TooManyConcurrent."""
        if self._of[owner] >= MOST_READS:
            raise TooManyConcurrent(
                f"You read {MOST_READS} large answers at once.",
                hint="Let one of them finish.",
                retry_after=READ_RETRY_AFTER,
            )
        self._of[owner] += 1
        try:
            yield
        finally:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]


class BodyBudget:
    """Counts the bytes of all bodies that are held, from before they are read until their request has ended.
    ``limit`` tells how many there may be now."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held = 0
        self._held_by: Counter[str] = Counter()
        self._of: dict[Hashable, tuple[str, int]] = {}

    @property
    def share(self) -> int:
        """Bytes that one principal may hold now."""
        return self._limit() // OWNER_SHARE

    def reservation(self, request: Hashable, owner: str) -> Callable[[int], None]:
        """A function that reserves so many bytes more for ``request``. It raises LimitExceeded when this
        owner's share is used up, QueueFull when everything is."""

        def reserve(size: int) -> None:
            limit = self._limit()
            if self._held_by[owner] + size > self.share:
                raise LimitExceeded(
                    "Your waiting requests hold too much memory.",
                    hint="Let some of them finish.",
                    retry_after=RETRY_AFTER,
                )
            if self._held + size > limit:
                raise QueueFull("The waiting requests hold all the memory there is for them.", retry_after=RETRY_AFTER)
            self._held += size
            self._held_by[owner] += size
            self._of[request] = (owner, self._of.get(request, (owner, 0))[1] + size)

        return reserve

    def forget(self, request: Hashable) -> None:
        """The request has ended."""
        owner, size = self._of.pop(request, ("", 0))
        self._held -= size
        self._held_by[owner] -= size
        if not self._held_by[owner]:
            del self._held_by[owner]
