"""Whatever happens to the daemons, the broker and the messages between them: the invariants of the shared queue,
searched for a counterexample."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from llmgate.config import QueueSettings
from tests.queue.rabbitmq.world import LONGEST_FREEZE, TICK, World

SETTINGS = QueueSettings(aging_seconds=2, settle_ms=200, hold_seconds=5)
SLOTS = {"one": 2, "two": 1}
BOOTS = "abc"
WINDOW = 6
"""Small, so that tickets also wait in the broker."""
SLOWEST = 0.1
"""Seconds that a message takes at most while nothing stands still. The protocol takes an offer back after a second,
and an owner refuses one that is more than 0.7 s late."""
FREEZES = (0.3, 0.9, 1.3, 1.9)
"""Seconds for which the broker stands still. After two, publishers give it up, and every daemon goes on by itself."""
DRAIN_SECONDS = 90.0
TICKS = st.integers(0, 4)
"""A fault comes while what happened before it is still under way."""


class SharedQueue(RuleBasedStateMachine):
    """Clients and faults, one at a time, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(SETTINGS, SLOTS, BOOTS, WINDOW)
        self.world.advance(0.5)

    def teardown(self) -> None:
        self.world.drain(DRAIN_SECONDS)

    # Clients

    @rule(data=st.data(), level=st.integers(1, 5), flow=st.sampled_from("xyz"), count=st.sampled_from([1, 1, 3, 10]))
    def submit(self, data: st.DataObject, level: int, flow: str, count: int) -> None:
        boot = data.draw(st.sampled_from(sorted(self.world.owners)))
        for _ in range(count):
            self.world.submit(boot, level, flow)

    @precondition(lambda self: self.world.waiting())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiting = self.world.waiting()
        ticket_id = data.draw(st.sampled_from(sorted(waiting)))
        self.world.leave(waiting[ticket_id], ticket_id)

    @precondition(lambda self: self.world.waiting())
    @rule(data=st.data(), level=st.integers(1, 5))
    def set_level(self, data: st.DataObject, level: int) -> None:
        waiting = self.world.waiting()
        ticket_id = data.draw(st.sampled_from(sorted(waiting)))
        self.world.owners[waiting[ticket_id]].set_level(ticket_id, level)

    @precondition(lambda self: self.world.running())
    @rule(data=st.data(), end=st.sampled_from(["release", "cancel", "retry"]))
    def end(self, data: st.DataObject, end: str) -> None:
        running = {grant_id: owner for owner in self.world.owners.values() for grant_id in owner.running}
        grant_id = data.draw(st.sampled_from(sorted(running)))
        if end == "retry":
            running[grant_id].retry(grant_id)
        else:
            running[grant_id].release(grant_id, 50.0, cancelled=end == "cancel")

    # Time and faults

    @rule(seconds=st.sampled_from([0.05, 0.05, 0.25, 1.0, 2.5]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(sender=st.sampled_from([*BOOTS, "broker", "desk1", "desk2"]), seconds=st.sampled_from([0.001, 0.05, SLOWEST]))
    def slow(self, sender: str, seconds: float) -> None:
        self.world.post.seconds[sender] = seconds

    @precondition(lambda self: self.world.losable())
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.world.lose(data.draw(st.sampled_from(sorted(self.world.losable()))))

    def is_calm(self) -> bool:
        """One fault at a time: nothing stands still, and the census is over."""
        world = self.world
        asleep = [world.frozen_until, world.desk.sleeps_until, *(one.sleeps_until for one in world.owners.values())]
        return world.desk.ledger.granting and max(asleep) < world.now

    @precondition(is_calm)
    @rule(after=TICKS, seconds=st.sampled_from(FREEZES))
    def freeze_broker(self, after: int, seconds: float) -> None:
        self.world.advance(after * TICK)
        self.world.frozen_until = self.world.now + seconds

    @precondition(is_calm)
    @rule(data=st.data(), after=TICKS, seconds=st.sampled_from([0.5, 0.75, 1.2, LONGEST_FREEZE]))
    def freeze_daemon(self, data: st.DataObject, after: int, seconds: float) -> None:
        self.world.advance(after * TICK)
        boot = data.draw(st.sampled_from(sorted(self.world.owners)))
        self.world.owners[boot].sleeps_until = self.world.now + seconds

    @precondition(is_calm)
    @rule(after=TICKS, seconds=st.sampled_from([0.3, 0.6, 3.0]))
    def freeze_dispatcher(self, after: int, seconds: float) -> None:
        self.world.advance(after * TICK)
        self.world.desk.sleeps_until = self.world.now + seconds

    @precondition(is_calm)
    @rule(after=TICKS)
    def take_over(self, after: int) -> None:
        self.world.advance(after * TICK)
        self.world.take_over()

    @precondition(lambda self: len(self.world.owners) > 1 and self.is_calm())
    @rule(data=st.data(), after=TICKS, takes_dispatcher=st.booleans())
    def crash(self, data: st.DataObject, after: int, takes_dispatcher: bool) -> None:
        self.world.advance(after * TICK)
        self.world.crash(data.draw(st.sampled_from(sorted(self.world.owners))))
        if takes_dispatcher:
            self.world.take_over()


TestSharedQueue = SharedQueue.TestCase
TestSharedQueue.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
