"""What the replay says about itself and about what it has found: every number in it was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bench.figures import in_words
from bench.replay_load import BATCH, CHAT, DECODE, PREFILL, RUNS, SLOTS, Load, peak, traffic
from bench.replay_outcome import OTHER_SHARE, Case, Outcome
from bench.simulation import Order
from bench.slot_idle import DAEMONS, FASTER, STRETCH_SECONDS, STRETCHES
from bench.traces import SOURCE, calls
from llmgate.config import QueueSettings

Outcomes = Mapping[Case, Outcome]

OTHER: Final = f"llmgate, `aged_share = {OTHER_SHARE}`"
ANSWERED: Final = {429: "429", 503: "503", 504: "504 at the deadline"}


def alone(load: Load, outcomes: Outcomes) -> Outcome:
    """Level 1 without the batch work; more of that does not change it."""
    return outcomes[Case(Load.FASTER if load is Load.FASTER else Load.FITS, Order.LLMGATE, alone=True)]


def ways(load: Load, outcomes: Outcomes) -> dict[str, list[Outcome]]:
    """By name, the runs of one load in each order."""
    found = {str(order): [outcomes[Case(load, order, run)] for run in range(RUNS)] for order in Order}
    if load is Load.MORE_BATCH:
        found[OTHER] = [outcomes[Case(load, Order.LLMGATE, run, other=True)] for run in range(RUNS)]
    return found


def harm(load: Load, runs: Iterable[Outcome], outcomes: Outcomes) -> list[float]:
    """How much longer the 99th percentile of level 1 waits than without the batch work, in mean service times."""
    without = alone(load, outcomes).waits[CHAT][1]
    return [(one.waits[CHAT][1] - without) / one.mean_service for one in runs]


def refused(one: Outcome, *statuses: int) -> float:
    """Percent of all requests that were told so."""
    told = list(one.told.values())
    return 100 * sum(counts[status] for counts in told for status in statuses) / sum(counts.total() for counts in told)


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where when the runs differ."""
    low, middle, high = (in_words(value) for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"**{middle}** ({low} to {high})"


def table(load: Load, outcomes: Outcomes) -> str:
    """Waits of either level, and where the slots' time went."""
    rows = [
        "| order | level | wait p50, s | p99, s | longest, s | refused | slots in use, % | aged share, % |",
        "|---|--:|---|---|---|---|---|---|",
        _row("level 1 alone", CHAT, [alone(load, outcomes)]),
    ]
    for name, runs in ways(load, outcomes).items():
        rows += [_row(name, level, runs) for level in (CHAT, BATCH)]
    return "\n".join(rows)


def _row(name: str, level: int, runs: Sequence[Outcome]) -> str:
    waits = [spread([one.waits[level][number] for one in runs]) for number in range(3)]
    told = {
        status: statistics.median(one.told[level][status] for one in runs)
        for status in ANSWERED
        if any(one.told[level][status] for one in runs)
    }
    total = statistics.median(one.told[level].total() for one in runs)
    refusals = ", ".join(f"{ANSWERED[status]}: {count:,.0f}" for status, count in told.items())
    cells = [
        *waits,
        f"{refusals} of {total:,.0f}" if told else f"none of {total:,.0f}",
        spread([100 * one.slot_use for one in runs]),
        spread([100 * one.aged_share for one in runs]),
    ]
    return f"| {name} | {level} | {' | '.join(cells)} |"


def how() -> str:
    chats = sum(call.trace == "conv" for call in calls())
    code = len(calls()) - chats
    settings = QueueSettings()
    return f"""\
The traffic is {SOURCE}: {chats:,} chats at level {CHAT}, and {code:,} requests for code, which come in bursts, at
level {BATCH}; each of the two has one key. It meets a simulated upstream of {SLOTS} slots. A slot reads
{PREFILL:,.0f} tokens a second and writes {DECODE:,.0f}, so an answer holds it for context / {PREFILL:,.0f} +
generated / {DECODE:,.0f} seconds. The times between the requests are stretched by one factor, so that the traffic
asks for as much of the slots' time as the headings say: the load. That a slot reads four times as quickly as it
writes is an assumption: where it reads only twice as quickly, bursts of the batch work hold the slots longer, and at
75 % load level 1 waits about three service times longer than alone. The queue is the gateway's own
(`MemoryQueueManager`) in virtual time, with the default settings: `aging_seconds = {settings.aging_seconds:g}`,
`aged_share = {settings.aged_share:g}`, `deadline_seconds = {settings.deadline_seconds:g}`, `max_waiting_per_principal
= {settings.max_waiting_per_principal}`. *First come, first served* is the same queue with everything in one flow at
one level, *strict* the same queue without aging.

There are {RUNS} runs. In each the code trace begins a fifth of the length later than in the one before, and what
would be beyond the end comes first, so that other bursts meet. A run that is repeated gives the same figures. Waits
are those of requests that had their turn.

The bound of a request is the documented one: (level - 1) × `aging_seconds`, and the tickets up to it in the aged lane
/ (`aged_share` × slots / mean service time); and the longest answer of all, which may be running when its turn comes.
*Told late* is a 429 or 503 that does not come at once and with `Retry-After`, or a 504 that does not come at the
deadline."""


def section(load: Load, outcomes: Outcomes) -> str:
    return f"### {load}\n\n{verdict(load, outcomes)}\n\n{table(load, outcomes)}"


def verdict(load: Load, outcomes: Outcomes) -> str:
    """What the figures say about the goals."""
    said = [_offer(load)]
    for name, runs in ways(load, outcomes).items():
        if name not in {Order.LLMGATE, OTHER}:
            continue
        found = harm(load, runs, outcomes)
        lost = [one.told[CHAT].total() - one.told[CHAT][200] for one in runs]
        reached = sum(value <= 1 and not missing for value, missing in zip(found, lost, strict=True))
        late = sum(one.late for one in runs)
        also = f", and {statistics.median(lost):,.0f} of its requests are refused" if any(lost) else ""
        said.append(
            f"{name}: at the 99th percentile level 1 waits {in_words(statistics.median(found))} mean service times "
            f"longer than alone{also}. "
            f"That it be at most one, and nothing of it refused, is {_reached(reached)}. "
            f"{'No request' if not late else f'**{late} requests**'} waited beyond the bound or was told late."
        )
        if name == OTHER:
            said.append(
                "The default was chosen among five values on this very traffic; that it fits others is not shown."
            )
        if name == Order.LLMGATE and reached < RUNS:
            said.append(_why(load))
    return "\n\n".join(said)


def _reached(runs: int) -> str:
    return "reached in all runs" if runs == RUNS else f"**not reached** in {RUNS - runs} of {RUNS} runs"


def _offer(load: Load) -> str:
    if load is Load.MORE_BATCH:
        return (
            "The chats are those of 75 % load; the excess is more of the code trace, laid over itself at other times."
        )
    if load is Load.FASTER:
        return "Both traces come faster, so that the chats alone have bursts that fill all slots."
    return "Both traces as they are."


def _why(load: Load) -> str:
    """Why level 1 is not unharmed: what it asks for, and what the aged lane leaves to it."""
    busiest = peak([request for request in traffic(load, 0) if request.level == CHAT])
    share = QueueSettings().aged_share
    return (
        f"Why: in its busiest five minutes level 1 asks for {100 * busiest:.0f} % of the slots' time, while the aged "
        f"lane, hardly ever empty under such a load, has its promised {100 * share:.0f} % of the grants. Near what is "
        f"left, {100 - 100 * share:.0f} %, level 1 queues, and beyond it falls behind. A smaller `aged_share` moves "
        "this in favour of level 1, and so does a limit of waiting requests for the batch key, which refuses early "
        "what would only grow old."
    )


def how_idle() -> str:
    return f"""\
### Idle slots

In real time: {STRETCHES} stretches of the traffic at 75 % load, {STRETCH_SECONDS:.0f} s each, {FASTER} times as fast
(answers and aging too), through the queue in memory, and through the queues of {DAEMONS} daemons, asked by turns, on
a private RabbitMQ broker. For each grant: how long the slot that was owed for the longest time has been idle while
somebody waited; from the call that frees it, or that asks for it, until the one who waited holds the grant.
Everything shares this machine's processors, the broker too."""
