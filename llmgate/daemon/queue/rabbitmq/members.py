"""Is a daemon there? What the dispatcher knows of each of them, and what it may conclude. Pure: no clock, no I/O.

The dispatcher pings every daemon several times a second. A ping to a daemon whose inbox is gone comes back from the
broker. That alone does not say that the daemon is dead: it may be frozen, or cut off, and still run requests.

| what was seen | state | its tickets | its slots |
|---|---|---|---|
| it answers | PRESENT | may be granted | in use as it tells |
| pings come back, and it answered until then | DEAD | dropped | free after ``settle_ms`` |
| pings come back, and it was silent before | LOST | dropped | *suspect*: it may still run what it ran |
| it does not answer | SILENT | are passed over | suspect |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

SILENT_SECONDS = 0.7
"""A daemon that has not answered for so long gets no grants."""
PROMPT_SECONDS = 1.5
"""A daemon whose inbox is gone, and that answered so shortly before, has not been frozen or cut off: it ended."""
RETURNS = 2
"""So many pings in a row must come back: a daemon that connects anew is away for a moment."""
SLEEP_SECONDS = 5.0
"""A process that did nothing for so long may have been taken for gone."""
SUSPECT_SECONDS = 60.0
"""So long a slot is kept for a daemon that may still run a request in it."""


class Presence(Enum):
    """See the module."""

    PRESENT = auto()
    SILENT = auto()
    LOST = auto()
    DEAD = auto()


@dataclass(slots=True)
class Member:
    """One daemon. Times are seconds on the dispatcher's clock."""

    boot: str
    heard_at: float
    """When it answered last; before it has answered, when the dispatcher learned of it."""
    has_answered: bool = False
    counted: bool = False
    """It has told this dispatcher what runs there."""
    pinged: int = 0
    """Number of the last ping."""
    announced: bool = False
    """All daemons have been told that it is gone."""
    audited: bool = False
    """It has been asked what waits there."""
    returned: int = 0
    """Pings in a row that came back."""
    returned_ping: int = 0
    returned_since: float = 0.0
    presence: Presence = Presence.SILENT
    least_ahead: float = float("inf")
    clock_ahead: float = 0.0
    """Seconds by which our clock is ahead of its own, if that is worth mentioning."""
    grants: set[str] = field(default_factory=set)
    ghosts: dict[str, int] = field(default_factory=dict)
    """By upstream, slots that it was last said to use and that no grant here accounts for."""
    freed: int = 0
    """Slots that were given to others without its word."""
    freed_at: float = 0.0

    @property
    def is_gone(self) -> bool:
        return self.presence in (Presence.DEAD, Presence.LOST)


def judge(member: Member, now: float, *, trust_returns: bool) -> Presence:
    """What the signs of this moment say.

    ``trust_returns`` is false shortly after the broker itself was away: then every inbox is gone, and means nothing.
    """
    silent_for = now - member.heard_at
    if member.returned >= RETURNS and trust_returns:
        if member.presence is Presence.DEAD:
            return Presence.DEAD
        was_prompt = member.returned_since - member.heard_at <= PROMPT_SECONDS
        return Presence.DEAD if was_prompt and member.presence is not Presence.LOST else Presence.LOST
    if member.has_answered and silent_for < SILENT_SECONDS:
        return Presence.PRESENT
    return member.presence if member.is_gone else Presence.SILENT


def may_free(member: Member, now: float, *, only_suspects: bool) -> bool:
    """Whether the slots that it holds may be given to others.

    ``only_suspects``: every slot of the pool is suspect. Then a daemon whose inbox is gone has to stand back at once,
    because progress goes before a limit that perhaps nobody uses.
    """
    if member.presence is Presence.DEAD:
        return True
    if member.presence is Presence.LOST and only_suspects:
        return True
    return member.presence is not Presence.PRESENT and now - member.heard_at >= SUSPECT_SECONDS


def degraded_shares(
    own: Mapping[str, int], slots: Mapping[str, int], others: Mapping[str, int] | None
) -> dict[str, int]:
    """The slots of each upstream that a daemon may use while there is no broker: those that it was using and, for
    the last dispatcher, those that nobody was using. ``others`` is what the last dispatcher knows of the others' use;
    None for everybody else."""
    if others is None:
        return {name: min(own.get(name, 0), count) for name, count in slots.items()}
    return {name: max(0, count - others.get(name, 0)) for name, count in slots.items()}


class StallWatch:
    """Whether this process itself stood still: a frozen daemon wakes up and does not know what it missed."""

    def __init__(self, now: float) -> None:
        self._noted_at = now
        self._slept_until = float("-inf")

    def note(self, now: float) -> None:
        """To be called every second."""
        if now - self._noted_at > SLEEP_SECONDS:
            self._slept_until = now
        self._noted_at = now

    def slept_lately(self, now: float) -> bool:
        """Whether what it knew of its slots may not hold any more."""
        return now - self._noted_at > SLEEP_SECONDS or now - self._slept_until < SLEEP_SECONDS
