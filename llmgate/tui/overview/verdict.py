"""The first line: whether all is well, and if not, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from llmgate import schemas
from llmgate.text import clean
from llmgate.tui.overview.sight import Sight
from llmgate.tui.overview.words import MARKS, several
from llmgate.tui.picture import finite
from llmgate.tui.widgets.panel import Look, Pane, Span, span

STATES: dict[str, Look] = {
    "healthy": "good",
    "degraded": "warn",
    "recovering": "warn",
    "rate_limited": "warn",
    "unknown": "dim",
    "unhealthy": "bad",
    "offline": "bad",
    "misconfigured": "bad",
}


NAMES = {"running": "who runs", "waiting": "who waits", "usage": "who uses most", "earlier": "what was before"}
USABLE = frozenset({"healthy", "degraded", "recovering"})
"""States in which an upstream may be given requests."""


def why(upstream: schemas.Upstream) -> str:
    """The reason for its state, without what is said already."""
    return upstream.reason.removeprefix(f"The upstream {upstream.name} ").rstrip(".")


def standing(upstream: schemas.Upstream) -> Look:
    """How an upstream does; a state that this version does not know is one to look at."""
    return STATES.get(upstream.state, "warn")


def plain(state: str) -> str:
    """A state as people write it."""
    return state.replace("_", " ")


def problems(sight: Sight) -> list[tuple[Look, str]]:
    """Everything that is not as it should be, the worst first."""
    found = [*_queue(sight), *_upstreams(sight), *_pools(sight), *_errors(sight), *_unknown(sight)]
    return [*(one for one in found if one[0] == "bad"), *(one for one in found if one[0] != "bad")]


def _queue(sight: Sight) -> Iterator[tuple[Look, str]]:
    status = sight.status
    if status is None:
        return
    if not status.serves:  # why is told in the line above, in every section
        yield "bad", f"The queue ({status.backend}) gives no turns"
    elif status.state != "connected":
        yield "bad", f"The queue ({status.backend}) is {plain(status.state)}"
    for daemon in status.daemons[1:]:
        if daemon.state != "connected":
            yield "warn", f"The daemon {daemon.name} is {plain(daemon.state)}"


def _upstreams(sight: Sight) -> Iterator[tuple[Look, str]]:
    for upstream in sight.upstreams or ():
        look = standing(upstream)
        if look in ("bad", "warn"):
            reason = f": {why(upstream)}" if upstream.reason else ""
            yield look, f"{upstream.name} is {plain(upstream.state)}{reason}"


def _pools(sight: Sight) -> Iterator[tuple[Look, str]]:
    told = {upstream.pool for upstream in sight.upstreams or () if standing(upstream) in ("bad", "warn")}
    for pool in sight.pools:
        if pool.state == "offline" and pool.pool not in told:
            yield "bad", f"No upstream of the pool {pool.pool} can be used"
        elif pool.state not in ("open", "offline"):
            yield "warn", f"The pool {pool.pool} is {plain(pool.state)}"


def _errors(sight: Sight) -> Iterator[tuple[Look, str]]:
    stats = sight.stats
    failures = finite(stats.errors_per_second * stats.seconds) if stats is not None else None
    if stats is not None and failures is not None and failures > 0:
        failed = max(1, round(failures))
        time = f"{stats.seconds:.0f} s" if stats.seconds > 1 else "second"
        yield "warn", f"{several(failed, 'request')} failed in the last {time}"


def _unknown(sight: Sight) -> Iterator[tuple[Look, str]]:
    for name, fault in sight.faults.items():
        yield "warn", f"Not known, {NAMES.get(name, name)}: {fault.rstrip('.')}"


def mode(sight: Sight, width: int) -> str:
    """What the queue is, who shares it and who decides: as much of it as fits."""
    status = sight.status
    if status is None:
        return ""
    version = f" {status.broker_version}" if status.broker_version else ""
    parts = [f"queue: {status.backend}{version}, {plain(status.state)}"]
    parts.append(several(max(1, len(status.daemons)), "daemon"))
    if status.daemons:  # a queue in memory names none: there is nobody of whom one could say that he dispatches
        deciding = sorted({pool.dispatcher for pool in sight.pools if pool.dispatcher})
        parts.append(f"{', '.join(deciding) or 'nobody'} dispatch{'' if len(deciding) > 1 else 'es'}")
    while parts and cell_len(" · ".join(parts)) > width:
        parts.pop()
    return " · ".join(parts)


def verdict(sight: Sight, width: int, height: int) -> Pane:
    """One line; on the right how the queue works, where there is room for it."""
    told: list[tuple[Look, str]] = problems(sight)
    if not told and sight.stats is None and sight.upstreams is None:
        told = [("dim", "Asking the daemon …")]
    elif not told and sight.stale:
        told = [("dim", "No news from the daemon: this is how it was.")]
    left = _fitting(told or [_well(sight)], width)
    used = sum(cell_len(text) for text, _ in left)
    right = mode(sight, width - used - 3)
    return Pane("", "", ((*left, span(right, width - used, "dim", right=True)),))


def _fitting(told: Sequence[tuple[Look, str]], width: int) -> list[Span]:
    """As many of these as there is room for, the first in any case, and how many more there are."""
    spans: list[Span] = []
    left = width
    for number, (look, text) in enumerate(told):
        words = clean(f"{MARKS[look]} {text}")
        rest = len(told) - number - 1
        need = cell_len(words) + (2 if number else 0) + (5 if rest else 0)
        if number and need > left:
            spans.append((f"  +{rest + 1}", "warn"))
            break
        if number:
            spans.append(("  ", ""))
        spans.append(span(words, min(cell_len(words), left - (5 if rest else 0)), look))
        left = width - sum(cell_len(text) for text, _ in spans)
    return spans


def _well(sight: Sight) -> tuple[Look, str]:
    known = sight.upstreams
    if known is None:
        return "good", "No trouble is known."
    if not known:
        return "warn", "There are no upstreams yet: nothing can run."
    unknown = sum(upstream.state == "unknown" for upstream in known)
    if unknown:
        return "dim", f"{several(unknown, 'upstream')} not probed yet."
    return "good", f"All is well: {several(len(known), 'upstream')} healthy."
