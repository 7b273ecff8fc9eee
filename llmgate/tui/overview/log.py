"""What happened last, in plain words: a line for each thing, and one for many of a kind."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len

from llmgate import schemas
from llmgate.text import clean, moment, precise
from llmgate.tui.overview.words import MARKS, short
from llmgate.tui.widgets.panel import Line, Look, Pane, span

KEPT = 200
"""Lines that are kept: more than any screen has."""
NAMES = 3
"""Of many requests, whose are named: those with the most."""
REMEMBERED = 2000
"""Requests and activities of which it is known that they have been told."""
SINGLE = 3
"""So many things of a kind are told one by one; of more in the same second it is told how many."""


@dataclass(frozen=True, slots=True)
class Told:
    """One line. ``rare`` are those that must not be washed away by requests."""

    at: datetime
    mark: str
    look: Look
    text: str
    rare: bool = False


class Log:
    """The last lines. Requests that wait or get their turn are not among them: they are seen where they stand."""

    def __init__(self) -> None:
        self._lines: deque[Told] = deque(maxlen=KEPT)
        self._rare: deque[Told] = deque(maxlen=KEPT)
        self._known: OrderedDict[str, None] = OrderedDict()

    def add(self, events: Iterable[schemas.FeedEvent], lost: int = 0) -> None:
        """Take what has happened since the last time."""
        kinds: dict[str, list[Any]] = {}
        for event in events:
            if isinstance(event, schemas.LostEvent):
                lost += event.count
            elif _words_of(event) is not None and not self._twice(event):
                kinds.setdefault(_kind(event), []).append(event)
        told = [one for found in kinds.values() for one in _told(found)]
        for one in sorted(told, key=lambda one: one.at):
            self._keep(one)
        if lost and (told or self._lines):
            last = max((one.at for one in told), default=self._lines[-1].at)
            self._keep(Told(last, "…", "dim", f"{lost:,} more events, too many to be told one by one"))

    def past(self, records: Iterable[schemas.RequestRecord], entries: Iterable[schemas.ActivityEntry]) -> None:
        """Take what has happened while nobody listened."""
        before = [one for one in (*records, *entries) if not self._twice(one)]
        self._merge([_line(one) for one in before])

    def newest(self, count: int) -> list[Told]:
        """So many lines, the newest first. A third of them is for what is rare, however much else there is."""
        shown = list(self._lines)[-count:] if count > 0 else []
        room = count // 3 - sum(one.rare for one in shown)
        if room > 0 and len(shown) == count:
            older = [one for one in self._rare if one not in shown][-room:]
            shown = [*older, *shown[len(older) :]]
        return shown[::-1]

    def still(self, silences: Iterable[tuple[datetime, datetime | None]] = ()) -> Log:
        """The lines as they are now, and between them when the daemon could not be heard: from when to when, None
        where it still cannot."""
        copy = Log()
        copy._lines, copy._rare = deque(self._lines, maxlen=KEPT), deque(self._rare, maxlen=KEPT)
        told = []
        for since, until in silences:
            told.append(Told(zoned(since), "○", "warn", "no news from the daemon", rare=True))
            if until is not None:
                gone = precise((until - since).total_seconds())
                told.append(Told(zoned(until), "●", "good", f"the daemon answers again, after {gone}", rare=True))
        if told:
            copy._merge(told)
        return copy

    def _merge(self, told: Iterable[Told]) -> None:
        """Put these between the others, where they belong."""
        new = list(told)
        self._lines = deque(sorted((*self._lines, *new), key=lambda one: one.at), maxlen=KEPT)
        rare = (*self._rare, *(one for one in new if one.rare))
        self._rare = deque(sorted(rare, key=lambda one: one.at), maxlen=KEPT)

    def _keep(self, one: Told) -> None:
        self._lines.append(one)
        if one.rare:
            self._rare.append(one)

    def _twice(self, event: Any) -> bool:
        """Whether it is known already. What is asked for is also told by the stream, in any order."""
        if isinstance(event, schemas.RequestRecord):
            name = event.request_id
        elif isinstance(event, schemas.ActivityEntry):
            name = f"#{event.seq}"
        else:
            return False
        if name in self._known:
            return True
        self._known[name] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return False


def events(log: Log, now: datetime, width: int, height: int) -> Pane:
    """The pane of the last events."""
    lines: list[Line] = [_drawn(one, now, width) for one in log.newest(height)]
    if not lines:
        lines = [(span("Nothing has happened yet.", width, "dim"),)]
    return Pane("Events", "newest first", tuple(lines))


def _drawn(one: Told, now: datetime, width: int) -> Line:
    when = moment(one.at, now)
    look: Look = one.look if one.look in ("bad", "warn") else ""
    left = width - len(when) - 4
    return (
        span(when, len(when) + 1, "dim"),
        span(one.mark, 2, one.look),
        span(_fitted(clean(one.text), left + 1), left + 1, look),
    )


def _fitted(text: str, width: int) -> str:
    """Cut between two things that are told, not within a figure, as long as there are two."""
    whole = text
    while cell_len(text) + (3 if text != whole else 0) > width and ", " in text:
        text = text.rpartition(", ")[0]
    return text if text == whole else f"{text}, …"


# -- in words ---------------------------------------------------------------------------------


def _kind(event: Any) -> str:
    """Things of the same kind can be told together."""
    if isinstance(event, schemas.RequestRecord):
        return "answered" if event.outcome == "completed" else f"finished {event.outcome} {event.error_code}"
    if isinstance(event, schemas.RefusedEvent):
        return f"refused {event.error_code}"
    if isinstance(event, schemas.PromotedEvent):
        return f"promoted {event.pool} {event.to}"
    return f"alone {id(event)}"


def _told(found: Sequence[Any]) -> Iterator[Told]:
    """A line for each, or one for all of them."""
    if len(found) <= SINGLE or _kind(found[0]).startswith("alone"):
        yield from (_line(event) for event in found)
        return
    first, last = found[0], found[-1]
    alike = _line(last)
    count = f"{len(found):,}"
    if isinstance(first, schemas.PromotedEvent):
        text = f"{count} requests aged into {_lane(first.to)} ({first.pool})"
    elif isinstance(first, schemas.RefusedEvent):
        text = f"{count} requests refused: {first.error_code}"
    else:
        who = Counter(event.principal_name for event in found)
        names = ", ".join(f"{name} {times:,}" for name, times in who.most_common(NAMES))
        text = f"{count} requests {_outcome_of_many(first)} ({names}{', …' if len(who) > NAMES else ''})"
    yield Told(alike.at, alike.mark, alike.look, text, alike.rare)


def _line(event: Any) -> Told:
    at = event.finished_at if isinstance(event, schemas.RequestRecord) else event.at
    words = _words_of(event)
    mark, look, text, rare = words(event) if words else ("·", "dim", str(event.type), False)
    return Told(zoned(at), mark, look, text, rare)


def zoned(at: datetime) -> datetime:
    """A time that can be compared: one without a zone is in UTC."""
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _words_of(event: Any) -> Callable[[Any], _Words] | None:
    """How it is told, None where it is not. By what it is, not by what it calls itself: of an event of a newer daemon
    only little may be known."""
    return next((words for kind, words in _TELLS if isinstance(event, kind)), None)


_Words = tuple[str, Look, str, bool]
_OUTCOMES: dict[str, str] = {
    "rejected_limit": "refused, over its limit",
    "rejected_full": "refused, the line is full",
    "expired_in_queue": "gave up waiting",
    "cancelled_in_queue": "cancelled while waiting",
    "client_disconnected": "hung up",
    "upstream_failed": "failed",
    "shutdown": "cut off by a shutdown",
}


def _outcome_of_many(event: Any) -> str:
    if event.outcome == "completed":
        return "answered"
    words = _OUTCOMES.get(event.outcome, event.outcome)
    return f"{words} ({event.error_code})" if event.outcome == "upstream_failed" and event.error_code else words


def _finished(event: Any) -> _Words:
    who = f"{event.principal_name} · {short(event.model)}"
    waited = f", waited {precise(event.wait)}" if event.wait >= 0.1 else ""
    if event.outcome == "completed":
        tokens = f"{event.output_tokens:,} tokens" if event.output_tokens else "answered"
        return "✓", "good", f"{who}: {tokens} in {precise(max(0.0, event.duration - event.wait))}{waited}", False
    words = _OUTCOMES.get(event.outcome, event.outcome)
    if event.outcome == "upstream_failed":
        where = f" on {event.upstream}" if event.upstream else ""
        why = f": {event.error_code}" if event.error_code else ""
        return "✗", "bad", f"{who}: failed{where}{why}", False
    if event.outcome in ("client_disconnected", "cancelled_in_queue"):
        return "-", "dim", f"{who}: {words} after {precise(event.duration)}", False
    return "!", "warn", f"{who}: {words}{waited}", False


def _refused(event: Any) -> _Words:
    return "!", "warn", f"refused {event.route}: {event.error_code} ({event.status})", False


def _lane(level: int) -> str:
    return f"level {level}" if level else "the aged lane"


def _promoted(event: Any) -> _Words:
    return "↑", "accent", f"a request aged from level {event.came_from} into {_lane(event.to)} ({event.pool})", False


def _upstream(event: Any) -> _Words:
    reason = event.reason.removeprefix(f"The upstream {event.upstream} ").rstrip(".")
    reason = f": {reason}" if reason else ""
    after = str(event.after).replace("_", " ")
    look: Look = "good" if event.after == "healthy" else "warn" if event.usable else "bad"
    return MARKS[look], look, f"{event.upstream} is {after}{reason}", True


def _settings(event: Any) -> _Words:
    return "✎", "accent", f"settings changed: {', '.join(event.keys)}", True


_DID: dict[str, str] = {
    "session.login": "logged in",
    "session.logout": "logged out",
    "session.revoke_all": "ended every session of {}",
    "session.revoke": "ended a session of {}",
    "session.reuse": "used a session of {} twice: it is ended",
    "user.password": "changed the password of {}",
    "user.recover": "gave {} a new password on the daemon's machine",
    "user.register": "registered",
    "user.setup": "set the gateway up",
    "settings.set": "set {}",
    "settings.reset": "reset {}",
    "settings.reload": "reloaded {}",
    "queue.level": "gave a waiting request another level",
    "queue.cancel": "cancelled a waiting request",
    "queue.stop": "stopped a running request",
}
_VERBS = {
    "create": "made", "update": "changed", "delete": "deleted", "revoke": "revoked", "rotate": "rotated",
    "pause": "paused", "resume": "resumed", "drain": "drains", "pull": "pulled", "copy": "copied",
}  # fmt: skip
_NOUNS = {"token": "registration token", "whitelist": "whitelist entry"}


def _activity(event: Any) -> _Words:
    actor = event.actor_name or event.actor_kind
    target = event.target_name or event.target_id
    noun, _, verb = event.action.partition(".")
    words = _DID.get(event.action)
    if words is not None:
        did = words.replace("{}", target or "somebody")
    elif verb in _VERBS:
        did = f"{_VERBS[verb]} the {_NOUNS.get(noun, noun)} {target}"
    else:
        did = f"{event.action} {target}"
    return "✎", "accent", f"{actor} {did}".rstrip(), True


_TELLS: tuple[tuple[type[Any], Callable[[Any], _Words]], ...] = (
    (schemas.RequestRecord, _finished),
    (schemas.RefusedEvent, _refused),
    (schemas.PromotedEvent, _promoted),
    (schemas.UpstreamEvent, _upstream),
    (schemas.SettingsEvent, _settings),
    (schemas.ActivityEntry, _activity),
)
