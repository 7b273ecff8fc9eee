"""Joins the journals of a run and says what they prove, in Jepsen's words. Pure: it can be run on the files again.

| violation | what it means |
|---|---|
| lost | no outcome within the bound, or a broken connection, although its daemon lived |
| duplicated | given to upstreams more than once, or written down more than once |
| truncated | looks finished without being byte for byte what the upstream sends; or ends without saying how |
| misrouted | bytes of another request, or bytes that the upstream never sent |
| ghost | its client left while it waited, and it was started all the same |
| unstopped | its client left, and the upstream worked on |
| over_limit | an upstream had more requests than slots, while no daemon was cut off from a broker that was well |
| unexpected | an error outside of the catalogue, or one that says nothing; any error while nothing was wrong |
| miscounted | what the gateway wrote down is not what happened |
| unkind | SIGTERM: an exit code, or somebody who waited and was not told at once |
| unsettled | at rest something is not as before: requests, connections, descriptors, tasks; a broken activity log |
| leaked | a secret where none may be |
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from llmgate import errors
from tests.trust.answers import expected, plan
from tests.trust.journal import Attempt, Fault, History, Life, Row, Start

UNWRITTEN_SECONDS = 2.0
"""What ended so shortly before its daemon was killed may be missing in the gateway's log, written once a second."""
GHOST_SECONDS = 1.0
"""A start so soon after the hang-up: the two were under way to each other."""
STOP_SECONDS = 4.0
"""An upstream that works on for so long after the hang-up was not told."""
RESET_SECONDS = 1.0
"""A client may hear so late of the end of a process."""
DRAIN_SECONDS = 4.0
"""Those who wait at a daemon that is told to end must know so soon, on a busy machine (promised: 1 s)."""
BLINK_SECONDS = 0.05
"""Between the last byte of an answer and the upstream's own note that it has ended."""
SETTLE_SECONDS = 15.0
"""After a cut-off the answers that were too many come to their end."""
KINDS = (
    "lost", "duplicated", "truncated", "misrouted", "ghost", "unstopped", "over_limit", "unexpected", "miscounted",
    "unkind", "unsettled", "leaked",
)  # fmt: skip


@dataclass(slots=True)
class Verdict:
    """What the journals say. ``violations``: kind → what exactly."""

    results: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float | int] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def is_clean(self) -> bool:
        return not any(self.violations.values())

    def text(self) -> str:
        """For people."""
        lines = [f"{name:>24}  {count:,}" for name, count in sorted(self.faults.items())]
        lines += [f"{name:>24}  {value:,}" for name, value in self.figures.items()]
        lines += [f"{name:>24}  {count:,}" for name, count in sorted(self.results.items())]
        lines += [f"{'error ' + name:>40}  {count:,}" for name, count in self.codes.most_common()]
        lines.append("violations")
        for kind, found in self.violations.items():
            lines.append(f"{kind:>24}  {len(found)}")
            lines += [f"{'':>26}{what}" for what in found[:10]]
        return "\n".join(lines)


def check(history: History) -> Verdict:
    """The verdict on a run."""
    return _Check(history).verdict


def catalogue() -> dict[str, set[int]]:
    """The codes that a client of an inference route may get, and the statuses of each."""
    found: dict[str, set[int]] = defaultdict(set)
    kinds: list[type[errors.LLMGateError]] = [errors.RequestError, errors.GatewayBusy, errors.UpstreamError]
    while kinds:
        kind = kinds.pop()
        found[kind.code].add(kind.status)
        kinds.extend(kind.__subclasses__())
    return dict(found)


