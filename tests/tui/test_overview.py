"""What the first screen shows, without a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len

from llmgate import schemas
from llmgate.tui.overview import line, verdict, work
from llmgate.tui.overview.log import KEPT, Log, events
from llmgate.tui.overview.sight import Sight
from llmgate.tui.overview.words import number, rate, short
from llmgate.tui.picture import SECONDS, Picture
from llmgate.tui.widgets.panel import Pane
from llmgate.tui.widgets.spark import bar, buckets, spark

NOW = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)


def pool(name: str = "gpu", **changes: Any) -> schemas.PoolStats:
    told: dict[str, Any] = dict(  # noqa: C408  shorter
        pool=name, state="open", slots=2, running=1, waiting=3, waiting_by_level={2: 1, 5: 2}, aged_waiting=1,
        oldest_wait=12.0, granted=9, granted_aged=0, promotions=0, wait_p50={2: 0.4, 5: 3.0}, wait_p95={2: 1.0, 5: 9.0},
        wait_max={2: 1.0, 5: 9.0}, arrivals_per_second=1.0, grants_per_second=1.0, service_p50=1.0, service_p95=2.0,
        upstreams={"gpu1": (1, 2)}, dispatcher="", epoch=0,
    )  # fmt: skip
    return schemas.PoolStats.model_validate({**told, **changes})


def stats(*pools: schemas.PoolStats, **changes: Any) -> schemas.StatsEvent:
    told: dict[str, Any] = dict(  # noqa: C408  shorter
        type="stats", at=NOW, daemon="d", seconds=10.0, requests_per_second=0.0, errors_per_second=0.0,
        refused_per_second=0.0, input_tokens_per_second=0.0, output_tokens_per_second=0.0, first_token_p50=None,
        first_token_p95=None, waiting=sum(one.waiting for one in pools), running=sum(one.running for one in pools),
        pools=list(pools),
    )  # fmt: skip
    return schemas.StatsEvent.model_validate({**told, **changes})


def upstream(name: str = "gpu1", **changes: Any) -> schemas.Upstream:
    told: dict[str, Any] = dict(  # noqa: C408  shorter
        name=name, kind="ollama", url="http://x", pool="gpu", slots=2, api_key_set=False, connect_timeout=1,
        first_byte_timeout=1, idle_timeout=1, origin="file", state="healthy", reason="", models=[], loaded=[],
        version="",
    )  # fmt: skip
    return schemas.Upstream.model_validate({**told, **changes})


def finished(number_: int, **changes: Any) -> Any:
    at = NOW + timedelta(seconds=number_ / 1000)
    told: dict[str, Any] = dict(  # noqa: C408  shorter
        type="request.finished", at=at, daemon="d", request_id=f"r{number_}", finished_at=at, principal_kind="key",
        principal_id="k1", principal_name="ann", user_id=None, protocol="ollama", route="/api/chat",
        model="llama3.2:latest", pool="gpu", upstream="gpu1", submitted_level=2, stream=True, outcome="completed",
        status=200, error_code=None, wait=0.0, first_byte=0.1, duration=2.0, input_tokens=7, output_tokens=40,
    )  # fmt: skip
    return schemas.FinishedEvent.model_validate({**told, **changes})


def changed(name: str, after: str, *, at: datetime = NOW) -> schemas.UpstreamEvent:
    return schemas.UpstreamEvent(
        type="upstream.changed", at=at, daemon="d", upstream=name, before="healthy", after=after, usable=False,
        reason=f"The upstream {name} cannot be reached.",
    )  # fmt: skip


def sight(*told: schemas.StatsEvent, **known: Any) -> Sight:
    picture = Picture()
    for one in told:
        picture.fold(one)
    return Sight(picture, NOW, known.pop("log", Log()), **known)


def lines(pane: Pane) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in pane.lines]


# -- characters -------------------------------------------------------------------------------


def test_a_line_of_blocks_tells_nothing_from_little_and_little_from_much() -> None:
    assert spark([None, 0, 1, 50, 100], 100) == [" ▁▂▄▇"]
    assert spark([0, 0], 0) == ["▁▁"]
    assert spark([], 0) == [""]


def test_what_is_no_number_is_not_drawn_and_what_is_beyond_all_is_as_high_as_can_be() -> None:
    inf = float("inf")
    assert spark([float("nan"), inf, 1e308], 10) == [" ▇▇"]
    assert spark([inf, 1.0], inf) == ["▇▂"]
    endless = sight(stats(pool(), requests_per_second=inf, errors_per_second=inf, first_token_p50=float("nan")))
    for paint in EVERY:
        paint(endless, 56, 8)


def test_a_higher_line_of_blocks_has_the_highest_row_first() -> None:
    assert spark([None, 0, 50, 100], 100, 2) == ["   ▇", " ▁██"]


def test_a_block_stands_for_the_highest_of_its_time_and_does_not_change_later() -> None:
    assert buckets([1, 9, 2, 3], 4, 2, 4) == [9, 3]
    first = buckets(list(range(300)), 300, 30, 300)
    moved = buckets([*range(1, 300), 5], 301, 30, 300)
    assert moved[:-1] == first[1:]
    assert buckets([], 0, 3, 300) == [None] * 3
    assert buckets([1], 1, 0, 300) == []


@pytest.mark.parametrize(
    ("used", "whole", "drawn"), [(0, 4, "────"), (4, 4, "━━━━"), (1, 100, "━───"), (99, 100, "━━━─"), (0, 0, "────")]
)
def test_a_bar_is_full_only_when_all_is_used(used: int, whole: int, drawn: str) -> None:
    assert "".join(bar(used, whole, 4)) == drawn


def test_figures_fit_into_six_cells() -> None:
    values = (0, 7, 9_999, 10_000, 99_949, 123_456, 999_499, 999_500, 12_345_678, 123_456_789)
    assert [number(value) for value in values] == [
        "0", "7", "9,999", "10.0k", "99.9k", "123k", "999k", "1.0M", "12.3M", "123M",
    ]  # fmt: skip
    assert [rate(value) for value in (0.0, 0.001, 0.3, 9.94, 12.3)] == ["0", "<0.1", "0.3", "9.9", "12"]
    assert (short("llama3.2:latest"), short("a:7b"), short(":latest")) == ("llama3.2", "a:7b", ":latest")


# -- panes ------------------------------------------------------------------------------------

EVERY = (verdict.verdict, line.depth, line.traffic, work.upstreams, work.running, work.top)


@pytest.mark.parametrize("size", [(38, 4), (38, 8), (56, 8), (76, 1), (98, 15), (38, 3)])
@pytest.mark.parametrize("paint", EVERY)
def test_nothing_is_wider_than_its_panel(paint: Any, size: tuple[int, int]) -> None:
    busy = sight(
        stats(pool(), pool("other")),
        upstreams=[upstream(), upstream("gpu2", state="offline", reason="x" * 200)],
        status=schemas.QueueStatus(backend="memory", state="connected", reason="", serves=True, daemons=[]),
    )
    for known in (sight(), sight(stats()), busy):
        for text in lines(paint(known, *size)):
            assert cell_len(text) <= size[0], text


def test_levels_are_those_of_all_pools_and_the_waits_the_longest() -> None:
    both = sight(stats(pool(), pool("cpu", wait_p50={2: 0.1}, wait_p95={2: 7.0}, oldest_wait=40.0)))
    pane = line.depth(both, 60, 8)
    rows = {text.split("  ")[0].strip(): text.split() for text in lines(pane)}
    assert rows["level 2"][-6:] == ["2", "2", "0.4", "s", "7.0", "s"]
    assert rows["level 1"][-4:] == ["0", "0", "-", "-"]
    assert rows["aged"][-2:] == ["2", "2"]
    assert rows["all"][-2:] == ["6", "6"]
    assert pane.remark == "oldest waits 40 s"


def test_seconds_without_the_daemon_are_blank() -> None:
    picture = Picture()
    for second in (0, 1, 2, 4, 64, 65):
        picture.fold(stats(pool(), at=NOW + timedelta(seconds=second)))
    assert picture.count == 65  # one second that was left out is only an unsteady beat
    assert picture.history("waiting") == [3.0] * 4 + [None] * 59 + [3.0] * 2
    assert list(picture.silences) == [(NOW + timedelta(seconds=4), NOW + timedelta(seconds=64))]
    drawn = next(text for text in lines(line.depth(Sight(picture, NOW, Log()), 60, 8)) if text.startswith("all"))
    assert "▇" + " " * 10 in drawn
    picture.fold(stats(pool(), at=NOW + timedelta(days=900)))
    assert len(picture.history("waiting")) == SECONDS
    assert picture.still().silences == picture.silences
    picture.fold(stats(pool(), at=NOW))  # a clock that was set back
    assert picture.history("waiting")[-2:] == [3.0, 3.0]


def test_tokens_of_an_answer_that_is_still_written_are_not_missed_without_a_word() -> None:
    assert line.traffic(sight(stats(pool(running=1))), 60, 8).remark == "counted when answered"
    assert line.traffic(sight(stats(pool(running=0))), 60, 8).remark == "no requests yet"


def test_how_many_more_run_is_told_in_the_frame() -> None:
    def held(number_: int) -> schemas.Running:
        return schemas.Running(
            ticket_id=f"t{number_}", pool="gpu", model="m", owner="key:1", level=2, upstream="u", running_for=number_
        )

    few = work.running(sight(stats(pool(running=4)), running=[held(n) for n in range(4)]), 38, 4)
    assert (len(few.lines), few.remark) == (4, "longest first, and 1 more")
    many = sight(stats(pool(running=5000)), running=[held(n) for n in range(work.FIRST)])
    assert work.running(many, 38, 4).remark == "longest first, and 4,997 more"
    assert lines(work.top(many, 50, 8))[1].split()[1] == "200+"


def test_what_cannot_be_asked_for_is_said() -> None:
    known = sight(stats(pool()), upstreams=[upstream()], faults={"running": "It is not understood."})
    assert lines(verdict.verdict(known, 80, 1))[0] == "▲ Not known, who runs: It is not understood"


def test_the_lines_go_back_as_far_as_there_is_something() -> None:
    picture = Picture()
    reached = []
    for _ in range(SECONDS):
        picture.fold(stats())
        reached.append(line.reach(picture))
    assert (reached[0], reached[60], reached[-1]) == (60, 120, SECONDS)


def test_the_verdict_names_the_worst_first_and_counts_what_has_no_room() -> None:
    known = sight(
        stats(pool(state="paused"), errors_per_second=0.3),
        upstreams=[upstream("a", state="degraded"), upstream("b", state="offline", reason="The upstream b is gone.")],
    )
    told = [text for _, text in verdict.problems(known)]
    assert told == [
        "b is offline: is gone",
        "a is degraded",
        "The pool gpu is paused",
        "3 requests failed in the last 10 s",
    ]
    assert lines(verdict.verdict(known, 40, 1)) == ["✖ b is offline: is gone  +3"]
    assert lines(verdict.verdict(known, 45, 1)) == ["✖ b is offline: is gone  ▲ a is degraded  +2"]


def test_the_verdict_does_not_call_old_figures_well() -> None:
    assert "All is well" in lines(verdict.verdict(sight(stats(), upstreams=[upstream()]), 80, 1))[0]
    assert "No news" in lines(verdict.verdict(sight(stats(), upstreams=[upstream()], stale=True), 80, 1))[0]


def test_the_mode_tells_the_broker_and_who_dispatches_where_there_is_room() -> None:
    daemons = [
        schemas.QueueDaemon(
            name=name, boot="b", state=state, reason="", dispatches=[], waiting=0, running=0, heard=heard
        )
        for name, state, heard in (("one", "connected", 0.0), ("two", "degraded", 1.0))
    ]
    status = schemas.QueueStatus(
        backend="rabbitmq", state="degraded", reason="gone", serves=True, daemons=daemons, broker_version="4.1"
    )
    known = sight(stats(pool(dispatcher="one")), status=status)
    assert verdict.mode(known, 80) == "queue: rabbitmq 4.1, degraded · 2 daemons · one dispatches"
    assert verdict.mode(known, 50) == "queue: rabbitmq 4.1, degraded · 2 daemons"
    assert verdict.mode(known, 10) == ""
    assert [text for _, text in verdict.problems(known)] == [
        "The queue (rabbitmq) is degraded",
        "The daemon two is degraded",
    ]


def test_those_who_use_most_run_and_wait_under_one_name() -> None:
    def used(key: str, name: str, requests: int, tokens: int) -> schemas.UsageRow:
        return schemas.UsageRow(
            key=key, name=name, requests=requests, errors=0, input_tokens=tokens, output_tokens=0, wait_seconds=0.0
        )

    usage = schemas.UsageReport(
        group_by="principal", since=NOW - timedelta(minutes=30), until=NOW,
        data=[used("key:1", "editor", 3, 10), used("key:2", "bob", 9, 500)],
    )  # fmt: skip
    runs = schemas.Running(
        ticket_id="t", pool="gpu", model="m", owner="key:1", owner_name="ann/editor", level=2, upstream="gpu1",
        running_for=1.0,
    )  # fmt: skip
    waits = schemas.Waiting(
        ticket_id="w", pool="gpu", model="m", owner="address:::1", owner_name="", submitted_level=1, level=1,
        aged=False, ahead=0, waited=1.0, estimated_wait=None,
    )  # fmt: skip
    known = sight(
        stats(pool()), usage=usage, running=[runs], waiting=schemas.WaitingPage(data=[waits], next=None, total=900)
    )
    pane = work.top(known, 50, 8)
    assert [text.split() for text in lines(pane)[1:]] == [
        ["bob", "-", "-", "9", "500"],
        ["ann/editor", "1", "-", "3", "10"],
        ["address:::1", "-", "1+", "-", "-"],
    ]
    assert pane.remark == "since 14:00"


def test_more_upstreams_than_room_begin_with_those_in_trouble() -> None:
    many = [upstream(f"u{place}") for place in range(9)] + [upstream("zz", state="offline", reason="gone")]
    told = lines(work.upstreams(sight(stats(pool()), upstreams=many), 38, 4))
    assert told[0].split()[:3] == ["✖", "zz", "offline"]
    assert told[-1] == "… and 7 more"


# -- events -----------------------------------------------------------------------------------


def told(log: Log, count: int = 20) -> list[str]:
    return [one.text for one in log.newest(count)]


def test_many_of_a_kind_in_a_second_are_one_line() -> None:
    log = Log()
    log.add([finished(one, principal_name="ann" if one % 3 else "bob") for one in range(9)])
    assert told(log) == ["9 requests answered (ann 6, bob 3)"]
    log.add([finished(20), finished(21, outcome="upstream_failed", error_code="upstream_cut")])
    assert told(log)[:2] == ["ann · llama3.2: failed on gpu1: upstream_cut", "ann · llama3.2: 40 tokens in 2.0 s"]


def test_what_is_rare_is_not_washed_away_by_requests() -> None:
    log = Log()
    log.add([changed("gpu2", "offline")])
    for second in range(10 * KEPT):
        log.add([finished(second)])
    assert len(told(log, 10_000)) <= KEPT + 1
    assert told(log, 6)[-1] == "gpu2 is offline: cannot be reached"
    assert len(told(log, 6)) == 6
    assert told(log, 0) == []


def test_what_is_asked_for_and_told_by_the_stream_is_shown_once() -> None:
    log = Log()
    log.add([finished(1)])
    log.past([finished(1), finished(2)], [])
    log.add([finished(2), finished(3)])
    assert len(told(log)) == 3


def test_what_happened_meanwhile_is_asked_for_again_and_shown_once() -> None:
    log = Log()
    log.past([finished(1)], [])
    log.add([finished(2)])
    log.past([finished(1), finished(2), finished(3)], [])
    assert len(told(log)) == 3


def test_an_event_of_a_newer_daemon_that_only_calls_itself_one_of_ours_is_left_out() -> None:
    log = Log()
    kinds = ("request.finished", "request.refused", "ticket.promoted", "upstream.changed", "activity", "lost", "new")
    log.add([schemas.FeedEvent(type=kind, at=NOW, daemon="d") for kind in kinds])
    assert told(log) == []
    log.add([finished(1, at=NOW.replace(tzinfo=None), finished_at=NOW.replace(tzinfo=None)), finished(2)])
    log.past([finished(3)], [])
    assert len(told(log)) == 3


def test_when_the_daemon_could_not_be_heard_stands_between_the_events() -> None:
    log = Log()
    log.add([finished(1), finished(90_000)])
    before, after = NOW + timedelta(seconds=10), NOW + timedelta(seconds=70)
    assert told(log.still([(before, after), (NOW + timedelta(seconds=100), None)])) == [
        "no news from the daemon",
        "ann · llama3.2: 40 tokens in 2.0 s",
        "the daemon answers again, after 60 s",
        "no news from the daemon",
        "ann · llama3.2: 40 tokens in 2.0 s",
    ]
    assert len(told(log)) == 2


def test_what_was_lost_is_said() -> None:
    log = Log()
    log.add([finished(1)], lost=1200)
    assert told(log)[0] == "1,200 more events, too many to be told one by one"


def test_an_empty_log_says_so_and_a_narrow_one_fits() -> None:
    assert lines(events(Log(), NOW, 60, 4)) == ["Nothing has happened yet."]
    log = Log()
    log.add([finished(1, principal_name="名前" * 40), changed("gpu2", "offline")])
    for text in lines(events(replace(sight(), log=log).log, NOW, 30, 4)):
        assert cell_len(text) <= 30


def test_escapes_in_events_are_written_out() -> None:
    log = Log()
    log.add([finished(1, model="\x1b[2Jx", principal_name="a\nb"), changed("g\x07", "off\x1bline")])
    text = "\n".join(lines(events(log, NOW, 200, 4)))
    assert not set("\x1b\x07") & set(text)
    assert "a\\u000ab · \\u001b[2Jx: 40 tokens in 2.0 s" in text


def test_several_pools_are_told_where_there_is_room_for_them() -> None:
    known = sight(stats(pool(waiting=1), pool("cpu", waiting=0)), upstreams=[upstream()])
    assert [text.split() for text in lines(work.upstreams(known, 56, 8))[2:]] == [
        ["pool", "gpu", "open", "1", "waiting,", "oldest", "12", "s"],
        ["pool", "cpu", "open", "nobody", "waits"],
    ]
    assert lines(work.upstreams(known, 38, 3))[1:] == ["waiting: gpu 1 · cpu 0"]
    alone = sight(stats(pool()), upstreams=[upstream()])
    assert len(lines(work.upstreams(alone, 56, 8))) == 1


def test_a_long_line_is_cut_between_figures() -> None:
    log = Log()
    log.add([finished(1, wait=12.0, duration=14.0)])
    whole = lines(events(log, NOW, 80, 1))[0]
    assert whole.endswith("40 tokens in 2.0 s, waited 12 s")
    assert lines(events(log, NOW, len(whole) - 1, 1))[0].endswith("40 tokens in 2.0 s, …")
