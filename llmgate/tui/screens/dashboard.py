"""The first screen: how the gateway does at this moment, at a glance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import ClientError, LLMGateError, RequestError
from llmgate.tui.errors import understood
from llmgate.tui.overview import line, verdict
from llmgate.tui.overview import work as doing
from llmgate.tui.overview.log import Log, events
from llmgate.tui.overview.sight import Sight
from llmgate.tui.picture import Picture
from llmgate.tui.section import Section, concerns, topics_of
from llmgate.tui.widgets.panel import Pane, Panel, span

EARLIER = 20
"""Requests and activities from before that are shown."""
AGAIN = 2.0
"""Seconds after which it is asked again what was not answered."""


@dataclass(slots=True)
class Question:
    """Something that the stream does not tell, asked for every so many seconds while it is seen.

    ``topics`` are events after which it is asked again at once. ``busy`` while the daemon is asked, ``by_hand`` while
    somebody waits for the answer: it is shown although all is frozen.
    """

    name: str
    every: float
    ask: Callable[[AdminClient], Awaitable[Any]]
    topics: frozenset[str] = frozenset()
    asked: float | None = None
    busy: bool = False
    failed: bool = False
    by_hand: bool = False

    def due(self, now: float) -> bool:
        every = min(AGAIN, self.every) if self.failed else self.every
        return not self.busy and (self.asked is None or now - self.asked >= every)


class DashboardSection(Section):
    """Panes side by side, each with what there is more of in another section."""

    name_, key, label, short = "dashboard", "1", "Dashboard", "Dash"
    help = (
        "How the gateway does now, and in the last minutes. Tab moves between the panels; Enter, or a click, goes to "
        "the section where there is more. A line of blocks reaches up to the figure under MAX. In a small window the "
        "panel of those who use most is left out: Usage has it."
    )
    also: ClassVar[tuple[str, ...]] = ("events watch", "queue watch", "queue stats", "queue status")

    AUTO_FOCUS: ClassVar[str | None] = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-roomy")]  # noqa: RUF012  as Screen declares it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high"), (50, "-tall")]  # noqa: RUF012  as Screen declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Panels"),
    ]
    DEFAULT_CSS = """
    DashboardSection Panel { width: 1fr; height: 100%; }
    DashboardSection .band { height: 1fr; }
    DashboardSection > .body > #verdict { height: 1; border: none; padding: 0 1; }
    DashboardSection.-low .body Panel, DashboardSection.-narrow .body Panel {
        border: none; border-top: solid $foreground 30%;
    }
    DashboardSection.-low .body Panel:focus, DashboardSection.-narrow .body Panel:focus {
        border: none; border-top: solid $primary;
    }
    DashboardSection.-low > .body > #verdict, DashboardSection.-narrow > .body > #verdict { border: none; }
    DashboardSection #figures { height: 9; }
    DashboardSection.-high.-roomy #figures { height: 10; }
    DashboardSection.-tall #figures { height: 17; }
    DashboardSection #work { height: 2fr; max-height: 14; }
    DashboardSection.-tall #work { max-height: 22; }
    DashboardSection #past { height: 3fr; }
    DashboardSection.-narrow.-high #past, DashboardSection.-narrow.-tall #past { layout: vertical; }
    DashboardSection.-narrow.-high #flows, DashboardSection.-narrow.-tall #flows { width: 100%; height: 7; }
    DashboardSection.-narrow.-high #events, DashboardSection.-narrow.-tall #events { width: 100%; height: 1fr; }
    DashboardSection.-roomy #events { width: 3fr; }
    DashboardSection.-roomy #flows { width: 2fr; }
    DashboardSection.-low #work { height: 6; }
    DashboardSection.-low #flows { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._log = Log()
        self._told: dict[str, Any] = {}
        self._faults: dict[str, str] = {}
        self._questions = self._asked_for()
        self._sight: Sight | None = None
        self._silence: tuple[datetime, datetime] | None = None

    def body(self) -> ComposeResult:
        yield _Still(self._pane(verdict.verdict), "", id="verdict")
        with Horizontal(id="figures", classes="band"):
            yield Panel(self._pane(line.depth), "queue", id="depth")
            yield Panel(self._pane(line.traffic), "usage", id="traffic")
        with Horizontal(id="work", classes="band"):
            yield Panel(self._pane(doing.upstreams), "upstreams", id="upstreams")
            yield Panel(self._pane(doing.running), "queue", id="running")
        with Horizontal(id="past", classes="band"):
            yield Panel(self._pane(doing.top), "usage", id="flows")
            yield Panel(self._pane(lambda sight, *size: events(sight.log, sight.now, *size)), "activity", id="events")

    def on_mount(self) -> None:
        self._log.add(self.dashboard.picture.recent)
        super().on_mount()

    # -- what is known -------------------------------------------------------------------------

    def _look(self) -> Sight:
        """Everything that is known now. It stays as it is: also when the window changes while all is frozen."""
        app, link = self.dashboard, self.dashboard.link
        stats, stale = app.picture.stats, link.stale
        silences: list[tuple[datetime, datetime | None]] = list(app.picture.silences)
        if stale and stats is not None:
            silences.append((stats.at, None))
        log = self._log.still(silences)
        faults = dict(self._faults)
        return Sight(app.picture.still(), app.wall(), log, status=link.queue, stale=stale, faults=faults, **self._told)

    def _pane(self, paint: Callable[[Sight, int, int], Pane]) -> Callable[[int, int], Pane]:
        def painted(width: int, height: int) -> Pane:
            self._sight = self._sight or self._look()
            try:
                with understood():
                    return paint(self._sight, width, height)
            except LLMGateError as odd:
                return Pane("", "", ((span(odd.message, width, "bad"),),))

        return painted

    def _asked_for(self) -> list[Question]:
        async def waiting(client: AdminClient) -> schemas.WaitingPage | None:
            stats = self.dashboard.picture.stats
            return await client.waiting_page(doing.FIRST) if stats is None or stats.waiting else None

        async def usage(client: AdminClient) -> schemas.UsageReport:
            # Usage is kept by the hour: this is since half an hour at least, and an hour and a half at most.
            since = self.dashboard.wall() - timedelta(minutes=30)
            return await client.usage.report(group_by="principal", since=since.isoformat())

        return [
            Question("upstreams", 5.0, lambda client: client.upstreams.rows(1000), _UPSTREAMS),
            Question("running", 1.0, lambda client: client.running(limit=doing.FIRST)),
            Question("waiting", 3.0, waiting),
            Question("usage", 15.0, usage),
            Question("earlier", float("inf"), self._earlier),
        ]

    async def _earlier(self, client: AdminClient) -> None:
        log = self._log  # another daemon may be shown before this one has answered
        requests = await client.requests.rows(EARLIER)
        log.past(requests, await client.activity.rows(EARLIER))

    # -- what the application tells ------------------------------------------------------------

    def tick(self) -> None:
        app = self.dashboard
        now = app.clock()
        silences = app.picture.silences
        if silences and silences[-1] != self._silence:
            self._silence = silences[-1]
            self._ask_earlier()
        for question in self._questions:
            # What was never told is asked also while all is frozen: somebody comes here for the first time.
            if app.link.denied is None and question.due(now) and (app.frozen_for is None or question.asked is None):
                question.asked, question.busy, question.failed = now, True, False
                self._ask(question)
        self._draw()

    def reload(self) -> None:
        for question in self._questions:
            question.asked, question.by_hand = None, True
        self._draw(anew=True)
        self.tick()

    def _ask_earlier(self) -> None:
        """What happened while nobody listened is not told by the stream."""
        for question in self._questions:
            if question.every == float("inf"):
                question.asked = None

    def pictured(self, picture: Picture) -> None:
        self._draw()

    def happened(self, events: Sequence[schemas.FeedEvent], lost: int) -> None:
        super().happened(events, lost)
        self._log.add(events, lost)
        topics = {topic for event in events for topic in topics_of(event)}
        if "reset" in topics:
            self._ask_earlier()
        for question in self._questions:
            if any(concerns(wanted, topics) for wanted in question.topics):
                question.asked = None

    def forget(self) -> None:
        super().forget()
        self._log, self._told, self._faults, self._questions = Log(), {}, {}, self._asked_for()
        self._sight = self._silence = None
        self._draw()

    @work(group="ask")
    async def _ask(self, question: Question) -> None:
        link, told, faults = self.dashboard.link, self._told, self._faults
        question.failed = True
        try:
            with understood():
                answer = await question.ask(link.client)
        except RequestError as refused:
            self.dashboard.refused(link, refused)
        except ClientError as failure:
            link.missed(failure)
        except LLMGateError as failure:
            faults[question.name] = failure.message
        else:
            link.heard()
            by_hand, question.failed, question.by_hand = question.by_hand, False, False
            faults.pop(question.name, None)
            if question.name != "earlier":
                told[question.name] = answer
            self._draw(anew=by_hand)
        finally:
            question.busy = False

    def _draw(self, *, anew: bool = False) -> None:
        """``anew``: also while all is frozen, since somebody has asked for it."""
        if self._sight is not None and self.dashboard.frozen_for is not None and not anew:
            return
        self._sight = self._look()
        for panel in self.query(Panel):
            panel.look()

    @on(Panel.Opened)
    async def opened(self, event: Panel.Opened) -> None:
        event.stop()
        if any(section.name_ == event.section for section in self.dashboard.sections):
            await self.dashboard.action_go(event.section)


class _Still(Panel, can_focus=False):
    """A line that leads nowhere."""


_UPSTREAMS = frozenset({"upstream.changed", "activity:upstream."})
