"""The checker finds what it shall find: forged journals, each with one lie in it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trust.answers import expected, plan
from tests.trust.checker import KINDS, check
from tests.trust.document import document
from tests.trust.journal import Attempt, Fact, Fault, History, Journal, Life, Record, Row, Start, read
from tests.trust.rest import cut_offs

SEED = 5
PID = 100


def an_attempt(nonce: str, began: float = 10.0, **more: Any) -> Attempt:
    """One that was answered well within a second."""
    whole = expected(plan(SEED, nonce))
    attempt = Attempt(
        nonce, "daemon1", PID, began, began + 0.8, "answered", 200, got=len(whole), finished=True,
        digest=hashlib.sha256(whole).hexdigest(),
    )  # fmt: skip
    for name, value in more.items():
        setattr(attempt, name, value)
    return attempt


def an_unanswered(nonce: str, **more: Any) -> Attempt:
    return an_attempt(nonce, **{"got": 0, "finished": False, "digest": "", "status": 0, **more})


def a_row(nonce: str, outcome: str = "completed", code: str | None = None) -> Row:
    return Row(f"{nonce}-0123456789abcdef", outcome, code, 200)


def a_start(nonce: str, began: float = 10.2, ended: float = 10.7, upstream: str = "one") -> Start:
    return Start(nonce, upstream, began, ended, "whole")


def the_truth() -> History:
    """A run in which everything was right: an answer, a hang-up in the queue, a daemon that was killed, one that ended
    kindly, an error while the database was away."""
    history = History()
    for name, value in (("seed", SEED), ("slots", 2), ("activity", {"ok": True, "entries": 3})):
        history.add(Fact(name, value))
    history.add(an_attempt("nonce-good"))
    history.add(a_start("nonce-good"))
    history.add(a_row("nonce-good"))
    history.add(an_unanswered("nonce-left", result="gone"))
    history.add(a_row("nonce-left", "cancelled_in_queue"))
    history.add(an_unanswered("nonce-dead", result="reset", pid=200, began=19.5, ended=20.1))
    history.add(a_start("nonce-dead", 19.6, 20.05))
    history.add(Life("daemon2", 200, 0.0, 20.1, "kill", 20.0, -9))
    history.add(
        an_unanswered(
            "nonce-drained", result="error", status=503, code="draining", message="It shuts down.", pid=300,
            began=29.0, ended=30.1,
        )
    )  # fmt: skip
    history.add(a_row("nonce-drained", "shutdown", "draining"))
    history.add(Life("daemon3", 300, 0.0, 31.0, "term", 30.0, 0))
    history.add(Fault("database_stop", "", 50.0, 52.0))
    history.add(
        an_unanswered("nonce-later", result="error", status=503, message="The database does not answer.", began=51.0)
    )
    history.add(Fact("sums", 3))
    return history


def test_the_truth_is_clean() -> None:
    verdict = check(the_truth())
    assert verdict.violations == {kind: [] for kind in KINDS}
    assert verdict.results == {"answered": 1, "gone": 1, "broken by a kill": 1, "error": 2}
    assert verdict.faults["client_cut in the queue"] == 1


def _lost(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="stuck"))


def _broken(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="reset", pid=200, began=15.0, ended=16.0))


def _broken_by_a_kind_end(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="reset", status=200, pid=300, began=29.0, ended=30.5))
    history.add(a_start("nonce-lie", 29.1, 30.5))
    _written(history, a_row("nonce-lie", "shutdown"))


def _started_twice(history: History) -> None:
    history.add(a_start("nonce-good", 11.0, 11.5))


def _written_twice(history: History) -> None:
    _written(history, Row("nonce-good-fedcba9876543210", "completed", None, 200))


def _truncated(history: History) -> None:
    short = expected(plan(SEED, "nonce-lie"))[:200]
    history.add(an_attempt("nonce-lie", got=200, digest=hashlib.sha256(short).hexdigest()))
    history.add(a_start("nonce-lie"))
    _written(history, a_row("nonce-lie"))


def _silent(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="silent", status=200))


def _misrouted(history: History) -> None:
    history.attempts[0].foreign = ["nonce-left"]


def _changed(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="gone", got=100, digest=hashlib.sha256(b"other").hexdigest()))


def _from_nobody(history: History) -> None:
    history.add(a_start("nonce-nobody"))


def _ghost(history: History) -> None:
    history.add(a_start("nonce-left", 15.0, 15.5))
    history.rows[1].outcome = "client_disconnected"


def _ghost_by_its_row(history: History) -> None:
    history.add(a_start("nonce-left", 10.5, 10.8))


def _unstopped(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="gone"))
    history.add(a_start("nonce-lie", 10.1, 20.0))
    _written(history, a_row("nonce-lie", "client_disconnected"))


def _too_many(history: History) -> None:
    for number in range(3):
        history.add(an_attempt(f"nonce-more{number}", 60.0))
        history.add(a_start(f"nonce-more{number}", 60.1, 60.5, "two"))
        _written(history, a_row(f"nonce-more{number}"))


def _unknown_error(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="error", status=500, code="oops", message="Oops."))


def _speechless(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="error", status=503))


def _defect(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="error", status=503, message="The gateway failed."))


def _error_in_quiet(history: History) -> None:
    history.add(Fault("quiet", "", 40.0, 45.0))
    nonce = next(f"nonce-q{number}" for number in range(99) if plan(SEED, f"nonce-q{number}").cut is None)
    history.add(
        an_unanswered(nonce, began=41.0, ended=42.0, result="error", status=503, code="queue_full", message="Full.")
    )


def _refused_connection(history: History) -> None:
    history.add(an_unanswered("nonce-lie", result="unreached"))


def _unwritten(history: History) -> None:
    del history.rows[0]
    history.add(Fact("sums", 2))


def _written_otherwise(history: History) -> None:
    history.rows[0].outcome = "upstream_failed"


def _sums(history: History) -> None:
    history.add(Fact("sums", 99))


def _exit_code(history: History) -> None:
    history.lives[1].code = 1


def _slow_to_say_so(history: History) -> None:
    history.attempts[3].ended = 38.0


def _broken_chain(history: History) -> None:
    history.add(Fact("activity", {"ok": False, "entries": 3}))


def _restless(history: History) -> None:
    history.add(Fact("rest", "daemon1: 1 running"))


def _leak(history: History) -> None:
    history.add(Fact("leak", "dump: API key"))


def _traceback(history: History) -> None:
    history.add(Fact("log", "Traceback (most recent call last)"))


def _written(history: History, row: Row) -> None:
    history.add(row)
    history.add(Fact("sums", len(history.rows)))


LIES: list[tuple[str, Callable[[History], None]]] = [
    ("lost", _lost),
    ("lost", _broken),
    ("lost", _broken_by_a_kind_end),
    ("duplicated", _started_twice),
    ("duplicated", _written_twice),
    ("truncated", _truncated),
    ("truncated", _silent),
    ("misrouted", _misrouted),
    ("misrouted", _changed),
    ("misrouted", _from_nobody),
    ("ghost", _ghost),
    ("ghost", _ghost_by_its_row),
    ("unstopped", _unstopped),
    ("over_limit", _too_many),
    ("unexpected", _unknown_error),
    ("unexpected", _speechless),
    ("unexpected", _defect),
    ("unexpected", _error_in_quiet),
    ("unexpected", _refused_connection),
    ("unexpected", _traceback),
    ("miscounted", _unwritten),
    ("miscounted", _written_otherwise),
    ("miscounted", _sums),
    ("unkind", _exit_code),
    ("unkind", _slow_to_say_so),
    ("unsettled", _broken_chain),
    ("unsettled", _restless),
    ("leaked", _leak),
]


@pytest.mark.parametrize(("kind", "lie"), LIES, ids=[lie.__name__.strip("_") for _, lie in LIES])
def test_each_lie_is_found_and_nothing_else(kind: str, lie: Callable[[History], None]) -> None:
    history = the_truth()
    lie(history)
    found = {name: what for name, what in check(history).violations.items() if what}
    assert list(found) == [kind]


def test_every_kind_of_violation_has_a_lie() -> None:
    assert {kind for kind, _ in LIES} == set(KINDS)


def test_a_cut_off_daemon_may_exceed_the_slots_within_bounds() -> None:
    history = the_truth()
    _too_many(history)
    history.add(Fault("cable", "", 58.0, 59.0))
    assert check(history).is_clean


def test_what_a_killed_daemon_had_not_written_is_no_violation_and_what_it_had_time_for_is() -> None:
    history = the_truth()
    history.add(an_attempt("nonce-late", 18.3, pid=200))
    history.add(a_start("nonce-late", 18.4, 19.0))
    assert check(history).is_clean
    history.add(an_attempt("nonce-soon", 12.0, pid=200))
    history.add(a_start("nonce-soon", 12.1, 12.7, "two"))
    assert [what[:10] for what in check(history).violations["miscounted"]] == ["nonce-soon"]
    history.add(an_attempt("nonce-frozen", 15.0, pid=200))
    history.add(a_start("nonce-frozen", 15.1, 15.7))
    history.add(Fault("daemon_freeze", "daemon2", 16.0, 19.9, "daemon2 200, 3.9 s"))
    assert [what[:10] for what in check(history).violations["miscounted"]] == ["nonce-soon"]


def test_the_document_tells_every_violation() -> None:
    history = the_truth()
    history.add(an_attempt("nonce-soon", 12.0, pid=200))
    text = document(check(history), seed=7, seconds=60.0)
    counts = {kind: re.search(rf"\*\*{kind}\*\* \|.*\| (\d+) \|", text) for kind in KINDS}
    assert {kind: found and found[1] for kind, found in counts.items()} == {
        **dict.fromkeys(KINDS, "0"), "misrouted": "1", "miscounted": "1",
    }  # fmt: skip


def test_the_journals_can_be_read_again(tmp_path: Path) -> None:
    history = the_truth()
    records: list[Record] = [*history.attempts, *history.starts, *history.lives, *history.faults, *history.rows]
    with Journal(tmp_path) as journal:
        for record in (*records, *history.facts):
            journal.write(record)
    assert read(tmp_path) == history


def test_a_daemon_that_lost_a_broker_that_was_well_was_cut_off(tmp_path: Path) -> None:
    events = (("queue_degraded", 10), ("queue_connected", 12), ("queue_degraded", 30), ("queue_connected", 33))
    lines = [
        {"event": event, "timestamp": f"1970-01-01T00:00:{second}.000000Z", "reason": "it confirms nothing"}
        for event, second in events
    ]
    log = tmp_path / "daemon1" / "log"
    log.parent.mkdir()
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    broker = Fault("broker_stop", "", 27.0, 32.0)
    assert cut_offs(log, [broker], clock=0.0) == [Fault("cut_off", "daemon1", 10.0, 12.0, "it confirms nothing")]
