"""Three daemons with one line, and everything fails around them: the short form of `python -m tests.trust`."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.trust.journal import Start
from tests.trust.run import Options, run
from tests.trust.schedule import ALONE, SHORT, Strike

KILL_PROGRESS, FREEZE_PROGRESS = 1.0, 15.0
"""Longest times without a start, in seconds: after the end of a daemon, and while one is frozen that dispatched."""
FREEZE_SECONDS = 16.0
"""Longer than the broker takes to let go of a frozen daemon (12 s), and than its test allows for that."""
ONE_BY_ONE = (
    Strike(0.0, "daemon_kill", "dispatcher", 3.0),
    Strike(0.0, "daemon_kill", "another", 3.0),
    Strike(0.0, "broker_restart", "", 0.0),
    Strike(0.0, "daemon_freeze", "dispatcher", FREEZE_SECONDS),
    Strike(0.0, "broker_stop", "", FREEZE_SECONDS),
    Strike(0.0, "broker_alarm", "", FREEZE_SECONDS),
    Strike(0.0, "cable", "", FREEZE_SECONDS, 2),
)


@pytest.mark.slow
@pytest.mark.alone
async def test_nothing_is_lost_duplicated_truncated_or_misrouted_whatever_fails(tmp_path: Path) -> None:
    seed = secrets.randbelow(10**6)
    options = Options(seed=seed, folder=tmp_path, counts=SHORT, quiet=3.0, cables=False, idle=True)
    verdict, _ = await run(options)
    assert verdict.is_clean, f"seed {seed}\n{verdict.text()}"
    assert {kind: verdict.faults[kind] for kind in SHORT} == SHORT
    assert min(verdict.results["answered"], verdict.faults["client_cut"], verdict.faults["upstream_cut"]) > 0


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.long
async def test_one_daemon_alone_does_not_lose_anything_either(tmp_path: Path) -> None:
    """With SQLite, and the queue in memory."""
    seed = secrets.randbelow(10**6)
    verdict, _ = await run(
        Options(seed=seed, folder=tmp_path, rounds=2, counts=ALONE, daemons=1, alone=True, cables=False)
    )
    assert verdict.is_clean, f"seed {seed}\n{verdict.text()}"


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.long
async def test_it_goes_on_after_each_fault(tmp_path: Path) -> None:
    """One thing after the other, and for long: how soon is the next request started?"""
    seed = secrets.randbelow(10**6)
    options = Options(seed=seed, folder=tmp_path, strikes=ONE_BY_ONE, quiet=2.0, idle=True)
    verdict, history = await run(options)
    assert verdict.is_clean, f"seed {seed}\n{verdict.text()}"
    bounds = {"daemon_kill": KILL_PROGRESS, "daemon_freeze": FREEZE_PROGRESS}
    gaps = [
        (fault.kind, longest_gap(history.starts, fault.began, fault.ended), bounds[fault.kind])
        for fault in history.faults
        if fault.kind in bounds
    ]
    assert [(kind, gap) for kind, gap, bound in gaps if gap > bound] == []


def longest_gap(starts: Iterable[Start], since: float, until: float) -> float:
    """The longest time without a start at an upstream, within a span of time."""
    marks = [since, *sorted(start.began for start in starts if since <= start.began <= until), until]
    return max(after - before for before, after in itertools.pairwise(marks))
