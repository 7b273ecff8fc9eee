"""What the dispatcher of a pool decides: who is offered a slot, what becomes of an offer, whose slot is free again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.pool import Mode
from llmgate.daemon.queue.rabbitmq.aging import SLACK
from llmgate.daemon.queue.rabbitmq.ledger import ANSWER_SECONDS, FORGET_SECONDS, TOMBS
from llmgate.daemon.queue.rabbitmq.members import SILENT_SECONDS, SUSPECT_SECONDS, Presence
from llmgate.daemon.queue.ticket import UpstreamSlots
from tests.queue.rabbitmq.desk import UPSTREAM, Desk, Offered

SETTLE = 0.25
"""Seconds; the default of settle_ms."""


@pytest.fixture
def desk() -> Desk:
    """One slot; the daemons a and b answer."""
    desk = Desk()
    desk.present("a", "b")
    return desk


# -- offers --------------------------------------------------------------------------------


def test_a_free_slot_is_offered_to_whose_turn_it_is(desk: Desk) -> None:
    desk.arrive("x1", "a", level=3)
    (first,) = desk.offered()
    assert (first.boot, first.ticket, first.seq, first.upstream) == ("a", "x1", 0, UPSTREAM)
    assert first.id == "x1.1.1"
    desk.arrive("y1", "b", level=2)
    desk.arrive("z1", "b", level=1)
    assert desk.offered() == []
    desk.accept(first)
    desk.release(first)
    assert desk.granted() == ["z1"]


def test_nobody_is_offered_anything_before_the_census() -> None:
    desk = Desk()
    desk.ledger.granting = False
    desk.present("a")
    desk.arrive("x1")
    desk.advance(1.0, ["a"])
    assert desk.offered() == []
    desk.ledger.granting = True
    desk.step()
    assert desk.granted() == ["x1"]


def test_a_paused_pool_offers_nothing(desk: Desk) -> None:
    desk.ledger.pool.mode = Mode.PAUSED
    desk.arrive("x1")
    assert desk.offered() == []
    desk.ledger.pool.mode = Mode.DRAINING
    desk.step()
    assert desk.granted() == ["x1"]


def test_every_slot_of_every_upstream_is_used() -> None:
    desk = Desk(upstreams={"one": 2, "two": 1})
    desk.present("a")
    for number in range(1, 6):
        desk.arrive(f"x{number}")
    assert sorted(offered.upstream for offered in desk.offered()) == ["one", "one", "two"]


def test_an_accepted_ticket_is_acknowledged_and_its_slot_stays_in_use(desk: Desk) -> None:
    tag = desk.arrive("x1")
    (offered,) = desk.offered()
    assert desk.acknowledged == []
    desk.accept(offered)
    desk.accept(offered)
    assert desk.acknowledged == [tag]
    assert desk.ledger.held == 0
    desk.arrive("x2")
    desk.advance(5.0, ["a"], [offered])
    assert desk.offered() == []
    assert desk.used() == 1


def test_a_released_slot_goes_to_the_next(desk: Desk) -> None:
    first = desk.run("x1")
    desk.arrive("x2")
    desk.release(first, 100.0)
    desk.release(first, 100.0)
    assert desk.granted() == ["x2"]
    assert desk.used() == 1


def test_a_release_may_come_before_the_acceptance(desk: Desk) -> None:
    """As it does when the acceptance was lost: the ticket is done with."""
    tag = desk.arrive("x1")
    (offered,) = desk.offered()
    desk.release(offered, 10.0)
    assert desk.acknowledged == [tag]
    assert (desk.used(), desk.ledger.held) == (0, 0)


def test_after_a_cancelled_answer_the_slot_rests(desk: Desk) -> None:
    first = desk.run("x1")
    desk.arrive("x2")
    desk.release(first, cancelled=True)
    desk.advance(SETTLE - 0.05, ["a"])
    assert desk.offered() == []
    desk.advance(0.1, ["a"])
    assert desk.granted() == ["x2"]


def serve(desk: Desk, tokens: dict[str, float | None], times: int) -> str:
    """Serve so many, one after the other. The flows in the order of service; a flow's requests take what they take."""
    order = ""
    for _ in range(times):
        (one,) = desk.offered()
        desk.accept(one)
        order += one.ticket[0]
        desk.release(one, tokens[one.ticket[0]])
    return order


