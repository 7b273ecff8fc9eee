"""What a soak says: a line a minute, a summary, and docs/soak.md."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from bench import plots
from bench.document import ROOT
from bench.soak_found import Found
from bench.soak_journal import End, Journal, Plan
from bench.soak_life import Counts
from bench.soak_load import CLIENTS, PLANS, SLOTS
from bench.soak_looks import BEGIN, END, FLAT, MEMORY_GROWTH, Look, growth, median
from llmgate import __version__

DOCUMENT: Final = ROOT / "docs" / "soak.md"
PICTURE: Final = "soak.svg"

_VALUES: Final[dict[str, tuple[Callable[[Look], float], str]]] = {
    "memory, its share of shared pages (PSS), MB": (lambda look: look.pss / 1e6, f"< {MEMORY_GROWTH / 1e6:.0f}"),
    "memory, resident (RSS), MB": (lambda look: look.rss / 1e6, f"< {MEMORY_GROWTH / 1e6:.0f}"),
    "open files": (lambda look: look.descriptors, f"≤ {FLAT['descriptors']:.0f}"),
    "threads": (lambda look: look.threads, f"≤ {FLAT['threads']:.0f}"),
    "asyncio tasks": (lambda look: look.tasks, f"≤ {FLAT['tasks']:.0f}"),
}


def line(looks: Sequence[Look], counts: Counts | None, journal: Journal) -> str:
    """How it stands."""
    last, first = looks[-1], looks[0]
    rate = (last.requests - first.requests) / (last.at - first.at) if last.at > first.at else 0.0
    waiting = f", {counts.waiting} wait" if counts else ""
    troubles = f", TROUBLES {sum(journal.troubles.values())}" if journal.troubles else ""
    return (
        f"{last.at / 60:5.1f} min: {last.requests:,} requests ({rate:.0f}/s){waiting}, "
        f"PSS {last.pss / 1e6:.1f} MB, RSS {last.rss / 1e6:.1f} MB, {last.descriptors} files, {last.threads} threads, "
        f"{last.tasks} tasks, database {last.stored / 1e6:.1f} MB{troubles}"
    )


def kinds(journal: Journal) -> Counter[str]:
    """The requests by what became of them, in words."""
    found: Counter[str] = Counter()
    for entry, count in journal.entries().items():
        if entry.end is End.WHOLE:
            found["answered, whole to the last byte"] += count
        elif entry.end is not End.LEFT:
            found["neither answered nor given up"] += count
        elif not entry.rows:
            found["given up before the gateway had read them"] += count
        elif not entry.begun:
            found["given up in the line"] += count
        elif entry.told:
            found["given up when the last piece was under way already"] += count
        elif entry.plan is Plan.LEAVES_MIDDLE:
            found["given up in the middle of the stream"] += count
        else:
            found["given up before the first byte, when the upstream had begun"] += count
    return found


def facts(found: Found, journal: Journal) -> list[tuple[str, str]]:
    """Counts, in the order in which they are told."""
    given_up = sum(end == End.LEFT for end in journal.end)
    counts = found.counts or Counts(0, 0, 0, 0)
    return [
        ("time", f"{found.seconds / 60:.1f} min"),
        ("requests", f"{len(journal):,} ({len(journal) / max(1.0, found.seconds):.0f}/s)"),
        ("given up by their clients", f"{given_up:,} ({given_up / max(1, len(journal)):.1%})"),
        *((what, f"{count:,}") for what, count in sorted(kinds(journal).items())),
        ("begun at the upstream, each once", f"{sum(begun == 1 for begun in journal.begun):,}"),
        ("most at once that somebody waited for, of so many slots", f"{found.most_at_work} of {SLOTS}"),
        ("tickets that moved up a level", f"{counts.promoted:,}"),
        ("rows of usage; requests in the hourly sums; the counter", f"{found.rows:,}; {found.total:,}; "
         f"{counts.requests:,}"),
        ("logins, changes of keys and looks at every list meanwhile", f"{found.beats:,}"),
    ]  # fmt: skip


def sizes(looks: Sequence[Look]) -> list[tuple[str, float, float, float, float, str]]:
    """Of each size: after the first tenth, at the end, the most, the growth, and what that may be."""
    return [
        (what, median(looks, BEGIN, of), median(looks, END, of), max(map(of, looks)), growth(looks, of), goal)
        for what, (of, goal) in _VALUES.items()
    ]


def faults(found: Found) -> list[str]:
    return [f"{count:,} × {what}" for what, count in found.faults.most_common()]


def summary(found: Found, journal: Journal) -> str:
    told = [f"{what}: {value}" for what, value in facts(found, journal)]
    if found.looks:
        for what, begin, end, most, more, goal in sizes(found.looks):
            told.append(f"{what}: {begin:.1f} -> {end:.1f} (most {most:.1f}), growth {more:+.1f}, goal {goal}")
    ended = "Interrupted. " if found.interrupted else ""
    wrong = faults(found)
    return "\n".join([*told, ended + (f"WRONG: {'; '.join(wrong)}" if wrong else "Nothing was wrong.")])


def write(found: Found, journal: Journal) -> None:
    """The document and its picture."""
    minutes = [look.at / 60 for look in found.looks]
    memory = [
        plots.Line("RSS", list(zip(minutes, [look.rss / 1e6 for look in found.looks], strict=True))),
        plots.Line("PSS", list(zip(minutes, [look.pss / 1e6 for look in found.looks], strict=True))),
    ]
    panel = plots.Panel(f"{len(journal):,} requests", memory)
    plots.lines(plots.PLOTS / PICTURE, "Memory of the daemon while it is soaked", "minutes", "MB", [panel])
    DOCUMENT.write_text(document(found, journal), encoding="utf-8")


def document(found: Found, journal: Journal) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    counted = "\n".join(f"| {what} | {value} |" for what, value in facts(found, journal))
    sized = "\n".join(
        f"| {what} | {begin:.1f} | {end:.1f} | {most:.1f} | **{more:+.1f}** | {goal} |"
        for what, begin, end, most, more, goal in sizes(found.looks)
    )
    wrong = faults(found)
    verdict = "\n".join(f"- {one}" for one in wrong) if wrong else "Nothing was lost, repeated, changed or made up."
    share = sum(part for _, part in PLANS)
    return f"""# Soak

Written by `make soak` on {datetime.now(UTC):%Y-%m-%d}; do not edit.

llmgate {__version__}; {machine}, the clients and the upstream on it as well; {found.place}. {CLIENTS} clients with keys
of all levels ask for short answers, each again as soon as it has one, and more of them than there are slots, so that
many wait. {share:.0%} of the requests are given up: half of those while they wait, the others in the middle of the
answer or when the upstream has begun and not said anything. Meanwhile somebody logs in and out, makes and revokes keys,
looks at every list and follows the events; usage is written once a second; old rows are deleted, sessions forgotten and
the activity log shortened once a minute instead of once an hour, and after minutes instead of days.

## Each request

{verdict}

| what | |
|---|--:|
{counted}

Each request has a number. Its client, its upstream and the gateway's row of it tell what became of it, and all three
must agree: *whole* is an answer that is, byte for byte, what the upstream wrote for this very request; a request that
was begun twice, that has two rows, or that has neither answer nor error would be listed above.

## The daemon

| what | after a tenth of the time | at the end | most | growth | goal |
|---|--:|--:|--:|--:|---|
{sized}

Looked at every 10 seconds; medians of {BEGIN[0]:.0%} to {BEGIN[1]:.0%} and of the last {1 - END[0]:.0%} of the time.

![Memory over time](bench/{PICTURE})
"""
