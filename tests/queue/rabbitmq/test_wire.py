"""What daemons tell each other survives the way, and what nobody has said is recognised."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.queue.rabbitmq.wire import TicketMessage, decode_items, encode_items
from llmgate.daemon.queue.ticket import LEVELS, Ticket
from tests.queue.factory import a_ticket

TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates included: a client can write them
SECONDS = st.integers(0, 2 * 10**13).map(lambda parts: parts / 10_000)
COUNTS = st.integers(0, 2**31)
NUMBERS = st.floats(0, 1e9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5), inside, max_size=4),
    max_leaves=8,
)

TICKETS = st.builds(
    Ticket,
    id=TEXTS,
    pool=TEXTS,
    model=TEXTS,
    level=st.sampled_from(LEVELS),
    flow=TEXTS,
    owner=TEXTS,
    submitted_at=SECONDS,
    cost=NUMBERS,
    weight=NUMBERS,
    attempt=COUNTS,
    avoid=st.frozensets(TEXTS, max_size=3),
)
MESSAGES = st.builds(
    TicketMessage,
    ticket=TICKETS,
    daemon=TEXTS,
    seq=COUNTS,
    level=st.sampled_from(LEVELS),
    aged=st.booleans(),
    since=SECONDS,
)


@given(MESSAGES)
def test_a_ticket_arrives_as_it_was_sent(message: TicketMessage) -> None:
    assert TicketMessage.decode(message.encode()) == message


def test_a_ticket_is_small_and_says_nothing_of_the_prompt() -> None:
    ticket = a_ticket("0123456789abcdef", flow="key:1234567890/2", model="llama3.2:3b-instruct")
    body = TicketMessage(ticket, "boot12345678", 0, 2, aged=False, since=1764000000.1234).encode()
    assert len(body) < 400
    assert not json.loads(body).keys() & {"prompt", "messages", "body"}


def test_a_newer_form_is_recognised() -> None:
    ticket = a_ticket("t1")
    first, anew = (TicketMessage(ticket, "a", seq, 2, aged=False, since=0.0) for seq in (0, 1))
    retried = TicketMessage(ticket.retried("gpu"), "a", 0, 2, aged=False, since=0.0)
    assert first.version < anew.version < retried.version


@given(TEXTS, st.lists(st.lists(JSON, max_size=3).map(lambda rest: ["name", *rest]), max_size=4))
def test_items_arrive_as_they_were_sent(sender: str, items: list[list[Any]]) -> None:
    body = encode_items(sender, items)
    assert json.dumps(decode_items(body)) == json.dumps((sender, items))  # where a number that is none equals itself


@given(st.binary(max_size=60) | JSON.map(lambda told: json.dumps(told).encode()))
def test_garbage_is_no_message(body: bytes) -> None:
    for decode in (TicketMessage.decode, decode_items):
        with pytest.raises((ValueError, LookupError)):
            decode(body)


WELL_FORMED = json.loads(TicketMessage(a_ticket("t1"), "a", 0, 2, aged=False, since=0.0).encode())


@given(st.sampled_from(["level", "submitted_level", "seq", "since", "submitted_at", "cost", "attempt"]), JSON)
def test_a_ticket_with_a_wrong_field_is_none_or_has_another_value(field: str, value: Any) -> None:
    """What cannot be compared later is refused here."""
    try:
        message = TicketMessage.decode(json.dumps(WELL_FORMED | {field: value}).encode())
    except (ValueError, LookupError):
        return
    assert message.level in LEVELS
    assert message.ticket.level in LEVELS
    assert message.version >= (0, 0) or isinstance(value, int | float)
    assert abs(message.since) + abs(message.ticket.submitted_at) + abs(message.ticket.cost) < float("inf")


@pytest.mark.parametrize("items", [None, 7, "ping", {"ping": 1}, [7], ["ping"], [[]]])
def test_items_that_are_no_lists_are_refused(items: Any) -> None:
    with pytest.raises((ValueError, LookupError)):
        decode_items(json.dumps({"from": "a", "items": items}).encode())
