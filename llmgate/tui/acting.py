"""The actions of a noun as declarations: their key, their CLI verb, and what they do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic

from llmgate.client import AdminClient
from llmgate.errors import PreconditionFailed
from llmgate.tui.columns import Row
from llmgate.tui.desk import STORE, Desk
from llmgate.tui.errors import LOCKED_OUT, Warnings
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.twin import twin

Fresh = Callable[[AdminClient, Row], Awaitable[Row]]


@dataclass(frozen=True)
class Action(Generic[Row]):
    """Something that can be done with a row, or with none (``alone``).

    ``verb`` is its CLI twin; ``also`` are other verbs that it stands for. ``possible`` says why it cannot be done with
    this row, "" when it can. ``changes``: not with ``--read-only``.
    """

    key: str
    label: str
    verb: str
    does: Callable[[Desk, Any], Awaitable[Any]]
    alone: bool = False
    changes: bool = True
    possible: Callable[[Row], str] = lambda row: ""
    also: tuple[str, ...] = ()
    quick: bool = False
    """It asks nothing: pressed again while it is still at work, it is done again."""
    hidden: bool = False
    """Not among the hints of the footer; help and palette name it."""

    @property
    def name(self) -> str:
        """What names it among the actions of its noun."""
        return self.verb.replace(" ", "_") + f"_{self.key}"


def creating(
    key: str,
    label: str,
    form: Callable[[], Form],
    *,
    verb: str,
    secret: Callable[[Any], str] | None = None,
    note: Callable[[Any], str] = lambda made: STORE,
    done: Callable[[Any], str] = lambda made: "Done.",
) -> Action[Any]:
    """Make something new with a form; ``secret`` is what of it is shown this once, ``note`` what is said to it."""

    async def does(desk: Desk, row: Any) -> None:
        asked = form()
        made = await desk.fill(asked)
        if made is not None and secret is not None:
            await desk.secret(asked.title, secret(made), note(made))
        elif made is not None:
            desk.say(done(made), desk.filled)

    return Action(key, label, verb, does, alone=True)


def editing(
    key: str,
    label: str,
    form: Callable[[Row], Form],
    *,
    verb: str,
    possible: Callable[[Row], str] = lambda row: "",
    secret: Callable[[Any], str] | None = None,
    note: Callable[[Any], str] = lambda made: STORE,
    done: Callable[[Any], str] = lambda made: "Changed.",
    also: tuple[str, ...] = (),
    fresh: Fresh[Row] | None = None,
) -> Action[Row]:
    """Change the row with a form; ``secret`` and ``note`` as in ``creating``.

    ``fresh`` has the row from the daemon as it is now: the form begins with that, and says when somebody else has
    changed the same meanwhile.
    """

    async def does(desk: Desk, row: Row) -> None:
        if fresh is not None:
            now = await desk.ask_for(lambda client: fresh(client, row))
            if now is None:
                return
            row = now
            if refusal := possible(row):
                desk.say(f"{label}: {refusal}", error=True)
                return
        asked = form(row) if fresh is None else watched(form, row, fresh)
        made = await desk.fill(asked)
        if made is not None and secret is not None:
            await desk.secret(asked.title, secret(made), note(made))
        elif made is not None:
            desk.say(done(made), desk.filled)

    return Action(key, label, verb, does, possible=possible, also=also)


def watched(form: Callable[[Row], Form], row: Row, fresh: Fresh[Row]) -> Form:
    """The form for this row, which warns before it overwrites what somebody else has changed while it was filled in."""
    asked = form(row)
    if not asked.changes:
        return asked
    before, warned = asked.fields, False

    async def send(client: AdminClient, body: Any, force: bool) -> Any:
        nonlocal before, warned
        if force and warned:  # that somebody changed it was agreed to, and nothing else
            force = warned = False
        elif not force:
            now = form(await fresh(client, row)).fields
            given = body if isinstance(body, dict) else body.model_fields_set
            moved = [new for old, new in zip(before, now, strict=False) if old.was != new.was and new.name in given]
            before, warned = now, bool(moved)
            if moved:
                told = ", ".join(f"{field.label} is {_now(field)} now" for field in moved)
                raise PreconditionFailed(f"Somebody has changed it meanwhile: {told}.")
        return await asked.send(client, body, force)

    return replace(asked, send=send, warnings=(*asked.warnings, PreconditionFailed))


def _now(field: Field) -> str:
    return (
        field.none
        if not field.was
        else {"on": "yes", "off": "no"}[field.was]
        if field.kind is Kind.SWITCH
        else field.was
    )


def ending(
    key: str,
    label: str,
    question: Callable[[Row], str],
    call: Callable[[AdminClient, Row, bool], Awaitable[Any]],
    *,
    verb: str,
    named: Callable[[Row], str],
    done: Callable[[Row], str],
    consequence: str | Callable[[Row], str] = "",
    typed: bool = False,
    possible: Callable[[Row], str] = lambda row: "",
    warnings: Warnings = LOCKED_OUT,
) -> Action[Row]:
    """Do something that cannot be undone, after a question. ``typed``: its name has to be typed first."""

    async def does(desk: Desk, row: Row) -> None:
        name = named(row)
        command = twin(verb, name)
        said = consequence if isinstance(consequence, str) else consequence(row)
        if await desk.sure(question(row), label, command, consequence=said, typed=name if typed else ""):
            client = desk.client
            await desk.do(lambda force: call(client, row, force), command, done(row), warnings=warnings)

    return Action(key, label, verb, does, possible=possible)


def telling(
    key: str,
    label: str,
    call: Callable[[AdminClient, Row], Awaitable[Any]],
    *,
    verb: str,
    named: Callable[[Row], str],
    done: Callable[[Row], str],
    possible: Callable[[Row], str] = lambda row: "",
) -> Action[Row]:
    """Do something at once that can be undone as easily."""

    async def does(desk: Desk, row: Row) -> None:
        client = desk.client
        await desk.do(lambda force: call(client, row), twin(verb, named(row)), done(row))

    return Action(key, label, verb, does, possible=possible)
