"""Fairness between the flows of one level: the suites of the VTC paper, on a simulated upstream, in virtual time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.figures import Figure, Part, figure_of, in_words
from bench.plots import PLOTS, Line, Panel, lines
from bench.simulation import FOREVER, Order, Record, Request, simulate
from llmgate.config import QueueSettings
from llmgate.daemon.protocols.base import Task
from llmgate.daemon.protocols.fields import expected_cost

SEEDS: Final = (1, 2, 3, 4, 5)
SLOTS: Final = 19
"""As many requests of 512 tokens as the paper's server, with room for 10,000 tokens, has at once."""

PREFILL: Final = 300.0
DECODE: Final = 25.0
"""Tokens per second of one slot: all of them together make 877 tokens per second, the paper's server about as many."""

JITTER: Final = 0.1
"""Answers take up to so much longer or shorter than these speeds say, at random."""

BYTES_PER_TOKEN: Final = 4
PLOT: Final = "service-by-flow.svg"


@dataclass(frozen=True, slots=True)
class Client:
    """Asks ``rate`` times a second for so many tokens, and gets as many; ``on_off``: only every other minute."""

    rate: float
    tokens: int = 256
    on_off: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """Clients that ask for so many minutes, at equal distances or (``poisson``) at random.
    ``paper``: the largest difference of service in the paper's runs, first come first served, and with VTC."""

    name: str
    clients: Sequence[Client]
    minutes: int
    paper: tuple[float, float]
    poisson: bool = False

    @property
    def bound(self) -> float:
        """2 × max(w_p × L_input, w_q × M): M is the tokens of all requests that run at once."""
        tokens = max(client.tokens for client in self.clients)
        return 2.0 * max(tokens, 2 * SLOTS * 2 * tokens)


SUITES: Final = (
    Suite("overload", [Client(1.5), Client(3)], 6, (263_228, 7_357)),
    Suite("on/off", [Client(2, on_off=True), Client(3)], 10, (379_507, 8_658)),
    Suite("8 clients", [Client(0.4)] * 3 + [Client(0.6)] * 5, 6, (24_125, 3_133)),
    Suite("short and long", [Client(8, 64), Client(1.5)], 10, (221_880, 18_726), poisson=True),
)
PLOTTED: Final = SUITES[:3]


@dataclass(frozen=True, slots=True)
class Way:
    """How the suites are served: in which order, and at which level everybody is."""

    name: str
    order: Order
    level: int


LEVEL_1: Final = Way("llmgate, all at level 1", Order.LLMGATE, 1)
KEYS: Final = Way("llmgate, all at level 2", Order.LLMGATE, 2)
USERS: Final = Way("llmgate, all at level 3", Order.LLMGATE, 3)
FIFO: Final = Way("first come, first served", Order.FIFO, 1)
WAYS: Final = (LEVEL_1, KEYS, USERS, FIFO)


