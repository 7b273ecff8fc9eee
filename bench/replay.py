"""Quality of scheduling: an hour of real traffic through the real queue in virtual time, parts of it in real time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from bench.figures import Figure, Part
from bench.plots import PLOTS, Line, Panel, lines
from bench.replay_load import BATCH, CHAT, RUNS, Load
from bench.replay_outcome import Case, play
from bench.replay_text import Outcomes, harm, how, how_idle, refused, section, ways
from bench.simulation import Order
from bench.slot_idle import BACKENDS, slot_idle

PLOTTED: Final = {Load.FITS: "waits-75.svg", Load.MORE_BATCH: "waits-110.svg"}
FLOOR: Final = 0.01
"""Seconds; shorter waits are drawn as this on the logarithmic scale."""


def measure(folder: Path) -> Part:
    """``folder`` is not needed."""
    outcomes = simulated(cases())
    figures = [figure for load in Load for figure in figures_of(load, outcomes)]
    for backend in BACKENDS:
        figures += slot_idle(backend)
    plots = [draw(load, file, outcomes) for load, file in PLOTTED.items()]
    text = "\n\n".join([how(), *(section(load, outcomes) for load in Load), how_idle()])
    return Part("replay", "Quality of scheduling: real traffic replayed", text, figures, plots)


def cases() -> list[Case]:
    """What is simulated. Level 1 alone is the same in all runs."""
    found = [Case(load, Order.LLMGATE, alone=True) for load in (Load.FITS, Load.FASTER)]
    for run in range(RUNS):
        found += [Case(load, order, run) for load in Load for order in Order]
        found.append(Case(Load.MORE_BATCH, Order.LLMGATE, run, other=True))
    return found


def simulated(wanted: Sequence[Case]) -> Outcomes:
    """All of them, as many at a time as there are processors: in virtual time nothing depends on how busy they are."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        return dict(zip(wanted, pool.map(play, wanted), strict=True))


def figures_of(load: Load, outcomes: Outcomes) -> list[Figure]:
    found = []
    for name, runs in ways(load, outcomes).items():
        is_ours = name == Order.LLMGATE
        goal = "≤ 1" if is_ours else ""
        what = f"{load}: level-1 p99 wait beyond that of level 1 alone"
        found.append(Figure(what, name, "mean service times", harm(load, runs, outcomes), goal))
        if is_ours:
            late = [float(one.late) for one in runs]
            found.append(Figure(f"{load}: requests beyond their bound, or told late", name, "requests", late, "0"))
            used = [100 * one.bound_used for one in runs]
            found.append(Figure(f"{load}: longest wait in the aged lane, of its bound", name, "%", used, "≤ 100"))
            if load is not Load.FITS:
                at_once = [refused(one, 429, 503) for one in runs]
                found.append(Figure(f"{load}: refused at once with 429 or 503", name, "% of all", at_once))
                at_last = [refused(one, 504) for one in runs]
                found.append(Figure(f"{load}: told 504 at the deadline", name, "% of all", at_last, "0"))
    return found


def draw(load: Load, file: str, outcomes: Outcomes) -> tuple[str, str]:
    """Waits over the replay, by level, of the first run."""
    title = f"Longest wait by the minute of arrival, {load}"
    panels = [
        Panel(f"Level {level}", [Line(str(order), outcomes[Case(load, order)].minutes[level]) for order in Order])
        for level in (CHAT, BATCH)
    ]
    lines(PLOTS / file, title, "minutes", "seconds, on a logarithmic scale", panels, floor=FLOOR)
    return file, f"{title}: by level, in three orders of service"
