"""The activity log: who changed what, who logged in, as it happens; and whether the log is whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.client.activity import VERIFY_SECONDS
from llmgate.errors import LLMGateError
from llmgate.notation import ago
from llmgate.text import changes, lasting, precise, shortly
from llmgate.tui.acting import Action
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.desk import Desk
from llmgate.tui.errors import told, understood
from llmgate.tui.filters import Filter
from llmgate.tui.forms import Field, Form
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.section import Section
from llmgate.tui.twin import twin

ALARMING = ("delete", "revoke", "revoke_all", "reuse")
"""What takes something away, or should not have happened."""


def head(text: str) -> schemas.ActivityHead:
    """``1234:5f0c…``, as a verification has told it. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip())
    if found is None or int(found[1]) < 1:
        raise ValueError("looks like 1234:5f0c… with 64 digits behind the colon")
    return schemas.ActivityHead(seq=int(found[1]), hash=found[2])


def tone(entry: schemas.ActivityEntry) -> Tone:
    """How an action looks: what was taken away stands out."""
    noun, _, verb = entry.action.partition(".")
    tones: dict[str, Tone] = {"session": "dim", "settings": "warn"}
    if verb in ALARMING:
        return "bad"
    return tones.get(noun, "")


def _asked() -> Form:
    async def given(client: AdminClient, values: Any, force: bool) -> Any:
        """Nothing is sent yet: verifying may take long, and this form does not stand in the way meanwhile."""
        return values

    return Form(
        "Verify the activity log",
        "activity verify",
        (Field("expected", "head noted before", "--expect", read=head, hint="none; SEQ:HASH"),),
        given,
        button="Verify",
        note="Proves that nobody has changed, inserted or removed an entry. With a head that was noted elsewhere "
        "before, also that the end was not cut off.",
    )


async def _nothing(desk: Desk, row: Any) -> None:
    """The list does it itself: it shows how far it is."""


VERIFY = Action[Any]("V", "Verify", "activity verify", _nothing, alone=True, changes=False)


def verdict_facts(verdict: schemas.ActivityVerdict) -> list[tuple[str, object]]:
    """What came of a verification."""
    fault, checkpoint = verdict.fault, verdict.checkpoint
    found: list[tuple[str, object]] = [
        ("whole", verdict.ok),
        ("entries", f"{verdict.entries:,}"),
        ("from", verdict.first_seq),
        ("pruned up to", f"{checkpoint.seq}, in good order" if checkpoint else None),
        ("took", precise(verdict.seconds)),
    ]
    if fault is not None:
        found += [("broken at", fault.seq), ("how", f"{fault.kind}: {fault.message}")]
    return [*found, ("head", f"{verdict.head.seq}:{verdict.head.hash}"), ("", "Note the head on another machine.")]