def test_flows_are_charged_what_they_really_got(desk: Desk) -> None:
    """Both say that they will need 100 tokens. One takes 300 each time, so that the other has three turns for it."""
    for number in range(1, 20):
        desk.arrive(f"x{number}", "a", cost=100.0)
        desk.arrive(f"y{number}", "b", cost=100.0)
    order = serve(desk, {"x": 300.0, "y": 100.0}, 18)
    assert "xyyyxyyyxyyy" in order


def test_an_unknown_service_counts_as_it_was_estimated(desk: Desk) -> None:
    for number in range(1, 20):
        desk.arrive(f"x{number}", "a", cost=300.0)
        desk.arrive(f"y{number}", "b", cost=100.0)
    order = serve(desk, {"x": None, "y": None}, 18)
    assert "xyyyxyyyxyyy" in order


# -- refusals ------------------------------------------------------------------------------


def test_a_request_that_is_gone_makes_room_at_once(desk: Desk) -> None:
    tag = desk.arrive("x1")
    desk.arrive("x2")
    (offered,) = desk.offered()
    desk.refuse(offered, "gone")
    assert desk.acknowledged == [tag]
    assert desk.granted() == ["x2"]
    assert desk.ledger.counts["refused_gone"] == 1


@pytest.mark.parametrize("reason", ["late", "epoch", "unknown_upstream"])
def test_a_request_that_still_waits_keeps_its_place(desk: Desk, reason: str) -> None:
    desk.arrive("x1", "a")
    (offered,) = desk.offered()
    desk.arrive("x2", "a")
    desk.refuse(offered, reason)
    assert desk.acknowledged == []
    (other,) = desk.offered()  # x1 not before its owner has answered the next ping
    assert other.ticket == "x2"
    desk.refuse(other, reason)
    assert desk.offered() == []
    desk.pong("a", desk.ping("a"))
    desk.step()
    (again,) = desk.offered()
    assert (again.ticket, again.seq) == ("x1", 0)
    assert again.id != offered.id


def test_a_refusal_costs_the_flow_nothing(desk: Desk) -> None:
    desk.arrive("x1", "a", cost=1000.0)
    (offered,) = desk.offered()
    desk.arrive("x2", "a", cost=1000.0)
    desk.now += 0.01
    desk.arrive("y1", "b", cost=1000.0)
    desk.refuse(offered, "gone")
    assert desk.granted() == ["x2"]  # with the estimate on its counter, y1 would have been first


def test_a_refusal_after_the_acceptance_means_nothing(desk: Desk) -> None:
    offered = desk.run("x1")
    desk.refuse(offered, "gone")
    assert desk.used() == 1


def test_a_refusal_of_something_unknown_means_nothing(desk: Desk) -> None:
    desk.refuse(Offered("a", "x9.1.7", "x9", 0, UPSTREAM), "late")
    assert desk.used() == 0


# -- offers that nobody answers ------------------------------------------------------------


def test_an_offer_that_is_not_answered_is_taken_back(desk: Desk) -> None:
    """The owner falls silent: its ticket waits aside, in its place, and somebody else gets the slot."""
    desk.arrive("x1", "a")
    desk.arrive("y1", "b")
    assert desk.granted() == ["x1"]
    desk.advance(ANSWER_SECONDS - 0.1, ["b"])
    assert desk.offered() == []
    desk.advance(0.15, ["b"])
    (second,) = desk.offered()
    assert second.ticket == "y1"
    assert desk.ledger.counts["taken_back"] == 1
    desk.accept(second)
    desk.arrive("y2", "b")
    desk.present("a")
    desk.release(second)
    assert desk.granted() == ["x1"]


