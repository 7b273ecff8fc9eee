"""Who counts as next, and what is said of a product."""

from __future__ import annotations

from collections import Counter

from bench.priority import PLACE, REFUSED, WAITING, Outcome, Run, Tried, judge, table

SERVED = Outcome("200", 0.2)
LOG = {
    "run-0-first": (1.0, 1.0),
    "run-0-low-0": (1.1, 2.6),
    "run-0-low-1": (2.55, 2.7),
    "run-0-low-2": (3.0, 0.0),
    "run-0-urgent": (2.1, 2.5),
}


def test_place_is_among_those_begun_after_it_came() -> None:
    others = Counter({"200": 2, "429": 1})
    assert judge(LOG, 2.0, SERVED, others) == Run(SERVED, 1, 1, others)
    late = {**LOG, "run-0-urgent": (2.1, 2.65)}
    assert judge(late, 2.0, SERVED, others).place == 2
    assert judge(late, 2.0, Outcome("429"), others).place == 0
    assert judge({}, 2.0, Outcome("429"), others) == Run(Outcome("429"), 0, 0, others)


def tried(*runs: Run) -> Tried:
    return Tried("llmgate", "slots = 1", "0.1", list(runs))


def test_each_product_is_told_in_a_sentence() -> None:
    all_served = Counter({"200": WAITING})
    next_one = tried(*[Run(SERVED, 1, 0, all_served)] * 2)
    assert next_one.says() == f"serves the urgent one next; of the {WAITING} that waited, all are served"
    assert [(one.what, one.values, one.goal) for one in next_one.figures()][::2] == [
        (PLACE, [1, 1], "1"),
        (REFUSED, [0, 0], "0"),
    ]
    assert "the upstream's line decides" in tried(Run(SERVED, 21, WAITING, all_served)).says()
    assert tried(Run(SERVED, 21, 0, all_served)).says().startswith("serves 20 others first, at worst")
    some = tried(Run(SERVED, 1, 0, all_served), Run(Outcome("503"), 0, 0, all_served))
    assert "but in 1 of 2 runs refuses it" in some.says()


def test_refusals_are_told_and_do_not_count_as_places() -> None:
    refused = tried(Run(Outcome("429"), 0, 0, Counter({"200": 1, "429": 19})))
    assert refused.says() == "refuses the urgent one as well (429); of the 20 that waited, refused or lost: 19 × 429"
    assert [one.what for one in refused.figures()] == [REFUSED]
    broken = Tried("SMG", failed="no wheel")
    shown = table([refused, broken])
    assert "| - | never | 19 |" in shown
    assert "| SMG | | | | | does not start: no wheel |" in shown
