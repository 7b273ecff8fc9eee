"""The daemon that the dashboard shows, and how fresh is what it shows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmgate.client import AdminClient
from llmgate.contexts.target import Target
from llmgate.errors import LLMGateError

STALE_SECONDS = 5.0
"""Without an answer for so long, what is shown is called stale, whatever the reason."""


@dataclass(slots=True)
class Link:
    """One daemon. ``told`` is when it was heard last, on the clock ``now``, in seconds; ``failure`` why not since."""

    target: Target
    client: AdminClient
    now: Callable[[], float]
    user: str = ""
    role: str = ""
    told: float | None = None
    failure: LLMGateError | None = None

    def heard(self) -> None:
        """Something came from the daemon."""
        self.told, self.failure = self.now(), None

    def missed(self, failure: LLMGateError) -> None:
        """It could not be reached."""
        self.failure = failure

    @property
    def age(self) -> float:
        """Seconds since the daemon was heard."""
        return 0.0 if self.told is None else max(0.0, self.now() - self.told)

    @property
    def stale(self) -> bool:
        return self.failure is not None or (self.told is not None and self.age > STALE_SECONDS)