def test_nobody_gets_a_slot_while_nobody_is_heard(desk: Desk) -> None:
    """Then it is the broker that stands still, and an acceptance may be on its way: a slot that was given to somebody
    else would be used twice."""
    desk.arrive("x1", "a")
    (offered,) = desk.offered()
    desk.arrive("y1", "b")
    desk.advance(1.8)
    assert desk.offered() == []
    desk.accept(offered)
    desk.present("a", "b", running=[offered])
    desk.advance(0.5, ["a", "b"], [offered])
    assert desk.offered() == []
    assert desk.used() == 1


def test_a_late_acceptance_still_counts_as_running(desk: Desk) -> None:
    desk.arrive("x1", "a")
    (first,) = desk.offered()
    desk.advance(ANSWER_SECONDS + 0.2, ["b"])
    assert desk.used() == 0
    desk.accept(first)
    assert desk.used() == 1
    desk.arrive("y1", "b")
    desk.present("a", running=[first])
    assert desk.granted() == []
    desk.release(first, 10.0)
    (again, *rest) = desk.offered()
    desk.refuse(again, "gone")  # the ticket was offered once more, and its owner does not wait with it any more
    assert [again.ticket, *(one.ticket for one in rest), *desk.granted()] == ["x1", "y1"]


# -- forms of a ticket ---------------------------------------------------------------------


def test_a_duplicate_is_acknowledged_and_changes_nothing(desk: Desk) -> None:
    desk.run("busy")
    first = desk.arrive("x1")
    second = desk.arrive("x1")
    older = desk.arrive("x1", seq=-1)
    assert desk.acknowledged[1:] == [second, older]
    assert desk.ledger.held == 1
    assert desk.ledger.counts["duplicates"] == 2
    assert first not in desk.acknowledged


def test_a_newer_form_replaces_the_older(desk: Desk) -> None:
    busy = desk.run("busy")
    older = desk.arrive("x1", level=5)
    desk.arrive("y1", "b", level=3)
    desk.arrive("x1", seq=1, level=2, submitted_level=5)
    assert desk.acknowledged[1:] == [older]
    desk.release(busy)
    (offered,) = desk.offered()
    assert (offered.ticket, offered.seq) == ("x1", 1)


def test_a_newer_form_replaces_one_that_was_just_offered(desk: Desk) -> None:
    """The owner has moved the ticket to another level, and refuses the offer for the older form."""
    older = desk.arrive("x1", level=2)
    (offered,) = desk.offered()
    desk.arrive("x1", seq=1, level=3, submitted_level=2)
    assert desk.acknowledged == [older]
    desk.refuse(offered, "gone")
    (again,) = desk.offered()
    assert (again.ticket, again.seq) == ("x1", 1)
    desk.accept(again)
    assert desk.ledger.held == 0


def test_a_retry_may_arrive_before_its_first_attempt_is_known_to_run(desk: Desk) -> None:
    """An upstream that refuses connections: the request is back in line a millisecond after it was granted, by another
    way than the acceptance."""
    first_tag = desk.arrive("x1")
    (first,) = desk.offered()
    retried = desk.arrive("x1", attempt=2, avoid=frozenset({UPSTREAM}))
    assert desk.acknowledged == [first_tag]
    desk.accept(first)
    assert desk.ledger.held == 1
    desk.release(first, 0.0)
    assert desk.granted() == ["x1"]
    assert retried not in desk.acknowledged


def test_who_has_left_is_not_offered_anything(desk: Desk) -> None:
    busy = desk.run("busy")
    tag = desk.arrive("x1")
    desk.ledger.leave("x1", 0)
    assert desk.acknowledged[-1] == tag
    desk.release(busy)
    assert desk.offered() == []


def test_leaving_may_be_told_before_the_ticket_arrives(desk: Desk) -> None:
    desk.ledger.leave("x1", 0)
    tag = desk.arrive("x1")
    assert desk.acknowledged == [tag]
    assert desk.offered() == []


