"""How much of the gateway's memory the bodies of waiting requests, and large answers, may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from llmgate.errors import LimitExceeded, QueueFull, TooManyConcurrent

OWNER_SHARE = 4
"""One principal may take a fourth of it, so that one cannot lock out all others."""
RETRY_AFTER = 10.0
MOST_READS = 4
"""Large answers that one principal may have at once."""
READ_RETRY_AFTER = 1.0
SLICE_BYTES: Final = 64 * 1024
"""So much of a large answer is handed over at once: the next waits until the client has taken most of what came
before. What was handed over is nobody's memory here any more, but it is still in memory."""


def last_slice(size: int) -> int:
    """Where the last slice begins of so many bytes; 0 for what goes out in one piece."""
    return max(0, size - 1) // SLICE_BYTES * SLICE_BYTES


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
    """Counts the bytes of all bodies that are held, from before they are read until their request has ended, and those
    of large answers until they were taken. ``limit`` tells how many there may be now."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held = 0
        self._held_by: Counter[str] = Counter()
        self._of: dict[Hashable, tuple[str, int]] = {}

    @property
    def share(self) -> int:
        """Bytes that one principal may hold now."""
        return self._limit() // OWNER_SHARE

    @property
    def in_use(self) -> int:
        """Bytes that are held now."""
        return self._held

    def reservation(self, request: Hashable, owner: str) -> Callable[[int], None]:
        """A function that reserves so many bytes more for ``request``. It raises LimitExceeded when this
        owner's share is used up, QueueFull when everything is."""

        def reserve(size: int) -> None:
            limit = self._limit()
            if self._held_by[owner] + size > self.share:
                raise LimitExceeded(
                    "Your requests, and answers that you have not taken, hold too much memory.",
                    hint="Let some of them finish.",
                    retry_after=RETRY_AFTER,
                )
            if self._held + size > limit:
                raise QueueFull("Requests and answers hold all the memory there is for them.", retry_after=RETRY_AFTER)
            self._held += size
            self._held_by[owner] += size
            self._of[request] = (owner, self._of.get(request, (owner, 0))[1] + size)

        return reserve

    def answered(self, request: Hashable, owner: str, size: int) -> None:
        """``request`` holds an answer of so many bytes as well. It counts when it is large, but never for more than is
        left of what this owner may have: one at a time is always possible. Raises LimitExceeded, or QueueFull."""
        if size > SLICE_BYTES:
            own = self._of[request][1] if request in self._of else 0
            self.reservation(request, owner)(min(size, max(0, self.share - own)))

    def forget(self, request: Hashable) -> None:
        """The request has ended."""
        owner, size = self._of.pop(request, ("", 0))
        self._held -= size
        self._held_by[owner] -= size
        if not self._held_by[owner]:
            del self._held_by[owner]


@contextmanager
def held(bodies: BodyBudget, owner: str, size: int) -> Iterator[None]:
    """Within this block so many bytes count as memory of this owner, but never more than it may have: one at a time
    is always possible. Raises LimitExceeded, or QueueFull."""
    key = object()
    bodies.reservation(key, owner)(min(size, bodies.share))
    try:
        yield
    finally:
        bodies.forget(key)
