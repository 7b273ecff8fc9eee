"""Settings: what a daemon works by, who decides it, and changing what can be changed while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.text import cell, clean
from llmgate.tui.acting import Action, editing, ending
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.desk import Desk
from llmgate.tui.filters import Filter, truth
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.listing import Listing, Part
from llmgate.tui.section import Section
from llmgate.tui.twin import twin
from llmgate.tui.widgets.rows import RowTable
from llmgate.values import accepted, bounded, parsed, shown, sized

MOST = 1000
"""There are some fifty."""
ORIGINS: dict[str, Tone] = {
    "database": "accent",
    "file": "good",
    "environment": "warn",
    "flag": "warn",
    "default": "dim",
}


def typed(accepts: dict[str, Any], text: str) -> Any:
    """What was typed, as a value that the setting takes. Raises ValueError."""
    value = parsed(text, accepts)
    if not bounded(value, accepts):
        raise ValueError(f"takes {accepted(accepts)}")
    return value


def field_of(setting: schemas.Setting) -> Field:
    """How its value is asked for: as its JSON Schema says."""
    accepts, hint = setting.accepts, accepted(setting.accepts)
    if choices := accepts.get("enum"):
        was = str(setting.value)
        known = dict.fromkeys([*map(str, choices), was])  # a newer daemon may have a value that it does not name
        return Field("value", "value", None, Kind.CHOICE, was=was, choices=tuple(known))
    if accepts.get("type") == "boolean":
        return Field("value", "value", None, Kind.SWITCH, was="on" if setting.value else "off")
    value = setting.value
    was = ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(shown(value))
    return Field("value", "value", None, read=partial(typed, accepts), was=was, hint=hint)


def _change(setting: schemas.Setting) -> Form:
    now = f"Now it is {cell(shown(setting.value))}, which the {setting.origin} decides"
    default = "" if setting.origin == "default" else f"; the default is {cell(shown(setting.default))}"
    return Form(
        setting.key,
        "settings set",
        (field_of(setting),),
        lambda client, values, force: client.settings.set(setting.key, values["value"], force=force),
        target=(setting.key,),
        changes=True,
        button="Set",
        note=f"{setting.description} It takes {accepted(setting.accepts)}. {now}{default}.",
    )


def _locked(setting: schemas.Setting) -> str:
    return "" if setting.mutable else setting.reason or "It cannot be changed here."


def _set(setting: schemas.Setting) -> str:
    return f"{setting.key} is {cell(shown(setting.value))} now, in all daemons."


async def _reload(desk: Desk, row: Any) -> None:
    """Ask, let the daemon read its file, and say what came of it."""
    command = twin("config reload")
    question = "Let the daemon read its configuration file and its environment again?"
    consequence = "All that can be changed at run time is taken over, or nothing."
    if not await desk.sure(question, "Reload", command, consequence=consequence):
        return
    client = desk.client
    found = await desk.do(lambda force: client.settings.reload(force=force), command, "The daemon has read it.")
    if found is not None:
        await desk.facts("Configuration", reloaded(found), command, names=found.path or "")


def reloaded(found: schemas.ConfigReload) -> list[tuple[str, object]]:
    """What came of reading the file again."""
    facts: list[tuple[str, object]] = [("file", found.path or "none: only the environment")]
    if not found.reloadable:
        return [*facts, ("", "This daemon was started without a configuration that could be read again.")]
    for change in found.changed:
        # Of upstreams only the names are told.
        after = "changed" if change.after == change.before else cell(shown(change.after))
        facts.append((change.key, f"{cell(shown(change.before))} → {after}"))
    if not found.changed:
        facts.append(("changed", "nothing that could be taken over" if found.needs_restart else "nothing"))
    return [*facts, *((key, "needs a restart") for key in found.needs_restart)]


class Settings(Listing[schemas.Setting]):
    """Every setting, in the order of the configuration file. They are few: the filter works here, not at the daemon."""

    title = "Settings"
    lists, shows = "settings list", "settings show"
    filters = (
        Filter("origin", tuple(ORIGINS)),
        Filter("changeable", ("yes", "no"), truth),
    )
    search = "search"
    empty = "There are no settings."
    topics = frozenset({"settings.changed", "activity:settings."})
    columns = (
        Column[schemas.Setting]("section", lambda setting: setting.key.partition(".")[0], 8),
        Column("setting", lambda setting: setting.key.partition(".")[2], 25),
        Column(
            "value",
            lambda setting: sized(setting.key, setting.value),
            14,
            grow=1,
            by=lambda setting: str(setting.value),
            tone=lambda setting: "accent" if setting.value != setting.default else "",
        ),
        Column("origin", lambda setting: setting.origin, 11, tone=lambda setting: ORIGINS.get(setting.origin, "")),
        Column(
            "default", lambda row: sized(row.key, row.default), 12, grow=1, wide=100, by=lambda row: str(row.default)
        ),
        Column("change", lambda setting: setting.mutable, 6, tone=lambda setting: "good" if setting.mutable else "dim"),
    )
    facts = (
        Fact[schemas.Setting]("setting", lambda setting: setting.key),
        Fact("value", lambda setting: sized(setting.key, setting.value)),
        Fact("origin", lambda setting: setting.origin),
        Fact("default", lambda setting: sized(setting.key, setting.default)),
        Fact("what it is", lambda setting: setting.description),
        Fact("accepts", lambda setting: accepted(setting.accepts)),
        Fact("changeable", lambda setting: setting.mutable),
        Fact("why not", lambda setting: setting.reason),
        Fact("set at", lambda setting: setting.updated_at),
        Fact("set by", lambda setting: setting.updated_by),
    )
    actions: ClassVar = (
        editing(
            "e",
            "Edit",
            _change,
            verb="settings set",
            possible=_locked,
            done=_set,
            fresh=lambda client, setting: client.settings.get(setting.key),
        ),
        ending(
            "u",
            "Take back",
            lambda setting: f"Take the change of {setting.key} back? It is {cell(shown(setting.value))} now.",
            lambda client, setting, force: client.settings.reset(setting.key, force=force),
            verb="settings reset",
            named=lambda setting: setting.key,
            done=lambda setting: f"The change of {setting.key} is taken back.",
            consequence="What decides otherwise does so again: flag, environment, file, or the default.",
            possible=lambda setting: "" if setting.updated_at else "Nobody has changed it here.",
        ),
        Action[Any]("L", "Reload file", "config reload", _reload, alone=True),
    )
    DEFAULT_CSS = """
    Settings > #about { height: 4; padding: 0 1; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Static(id="about")

    def identity(self, row: schemas.Setting) -> str:
        return row.key

    def named(self, row: schemas.Setting) -> str:
        return row.key

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Setting]:
        return Part(chosen(await client.settings.rows(MOST), **filters))

    async def look(self, client: AdminClient, row: schemas.Setting) -> schemas.Setting:
        return await client.settings.get(row.key)

    def _extent(self) -> str:
        extent = super()._extent()
        return f"{extent}, filtered here" if self._query and extent else extent

    @on(RowTable.Moved)
    def describe(self) -> None:
        """What the setting under the cursor is; of one that cannot be changed here, why not."""
        row = self.table.row
        about = Content("")
        if row is not None:
            reason = ("", "") if row.mutable else (f"\nRead-only: {clean(row.reason)}", "$text-warning")
            takes = f" It takes {accepted(row.accepts)}." if row.mutable else ""
            about = Content.assemble(clean(f"{row.description}{takes}"), reason)
        self.query_one("#about", Static).update(about)


def chosen(
    rows: Sequence[schemas.Setting], *, search: str = "", origin: str = "", changeable: bool | None = None
) -> list[schemas.Setting]:
    """The settings that have these words in their key or description, this origin, and can (not) be changed."""
    words = search.casefold().split()
    return [
        row
        for row in rows
        if all(word in f"{row.key} {row.description}".casefold() for word in words)
        and (not origin or row.origin == origin)
        and changeable in (None, row.mutable)
    ]


class SettingsSection(Section):
    """The daemon's settings."""

    name_, key, label, short = "settings", "comma", "Settings", "Set"
    key_shown = ","
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012  as Textual declares it
    DEFAULT_CSS = """
    SettingsSection.-wide Settings > #about { height: 3; }
    """
    views = (Settings,)
    help = (
        "What the daemon works by, and who decides it: flag, environment, file, database (changed here), default. "
        "There are few settings: / filters them here, not at the daemon."
    )