def test_leaving_is_about_a_form_and_those_before_it(desk: Desk) -> None:
    desk.ledger.leave("x1", 1)
    desk.arrive("x1", seq=0)
    desk.arrive("x1", seq=1)
    assert desk.offered() == []
    desk.arrive("x1", seq=2)
    assert desk.granted() == ["x1"]


def test_leaving_an_older_form_is_no_news(desk: Desk) -> None:
    desk.run("busy")
    desk.arrive("x1", seq=3)
    desk.ledger.leave("x1", 2)
    assert desk.ledger.held == 1


def test_who_leaves_while_being_offered_refuses(desk: Desk) -> None:
    tag = desk.arrive("x1")
    (offered,) = desk.offered()
    desk.ledger.leave("x1", 0)
    assert desk.acknowledged == []
    desk.refuse(offered, "gone")
    assert desk.acknowledged == [tag]
    assert desk.offered() == []


def test_the_dead_are_remembered_up_to_a_bound(desk: Desk) -> None:
    for number in range(TOMBS + 1):
        desk.ledger.leave(f"z{number}", 0)
    desk.run("busy")
    desk.arrive("z0")
    desk.arrive("z1")
    assert desk.ledger.held == 1


def test_an_audit_names_what_is_not_here(desk: Desk) -> None:
    desk.run("busy")
    desk.arrive("x1", seq=1)
    told = [("x1", 0, 2, False), ("x1", 1, 2, False), ("x1", 2, 2, False), ("x2", 0, 2, False)]
    assert desk.ledger.missing(told, window=10) == ["x1", "x2"]


# -- daemons that fall silent --------------------------------------------------------------


def test_the_tickets_of_a_silent_daemon_are_passed_over_and_come_back(desk: Desk) -> None:
    busy = desk.run("busy", "b")
    desk.arrive("x1", "a")
    desk.now += 0.01
    desk.arrive("y1", "b")
    desk.advance(SILENT_SECONDS + 0.2, ["b"], [busy])
    assert desk.presence("a") is Presence.SILENT
    desk.release(busy)
    (second,) = desk.offered()
    assert second.ticket == "y1"
    desk.accept(second)
    desk.arrive("y2", "b")
    desk.present("a")
    desk.release(second)
    assert desk.granted() == ["x1"]


def test_a_ticket_of_an_unknown_daemon_waits_until_it_is_heard(desk: Desk) -> None:
    desk.arrive("x1", "c")
    desk.advance(0.5, ["a"])
    assert desk.offered() == []
    desk.pong("c", desk.ping("c"))
    desk.sweep()
    assert desk.granted() == ["x1"]


def test_tickets_of_a_daemon_that_was_never_there_are_dropped(desk: Desk) -> None:
    """They were left in the broker by one that ended while nobody dispatched."""
    tag = desk.arrive("x1", "c")
    desk.ping_comes_back("c", 2)
    desk.sweep()
    assert desk.acknowledged == [tag]
    later = desk.arrive("x2", "c")
    assert desk.acknowledged == [tag, later]
    assert desk.ledger.counts["lost_daemon"] == 2


def test_a_dead_daemon_frees_its_slots_at_once(desk: Desk) -> None:
    """It answered until its inbox was gone: the process has ended, and its connections with it."""
    desk.run("x1", "a")
    waiting = desk.arrive("x2", "a")
    desk.arrive("y1", "b")
    desk.now += 0.1
    desk.ping_comes_back("a", 1)
    desk.sweep()
    assert desk.presence("a") is Presence.PRESENT
    desk.ping_comes_back("a", 1)
    desk.sweep()
    assert desk.presence("a") is Presence.DEAD
    assert waiting in desk.acknowledged
    assert desk.offered() == []  # the slot rests first
    desk.advance(SETTLE + 0.1, ["b"])
    assert desk.granted() == ["y1"]


