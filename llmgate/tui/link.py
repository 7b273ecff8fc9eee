"""The daemon that the dashboard shows, and how fresh is what it shows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.contexts.target import Target
from llmgate.errors import AuthenticationFailed, LLMGateError
from llmgate.text import clean
from llmgate.tui.errors import shortened
from llmgate.tui.errors import told as in_words

STALE_SECONDS = 5.0
"""Without an answer for so long, what is shown is called stale, whatever the reason."""


@dataclass(slots=True)
class Link:
    """One daemon. ``told`` is when it was heard last, on the clock ``now``, in seconds; ``failure`` why not since.

    ``live`` is when its stream has told figures last, which it does each second; ``broken`` why it does not. Only the
    stream says whether what is shown is of this second: an answer to a question says nothing of the figures.

    ``denied`` is why it may not be asked: it is not asked again before somebody has logged in, or wants it to be.
    ``queue`` is how its queue does, as far as that is known.
    """

    target: Target
    client: AdminClient
    now: Callable[[], float]
    user: str = ""
    role: str = ""
    told: float | None = None
    failure: LLMGateError | None = None
    denied: LLMGateError | None = None
    queue: schemas.QueueStatus | None = None
    queue_asked: float | None = None
    live: float | None = None
    broken: LLMGateError | None = None
    begun: float = 0.0

    def __post_init__(self) -> None:
        self.begun = self.now()

    async def introduce(self) -> None:
        """Learn who is logged in there."""
        me = await self.client.me()
        self.user, self.role = me.name, me.role
        self.heard()

    def heard(self) -> None:
        """The daemon has answered."""
        self.told, self.failure = self.now(), None

    def listened(self) -> None:
        """The stream has told something."""
        self.heard()
        self.live, self.broken = self.told, None

    def missed(self, failure: LLMGateError) -> None:
        """It could not be reached."""
        self.failure = failure

    def lost(self, failure: LLMGateError) -> None:
        """The stream has ended."""
        self.broken = failure

    @property
    def age(self) -> float:
        """Seconds since the stream has told something."""
        return 0.0 if self.live is None else max(0.0, self.now() - self.live)

    @property
    def stale(self) -> bool:
        if self.broken is not None:
            return True
        if self.live is None:
            return self.failure is not None or self.now() - self.begun > STALE_SECONDS
        return self.age > STALE_SECONDS

    @property
    def fresh(self) -> str:
        """In two or three words: whether what is shown is of this second."""
        if self.denied is not None:
            return "○ NOT LOGGED IN" if isinstance(self.denied, AuthenticationFailed) else "○ NO ACCESS"
        if self.live is None:
            return ("○ NO ANSWER YET" if self.told is None else "○ NO FIGURES YET") if self.stale else "○ connecting"
        return f"STALE {whole(self.age)}" if self.stale else "● live"

    @property
    def trouble(self) -> str:
        """A sentence on what is wrong with it, "" when nothing is."""
        if self.denied is not None:
            return f"{in_words(self.denied)}  ·  C: log in, contexts   r: try again"
        if self.failure is not None and self.told is None and self.target.session is None:  # it may be the wrong one
            return f"C: choose or add a daemon  ·  {clean(self.failure.message)} It is tried again."
        broken = self.broken or (self.failure if self.live is None else None)
        if broken is not None:
            return f"{clean(shortened(broken.message))} It is tried again."
        if self.stale:
            silent = self.age if self.live is not None else self.now() - self.begun
            return f"{self.client.url} has told nothing for {whole(silent)}. It is tried again."
        if self.queue is not None and not (self.queue.serves and self.queue.state == "connected"):
            reason = f": {self.queue.reason.rstrip('.')}" if self.queue.reason else ""
            halted = "" if self.queue.serves else " No slot can be given there."
            return clean(f"The queue ({self.queue.backend}) is {self.queue.state}{reason}.{halted}")
        return ""


def whole(seconds: float) -> str:
    """A duration in whole seconds, minutes or hours: it is looked at while it grows."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
