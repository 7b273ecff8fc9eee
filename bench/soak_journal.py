"""What became of each request of a soak, as its client, its upstream and the gateway's own rows tell it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from llmgate.daemon.queue.ticket import Outcome


class Plan(IntEnum):
    """What the client has in mind when it asks."""

    STAYS = 0
    LEAVES_LINE = 1
    """Hangs up while it waits for its turn, or as soon as it has it."""

    LEAVES_SILENCE = 2
    """Hangs up when the upstream has begun and has not said anything."""

    LEAVES_MIDDLE = 3
    """Hangs up when the first piece of the answer is there."""


class End(IntEnum):
    """What the client has seen."""

    NONE = 0
    WHOLE = 1
    LEFT = 2
    FAILED = 3


NO_ROW: Final = 0
OUTCOMES: Final = ("", *Outcome)
"""An outcome by the number that it has in the journal."""

_NUMBERS: Final = {outcome: number for number, outcome in enumerate(OUTCOMES)}
MOST: Final = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. ``begun``: how often an upstream has begun it; ``told``: whether an answer was written to its end;
    ``rows``: how many the gateway has written of it."""

    plan: Plan
    end: End
    begun: int
    told: bool
    rows: int
    outcome: str

    @property
    def fault(self) -> str:
        """What must not be, or nothing. Begins with the word for it."""
        if self.end is End.NONE:
            return "lost: neither an answer nor an error"
        if self.begun > 1 or self.rows > 1:
            return "repeated: begun twice" if self.begun > 1 else "repeated: two rows of usage"
        if self.end is End.FAILED:
            return "failed"
        if self.end is End.WHOLE:
            return self._fault_of_whole()
        return self._fault_of_left()

    def _fault_of_whole(self) -> str:
        if not (self.begun and self.told):
            return "made up: an answer that no upstream has written"
        if not self.rows:
            return "lost: no row of usage"
        return "" if self.outcome == Outcome.COMPLETED else f"told otherwise: whole, but its row says {self.outcome}"

    def _fault_of_left(self) -> str:
        if not self.rows:  # who leaves the line may be gone before the gateway has read what it asks
            may_be = self.plan is Plan.LEAVES_LINE and not self.begun
            return "" if may_be else "lost: no row of usage"
        allowed = {Outcome.CLIENT_DISCONNECTED}
        if not self.begun:
            allowed.add(Outcome.CANCELLED_IN_QUEUE)
        if self.told:  # the answer was under way to the client before the hang-up had come to the gateway
            allowed.add(Outcome.COMPLETED)
        return "" if self.outcome in allowed else f"told otherwise: left, but its row says {self.outcome}"


@dataclass(slots=True)
class Journal:
    """Requests by their nonces, which are counted up; a byte for each fact."""

    plan: bytearray = field(default_factory=bytearray)
    end: bytearray = field(default_factory=bytearray)
    begun: bytearray = field(default_factory=bytearray)
    told: bytearray = field(default_factory=bytearray)
    rows: bytearray = field(default_factory=bytearray)
    outcome: bytearray = field(default_factory=bytearray)
    troubles: Counter[str] = field(default_factory=Counter)
    """Why answers were none, and whatever else went wrong."""

    def __len__(self) -> int:
        return len(self.plan)

    def ask(self, plan: Plan) -> int:
        """A new request; returns its nonce."""
        for facts in (self.end, self.begun, self.told, self.rows, self.outcome):
            facts.append(0)
        self.plan.append(plan)
        return len(self.plan) - 1

    def begin(self, nonce: int) -> None:
        """An upstream has begun it."""
        if nonce < len(self.plan):
            self.begun[nonce] = min(MOST, self.begun[nonce] + 1)
        else:
            self.troubles["made up: a request that nobody has asked"] += 1

    def write_row(self, nonce: int, outcome: str) -> None:
        """The gateway has written a row of it."""
        if nonce < len(self.plan):
            self.rows[nonce] = min(MOST, self.rows[nonce] + 1)
            self.outcome[nonce] = _NUMBERS[Outcome(outcome)]
        else:
            self.troubles["made up: a row of a request that nobody has asked"] += 1

    def entries(self) -> Counter[Entry]:
        """How many requests there are of each kind."""
        facts = Counter(zip(self.plan, self.end, self.begun, self.told, self.rows, self.outcome, strict=True))
        return Counter(
            {
                Entry(Plan(plan), End(end), begun, bool(told), rows, OUTCOMES[outcome]): count
                for (plan, end, begun, told, rows, outcome), count in facts.items()
            }
        )

    def faults(self) -> Counter[str]:
        """What must not be, and how often it was."""
        found: Counter[str] = Counter(self.troubles)
        for entry, count in self.entries().items():
            if entry.fault and entry.end is not End.FAILED:  # why those failed is among the troubles
                found[entry.fault] += count
        return found
