"""What the soak says of what it saw: each way in which a request can go wrong must be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import plots, soak_text
from bench.soak_found import Found
from bench.soak_journal import End, Entry, Journal, Plan
from bench.soak_life import Counts, counts_of
from bench.soak_load import DIGITS, Load, answer
from bench.soak_looks import Look, grown_too_much, growth
from bench.soak_rows import Rows
from llmgate.daemon.queue.ticket import Outcome

COMPLETED, CANCELLED, LEFT = Outcome.COMPLETED, Outcome.CANCELLED_IN_QUEUE, Outcome.CLIENT_DISCONNECTED


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (Entry(Plan.STAYS, End.WHOLE, 1, True, 1, COMPLETED), ""),
        (Entry(Plan.STAYS, End.NONE, 1, True, 1, COMPLETED), "lost: neither"),
        (Entry(Plan.STAYS, End.WHOLE, 2, True, 1, COMPLETED), "repeated: begun twice"),
        (Entry(Plan.STAYS, End.WHOLE, 1, True, 2, COMPLETED), "repeated: two rows"),
        (Entry(Plan.STAYS, End.WHOLE, 0, False, 1, COMPLETED), "made up"),
        (Entry(Plan.STAYS, End.WHOLE, 1, True, 0, ""), "lost: no row"),
        (Entry(Plan.STAYS, End.WHOLE, 1, True, 1, LEFT), "told otherwise"),
        (Entry(Plan.STAYS, End.FAILED, 1, True, 1, LEFT), "failed"),
        (Entry(Plan.LEAVES_LINE, End.LEFT, 0, False, 1, CANCELLED), ""),
        (Entry(Plan.LEAVES_LINE, End.LEFT, 0, False, 0, ""), ""),
        (Entry(Plan.LEAVES_LINE, End.LEFT, 0, False, 1, LEFT), ""),
        (Entry(Plan.LEAVES_LINE, End.LEFT, 1, False, 1, CANCELLED), "told otherwise"),
        (Entry(Plan.LEAVES_LINE, End.LEFT, 0, False, 1, COMPLETED), "told otherwise"),
        (Entry(Plan.LEAVES_SILENCE, End.LEFT, 1, False, 1, LEFT), ""),
        (Entry(Plan.LEAVES_SILENCE, End.LEFT, 1, False, 0, ""), "lost: no row"),
        (Entry(Plan.LEAVES_MIDDLE, End.LEFT, 1, False, 1, LEFT), ""),
        (Entry(Plan.LEAVES_MIDDLE, End.LEFT, 1, True, 1, COMPLETED), ""),
        (Entry(Plan.LEAVES_MIDDLE, End.LEFT, 1, False, 1, COMPLETED), "told otherwise"),
    ],
)
def test_what_must_not_be(entry: Entry, fault: str) -> None:
    assert entry.fault.startswith(fault)
    assert bool(entry.fault) is bool(fault)


def test_the_journal_joins_what_three_sides_say() -> None:
    journal = Journal()
    for _ in range(3):
        nonce = journal.ask(Plan.STAYS)
        journal.begin(nonce)
        journal.told[nonce], journal.end[nonce] = 1, End.WHOLE
        journal.write_row(nonce, COMPLETED)
    assert journal.faults() == {}
    journal.begin(1)
    journal.write_row(2, COMPLETED)
    journal.begin(77)
    journal.write_row(78, COMPLETED)
    assert journal.faults() == {
        "repeated: begun twice": 1,
        "repeated: two rows of usage": 1,
        "made up: a request that nobody has asked": 1,
        "made up: a row of a request that nobody has asked": 1,
    }


class FakeDatabase:
    """Rows that are there for a while."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.asked: list[str] = []

    def rows(self, since: str) -> list[tuple[str, str]]:
        self.asked.append(since)
        return [row for row in self.kept if row[0] >= since]

    def total(self) -> int:
        return 0


def test_a_row_that_is_read_again_counts_once_and_one_that_is_another_counts() -> None:
    journal, database = Journal(), FakeDatabase()
    journal.ask(Plan.STAYS)
    rows = Rows(database, journal)
    database.kept.append((f"{0:0{DIGITS}d}-aa", COMPLETED))
    rows.join()
    rows.join()
    assert journal.rows[0] == 1
    database.kept.append((f"{0:0{DIGITS}d}-bb", COMPLETED))
    rows.join()
    assert journal.rows[0] == 2
    assert rows.read == 2


def test_every_answer_is_another_one() -> None:
    assert len({answer(nonce) for nonce in range(1000)}) == 1000


def test_a_fifth_is_given_up_half_of_them_in_the_line() -> None:
    load = Load()
    load._templates = [[b"a", b"b", b"c"]] * 5
    plans = [load.new()[1] for _ in range(20_000)]
    shares = {plan: plans.count(plan) / len(plans) for plan in Plan}
    assert shares[Plan.STAYS] == pytest.approx(0.8, abs=0.01)
    assert shares[Plan.LEAVES_LINE] == pytest.approx(0.1, abs=0.01)
    assert load.new()[2] == b"a000020000b000020000c"


def looks(grow: int = 0, descriptors: int = 0) -> list[Look]:
    return [
        Look(float(at), 100_000_000 + grow * at, 120_000_000, 50 + descriptors * at // 100, 9, 60, 0, at)
        for at in range(0, 1000, 10)
    ]


def test_growth_counts_from_the_end_of_the_first_tenth() -> None:
    assert growth(looks(grow=1000), lambda look: look.pss) == pytest.approx(820_000, rel=0.02)
    assert grown_too_much(looks(grow=1000)) == []
    assert grown_too_much(looks(grow=20_000)) == ["grown: PSS by 16.5 MB after the first tenth of the time"]
    assert grown_too_much(looks(descriptors=2)) == ["grown: 16 more descriptors than after the first tenth of the time"]


def test_the_counters_of_a_scrape_are_read() -> None:
    metrics = (
        'llmgate_requests_total{level="1",outcome="completed",protocol="openai"} 5.0\n'
        'llmgate_requests_total{level="2",outcome="completed",protocol="openai"} 6.0\n'
        'llmgate_refused_requests_total{code="client_gone"} 2.0\n'
        'llmgate_promotions_total{to="1"} 3.0\n'
        'llmgate_waiting{level="1",pool="fake"} 4.0\n'
    )
    assert counts_of(metrics) == Counts(11, 2, 3, 4)


def test_what_was_found_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_text, "DOCUMENT", tmp_path / "soak.md")
    monkeypatch.setattr(plots, "PLOTS", tmp_path)
    journal = Journal()
    nonce = journal.ask(Plan.STAYS)
    found = Found("here", 60, 1, looks(), Counts(1, 0, 0, 0), journal.faults(), 3600.0)
    soak_text.write(found, journal)
    told = (tmp_path / "soak.md").read_text()
    assert "1 × lost: neither an answer nor an error" in told
    assert "| open files | 50.0 | 50.0 | 50.0 | **+0.0** | ≤ 3 |" in told
    assert (tmp_path / "soak.svg").exists()
    assert "WRONG: 1 × lost" in soak_text.summary(found, journal)
    journal.end[nonce], journal.begun[nonce], journal.told[nonce] = End.WHOLE, 1, 1
    journal.write_row(nonce, COMPLETED)
    found.faults = journal.faults()
    assert "Nothing was lost" in soak_text.document(found, journal)
