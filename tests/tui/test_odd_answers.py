"""What the daemon should not answer, and what comes late: nothing of it ends the dashboard or misleads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from textual.events import Key

from llmgate.client.events import Events
from llmgate.connection import LINE_BYTES, Connection, FixedToken
from llmgate.errors import LLMGateError, PermissionDenied
from llmgate.text import cell, moment
from llmgate.tui.errors import LONGEST, told, understood
from llmgate.tui.screens.users import Sessions, Users
from tests.tui.harness import Hand


def test_the_ends_of_time_are_told_on_every_clock() -> None:
    east, west = timezone(timedelta(hours=2)), timezone(timedelta(hours=-2))
    assert moment(datetime.max.replace(tzinfo=UTC), datetime(2026, 1, 1, tzinfo=east)) == "9999-12-31"
    assert moment(datetime.min.replace(tzinfo=UTC), datetime(2026, 1, 1, tzinfo=west)) == "0001-01-01"
    assert cell(datetime.max.replace(tzinfo=west)).startswith("9999-12-31")


def test_a_message_is_no_longer_than_a_sentence_can_be() -> None:
    assert len(told(LLMGateError("w" * 3_000_000))) == LONGEST


@pytest.mark.parametrize("odd", [ValueError(), OverflowError(), KeyError("x"), AttributeError(), RecursionError()])
def test_what_an_odd_answer_causes_is_an_error_like_any_other(odd: Exception) -> None:
    with pytest.raises(LLMGateError, match="not understood"), understood():
        raise odd


async def test_an_event_that_is_not_as_its_type_says_is_of_another_type() -> None:
    wire = Connection("http://127.0.0.1:1", FixedToken(None), 1)
    sent: Any = SimpleNamespace(data='{"type": "request.finished", "at": "2026-11-25T00:00:00Z", "daemon": "d"}')
    assert Events(wire)._read(sent).type == "unknown:request.finished"
    await wire.close()


async def test_an_event_without_end_is_cut_off() -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(2 * LINE_BYTES // 1_000_000):
            yield b"data: " + b"x" * 1_000_000 + b"\n"

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=flood())

    wire = Connection("http://127.0.0.1:1", FixedToken(None), 1)
    wire._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    reasons: list[LLMGateError] = []

    def broken(reason: LLMGateError) -> None:
        reasons.append(reason)
        raise StopAsyncIteration

    with pytest.raises(RuntimeError):  # what a generator makes of the end that it is given from within
        await anext(Events(wire).listen(on_break=broken))
    assert "too long" in reasons[0].message
    await wire.close()


@pytest.mark.parametrize("failure", [OverflowError("far"), PermissionDenied("Not this list.")])
async def test_a_list_that_fails_says_so_and_nothing_else_stops(
    hand: Hand, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    await hand.go("users")
    listing = await hand.filled(Users)

    async def fails(*arguments: Any, **filters: Any) -> Any:
        raise failure

    monkeypatch.setattr(listing, "fetch", fails)
    await hand.press("r")
    await hand.seen("not understood" if isinstance(failure, OverflowError) else "Not this list.")
    assert hand.app.link.denied is None
    await hand.seen("● live")


async def test_keys_typed_ahead_begin_one_action_only(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    for key in "ndp":
        hand.app.post_message(Key(key, key))
    await hand.seen("New user")
    assert len(hand.app.screen_stack) == 2


async def test_keys_after_v_are_for_the_view_that_is_seen_then(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    for key in "vn":
        hand.app.post_message(Key(key, key))
    listing = await hand.filled(Sessions)
    await hand.until(
        lambda: hand.app.focused is listing.table,
        f"focus, not {hand.app.focused.ancestors_with_self if hand.app.focused else None}",
    )
    assert len(hand.app.screen_stack) == 1


async def test_tab_never_leaves_the_line_of_filters(hand: Hand) -> None:
    await hand.go("users")
    await hand.filled(Users)
    await hand.press("slash", "tab", "shift+tab", "tab", "n")
    assert len(hand.app.screen_stack) == 1
    await hand.seen("/n")
