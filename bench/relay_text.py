"""What the report says about the relay: the numbers are put in by the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from bench.figures import Figure, figure_of, in_words
from bench.relay_load import (
    CHUNKS,
    FAST,
    FIRST_BYTE,
    RUN_SECONDS,
    RUNS,
    SLOW,
    STREAMS,
    Measured,
    first_byte,
    per_chunk,
    per_request,
)

OURS, SHARED, BARE, PYTHON = "llmgate", "llmgate, RabbitMQ", "nginx", "LiteLLM"
ORDER: Final = (BARE, "HAProxy", OURS, SHARED, "SMG", "TensorZero", "Portkey", PYTHON)
"""Of the products in the tables."""

REQUEST, CHUNK = per_request(32), per_chunk(100)
GOALS: Final = {
    (REQUEST, OURS): "≤ 700 µs",
    (CHUNK, OURS): "≤ 50 µs",
    (first_byte(50), OURS): "≤ 1.5 ms",
    (first_byte(99), OURS): "≤ 6 ms",
    (first_byte(50), SHARED): "≤ 4 ms",
    (first_byte(99), SHARED): "≤ 12 ms",
}
"""In absolute figures; what is to be reached in comparison is in the text."""


def in_order(found: Sequence[Measured]) -> list[Figure]:
    """All figures: what is compared stands together."""
    figures = [figure for measured in found for figure in measured.figures]
    whats = list(dict.fromkeys(figure.what for figure in figures))
    return sorted(figures, key=lambda figure: (whats.index(figure.what), ORDER.index(figure.product)))


def with_goals(figures: Sequence[Figure]) -> list[Figure]:
    return [replace(figure, goal=GOALS.get((figure.what, figure.product), "")) for figure in figures]


def rows_of(figures: Sequence[Figure], groups: Mapping[str, str]) -> list[tuple[str, float]]:
    """For a plot of bars: the medians of what is measured, in groups with a heading each."""
    return [
        (f"{heading}: {figure.product}", figure.middle)
        for heading, what in groups.items()
        for figure in sorted((one for one in figures if one.what == what), key=lambda one: one.middle)
    ]


def text(figures: Sequence[Figure], found: Sequence[Measured], failed: Mapping[str, str]) -> str:
    parts = [_method(), _products(found, failed), _ratios(figures), *_standing(figures), _rates(found), _remarks(found)]
    return "\n\n".join(part for part in parts if part)


def _method() -> str:
    few, many, slow_few, slow_many = (sizes.streams[count] for sizes in (FAST, SLOW) for count in STREAMS)
    return f"""One product at a time stands between the same client and the same fake upstream, on the same machine.
*CPU* is the time of all its processes together, user and system, with all that they started (of llmgate with RabbitMQ
also the broker), read by the kernel's clock of each process before and after.

*Per request*: answers of {CHUNKS} chunks that the upstream sends as fast as it can, over so many connections that ask
again at once; {RUNS} runs after a warm-up, of {FAST.requests[32]:,} answers each ({FAST.requests[1]:,} over one
connection; LiteLLM {SLOW.requests[1]}, {SLOW.requests[32]} and {SLOW.requests[256]}), or of fewer after
{RUN_SECONDS:g} s.

