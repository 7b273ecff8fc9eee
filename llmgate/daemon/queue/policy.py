"""Who goes next. Pure decisions: no clock, no I/O, no asyncio; every queue backend uses them.

The rules, for the tickets of one pool:

1. **Levels are strict.** A ticket of level 1 goes before any of level 2, and so on down to 5.
2. **Flows of a level share fairly.** The flow that was served the fewest weighted tokens (input + 2 *
   output, divided by its weight) goes next: ``flows.py``. Inside a flow: first come, first served.
3. **Waiting makes older, and older moves up.** A ticket moves one level up every ``aging_seconds``.
   Level 1 does not age, and aging does not lead to level 1: past level 2 waits the **aged lane**, one
   line, first submitted first served.
4. **The aged lane has a fixed share.** While it and any level both wait, it gets exactly
   ``aged_share`` of the grants. So ordinary traffic keeps the rest whatever happens, and every ticket
   is served after (level - 1) * aging_seconds plus the tickets before it in the aged lane /
   (aged_share * capacity) at the latest. When only one side waits, it gets the grant.
5. **Who cannot go holds nobody up.** A ticket that fits no free slot (its upstream is busy, or does not have
   the model) is passed over: the next in order that fits takes the slot.

A grant charges the ticket's estimated ``cost`` to its flow at the level it was served from (out of the
aged lane: at the level it was submitted); ``correct`` puts the real service in the estimate's place.
Counters are kept per level, because between levels there is no fairness that they could measure: a
flow that was held back at level 4 must not beat everyone at level 3 for as long as it takes to catch up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from llmgate.daemon.queue.flows import DEAD, LazyHeap, Line, Waiting
from llmgate.daemon.queue.ticket import LEVELS, Ticket

LAST_AGING_LEVEL = 2
"""What ages past this level enters the aged lane."""

AGED_LANE = 0
"""How the aged lane is written where a level is expected."""

LOOK_AHEAD = 256
"""So many tickets of either side are looked at for one that fits. The upstreams of a pool differ only while one
of them comes or goes, so that more that do not fit are rare, and soon gone."""

Fits = Callable[[Ticket], bool]


def anywhere(_: Ticket) -> bool:
    """Every ticket fits."""
    return True


@dataclass(frozen=True, slots=True)
class Turn:
    """A ticket whose turn it is, taken out of the line. ``aged`` says that it came out of the aged lane."""

    ticket: Ticket
    level: int
    aged: bool


@dataclass(frozen=True, slots=True)
class Promotion:
    """A ticket that aged from one level to another; ``to`` may be AGED_LANE."""

    ticket: Ticket
    came_from: int
    to: int


class WaitingLine:
    """What waits in one pool, and in which order. Times are seconds on the caller's clock.

    Every change costs O(log n). ``version`` changes with every change of the order.
    """

    def __init__(self, *, aging_seconds: float, aged_share: float) -> None:
        self._aging_seconds = aging_seconds
        self._aged_share = aged_share
        self._entries: dict[str, Waiting] = {}
        self._lines = {level: Line() for level in LEVELS}
        self._aged: LazyHeap[float, Waiting] = LazyHeap()
        self._aged_waiting = 0
        self._aged_credit = 0.0
        self._due: LazyHeap[float, Waiting] = LazyHeap()
        self._stamp = DEAD
        self.version = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        """The ids of all tickets, in no particular order."""
        return iter(self._entries)

    def __contains__(self, ticket_id: str) -> bool:
        return ticket_id in self._entries

    @property
    def aged_waiting(self) -> int:
        """Tickets in the aged lane."""
        return self._aged_waiting

    def waiting_by_level(self) -> dict[int, int]:
        """Tickets at each level, without the aged lane."""
        return {level: len(line) for level, line in self._lines.items()}

    def standing(self, ticket_id: str) -> Waiting:
        """A waiting ticket and where it stands: to be read, not to be changed."""
        return self._entries[ticket_id]

    def oldest(self) -> float | None:
        """When the ticket was submitted that waits longest. O(n)."""
        return min((entry.ticket.submitted_at for entry in self._entries.values()), default=None)

    def add(self, ticket: Ticket, now: float) -> None:
        """Put a ticket in line at the level that its age has earned: one that comes back keeps its place."""
        entry = Waiting(ticket, ticket.level, ticket.submitted_at)
        self._entries[ticket.id] = entry
        if ticket.level >= LAST_AGING_LEVEL:
            hops = max(0, int((now - ticket.submitted_at) // self._aging_seconds))
            hops = min(hops, ticket.level - 1)
            entry.since += hops * self._aging_seconds
            self._rise(entry, hops)
        self._enter(entry)

    def add_at(self, ticket: Ticket, level: int, *, aged: bool, since: float) -> None:
        """Put a ticket in line where somebody else has it: at this level since then, or in the aged lane."""
        entry = Waiting(ticket, level, since)
        entry.aged = aged
        self._entries[ticket.id] = entry
        self._enter(entry)

    def remove(self, ticket_id: str) -> bool:
        """Take a ticket out for good. False when it does not wait."""
        entry = self._entries.pop(ticket_id, None)
        if entry is None:
            return False
        self._leave(entry)
        return True

    def set_level(self, ticket_id: str, level: int, now: float) -> bool:
        """Move a ticket to another level, where its aging starts anew. False when it does not wait."""
        entry = self._entries.get(ticket_id)
        if entry is None:
            return False
        self._leave(entry)
        entry.level, entry.aged, entry.since = level, False, now
        self._enter(entry)
        return True

    def reshape(self, *, aging_seconds: float, aged_share: float) -> None:
        """From now on these hold, also for who waits: since when a ticket stands at its level stays true, and what has
        aged stays aged."""
        self._aging_seconds = aging_seconds
        self._aged_share = aged_share
        self.version += 1

    def next_due(self) -> float | None:
        """When ``age`` will have something to do."""
        entry = self._due.first()
        return entry.since + self._aging_seconds if entry else None

    def age(self, now: float) -> list[Promotion]:
        """Move up every ticket whose time has come. Late calls do not make anyone lose time."""
        promotions: list[Promotion] = []
        while (entry := self._due.first()) and entry.since + self._aging_seconds <= now:
            came_from = entry.level
            self._leave(entry)
            entry.since += self._aging_seconds
            self._rise(entry, 1)
            self._enter(entry)
            promotions.append(Promotion(entry.ticket, came_from, AGED_LANE if entry.aged else entry.level))
        return promotions

    def take_due(self, now: float) -> list[Waiting]:
        """Take out every ticket whose time at its level is up, for a queue that moves them up by other means."""
        due: list[Waiting] = []
        while (entry := self._due.first()) and entry.since + self._aging_seconds <= now:
            del self._entries[entry.ticket.id]
            self._leave(entry)
            due.append(entry)
        return due

    def take(self, fits: Fits = anywhere) -> Turn | None:
        """Take out the ticket that goes next of those that fit, and charge its flow; None when there is none."""
        entry = _first(self._aged.first(), self._aged.ordered, fits)
        ordinary = self._first_ordinary(fits)
        if ordinary is not None and (entry is None or not self._is_aged_turn()):
            entry = ordinary
        return self._serve(entry) if entry is not None else None

    def withdraw(self, ticket_id: str) -> Turn | None:
        """Take out a ticket whose turn somebody else has decided, and charge its flow; None when it does not wait."""
        entry = self._entries.get(ticket_id)
        return self._serve(entry) if entry is not None else None

    def counters(self, limit: int) -> dict[int, dict[str, float]]:
        """What the flows have been served, by level: at most ``limit`` flows of each, the active ones first."""
        return {level: line.counters(limit) for level, line in self._lines.items()}

    def adopt(self, counters: dict[int, dict[str, float]]) -> None:
        """Go on where somebody else's counters stand, while nothing waits here yet."""
        for level, of_level in counters.items():
            self._lines[level].adopt(of_level)

    def _serve(self, entry: Waiting) -> Turn:
        del self._entries[entry.ticket.id]
        turn = Turn(entry.ticket, entry.level, entry.aged)
        cost = entry.ticket.cost / entry.ticket.weight
        if entry.aged:
            self._leave(entry)
            self._lines[entry.ticket.level].charge(entry.ticket.flow, cost)
        else:
            self._leave(entry, served=cost)
        return turn

    def correct(self, turn: Turn, tokens: float) -> None:
        """Put the service really rendered, in weighted tokens, in the place of the estimate."""
        ticket = turn.ticket
        level = ticket.level if turn.aged else turn.level
        self._lines[level].charge(ticket.flow, (tokens - ticket.cost) / ticket.weight)
        self.version += 1

    def order(self) -> list[str]:
        """The ids of all tickets in the order in which they would go if nobody else came and time stood
        still. O(n log n): meant to be asked for now and then, not at every grant."""
        aged = [entry.ticket.id for entry in self._aged.ordered()]
        ordinary = [entry.ticket.id for line in self._lines.values() for entry in line.ordered()]
        return share_out(ordinary, aged, self._aged_share, self._aged_credit)

    def _first_ordinary(self, fits: Fits) -> Waiting | None:
        """Who goes next of the levels: mostly the first of the first."""
        lines = [line for line in self._lines.values() if len(line)]
        if not lines:
            return None
        return _first(lines[0].first(), lambda: (entry for line in lines for entry in line.ordered()), fits)

    def _is_aged_turn(self) -> bool:
        """Both sides could go: whose turn is it? The credit remembers what the aged lane is still owed."""
        is_aged, self._aged_credit = spend_credit(self._aged_credit, self._aged_share)
        return is_aged

    def _rise(self, entry: Waiting, levels: int) -> None:
        entry.aged = entry.level - levels < LAST_AGING_LEVEL
        entry.level = max(LAST_AGING_LEVEL, entry.level - levels)

    def _enter(self, entry: Waiting) -> None:
        self._stamp += 1
        self.version += 1
        entry.stamp = self._stamp
        if entry.aged:
            self._aged.push(entry.ticket.submitted_at, entry)
            self._aged_waiting += 1
            return
        self._lines[entry.level].add(entry)
        if entry.level >= LAST_AGING_LEVEL:
            self._due.push(entry.since, entry)

    def _leave(self, entry: Waiting, served: float = 0.0) -> None:
        entry.stamp = DEAD
        self.version += 1
        if entry.aged:
            self._aged_waiting -= 1
        else:
            self._lines[entry.level].remove(entry, served)