def test_several_things_that_come_back_after_one_ping_are_one_sign(desk: Desk) -> None:
    """Grants come back as well: a daemon that connects anew is away for a moment only."""
    desk.ping("a")
    for _ in range(5):
        desk.ledger.ping_returned("a", desk.now)
    desk.sweep()
    assert desk.presence("a") is Presence.PRESENT


def lose(desk: Desk, boot: str, *others: str, running: tuple[Offered, ...] = ()) -> None:
    """A daemon is frozen until the broker gives its connection up, or is cut off."""
    desk.advance(2.0, others, running)
    desk.ping_comes_back(boot, 2)
    desk.sweep()
    assert desk.presence(boot) is Presence.LOST


def test_a_lost_daemon_keeps_its_slots_for_a_minute() -> None:
    desk = Desk(slots=2)
    desk.present("a", "b")
    desk.run("x1", "a")
    waiting = desk.arrive("x2", "a")
    (offered,) = desk.offered()
    desk.refuse(offered, "late")
    desk.offered()
    lose(desk, "a", "b")
    assert waiting in desk.acknowledged
    desk.arrive("y1", "b", level=1)
    desk.arrive("y2", "b", level=1)
    (first,) = desk.offered()
    desk.accept(first)
    desk.advance(SUSPECT_SECONDS - 3.0, ["b"], [first])
    assert desk.offered() == []
    assert desk.used() == 2
    desk.advance(2.0, ["b"], [first])
    assert set(desk.granted()) == {"y2"}  # again and again: b does not say that it runs


def test_a_lost_daemon_stands_back_where_nothing_else_is_left(desk: Desk) -> None:
    desk.run("x1", "a")
    desk.arrive("y1", "b")
    lose(desk, "a", "b")
    desk.advance(SETTLE + 0.1, ["b"])
    assert desk.granted() == ["y1"]


def test_a_silent_daemon_does_not_stand_back(desk: Desk) -> None:
    """Its inbox is there: it may be busy, and run what it ran."""
    desk.run("x1", "a")
    desk.arrive("y1", "b")
    desk.advance(30.0, ["b"])
    assert desk.offered() == []
    assert desk.ledger.only_suspects()


def test_what_ran_all_the_time_is_counted_as_over_the_limit(desk: Desk) -> None:
    """Its slot was given away, and then it is heard again and still runs the request."""
    first = desk.run("x1", "a")
    desk.arrive("y1", "b")
    lose(desk, "a", "b")
    freed_at = desk.now
    desk.advance(SETTLE + 0.1, ["b"])
    (second,) = desk.offered()
    desk.accept(second)
    desk.ledger.revive("a", desk.now)
    assert desk.presence("a") is Presence.SILENT
    desk.pong("a", desk.ping("a"), first)
    desk.sweep()
    assert desk.presence("a") is Presence.PRESENT
    assert desk.used() == 2
    assert desk.ledger.over_limit["main"] == pytest.approx(desk.now - freed_at, abs=0.001)
    desk.release(second)
    desk.arrive("z1", "b")
    assert desk.offered() == []
    desk.release(first)
    assert desk.granted() == ["z1"]
    assert desk.ledger.over_limit["main"] < 1


def test_a_daemon_that_comes_back_is_asked_what_waits_there(desk: Desk) -> None:
    """Its tickets were dropped."""
    for member in desk.ledger.unaudited():
        member.audited = True
    lose(desk, "a", "b")
    desk.ledger.revive("a", desk.now)
    assert desk.ledger.unaudited() == []
    desk.pong("a", desk.ping("a"))
    assert [member.boot for member in desk.ledger.unaudited()] == ["a"]


def test_who_is_gone_for_long_is_forgotten(desk: Desk) -> None:
    desk.run("x1", "a")
    desk.ping_comes_back("a", 2)
    desk.sweep()
    desk.advance(FORGET_SECONDS - 1.0, ["b"])
    assert set(desk.ledger.members) == {"a", "b"}
    desk.advance(2.0, ["b"])
    assert set(desk.ledger.members) == {"b"}