*Per chunk*: all streams are opened, and when they all run, {RUNS} windows of {few.window_seconds:g} s are looked at,
one after the other; {STREAMS[0]} streams of {1000 // few.interval_ms} chunks per second each, and {STREAMS[1]:,} of
{1000 // many.interval_ms} (LiteLLM: {1000 // slow_few.interval_ms} per second, and one in
{slow_many.interval_ms // 1000} s, in windows of {slow_few.window_seconds:g} s).

*{FIRST_BYTE.capitalize()}*: requests come by chance at a steady rate, to the product and straight to the upstream by
turns; what is given is the difference of both medians, and of both 99th percentiles.

All answers are counted, their chunks too, and whether they ended with `[DONE]`."""


def _products(found: Sequence[Measured], failed: Mapping[str, str]) -> str:
    lines = ["| product | version | what is on |", "|---|---|---|"]
    lines += [f"| {one.target.name} | {one.target.version} | {one.target.note} |" for one in found]
    lines += [f"| {name} | | **does not start**: {reason} |" for name, reason in failed.items()]
    return "\n".join(lines)


def _ratios(figures: Sequence[Figure]) -> str:
    """Medians, as multiples of nginx's and as parts of LiteLLM's."""
    lines = [
        "| median CPU time | per request, 32 connections | × nginx | LiteLLM takes | per chunk, 100 streams | × nginx "
        "| LiteLLM takes |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for product in ORDER:
        cells = []
        for what in (REQUEST, CHUNK):
            own, bare, python = (figure_of(figures, what, name) for name in (product, BARE, PYTHON))
            if own is None:
                break
            cells += [
                f"{in_words(own.middle)} µs",
                f"{own.middle / bare.middle:.1f} ×" if bare else "",
                f"{python.middle / own.middle:.1f} ×" if python else "",
            ]
        else:
            lines.append(f"| {product} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _standing(figures: Sequence[Figure]) -> list[str]:
    """Who is where, and what was to be reached."""
    told = []
    for what, unit in ((REQUEST, "request"), (CHUNK, "chunk")):
        ours = figure_of(figures, what, OURS)
        if ours is None:
            continue
        others = sorted((one for one in figures if one.what == what and one is not ours), key=lambda one: one.middle)
        cheaper = [_named(one, ours) for one in others if one.middle < ours.middle and one.product != SHARED]
        dearer = [_named(one, ours) for one in others if one.middle >= ours.middle and one.product != SHARED]
        lost = f"cheaper than llmgate are {', '.join(cheaper)}" if cheaper else "none is cheaper than llmgate"
        won = f"dearer are {', '.join(dearer)}" if dearer else "none is dearer"
        told.append(f"- **Per {unit}**: {lost}; {won} (as multiples of llmgate's {in_words(ours.middle)} µs).")
    goals = [*_limits(figures), *_comparisons(figures)]
    return ["\n".join(told), "What was to be reached:\n\n" + "\n".join(goals)] if told else []


def _named(one: Figure, ours: Figure) -> str:
    return f"{one.product} ({in_words(one.middle / ours.middle)} ×)"


def _limits(figures: Sequence[Figure]) -> list[str]:
    told = []
    for (what, product), goal in GOALS.items():
        if figure := figure_of(figures, what, product):
            is_met = figure.middle <= float(goal.split()[1])
            told.append(f"- {product}, {what}: {goal}. {_verdict(is_met)}: {in_words(figure.middle)} {figure.unit}.")
    return told


def _comparisons(figures: Sequence[Figure]) -> list[str]:
    told = []
    compared: list[tuple[str, str, str, Callable[[float], bool]]] = [
        (CHUNK, BARE, "≤ 3 × what nginx takes", lambda ratio: ratio <= 3),
        (REQUEST, PYTHON, "LiteLLM takes ≥ 40 × as much", lambda ratio: ratio >= 40),
        (CHUNK, PYTHON, "LiteLLM takes ≥ 20 × as much", lambda ratio: ratio >= 20),
    ]
    for what, other, goal, is_met in compared:
        ours, theirs = figure_of(figures, what, OURS), figure_of(figures, what, other)
        if ours and theirs:
            ratio = ours.middle / theirs.middle if other == BARE else theirs.middle / ours.middle
            told.append(f"- {OURS}, {what}: {goal}. {_verdict(is_met(ratio))}: {ratio:.1f} ×.")
    return told


def _verdict(is_met: bool) -> str:
    return "Reached" if is_met else "**Not reached**"


def _rates(found: Sequence[Measured]) -> str:
    rates = [f"{one.target.name} {one.rate:g}/s ({one.busy:.0%} of a core)" for one in found if one.rate]
    if not rates:
        return ""
    return (
        "The first bytes were timed at half of what llmgate with RabbitMQ can do at 32 connections, or half of what "
        f"the product itself can do where that is less: {', '.join(rates)}."
    )


def _remarks(found: Sequence[Measured]) -> str:
    lines = [
        f"- {one.target.name}: {remark} ({', '.join(whats) if len(whats) < len(one.figures) / 2 else 'throughout'})."
        for one in found
        for remark, whats in one.remarks.items()
    ]
    waits = [
        f"Over one connection {one.target.name} {one.waits}: it waits for something." for one in found if one.waits
    ]
    if not lines:
        return "\n".join(["Every product passed on every answer whole, chunk by chunk.", *waits])
    told = "Not passed on as it was sent; all other answers were passed on whole, chunk by chunk:"
    return "\n\n".join([told, "\n".join(lines), *waits])


def readme(figures: Sequence[Figure]) -> str:
    """The few numbers that the README shows."""
    whats = {
        f"CPU per answer of {CHUNKS} chunks, 32 connections": REQUEST,
        "CPU per streamed chunk, 100 streams": CHUNK,
        "added time to first byte, median": first_byte(50),
    }
    lines = ["| what it costs | llmgate, everything on | nginx, a bare proxy | LiteLLM |", "|---|--:|--:|--:|"]
    for title, what in whats.items():
        cells = []
        for product in (OURS, BARE, PYTHON):
            figure = figure_of(figures, what, product)
            cells.append(f"{in_words(figure.middle)} {figure.unit}" if figure else "-")
        lines.append(f"| {title} | **{cells[0]}** | {cells[1]} | {cells[2]} |")
    return "\n".join(lines)