def requests(suite: Suite, level: int, seed: int) -> list[Request]:
    """What comes, by time. At equal distances the first one of each client comes at random, as in the paper's own
    generator. The expected cost is what the gateway expects of a chat of this size without a limit of its output."""
    chance = random.Random(seed)
    found = []
    for number, client in enumerate(suite.clients, 1):
        tokens, at = client.tokens, -chance.random() / client.rate
        cost = expected_cost(Task.CHAT, {}, tokens * BYTES_PER_TOKEN, None)
        while (at := at + (chance.expovariate(client.rate) if suite.poisson else 1 / client.rate)) < suite.minutes * 60:
            if client.on_off and int(at // 60) % 2:
                continue
            seconds = (tokens / PREFILL + tokens / DECODE) * chance.uniform(1 - JITTER, 1 + JITTER)
            found.append(Request(max(0.0, at), level, f"client {number}", seconds, 3.0 * tokens, cost))
    return sorted(found, key=lambda request: request.at)


def settings() -> QueueSettings:
    """The default ones, but nobody is refused: the suites ask for more than can be served, for minutes."""
    return QueueSettings(deadline_seconds=FOREVER, max_waiting=100_000, max_waiting_per_principal=100_000)


def service(records: Iterable[Record], until: int) -> dict[str, list[float]]:
    """Weighted tokens that each flow has been served by the end of every second: in proportion to the time, while an
    answer is under way."""
    served: dict[str, list[float]] = {}
    for record in records:
        of_flow = served.setdefault(record.request.flow, [0.0] * (until + 1))
        if record.granted_at is None:
            continue
        begin, end = record.granted_at, record.ended_at
        for second in range(int(begin), min(until, int(end)) + 1):
            share = (min(end, second + 1) - max(begin, second)) / (end - begin)
            if second < until:
                of_flow[second + 1] += share * record.request.tokens
    return {flow: list(itertools.accumulate(of_flow)) for flow, of_flow in served.items()}


def backlogs(records: Iterable[Record]) -> dict[str, list[tuple[float, float]]]:
    """For each flow the times, from when to when, in which something of it waited without a break."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in sorted(records, key=lambda one: one.request.at):
        begin, end = record.request.at, record.request.at + record.wait
        periods = found.setdefault(record.request.flow, [])
        if periods and begin <= periods[-1][1]:
            periods[-1] = (periods[-1][0], max(end, periods[-1][1]))
        else:
            periods.append((begin, end))
    return found


def widest_gap(records: Sequence[Record], until: int) -> float:
    """The largest difference of service between two flows over any time in which both had a backlog all along."""
    served, waited = service(records, until), backlogs(records)
    widest = 0.0
    for one, other in itertools.combinations(served, 2):
        difference = [a - b for a, b in zip(served[one], served[other], strict=True)]
        for (begin, end), (start, stop) in itertools.product(waited[one], waited[other]):
            first, last = int(max(begin, start)) + 1, int(min(end, stop, until))
            if last > first:
                together = difference[first : last + 1]
                widest = max(widest, max(together) - min(together))
    return widest


def play(suite: Suite, way: Way, seed: int) -> list[Record]:
    return simulate(requests(suite, way.level, seed), SLOTS, way.order, settings()).records


def measure(folder: Path) -> Part:
    """``folder`` is not needed: nothing is started."""
    figures, panels = [], []
    for suite in SUITES:
        until = suite.minutes * 60
        for way in WAYS:
            runs = [play(suite, way, seed) for seed in SEEDS]
            gaps = [widest_gap(records, until) for records in runs]
            goal = f"≤ {suite.bound:,.0f}, the bound" if way is LEVEL_1 else ""
            figures.append(Figure(f"{suite.name}: largest service gap", way.name, "weighted tokens", gaps, goal))
            if way in {LEVEL_1, FIFO} and suite in PLOTTED:
                panels.append(_panel(f"{suite.name}: {way.name}", runs[0], until))
    title = "Service by flow in the suites of the VTC paper"
    lines(PLOTS / PLOT, title, "minutes", "thousand weighted tokens served", panels, columns=2)
    shown = f"{title}, over time: llmgate beside first come, first served"
    return Part("fairness", "Fairness between the flows of a level", text(figures), figures, [(PLOT, shown)])


def _panel(title: str, records: Sequence[Record], until: int) -> Panel:
    served = service(records, until)
    every = range(0, until + 1, 10)
    return Panel(title, [Line(flow, [(s / 60, served[flow][s] / 1000) for s in every]) for flow in sorted(served)])


def text(figures: Sequence[Figure]) -> str:
    """How it was measured, and the figures beside those of the paper."""
    rows = ["| suite | " + " | ".join(way.name for way in WAYS) + " | bound | paper: FCFS | paper: VTC |"]
    rows.append("|---|" + "--:|" * (len(WAYS) + 3))
    for suite in SUITES:
        found = [figure_of(figures, f"{suite.name}: largest service gap", way.name) for way in WAYS]
        ours = [in_words(figure.middle) for figure in found if figure]
        numbers = [*ours, *(f"{number:,.0f}" for number in (suite.bound, *suite.paper))]
        rows.append(f"| {suite.name} | {' | '.join(numbers)} |")
    table = "\n".join(rows)
    aging = QueueSettings().aging_seconds
    return f"""\
The suites of Sheng et al., *Fairness in Serving Large Language Models*, OSDI '24 (the virtual token counter, VTC),
with the rates, the lengths and the minutes of the paper's own generator: two clients that ask for more than there is;
two of which one asks every other minute only; eight; and one with short requests beside one with long ones. The real
queue in virtual time, in front of {SLOTS} slots that read {PREFILL:.0f} and write {DECODE:.0f} tokens a second each,
which is about what the paper's server did; answers take up to {100 * JITTER:.0f} % more or less, at random.
{len(SEEDS)} runs with other random numbers. Nobody is refused, and no deadline ends a wait. What the gateway expects of
an answer, 256 tokens, happens to be right in the first three suites, which flatters it; in the fourth it is not.

The figure is the largest difference of weighted service (input + 2 × output tokens) between two flows over any time
in which both had something waiting all along. The paper proves a bound for it: 2 × max(w_p × L_input, w_q × M), here
with M the tokens of all requests that run at once. Its own figures, the largest accumulated difference, were computed
from the result files of its artifact; they are of another server, so that only their size is worth comparing.

{table}

Level 1 does not age, and there the order is VTC's alone. Levels 2 and 3 are those of keys and of people by default.
What has waited there for {aging:g} s goes a level up, and from level 2 on to the aged lane, where the oldest is
first: the longer an overload lasts, the more is served in the order of its coming. That is the price of the bound on
every wait."""