class _Check:
    def __init__(self, history: History) -> None:
        self.verdict = Verdict()
        self._history = history
        self._seed = int(history.fact("seed"))
        self._starts: dict[str, list[Start]] = defaultdict(list)
        for start in history.starts:
            self._starts[start.nonce].append(start)
        self._rows: dict[str, list[Row]] = defaultdict(list)
        for row in history.rows:
            self._rows[row.request_id.rpartition("-")[0]].append(row)
        self._lives = {life.pid: life for life in history.lives}
        self._unwritten = {life.pid: self._unwritten_since(life) for life in history.lives}
        self._quiet = [fault for fault in history.faults if fault.kind == "quiet"]
        self._codes = catalogue()
        self._statuses = {status for statuses in self._codes.values() for status in statuses}
        self._walk()

    def _walk(self) -> None:
        verdict, history = self.verdict, self._history
        verdict.faults.update(fault.kind for fault in history.faults if fault.kind != "quiet")
        verdict.figures["attempted"] = len(history.attempts)
        for attempt in history.attempts:
            self._outcome(attempt)
            self._bytes(attempt)
            self._upstream(attempt)
            self._log(attempt)
        known = {attempt.nonce for attempt in history.attempts}
        for nonce in sorted(set(self._starts) - known):
            self._found("misrouted", f"{nonce} came to an upstream, and nobody asked it")
        for nonce in sorted(set(self._rows) - known):
            self._found("miscounted", f"{nonce} is in the log, and nobody asked it")
        self._shutdowns()
        self._slots()
        self._facts()

    def _found(self, kind: str, what: str) -> None:
        self.verdict.violations[kind].append(what)

    # -- one request -------------------------------------------------------------------------

    def _outcome(self, attempt: Attempt) -> None:
        life = self._lives.get(attempt.pid)
        result: str = attempt.result
        killed = life is not None and life.how == "kill" and life.told <= attempt.ended
        ending = life is not None and life.told <= attempt.ended
        match attempt.result:
            case "stuck" if not killed:
                self._found("lost", f"{_told(attempt)} has no outcome")
            case "reset" if killed:
                result = "broken by a kill"
            case "reset" if ending and not attempt.status and not self._starts[attempt.nonce]:
                result = "turned away"  # the listener was closed with it in its backlog
                if self._rows[attempt.nonce]:
                    self._found("lost", f"{_told(attempt)} was taken on, and its connection broke")
            case "reset":
                self._found("lost", f"{_told(attempt)}: its connection broke")
            case "unreached" if not ending:
                self._found("unexpected", f"{_told(attempt)}: its daemon lived and took no connection")
            case "silent":
                self._found("truncated", f"{_told(attempt)} ended without saying how")
            case "error":
                self._error(attempt)
        self.verdict.results[result] += 1

    def _error(self, attempt: Attempt) -> None:
        rows = self._rows[attempt.nonce]
        code = attempt.code or next((row.error_code or "" for row in rows), "")
        self.verdict.codes[f"{code or attempt.message[:40]} ({attempt.status})"] += 1
        # Ollama's dialect has no place for a code, and in a stream none for a status either.
        known = code in self._codes if code else attempt.status in {200, *self._statuses}
        if not attempt.message or not known or "gateway failed" in attempt.message:
            self._found("unexpected", f"{_told(attempt)}: {attempt.status} {code!r} {attempt.message!r}")
        calm = any(quiet.began <= attempt.began and attempt.ended <= quiet.ended for quiet in self._quiet)
        if calm and plan(self._seed, attempt.nonce).cut is None and not code.startswith("upstream_"):
            self._found("unexpected", f"{_told(attempt)}: {code} {attempt.message!r}, while nothing was wrong")

    def _bytes(self, attempt: Attempt) -> None:
        if attempt.foreign:
            self._found("misrouted", f"{_told(attempt)} holds bytes of {', '.join(attempt.foreign)}")
        if not attempt.got and not attempt.finished:
            return
        sent = expected(plan(self._seed, attempt.nonce))
        if hashlib.sha256(sent[: attempt.got]).hexdigest() != attempt.digest:
            kind = "truncated" if attempt.finished else "misrouted"
            self._found(kind, f"{_told(attempt)}: {attempt.got} bytes are not what its upstream sent")
        elif attempt.finished and attempt.got != len(sent):
            self._found("truncated", f"{_told(attempt)}: {attempt.got} bytes of {len(sent)} look finished")

    def _upstream(self, attempt: Attempt) -> None:
        starts = self._starts[attempt.nonce]
        if len(starts) > 1:
            self._found("duplicated", f"{_told(attempt)} was started {len(starts)} times")
        if attempt.result == "answered" and not starts:
            self._found("misrouted", f"{_told(attempt)} was answered, and no upstream was asked")
        if attempt.result != "gone":
            return
        for start in starts:
            if start.began > attempt.ended + GHOST_SECONDS and not self._is_frozen(attempt):
                self._found("ghost", f"{_told(attempt)} was started {start.began - attempt.ended:.1f} s later")
            over = start.ended - max(attempt.ended, start.began)
            if over > STOP_SECONDS and not self._is_frozen(attempt):
                self._found("unstopped", f"{_told(attempt)}: its upstream worked on for {over:.1f} s")

    def _is_frozen(self, attempt: Attempt) -> bool:
        """Its daemon was stopped about then, and could not notice anything."""
        return any(
            fault.kind == "daemon_freeze"
            and f"{attempt.daemon} " in fault.detail
            and fault.began - 1 <= attempt.ended <= fault.ended
            for fault in self._history.faults
        )

    def _log(self, attempt: Attempt) -> None:
        """Usage rows and outcomes are one to one, but for what a killed daemon had not written yet."""
        rows, starts = self._rows[attempt.nonce], self._starts[attempt.nonce]
        if len(rows) > 1:
            self._found("duplicated", f"{_told(attempt)} is in the log {len(rows)} times")
            return
        outcomes = [row.outcome for row in rows]
        if not rows:
            must = attempt.result == "answered" or bool(starts)
            if must and attempt.ended < self._unwritten.get(attempt.pid, float("inf")):
                self._found("miscounted", f"{_told(attempt)} is not in the log")
        elif attempt.result == "answered" and outcomes != ["completed"]:
            self._found("miscounted", f"{_told(attempt)} is in the log as {outcomes}")
        elif attempt.result == "error" and "completed" in outcomes:
            self._found("miscounted", f"{_told(attempt)}, {attempt.message!r}, is in the log as {outcomes}")
        elif starts and outcomes == ["cancelled_in_queue"]:
            self._found("ghost", f"{_told(attempt)} was started, and is in the log as {outcomes}")
        elif not starts and outcomes == ["completed"]:
            self._found("miscounted", f"{_told(attempt)} is in the log as {outcomes}, and no upstream was asked")

    def _unwritten_since(self, life: Life) -> float:
        """From when on the log may miss what ended: shortly before a kill, and longer if the database was away or the
        daemon stood still until then."""
        if life.how != "kill":
            return float("inf")
        since = life.told - UNWRITTEN_SECONDS
        frozen = [fault for fault in self._faults("daemon_freeze") if f"{life.daemon} {life.pid}," in fault.detail]
        for fault in sorted([*self._faults("database_stop"), *frozen], key=lambda fault: -fault.ended):
            if fault.ended + UNWRITTEN_SECONDS >= since:
                since = min(since, fault.began - UNWRITTEN_SECONDS)
        return since

    def _faults(self, kind: str) -> list[Fault]:
        return [fault for fault in self._history.faults if fault.kind == kind]

    # -- the whole ---------------------------------------------------------------------------

    def _shutdowns(self) -> None:
        """SIGTERM: exit code 0, and who waits hears of it at once."""
        waits = []
        at_pid: dict[int, list[Attempt]] = defaultdict(list)
        for attempt in self._history.attempts:
            at_pid[attempt.pid].append(attempt)
        for life in (life for life in self._history.lives if life.how == "term"):
            if life.code != 0:
                self._found("unkind", f"{life.daemon} {life.pid} ended with {life.code}")
            for attempt in at_pid[life.pid]:
                waiting = attempt.began < life.told < attempt.ended and attempt.result == "error"
                if waiting and not self._starts[attempt.nonce]:
                    waits.append(attempt.ended - life.told)
                    if waits[-1] > DRAIN_SECONDS:
                        self._found("unkind", f"{_told(attempt)} waited {waits[-1]:.1f} s after SIGTERM")
        self.verdict.figures["told to go at a SIGTERM"] = len(waits)
        self.verdict.figures["slowest of these (s)"] = round(max(waits, default=0.0), 2)

    def _slots(self) -> None:
        slots = int(self._history.fact("slots"))
        by_upstream: dict[str, list[Start]] = defaultdict(list)
        for start in self._history.starts:
            by_upstream[start.upstream].append(start)
        lost = self._faults("cable") + self._faults("cut_off")
        cut_off = [(fault.began, fault.ended + SETTLE_SECONDS) for fault in lost]
        allowed = bound = 0.0
        for name, starts in sorted(by_upstream.items()):
            for began, ended, excess in over_limit(starts, slots):
                if any(since <= began <= until for since, until in cut_off):
                    allowed += (ended - began) * excess
                else:
                    self._found("over_limit", f"{name}: {excess} too many, {began:.2f} to {ended:.2f}")
        for since, until in cut_off:
            bound += slots * len(by_upstream) * (until - since)
        self.verdict.figures["over the limit, cut off (s)"] = round(allowed, 2)
        if allowed > bound:
            self._found("over_limit", f"{allowed:.1f} s while a daemon was cut off, at most {bound:.1f}")

    def _facts(self) -> None:
        rows = len(self._history.rows)
        if (sums := self._history.fact("sums")) != rows:
            self._found("miscounted", f"the usage table counts {sums} requests, the log {rows}")
        if not self._history.fact("activity")["ok"]:
            self._found("unsettled", f"the activity log: {self._history.fact('activity')}")
        self.verdict.figures["activity entries"] = self._history.fact("activity")["entries"]
        for name, kind in (("rest", "unsettled"), ("leak", "leaked"), ("log", "unexpected")):
            for what in self._history.all(name):
                self._found(kind, str(what))
        self.verdict.figures["log rows"] = rows
        ways = Counter(_way(attempt, self._starts[attempt.nonce]) for attempt in self._gone())
        self.verdict.faults.update({f"client_cut {way}": count for way, count in ways.items()})
        self.verdict.faults["client_cut"] = ways.total()
        self.verdict.faults["upstream_cut"] = sum(start.how == "cut" for start in self._history.starts)

    def _gone(self) -> Iterator[Attempt]:
        return (attempt for attempt in self._history.attempts if attempt.result == "gone")


def over_limit(starts: Iterable[Start], slots: int) -> list[tuple[float, float, int]]:
    """When more than ``slots`` ran at once: from, until, and by how many more; blinks are left out."""
    changes = sorted([(start.began, 1) for start in starts] + [(start.ended, -1) for start in starts])
    found: list[tuple[float, float, int]] = []
    running, since, most = 0, 0.0, 0
    for when, change in changes:
        running += change
        if running > slots:
            since = since if most else when
            most = max(most, running - slots)
        elif most:
            if when - since > BLINK_SECONDS:
                found.append((since, when, most))
            most = 0
    return found


def _way(attempt: Attempt, starts: list[Start]) -> str:
    if attempt.got:
        return "in the middle"
    return "before the first byte" if any(start.began < attempt.ended for start in starts) else "in the queue"


def _told(attempt: Attempt) -> str:
    lasted = attempt.ended - attempt.began
    return f"{attempt.nonce} ({attempt.result}, {attempt.daemon} {attempt.pid}, {attempt.began:.2f}+{lasted:.2f} s)"
