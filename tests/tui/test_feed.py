"""The one listener, with a scripted client: what it tells, and when it tries again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import (
    AuthenticationFailed,
    DaemonUnreachable,
    Draining,
    LimitExceeded,
    LLMGateError,
    PermissionDenied,
)
from llmgate.tui.feed import KEPT, LONGEST_PAUSE, Feed
from llmgate.tui.messages import EventsArrived, LoginNeeded, StatsArrived, StreamBroken, StreamOpened, Told
from llmgate.tui.picture import RECENT, SECONDS, Picture

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def stats(waiting: int = 0) -> schemas.StatsEvent:
    return schemas.StatsEvent(
        type="stats", at=NOW, daemon="d", seconds=1, requests_per_second=1, errors_per_second=0, refused_per_second=0,
        input_tokens_per_second=0, output_tokens_per_second=0, first_token_p50=None, first_token_p95=None,
        waiting=waiting, running=0, pools=[],
    )  # fmt: skip


def event(name: str = "settings.changed") -> schemas.FeedEvent:
    return schemas.FeedEvent(type=name, at=NOW, daemon="d")


def end() -> schemas.EndEvent:
    return schemas.EndEvent(type="end", at=NOW, daemon="d", code="draining", message="The gateway is shutting down.")


class Script:
    """A client: each attempt to listen plays one part, of events, breaks (an error in a tuple) and an error at last."""

    def __init__(self, *parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        self.events = self

    async def listen(
        self, *, on_break: Callable[[LLMGateError], None], longest_pause: float
    ) -> AsyncGenerator[schemas.FeedEvent, None]:
        assert longest_pause == LONGEST_PAUSE
        for item in self.parts.pop(0):
            if isinstance(item, LLMGateError):
                raise item
            if isinstance(item, tuple):
                on_break(item[0])
            else:
                yield item


async def played(monkeypatch: pytest.MonkeyPatch, *parts: Sequence[Any]) -> tuple[list[Told], list[float]]:
    """What a feed tells of this script, whose last part is a refusal; and its pauses."""
    heard: list[Told] = []
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    script = cast("AdminClient", Script(*parts, [AuthenticationFailed("No.")]))
    await asyncio.wait_for(Feed(script, heard.append).run(), 5)
    assert {message.source for message in heard} == {script}
    assert isinstance(heard.pop(), LoginNeeded)
    return heard, pauses


def kinds(heard: list[Told]) -> list[type[Told]]:
    return [type(message) for message in heard]


async def test_the_events_of_a_second_come_together_when_its_figures_come(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, _ = await played(monkeypatch, [event(), event(), stats(1), stats(2), event(), stats(3)])
    assert kinds(heard[:-1]) == [StreamOpened, EventsArrived, StatsArrived, StatsArrived, EventsArrived, StatsArrived]
    assert [len(message.events) for message in heard if isinstance(message, EventsArrived)] == [2, 1]
    assert kinds(heard[-1:]) == [StreamBroken]


async def test_of_too_many_events_the_newest_are_kept_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = schemas.LostEvent(type="lost", at=NOW, daemon="d", count=7)
    heard, _ = await played(monkeypatch, [*(event(str(number)) for number in range(KEPT + 20)), lost, stats()])
    told = next(message for message in heard if isinstance(message, EventsArrived))
    assert (len(told.events), told.lost) == (KEPT, 27)
    assert told.events[-1].type == str(KEPT + 19)


async def test_after_a_break_it_is_open_again_with_the_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, pauses = await played(monkeypatch, [stats(), (DaemonUnreachable("Gone."),), event("reset"), stats()])
    assert kinds(heard[:6]) == [StreamOpened, StatsArrived, StreamBroken, StreamOpened, EventsArrived, StatsArrived]
    assert len(pauses) == 1


async def test_what_a_daemon_says_at_the_end_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, _ = await played(monkeypatch, [stats(), end(), (DaemonUnreachable("ended"),), stats(), (Draining("x"),)])
    reasons = [message.reason.message for message in heard if isinstance(message, StreamBroken)]
    assert reasons[:2] == ["The gateway is shutting down.", "x"]
    assert all(not isinstance(message, EventsArrived) for message in heard)


async def test_a_daemon_that_is_away_is_tried_ever_more_slowly_but_never_slower_than_five_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away: list[list[Any]] = [[DaemonUnreachable("Gone.")] for _ in range(6)]
    _, pauses = await played(monkeypatch, *away)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    full: list[list[Any]] = [[LimitExceeded("Too many.", retry_after=10)], [Draining("Not now.", retry_after=2)]]
    _, pauses = await played(monkeypatch, *full)
    assert pauses == [5.0, 2.0]
    _, pauses = await played(monkeypatch, *away[:4], [stats(), DaemonUnreachable("Gone.")], *away[:1])
    assert pauses == [0.5, 1.0, 2.0, 4.0, 0.5, 1.0]


async def test_without_the_right_to_listen_there_is_no_use_in_going_on() -> None:
    heard: list[Told] = []
    script = cast("AdminClient", Script([PermissionDenied("For administrators.")]))
    await Feed(script, heard.append).run()
    assert kinds(heard) == [LoginNeeded]


def test_newer_figures_stand_for_older_ones_and_nothing_else() -> None:
    first, second = StatsArrived(stats(1)), StatsArrived(stats(2))
    assert second.can_replace(first)
    assert not second.can_replace(EventsArrived((), 0))
    assert not EventsArrived((), 0).can_replace(first)


def test_the_picture_is_bounded_however_long_it_runs() -> None:
    picture = Picture()
    for number in range(SECONDS + 50):
        picture.fold(stats(number))
        picture.note([event()], 1)
    assert len(picture.history("waiting")) == SECONDS
    assert picture.history("waiting")[-1] == SECONDS + 49
    assert len(picture.recent) == RECENT
    assert picture.lost == SECONDS + 50
    assert picture.history("unknown") == []