def test_time_in_which_we_stood_still_does_not_count(desk: Desk) -> None:
    desk.arrive("x1", "a")
    (offered,) = desk.offered()
    desk.now += 5.0
    desk.ledger.forgive(5.0)
    desk.sweep()
    assert desk.presence("a") is Presence.PRESENT
    assert desk.ledger.counts["taken_back"] == 0
    desk.accept(offered)
    desk.advance(SILENT_SECONDS + 0.1, ["b"])
    assert desk.presence("a") is Presence.SILENT


# -- what pongs tell -----------------------------------------------------------------------


def test_a_pong_without_a_grant_frees_its_slot(desk: Desk) -> None:
    """The release was lost on the way."""
    offered = desk.run("x1", "a")
    desk.arrive("y1", "b")
    desk.pong("a", desk.ping("a"), offered)
    assert desk.offered() == []
    desk.pong("a", desk.ping("a"))
    assert desk.granted() == ["y1"]


def test_a_pong_that_may_be_older_than_the_grant_frees_nothing(desk: Desk) -> None:
    number = desk.ping("a")
    offered = desk.run("x1", "a")
    desk.arrive("y1", "b")
    desk.pong("a", number)
    assert desk.offered() == []
    assert desk.used() == 1
    desk.pong("a", desk.ping("a"), offered)
    assert desk.used() == 1


def test_a_pong_answers_an_offer_that_got_lost(desk: Desk) -> None:
    """It is offered again at once, without waiting for the second to be over."""
    desk.arrive("x1", "a")
    (lost,) = desk.offered()
    desk.pong("a", desk.ping("a"))
    (again,) = desk.offered()
    assert again.ticket == "x1"
    assert again.id != lost.id
    assert desk.acknowledged == []


def test_a_pong_stands_for_an_acceptance_that_got_lost(desk: Desk) -> None:
    tag = desk.arrive("x1", "a")
    (offered,) = desk.offered()
    desk.pong("a", desk.ping("a"), offered)
    assert desk.acknowledged == [tag]
    desk.advance(2.0, ["a", "b"], [offered])
    assert desk.used() == 1
    assert desk.ledger.counts["taken_back"] == 0


def test_a_pong_with_an_unknown_grant_occupies_a_slot(desk: Desk) -> None:
    """The daemon has granted it itself, without a broker, or somebody dispatched before us."""
    older = Offered("a", "x1.0.9", "x1", 0, UPSTREAM)
    desk.pong("a", desk.ping("a"), older)
    desk.pong("a", desk.ping("a"), older)
    assert desk.used() == 1
    desk.arrive("y1", "b")
    assert desk.offered() == []
    desk.release(older, 10.0)
    assert desk.granted() == ["y1"]


def test_what_runs_on_an_unknown_upstream_takes_nobodys_slot(desk: Desk) -> None:
    elsewhere = Offered("a", "x1.0.9", "x1", 0, "elsewhere")
    desk.pong("a", desk.ping("a"), elsewhere)
    desk.pong("a", desk.ping("a"))
    assert desk.used() == 0


def test_a_removed_upstream_takes_its_offers_along() -> None:
    desk = Desk(upstreams={"one": 1, "two": 1})
    desk.present("a")
    first = desk.run("x1")
    desk.ledger.slots.remove(first.upstream)
    desk.release(first)
    second = desk.run("x2")
    assert second.upstream != first.upstream


# -- takeover ------------------------------------------------------------------------------


def test_ghosts_hold_the_slots_that_were_said_to_be_used() -> None:
    desk = Desk(slots=2, epoch=5)
    desk.ledger.granting = False
    desk.ledger.suspect("a", {UPSTREAM: 1, "elsewhere": 3}, desk.now - 0.5)
    desk.ledger.suspect("b", {}, desk.now - 0.5)
    assert desk.used() == 1
    desk.present("b")
    desk.ledger.granting = True
    desk.arrive("y1", "b")
    desk.arrive("y2", "b")
    assert desk.granted() == ["y1"]
    older = Offered("a", "x1.4.3", "x1", 0, UPSTREAM)
    desk.pong("a", desk.ping("a"), older)
    assert (desk.used(), desk.offered()) == (2, [])
    desk.pong("a", desk.ping("a"))
    assert desk.granted() == ["y2"]


