"""Fairness between the flows of one level: the virtual token counter.

Source: Sheng et al., "Fairness in Serving Large Language Models" (OSDI '24), algorithm 2. Every flow
has a counter of the weighted tokens it was served; the flow with the smallest goes next. A flow that
becomes active is lifted to the smallest counter among the active ones (or to that of the flow that
left last when none is), so that nobody saves up credit by being idle.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice
from typing import Generic, Protocol, TypeVar

from llmgate.daemon.queue.ticket import Ticket

DEAD = 0
"""The stamp of an item that is in no heap any more. Living stamps are positive."""

IDLE_FLOWS = 4096
"""Counters of idle flows that one level remembers. Who is forgotten starts at the smallest active one."""


class Stamped(Protocol):
    """What can be put into a LazyHeap."""

    stamp: int


K = TypeVar("K", float, tuple[float, float])
S = TypeVar("S", bound=Stamped)


class LazyHeap(Generic[K, S]):
    """A heap whose items leave by changing their ``stamp``: O(log n) to push, nothing to remove.

    An entry counts as long as its item still bears the stamp that it was pushed with. The others are
    dropped when they reach the top, or all at once when there may be more of them than of the living.
    """

    __slots__ = ("_entries", "_sweep_at")

    def __init__(self) -> None:
        self._entries: list[tuple[K, int, S]] = []
        self._sweep_at = 64

    def push(self, key: K, item: S) -> None:
        if len(self._entries) >= self._sweep_at:
            self._entries = self._living()
            heapq.heapify(self._entries)
            self._sweep_at = 2 * len(self._entries) + 64
        heapq.heappush(self._entries, (key, item.stamp, item))

    def top(self) -> tuple[K, S] | None:
        """The smallest key and its item."""
        entries = self._entries
        while entries:
            key, stamp, item = entries[0]
            if item.stamp == stamp:
                return key, item
            heapq.heappop(entries)
        return None

    def first(self) -> S | None:
        """The item with the smallest key."""
        top = self.top()
        return top[1] if top else None

    def ordered(self) -> list[S]:
        """All items by key."""
        return [item for _, _, item in sorted(self._living())]

    def _living(self) -> list[tuple[K, int, S]]:
        return [entry for entry in self._entries if entry[2].stamp == entry[1]]


class Waiting:
    """A ticket in line: at which level it stands, since when, and whether it is in the aged lane."""

    __slots__ = ("aged", "level", "since", "stamp", "ticket")

    def __init__(self, ticket: Ticket, level: int, since: float) -> None:
        self.ticket = ticket
        self.level = level
        self.since = since
        self.aged = False
        self.stamp = DEAD


class Flow:
    """A flow at one level: its counter and, oldest first, what it has waiting there."""

    __slots__ = ("counter", "head", "name", "size", "stamp", "tickets")

    def __init__(self, name: str) -> None:
        self.name = name
        self.counter = 0.0
        self.size = 0
        self.stamp = DEAD
        self.head: Waiting | None = None
        self.tickets: LazyHeap[float, Waiting] = LazyHeap()


class Line:
    """The waiting tickets of one level, shared out between flows."""

    def __init__(self) -> None:
        self._active: dict[str, Flow] = {}
        self._idle: OrderedDict[str, Flow] = OrderedDict()
        self._by_counter: LazyHeap[tuple[float, float], Flow] = LazyHeap()
        self._left_last: Flow | None = None
        self._stamp = DEAD
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def counter(self, flow: str) -> float | None:
        """Weighted tokens on a flow's counter; None when it is not remembered."""
        known = self._active.get(flow) or self._idle.get(flow)
        return known.counter if known else None

    def counters(self, limit: int) -> dict[str, float]:
        """The counters of at most ``limit`` flows, the active ones first, then those that left last."""
        known = islice(chain(self._active.values(), reversed(self._idle.values())), limit)
        return {flow.name: flow.counter for flow in known}

    def adopt(self, counters: dict[str, float]) -> None:
        """Take over counters that were kept elsewhere, for flows that are not known here."""
        for name, counter in counters.items():
            if name not in self._active and name not in self._idle:
                flow = Flow(name)
                flow.counter = counter
                if self._left_last is None or counter < self._left_last.counter:
                    self._left_last = flow  # a flow that is new to all starts level with the least served of these
                self._remember(flow)

    def first(self) -> Waiting | None:
        """Who goes next: the oldest ticket of the flow with the smallest counter."""
        flow = self._by_counter.first()
        return flow.head if flow else None

    def add(self, entry: Waiting) -> None:
        """Put a stamped ticket in line, by ``submitted_at`` and then by stamp."""
        ticket = entry.ticket
        flow = self._active.get(ticket.flow) or self._activate(ticket.flow)
        flow.tickets.push(ticket.submitted_at, entry)
        flow.size += 1
        self._size += 1
        self._head_may_have_changed(flow)

    def remove(self, entry: Waiting, served: float = 0.0) -> None:
        """Take a ticket out whose stamp is not that of its place here any more; ``served`` is charged."""
        flow = self._active[entry.ticket.flow]
        flow.counter += served
        flow.size -= 1
        self._size -= 1
        if not flow.size:
            self._deactivate(flow)
        elif served:
            self._requeue(flow)
        else:
            self._head_may_have_changed(flow)

    def charge(self, flow_name: str, served: float) -> None:
        """Add weighted tokens to a flow's counter, whether it waits here or not; negative: a refund."""
        if flow := self._active.get(flow_name):
            flow.counter += served
            self._requeue(flow)
        elif flow := self._idle.get(flow_name):
            flow.counter += served
        elif served > 0:
            flow = Flow(flow_name)
            flow.counter = self._floor() + served
            self._remember(flow)

    def ordered(self) -> Iterator[Waiting]:
        """All tickets in the order in which they would be served if nobody else came, worked out as far as
        they are asked for."""
        heap = [
            (flow.counter, flow.head.ticket.submitted_at, flow.stamp, flow.head, _behind_head(flow))
            for flow in self._active.values()
            if flow.head is not None
        ]
        heapq.heapify(heap)
        while heap:
            counter, _, stamp, entry, behind = heap[0]
            yield entry
            following = next(behind, None)
            if following is None:
                heapq.heappop(heap)
            else:
                counter += entry.ticket.cost / entry.ticket.weight
                heapq.heapreplace(heap, (counter, following.ticket.submitted_at, stamp, following, behind))

    def _activate(self, name: str) -> Flow:
        flow = self._idle.pop(name, None) or Flow(name)
        flow.counter = max(flow.counter, self._floor())
        self._active[name] = flow
        return flow

    def _deactivate(self, flow: Flow) -> None:
        flow.stamp = DEAD
        flow.head = None
        flow.tickets = LazyHeap()
        del self._active[flow.name]
        self._left_last = flow
        self._remember(flow)

    def _remember(self, flow: Flow) -> None:
        """Keep an idle flow's counter, and forget old ones that mean nothing any more: a flow whose
        counter is not above the floor would be lifted to it anyway."""
        self._idle[flow.name] = flow
        floor = self._floor()
        for _ in range(2):
            oldest = next(iter(self._idle.values()))
            if oldest is flow or (oldest.counter > floor and len(self._idle) <= IDLE_FLOWS):
                break
            del self._idle[oldest.name]

    def _floor(self) -> float:
        lowest = self._by_counter.first() or self._left_last
        return lowest.counter if lowest else 0.0

    def _head_may_have_changed(self, flow: Flow) -> None:
        if flow.tickets.first() is not flow.head or flow.stamp == DEAD:
            self._requeue(flow)

    def _requeue(self, flow: Flow) -> None:
        """Equal counters: the flow whose oldest ticket was submitted first."""
        flow.head = flow.tickets.first()
        if flow.head is None:
            return
        self._stamp += 1
        flow.stamp = self._stamp
        self._by_counter.push((flow.counter, flow.head.ticket.submitted_at), flow)


def _behind_head(flow: Flow) -> Iterator[Waiting]:
    """A flow's tickets but the oldest, sorted only when the first of them is wanted."""
    if flow.size > 1:
        yield from flow.tickets.ordered()[1:]
