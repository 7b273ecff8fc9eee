"""How pools, waiting requests and daemons are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from llmgate.cli.output import Column
from llmgate.text import precise, seconds

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.schemas import PoolStats, QueueDaemon, QueueStatus, Running, Waiting

LEVELS = range(1, 6)


# What belongs together has no space in it, so that a narrow column is not broken there.


def _by_level(stats: PoolStats) -> str:
    return "  ".join(f"{level}:{count}" for level, count in sorted(stats.waiting_by_level.items()) if count)


def _waits(stats: PoolStats) -> str:
    return "  ".join(f"{level}:{p50:.1f}/{stats.wait_p95[level]:.1f}s" for level, p50 in sorted(stats.wait_p50.items()))


def _service(stats: PoolStats) -> str:
    return "" if stats.service_p50 is None else f"{stats.service_p50:.1f}/{stats.service_p95 or 0:.1f}s"


def who(row: Waiting | Running) -> str:
    """Whose request it is; a daemon of an older version tells no names."""
    return row.owner_name or row.owner


def state_of(status: QueueStatus) -> str:
    """How the queue does, as the beginning of a sentence."""
    state = f"{status.backend}, {status.state}"
    if status.reason:
        state += f": {status.reason.rstrip('.')}"
    return state if status.serves else f"{state}; no slot can be given here"


def dispatchers(pools: Iterable[PoolStats]) -> str:
    """Who decides in which pool who goes next, as short as it can be told."""
    by: dict[str, list[str]] = {}
    for pool in pools:
        by.setdefault(pool.dispatcher or "nobody", []).append(pool.pool)
    if len(by) == 1:
        return f"{next(iter(by))} dispatches"
    return "; ".join(f"{name} dispatches {', '.join(theirs)}" for name, theirs in by.items())


def _heard(daemon: QueueDaemon) -> str:
    return precise(daemon.heard) if daemon.heard else "this one"


def times(pools: Iterable[PoolStats]) -> Iterator[dict[str, str]]:
    """Four rows for each pool: who waits, and how long it took lately. The waits are by level of submission."""
    for pool in pools:
        waiting = {str(level): str(count) for level, count in pool.waiting_by_level.items()}
        yield {"pool": pool.pool, "what": "waiting", **waiting, "aged": str(pool.aged_waiting)}
        yield {"what": "p50", **_told(pool.wait_p50), "service": precise(pool.service_p50)}
        yield {"what": "p95", **_told(pool.wait_p95), "service": precise(pool.service_p95)}
        yield {"what": "max", **_told(pool.wait_max)}


def _told(waits: Mapping[int, float]) -> dict[str, str]:
    return {str(level): precise(wait) for level, wait in waits.items()}


def _at(key: str, title: str) -> Column:
    # As wide as most times: the columns stand still while the figures change.
    return Column(title, lambda row: row.get(key, "-").rjust(5), right=True)


STATS = (
    Column("pool", lambda stats: stats.pool),
    Column("state", lambda stats: stats.state),
    Column("running", lambda stats: f"{stats.running} of {stats.slots}", right=True),
    Column("waiting", lambda stats: stats.waiting, right=True),
    Column("by level", _by_level),
    Column("aged", lambda stats: stats.aged_waiting, right=True),
    Column("oldest", lambda stats: f"{stats.oldest_wait:.1f} s", right=True),
    Column("grants/s", lambda stats: f"{stats.grants_per_second:.1f}", right=True, wide=True),
    Column("service p50/p95", _service, right=True, wide=True),
    Column("wait p50/p95 by level", _waits, widest=True),
    Column("dispatcher", lambda stats: stats.dispatcher, widest=True),
)
POOLS = (
    Column("pool", lambda stats: stats.pool),
    Column("state", lambda stats: stats.state),
    Column("running", lambda stats: f"{stats.running} of {stats.slots}", right=True),
    Column("waiting", lambda stats: stats.waiting, right=True),
    Column("oldest", lambda stats: precise(stats.oldest_wait if stats.waiting else None), right=True),
    Column("arrivals/s", lambda stats: f"{stats.arrivals_per_second:.1f}", right=True),
    Column("grants/s", lambda stats: f"{stats.grants_per_second:.1f}", right=True),
    Column("promoted", lambda stats: stats.promotions, right=True),
    Column("granted", lambda stats: stats.granted, right=True, wide=True),
    Column("dispatcher", lambda stats: stats.dispatcher, wide=True),
)
TIMES = (
    Column("pool", lambda row: row.get("pool", " ")),
    Column("", lambda row: row["what"]),
    *(_at(str(level), f"level {level}" if level == 1 else str(level)) for level in LEVELS),
    _at("aged", "aged"),
    _at("service", "service"),
)
DAEMONS = (
    Column("daemon", lambda daemon: daemon.name),
    Column("state", lambda daemon: daemon.state),
    Column("dispatches", lambda daemon: daemon.dispatches),
    Column("waiting", lambda daemon: daemon.waiting, right=True),
    Column("running", lambda daemon: daemon.running, right=True),
    Column("heard", _heard, right=True),
    Column("reason", lambda daemon: daemon.reason, wide=True),
)
WAITING = (
    Column("id", lambda place: place.ticket_id, whole=True),
    Column("pool", lambda place: place.pool, wide=True),
    Column("model", lambda place: place.model),
    Column("who", who),
    Column("level", lambda place: "aged" if place.aged else place.level),
    Column("ahead", lambda place: place.ahead, right=True),
    Column("waited", lambda place: precise(place.waited), right=True),
    Column("expected", lambda place: seconds(place.estimated_wait), right=True),
)
RUNNING = (
    Column("id", lambda held: held.ticket_id, whole=True),
    Column("pool", lambda held: held.pool, wide=True),
    Column("model", lambda held: held.model),
    Column("who", who),
    Column("level", lambda held: held.level, right=True),
    Column("upstream", lambda held: held.upstream),
    Column("for", lambda held: precise(held.running_for), right=True),
)