def test_the_slots_of_a_ghost_that_is_dead_are_free() -> None:
    """The one that was killed was the dispatcher itself, for example."""
    desk = Desk(epoch=5)
    desk.ledger.suspect("a", {UPSTREAM: 1}, desk.now - 0.5)
    desk.present("b")
    desk.arrive("y1", "b")
    desk.ping_comes_back("a", 2)
    desk.sweep()
    assert desk.offered() == []
    desk.advance(SETTLE + 0.1, ["b"])
    assert desk.granted() == ["y1"]


def test_a_ghost_that_was_frozen_is_a_suspect() -> None:
    desk = Desk(slots=2, epoch=5)
    desk.ledger.suspect("a", {UPSTREAM: 1}, desk.now - 13.0)
    desk.present("b")
    desk.ping_comes_back("a", 2)
    desk.sweep()
    assert desk.presence("a") is Presence.LOST
    desk.arrive("y1", "b")
    desk.arrive("y2", "b")
    assert desk.granted() == ["y1"]


def test_used_by_others_counts_grants_and_ghosts() -> None:
    desk = Desk(upstreams={"one": 2, "two": 2})
    desk.ledger.suspect("c", {"two": 1}, desk.now)
    desk.present("a", "b")
    own, other = desk.run("x1", "a"), desk.run("y1", "b")
    used = {"one": 0, "two": 1}
    used[other.upstream] += 1
    assert desk.ledger.used_by_others("a") == {name: count for name, count in used.items() if count}
    assert own.upstream == "one"


def test_busy_is_what_owners_have_said(desk: Desk) -> None:
    desk.arrive("x1")
    (offered,) = desk.offered()
    assert desk.ledger.busy() == {}
    desk.accept(offered)
    assert desk.ledger.busy() == {UPSTREAM: 1}
    desk.release(offered)
    assert desk.ledger.busy() == {}


# -- aging ---------------------------------------------------------------------------------


def test_a_ticket_climbs_through_the_broker_line_by_line() -> None:
    """When its time is up it is given back; the broker moves it on, and hands it out from the next line."""
    desk = Desk(aging_seconds=10)
    desk.present("a", "b")
    busy = desk.run("busy", "b", level=1)
    submitted = desk.now
    tag = desk.arrive("x1", level=4)
    arrived = [desk.now]
    for level in (3, 2, AGED_LANE):
        while tag not in desk.given_back:
            desk.advance(0.01, ["a", "b"], [busy])
        assert desk.offered() == []
        desk.now += 0.002
        tag = desk.arrive("x1", level=4, since=submitted, at=submitted, line=level)
        standing = desk.ledger.pool.line.standing("x1")
        assert (standing.level, standing.aged) == ((2, True) if level == AGED_LANE else (level, False))
        assert standing.since == pytest.approx(desk.now + SLACK)
        arrived.append(desk.now)
    assert all(9.99 <= later - earlier <= 10.07 for earlier, later in pairwise(arrived))
    assert desk.ledger.pool.line.aged_waiting == 1


def test_a_ticket_that_was_given_back_too_early_is_tried_again(desk: Desk) -> None:
    """The broker's clock for it began a little later than ours."""
    busy = desk.run("busy", "b", level=1)
    began = desk.now
    first = desk.arrive("x1", level=4)
    desk.advance(30.1, ["a", "b"], [busy])
    assert desk.given_back == [first]
    second = desk.arrive("x1", level=4, since=began, at=began)
    assert desk.given_back == [first]
    due = desk.ledger.next_due()
    assert due is not None
    assert desk.now < due <= desk.now + 0.05
    desk.advance(0.05, ["a", "b"], [busy])
    assert desk.given_back == [first, second]


