"""The daemon that answers, the machine that it runs on, and the other daemons of its cluster."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Grid

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.tui.acting import Action
from llmgate.tui.desk import Desk
from llmgate.tui.listing import Listing, Part
from llmgate.tui.screens import daemons
from llmgate.tui.screens.system_panes import PANES, Paint, unmeasured
from llmgate.tui.section import Section
from llmgate.tui.twin import twin
from llmgate.tui.widgets.panel import Pane, Panel


async def _described(desk: Desk, row: Any) -> None:
    """Where programs find the description of the APIs."""
    url = desk.client.url
    facts = [
        ("admin API", f"{url}/admin/v1/openapi.json"),
        ("users' own", f"{url}/gate/openapi.json"),
        ("form", "OpenAPI 3.1, in JSON"),
        ("for users", "llmgate openapi --gate"),
    ]
    await desk.facts("The APIs, described for programs", facts, twin("openapi"), names=f"{url}/admin/v1/openapi.json")


@dataclass(frozen=True)
class Told(Part[schemas.QueueDaemon]):
    """What a daemon has told; of that, the rows are the daemons of the cluster."""

    system: schemas.System | None = None


class System(Listing[schemas.QueueDaemon]):
    """Panels about the daemon that was asked; below them the daemons of the cluster."""

    title = "System"
    lists = "system show"
    every = 5.0
    empty = "This daemon works alone: its queue names no others."
    columns = daemons.COLUMNS
    facts = daemons.FACTS
    actions: ClassVar = (Action[Any]("o", "OpenAPI", "openapi", _described, alone=True, changes=False),)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._told: schemas.System | None = None

    def compose(self) -> ComposeResult:
        with Grid(classes="panels"):
            for name, paint in PANES.items():
                yield Panel(partial(self._painted, paint), "", id=name)
        yield from super().compose()

    def identity(self, row: schemas.QueueDaemon) -> str:
        return row.name

    async def fetch(
        self, client: AdminClient, after: str | None, limit: int, **filters: Any
    ) -> Part[schemas.QueueDaemon]:
        told = await client.system()
        return Told(told.daemons, system=told)

    def _fill(self, part: Part[schemas.QueueDaemon]) -> None:
        """Panels and table are of one answer: what is frozen stands still altogether."""
        super()._fill(part)
        if isinstance(part, Told):
            first = self._told is None and part.system is not None
            self._told = unmeasured(part.system) if first and part.system is not None else part.system
            self._look()

    def forget(self) -> None:
        super().forget()
        self._told = None
        self._look()

    def _look(self) -> None:
        for panel in self.query(Panel):
            panel.look()

    def _painted(self, paint: Paint, width: int, height: int) -> Pane:
        if self._told is None:
            return Pane("", "", ())
        return paint(self._told, self.dashboard.wall(), width, height)


class SystemSection(Section):
    """How the daemon does."""

    name_, key, label, short = "system", "0", "System", "Sys"
    views = (System,)
    help = (
        "The daemon that answers, its machine, and its cluster; asked again every 5 seconds. In a cluster each daemon "
        "tells of its own machine: choose another with C."
    )
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  as Textual declares it
    DEFAULT_CSS = """
    SystemSection .panels { grid-size: 2 3; grid-rows: 1fr; height: 4fr; max-height: 30; }
    SystemSection.-wide .panels { grid-size: 3 2; height: 2fr; max-height: 22; }
    SystemSection System > RowTable { height: 1fr; min-height: 3; }
    """