def _first(head: Waiting | None, everyone: Callable[[], Iterable[Waiting]], fits: Fits) -> Waiting | None:
    """The first that fits. Only where the head does not, the order behind it has to be worked out."""
    if head is None or fits(head.ticket):
        return head
    return next((entry for entry in islice(everyone(), LOOK_AHEAD) if fits(entry.ticket)), None)


def spend_credit(credit: float, share: float) -> tuple[bool, float]:
    """One grant while both sides wait: does the aged lane get it, and what credit is left?

    >>> credit, turns = 0.0, []
    >>> for _ in range(8):
    ...     turn, credit = spend_credit(credit, 0.25)
    ...     turns.append(turn)
    >>> turns
    [False, False, False, True, False, False, False, True]
    """
    credit += share
    if credit < 1 - 1e-9:  # ten times 0.1 is a little less than 1
        return False, credit
    return True, credit - 1


def share_out(ordinary: list[str], aged: list[str], share: float, credit: float) -> list[str]:
    """Both sides in the order of their grants, from the present credit on."""
    merged: list[str] = []
    behind, ahead = iter(ordinary), iter(aged)
    o, a = next(behind, None), next(ahead, None)
    while o is not None and a is not None:
        is_aged, credit = spend_credit(credit, share)
        if is_aged:
            merged.append(a)
            a = next(ahead, None)
        else:
            merged.append(o)
            o = next(behind, None)
    rest = [first for first in (o, a) if first is not None]
    return [*merged, *rest, *behind, *ahead]