def test_after_a_takeover_a_ticket_stands_where_its_age_has_brought_it(desk: Desk) -> None:
    """Nothing starts anew: what the dispatcher before has held for a while is due as it was."""
    desk.run("busy", "b", level=1)
    desk.arrive("x1", level=5, since=desk.now - 47.0, at=desk.now - 47.0, line=4)
    assert desk.ledger.pool.line.standing("x1").since == pytest.approx(desk.now - 17.0 + SLACK)
    desk.arrive("x2", level=2, since=desk.now - 5.0, at=desk.now - 100.0, line=AGED_LANE)
    assert desk.ledger.pool.line.standing("x2").aged


def test_nothing_is_held_for_very_long() -> None:
    """The broker closes a channel that keeps a message longer than its timeout."""
    desk = Desk(hold_seconds=5, aging_seconds=30)
    desk.present("a", "b")
    busy = desk.run("busy", "b", level=1)
    began = desk.now
    held = [desk.arrive("x1", level=1), desk.arrive("x2", level=3), desk.arrive("x3", aged=True)]
    desk.advance(4.9, ["a", "b"], [busy])
    assert desk.given_back == []
    desk.advance(0.2, ["a", "b"], [busy])
    assert desk.given_back == held
    assert desk.ledger.held == 0
    desk.arrive("x1", level=1, since=began, at=began)
    desk.arrive("x2", level=3, since=began, at=began)
    desk.arrive("x3", aged=True, since=began, at=began)
    assert desk.ledger.pool.line.standing("x2").since == pytest.approx(began + SLACK)
    desk.release(busy, 0.0)
    assert desk.granted() == ["x1"]


def test_who_was_aside_for_long_is_refreshed_as_soon_as_it_is_back() -> None:
    desk = Desk(hold_seconds=5, aging_seconds=30)
    desk.present("a", "b")
    busy = desk.run("busy", "b", level=1)
    tag = desk.arrive("x1", "a", level=1)
    desk.advance(8.0, ["b"], [busy])
    assert desk.given_back == []
    desk.present("a")
    desk.step()
    assert desk.given_back == [tag]


def test_who_is_gone_need_not_be_refreshed() -> None:
    desk = Desk(hold_seconds=5)
    desk.present("a")
    desk.run("x1")
    desk.arrive("x2")
    desk.ledger.leave("x2", 0)
    assert desk.ledger.next_due() is None
    desk.advance(6.0, ["a"])
    assert desk.given_back == []


def test_the_next_due_is_the_first_of_all(desk: Desk) -> None:
    assert desk.ledger.next_due() is None
    first = desk.run("x1")
    desk.arrive("x2", level=1)
    assert desk.ledger.next_due() == pytest.approx(desk.now + 600)
    desk.arrive("x3", level=3)
    assert desk.ledger.next_due() == pytest.approx(desk.now + 30 + SLACK)
    desk.release(first, cancelled=True)
    assert desk.ledger.next_due() == pytest.approx(desk.now + SETTLE)


def test_a_full_window_is_noticed(desk: Desk) -> None:
    """Then the broker has tickets that nobody here can see, and an audit would find them missing."""
    desk.run("busy", "b")
    for number in range(1, 4):
        desk.arrive(f"x{number}", level=3)
    assert desk.ledger.missing([("x9", 0, 3, False)], window=3) == []
    assert desk.ledger.missing([("x9", 0, 4, False)], window=3) == ["x9"]
    assert desk.ledger.missing([("x9", 0, 3, False)], window=4) == ["x9"]
    # What its owner knows to be lost is missing in any case.
    assert desk.ledger.missing([("x9", 0, 3, True)], window=3) == ["x9"]


def test_an_upstream_that_comes_gets_work(desk: Desk) -> None:
    desk.run("x1")
    desk.arrive("x2")
    desk.ledger.slots.update(UpstreamSlots("other", "main", 1))
    desk.step()
    assert [offered.upstream for offered in desk.offered()] == ["other"]
