"""Networks that need no credential."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import LLMGateError
from llmgate.tui.acting import Action, creating, editing, ending
from llmgate.tui.columns import Column, Fact
from llmgate.tui.desk import Desk
from llmgate.tui.forms import Field, Form
from llmgate.tui.forms.common import becomes, expires, level, network
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.section import Section
from llmgate.tui.twin import twin

OFF = "The whitelist is off (the setting auth.whitelist): no entry counts."
TEST: tuple[Fact[schemas.WhitelistTest], ...] = (
    Fact[schemas.WhitelistTest]("address", lambda found: found.address),
    Fact("let in by", lambda found: found.entry.cidr if found.entry else "nothing: it needs a credential"),
    Fact("label", lambda found: found.entry.label if found.entry else None),
    Fact("level", lambda found: found.level),
    Fact("whitelist", lambda found: "on" if found.enabled else "off (auth.whitelist): no entry counts"),
    Fact("you come from", lambda found: found.your_address),
    Fact("connection from", lambda found: found.peer),
    Fact("X-Forwarded-For", lambda found: found.forwarded_for),
    Fact("which means", lambda found: found.explanation),
)


def address(text: str) -> str:
    """An address. Raises ValueError."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("write 10.1.2.3 or 2001:db8::7") from None
    return text


def _new() -> Form:
    return Form(
        "Let a network in without a credential",
        "whitelist add",
        (
            Field(
                "cidr",
                "network",
                None,
                read=network,
                hint="192.168.1.0/24, or one address",
                required=True,
                says=becomes,
            ),
            Field("label", "label", "--label", hint="what it is"),
            level(),
            expires(),
        ),
        lambda client, body, force: client.whitelist.create(body, force=force),
        schemas.WhitelistCreate,
        button="Add",
    )


def _change(entry: schemas.WhitelistEntry) -> Form:
    return Form(
        f"Change the entry {entry.cidr}",
        "whitelist update",
        (
            Field("label", "label", "--label", was=entry.label, hint="what it is", cleared="--label ''", nothing=""),
            level(entry.level, cleared="--default-level"),
            expires(entry.expires_at, cleared="--never-expires"),
        ),
        lambda client, body, force: client.whitelist.update(entry.id, body, force=force),
        schemas.WhitelistUpdate,
        target=(entry.cidr,),
        changes=True,
        button="Change",
        note="Another network is another entry.",
    )


def _asked() -> Form:
    return Form(
        "Who lets an address in?",
        "whitelist test",
        (Field("address", "address", None, read=address, hint="where this dashboard comes from"),),
        lambda client, values, force: client.whitelist.test(values.get("address")),
        button="Test",
    )


async def _test(desk: Desk, row: Any) -> None:
    """Say which entry lets an address in."""
    found = await desk.fill(_asked())
    if found is not None:
        facts = [(fact.title, fact.value(found)) for fact in TEST]
        title, command = f"What the whitelist says of {found.address}", twin("whitelist test", found.address)
        await desk.facts(title, facts, command, names=found.address)


class Whitelist(Listing[schemas.WhitelistEntry]):
    """Who is let in by where they come from."""

    title = "IP whitelist"
    lists, shows = "whitelist list", "whitelist show"
    search = "search"
    empty = "No network is on the whitelist: everybody needs a credential. n adds one."
    topics = frozenset({"activity:whitelist.", "activity:settings.", "settings.changed"})
    columns = (
        Column[schemas.WhitelistEntry]("network", lambda entry: entry.cidr, 18, grow=1),
        Column("label", lambda entry: entry.label, 16, grow=1),
        Column("level", lambda entry: entry.level or "default", 7),
        Column("expires", lambda entry: entry.expires_at, 14),
        Column("created", lambda entry: entry.created_at, 14),
    )
    facts = (
        Fact[schemas.WhitelistEntry]("network", lambda entry: entry.cidr),
        Fact("id", lambda entry: entry.id),
        Fact("label", lambda entry: entry.label),
        Fact("level", lambda entry: entry.level or "default"),
        Fact("expires", lambda entry: entry.expires_at or "never"),
        Fact("created", lambda entry: entry.created_at),
    )
    actions: ClassVar = (
        creating("n", "Add", _new, verb="whitelist add", done=lambda made: f"{made.cidr} needs no credential now."),
        editing(
            "e",
            "Edit",
            _change,
            verb="whitelist update",
            done=lambda made: f"Changed the entry {made.cidr}.",
            fresh=lambda client, entry: client.whitelist.get(entry.id),
        ),
        Action("t", "Test an address", "whitelist test", _test, alone=True, changes=False),
        ending(
            "d",
            "Delete",
            lambda entry: f"Delete {entry.cidr} from the whitelist?",
            lambda client, entry, force: client.whitelist.delete(entry.id, force=force),
            verb="whitelist delete",
            named=lambda entry: entry.cidr,
            done=lambda entry: f"Deleted {entry.cidr}.",
            consequence="Who comes from there needs a credential from now on.",
        ),
    )
    DEFAULT_CSS = """
    Whitelist > .off { height: auto; padding: 0 1; color: $text-warning; text-style: bold; display: none; }
    Whitelist > .off.-shown { display: block; }
    """

    def compose(self) -> ComposeResult:
        yield Static(Content(OFF), classes="off")
        yield from super().compose()

    def forget(self) -> None:
        super().forget()
        self.query_one(".off").remove_class("-shown")

    def named(self, row: schemas.WhitelistEntry) -> str:
        return row.cidr

    async def fetch(
        self, client: AdminClient, after: str | None, limit: int, **filters: Any
    ) -> Part[schemas.WhitelistEntry]:
        part = pages(await client.whitelist.page(after, limit, **filters))
        with contextlib.suppress(LLMGateError):  # the list is what matters
            found = await client.whitelist.test()
            self.query_one(".off").set_class(not found.enabled, "-shown")
        return part

    async def look(self, client: AdminClient, row: schemas.WhitelistEntry) -> schemas.WhitelistEntry:
        return await client.whitelist.get(row.id)


class WhitelistSection(Section):
    """The IP whitelist."""

    name_, key, label, short = "whitelist", "6", "Whitelist", "IPs"
    views = (Whitelist,)
    help = "Networks that need no credential. t says which entry lets an address in, and where you come from."