class Activity(Listing[schemas.ActivityEntry]):
    """Changes and logins, newest first. It is asked again with every entry that is written."""

    title = "Activity"
    lists, shows = "activity list", "activity show"
    also = ("activity watch",)
    filters = (
        Filter("actor", hint="NAME"),
        Filter("action", hint="key."),
        Filter("target", hint="NAME"),
        Filter("since", read=ago, hint="24h"),
        Filter("until", read=ago, hint="1h"),
    )
    search = "actor"
    newest_first = True
    empty = "Nothing has happened yet."
    topics = frozenset({"activity"})
    columns = (
        Column[schemas.ActivityEntry]("at", lambda entry: entry.at, 14),
        Column("who", lambda entry: entry.actor_name or entry.actor_id, 8, grow=1),
        Column("action", lambda entry: entry.action, 16, tone=tone),
        Column("what", lambda entry: entry.target_name or entry.target_id, 10, grow=1),
        Column("from", lambda entry: entry.address, 15, wide=100, tone=lambda entry: "dim"),
        Column("detail", lambda entry: shortly(entry.action, entry.detail), 14, grow=3),
        Column("seq", lambda entry: entry.seq, 6, right=True, wide=100, tone=lambda entry: "dim"),
    )
    facts = (
        Fact[schemas.ActivityEntry]("seq", lambda entry: entry.seq),
        Fact("at", lambda entry: entry.at),
        Fact("who", lambda entry: f"{entry.actor_name} ({entry.actor_kind} {entry.actor_id})"),
        Fact("from", lambda entry: entry.address),
        Fact("request", lambda entry: entry.request_id),
        Fact("action", lambda entry: entry.action),
        Fact("what", lambda entry: f"{entry.target_name} ({entry.target_id})" if entry.target_id else None),
    )
    actions: ClassVar = (VERIFY,)
    DEFAULT_CSS = """
    Activity > #verifying { height: 1; padding: 0 1; display: none; color: $text-warning; text-style: bold; }
    Activity > #verifying.-on { display: block; }
    """

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Static(id="verifying")

    def identity(self, row: schemas.ActivityEntry) -> str:
        return str(row.seq)

    def named(self, row: schemas.ActivityEntry) -> str:
        return str(row.seq)

    async def fetch(
        self, client: AdminClient, after: str | None, limit: int, **filters: Any
    ) -> Part[schemas.ActivityEntry]:
        return pages(await client.activity.page(after, limit, **filters))

    async def look(self, client: AdminClient, row: schemas.ActivityEntry) -> schemas.ActivityEntry:
        return await client.activity.get(row.seq)

    def told_of(self, row: schemas.ActivityEntry) -> Sequence[tuple[str, object]]:
        """Each changed field on its own line, before → after."""
        return [
            *super().told_of(row),
            *((f"· {name}", text) for name, text in changes(row.action, row.detail)),
            ("hash", row.hash),
        ]

    def forget(self) -> None:
        self.workers.cancel_group(self, "verify")
        super().forget()

    # -- whether it is whole -------------------------------------------------------------------

    def action_act(self, name: str) -> None:
        if name == VERIFY.name:
            self._ask()
        else:
            super().action_act(name)

    @work(group="act")
    async def _ask(self) -> None:
        asked = await self.dashboard.desk.fill(_asked())
        if asked is not None:
            self._verify(asked.get("expected"))

    @work(exclusive=True, group="verify")
    async def _verify(self, expected: schemas.ActivityHead | None) -> None:
        """A long log takes minutes: everything else goes on, and the line below says for how long it lasts. It is the
        log of one daemon: when another is shown, it ends."""
        link = self.dashboard.link
        desk, line, began = self.dashboard.desk, self.query_one("#verifying", Static), self.dashboard.clock()
        options = [] if expected is None else ["--expect", f"{expected.seq}:{expected.hash}"]
        running = self._counting(line, began)
        try:
            with understood():
                verdict = await desk.client.activity.verify(expected, silence=VERIFY_SECONDS)
        except LLMGateError as failure:
            if self.dashboard.link is link:
                desk.say(told(failure), error=True)
            return
        finally:
            running.stop()
            line.remove_class("-on")
        if self.dashboard.link is not link:
            return
        title = "The activity log is whole" if verdict.ok else "The activity log is BROKEN"
        name = f"{verdict.head.seq}:{verdict.head.hash}"
        await desk.facts(title, verdict_facts(verdict), twin("activity verify", options=options), names=name)

    def _counting(self, line: Static, began: float) -> Timer:
        def say() -> None:
            line.update(Content(f"Verifying the log, since {lasting(self.dashboard.clock() - began)} …"))

        say()
        line.add_class("-on")
        return self.set_interval(1, say)


class ActivitySection(Section):
    """The activity log."""

    name_, key, label, short = "activity", "9", "Activity", "Activ"
    views = (Activity,)
    help = "Who changed what and who logged in, as it happens: new entries come by themselves. Verify proves it whole."
