"""Whatever happens, in whatever order: the invariants of the queue, searched for a counterexample."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import Place
from llmgate.daemon.queue.policy import spend_credit
from llmgate.daemon.queue.ticket import Grant, Ticket, UpstreamSlots
from llmgate.errors import LimitExceeded, LLMGateError, QueueFull
from tests.queue.backends import MemoryBackend
from tests.queue.factory import a_ticket

SETTINGS = QueueSettings(
    aging_seconds=10,
    deadline_seconds=75,
    max_waiting=12,
    max_waiting_per_principal=8,
    settle_ms=1500,
    outage_grace=20,
)
UPSTREAMS = ("one", "two")
EVERYTHING = frozenset({"m1", "m2"})


class QueueModel(RuleBasedStateMachine):
    """Clients, upstreams and an administrator, who do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.backend = MemoryBackend()
        self.waits: dict[str, tuple[Place, asyncio.Task[Grant]]] = {}
        self.tickets: dict[str, Ticket] = {}
        self.models = dict.fromkeys(UPSTREAMS, EVERYTHING)
        self.running: dict[str, Grant] = {}
        self.slots = dict.fromkeys(UPSTREAMS, 0)
        self.usable = dict.fromkeys(UPSTREAMS, False)
        self.submitted = self.refused = self.refused_without_need = self.left = self.ended = 0
        self.started: list[str] = []
        self.paused = False
        self.credit = 0.0

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def begin(self) -> None:
        self.run(self.backend.start(SETTINGS))

    def teardown(self) -> None:
        tasks = [task for _, task in self.waits.values()]
        self.run(self.backend.stop())
        self.run(self.backend.settle())
        assert all(task.done() for task in tasks)
        for task in tasks:
            task.exception()
        self.runner.close()

    # What happens

    @rule(
        level=st.integers(1, 5),
        flow=st.sampled_from("abc"),
        cost=st.sampled_from([1.0, 10.0, 500.0]),
        model=st.sampled_from(sorted(EVERYTHING)),
    )
    def submit(self, level: int, flow: str, cost: float, model: str) -> None:
        self.submitted += 1
        now = self.backend.queue.now()
        ticket = a_ticket(f"t{self.submitted}", level=level, flow=flow, cost=cost, model=model, at=now)
        before = self.positions()
        self.run(self._submit(ticket))
        if self.waits.keys() - before.keys():
            before[ticket.id] = (level, False)
        self.collect(before)

    async def _submit(self, ticket: Ticket) -> None:
        full = len(self.waits) >= SETTINGS.max_waiting or len(self.waits) >= SETTINGS.max_waiting_per_principal
        try:
            place = await self.backend.queue.submit(ticket)
        except LLMGateError as error:
            self.refused += 1
            self.refused_without_need += isinstance(error, QueueFull | LimitExceeded) and not full
        else:
            self.waits[ticket.id] = (place, asyncio.create_task(place.granted()))
            self.tickets[ticket.id] = ticket
        await self.backend.settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=st.sampled_from([None, 0, 5, 1000]), cancelled=st.booleans())
    def release(self, data: st.DataObject, tokens: float | None, cancelled: bool) -> None:
        before = self.positions()
        grant = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        self.backend.queue.release(grant, tokens, cancelled=cancelled)
        self.backend.queue.release(grant, tokens)
        self.collect(before)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        before = self.positions()
        grant = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        self.submitted += 1
        self.started.remove(grant.ticket.id)
        self.left += 1
        self.run(self._submit(grant.ticket.retried(grant.upstream)))
        self.backend.queue.release(grant, 0)
        self.collect(None if grant.ticket.id in self.waits else before)

    @precondition(lambda self: self.waits)
    @rule(data=st.data(), cancels_first=st.booleans())
    def leave(self, data: st.DataObject, cancels_first: bool) -> None:
        place, task = self.waits.pop(data.draw(st.sampled_from(sorted(self.waits))))
        if cancels_first:
            task.cancel()
        place.leave()
        task.cancel()
        self.run(self.backend.settle())
        self.left += 1
        self.collect(self.positions())

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        assert self.run(self.backend.queue.cancel(data.draw(st.sampled_from(sorted(self.waits)))))
        self.collect(self.positions())

    @precondition(lambda self: self.waits)
    @rule(data=st.data(), level=st.integers(1, 5))
    def set_level(self, data: st.DataObject, level: int) -> None:
        ticket_id = data.draw(st.sampled_from(sorted(self.waits)))
        assert self.run(self.backend.queue.set_level(ticket_id, level))
        assert self.positions().get(ticket_id, (level, False)) == (level, False)
        self.collect(self.positions())

    @rule(seconds=st.sampled_from([0.1, 2.0, 9.9, 10.0, 31.0]))
    def advance(self, seconds: float) -> None:
        self.run(self.backend.advance(seconds))
        self.collect(None)

    @rule(
        name=st.sampled_from(UPSTREAMS),
        slots=st.integers(1, 3),
        usable=st.booleans(),
        models=st.sampled_from([None, EVERYTHING, frozenset({"m1"})]),
    )
    def upstream(self, name: str, slots: int, usable: bool, models: frozenset[str] | None) -> None:
        before = self.positions()
        self.slots[name], self.usable[name], self.models[name] = slots, usable, models or EVERYTHING
        self.backend.queue.update_upstream(UpstreamSlots(name, "main", slots, usable, models=models))
        self.collect(before)

    @rule(name=st.sampled_from(UPSTREAMS))
    def remove_upstream(self, name: str) -> None:
        self.slots[name], self.usable[name] = 0, False
        self.backend.queue.remove_upstream(name)
        self.collect(self.positions())

    @rule()
    def pause(self) -> None:
        self.run(self.backend.queue.pause("main"))
        self.paused = True
        self.collect({})

    @rule()
    def resume(self) -> None:
        before = self.positions()
        self.run(self.backend.queue.resume("main"))
        self.paused = False
        self.collect(before)

    # What must follow

    def positions(self) -> dict[str, tuple[int, bool]]:
        """Who waits, at which level, and whether in the aged lane."""
        return {p.ticket_id: (p.level, p.aged) for p in self.backend.queue.room.waiting()}

    def fits(self, ticket_id: str, upstream: str) -> bool:
        """Whether this upstream is one that the ticket may go to, when it has a free slot."""
        ticket = self.tickets[ticket_id]
        able = {name for name in UPSTREAMS if self.usable[name] and ticket.model in self.models[name]}
        return upstream in (able - ticket.avoid or able)

    def collect(self, before: dict[str, tuple[int, bool]] | None) -> None:
        """Take the grants and the ends. ``before`` is who waited just before, if that can be told."""
        self.run(self.backend.settle())
        grants = []
        for ticket_id, (_, task) in list(self.waits.items()):
            if not task.done():
                continue
            del self.waits[ticket_id]
            if task.exception():
                self.ended += 1
            else:
                grants.append(task.result())
        for grant in sorted(grants, key=lambda grant: int(grant.id.rpartition(".")[2])):
            self.check_grant(grant, before)

    def check_grant(self, grant: Grant, before: dict[str, tuple[int, bool]] | None) -> None:
        assert grant.ticket.id not in self.started, "granted twice"
        self.started.append(grant.ticket.id)
        self.running[grant.id] = grant
        here = [running for running in self.running.values() if running.upstream == grant.upstream]
        assert len(here) <= self.slots[grant.upstream], "more than the slots"
        assert self.fits(grant.ticket.id, grant.upstream)
        assert not self.paused
        if before is None:
            self.credit = -1.0  # time went by: which turn it is cannot be told from outside any more
            return
        level, aged = before.pop(grant.ticket.id)
        if not all(self.fits(ticket_id, grant.upstream) for ticket_id in before):
            self.credit = -1.0  # whose slot came first decides who could have gone
            before = {ticket_id: at for ticket_id, at in before.items() if self.fits(ticket_id, grant.upstream)}
        ordinary = [at for at, is_aged in before.values() if not is_aged] + ([] if aged else [level])
        anyone_aged = aged or any(is_aged for _, is_aged in before.values())
        assert aged or level == min(ordinary), "inversion of levels"
        if self.credit >= 0 and ordinary and anyone_aged:
            expected, self.credit = spend_credit(self.credit, SETTINGS.aged_share)
            assert aged == expected, "not the share of the aged lane"

    @invariant()
    def nobody_is_lost(self) -> None:
        assert self.submitted == len(self.waits) + len(self.started) + self.refused + self.left + self.ended
        assert self.positions().keys() == self.waits.keys()
        running = [(request.ticket_id, request.upstream) for request in self.backend.queue.room.running()]
        assert sorted(running) == sorted((grant.ticket.id, grant.upstream) for grant in self.running.values())

    @invariant()
    def the_bounds_hold(self) -> None:
        assert len(self.waits) <= SETTINGS.max_waiting
        assert not self.refused_without_need

    @invariant()
    def no_slot_idles_while_someone_waits(self) -> None:
        if self.paused or not self.waits:
            return
        for upstream in self.backend.queue.room._slots.of("main"):
            assert not (upstream.is_free and any(self.fits(ticket_id, upstream.name) for ticket_id in self.waits))


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
