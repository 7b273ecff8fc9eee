"""API keys of applications and users."""

from __future__ import annotations

from typing import Any, ClassVar

from llmgate import schemas
from llmgate.client import AdminClient, named
from llmgate.tui.acting import Action, creating, editing, ending
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.desk import STORE, Desk
from llmgate.tui.filters import Filter, level
from llmgate.tui.forms.common import ROLES
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.screens import key_forms
from llmgate.tui.section import Section
from llmgate.tui.twin import twin

STATES: dict[str, Tone] = {
    "active": "good",
    "owner_disabled": "warn",
    "disabled": "warn",
    "expired": "dim",
    "revoked": "bad",
}


def last_of(key: schemas.ApiKey) -> str:
    """What tells keys apart, and is no secret."""
    return f"llmg_{key.id}_…{key.last4}"


def state(key: schemas.ApiKey) -> str:
    return key.state.replace("_", " ")


def old_secret(key: schemas.NewApiKey) -> str:
    """What has become of the secret before a rotation."""
    end = f"works until {key.previous_until:%Y-%m-%d %H:%M:%S}Z" if key.previous_until else "is refused from now on"
    return f"{STORE} The old one {end}."


def _limit(name: str, title: str) -> Fact[schemas.ApiKey]:
    def value(key: schemas.ApiKey) -> str:
        most: int | None = getattr(key, name)
        return "no limit" if most is None else f"{most:,}"

    return Fact(title, value)


def _of_revoked(key: schemas.ApiKey) -> str:
    return "It is revoked, for good." if key.revoked_at is not None else ""


async def _toggle(desk: Desk, key: schemas.ApiKey) -> None:
    """Disable a key that is not, after a question, or enable it again."""
    disables = not key.disabled
    command = twin("keys update", key.name, options=["--disable" if disables else "--enable"])
    if disables and not await desk.sure(
        f"Disable the key {key.name}?", "Disable", command, consequence="It is refused until it is enabled again."
    ):
        return
    client, body = desk.client, schemas.KeyUpdate(disabled=disables)
    done = f"{'Disabled' if disables else 'Enabled'} the key {key.name}."
    await desk.do(lambda force: client.keys.update(key.id, body, force=force), command, done)


class Keys(Listing[schemas.ApiKey]):
    """What applications and users prove themselves with."""

    title = "Keys"
    lists, shows = "keys list", "keys show"
    filters = (
        Filter("user", hint="NAME"),
        Filter("role", ROLES),
        Filter("level", ("1", "2", "3", "4", "5"), level),
        Filter("state", tuple(STATES)),
    )
    search = "search"
    empty = "There are no API keys. n makes one."
    topics = frozenset({"activity:key.", "activity:user."})
    columns = (
        Column[schemas.ApiKey]("name", lambda key: key.name, 18, grow=1),
        Column("key", last_of, 22, wide=104),
        Column("user", lambda key: key.user, 12, wide=116),
        Column("role", lambda key: key.role, 5, wide=130, tone=lambda key: "accent" if key.role == "admin" else ""),
        Column("level", lambda key: key.level or "default", 7),
        Column("state", state, 14, tone=lambda key: STATES.get(key.state, "")),
        Column("expires", lambda key: key.expires_at, 14),
        Column("last used", lambda key: key.last_used_at, 14),
    )
    facts = (
        Fact[schemas.ApiKey]("name", lambda key: key.name),
        Fact("key", last_of),
        Fact("id", lambda key: key.id),
        Fact("user", lambda key: key.user or "none: an application's"),
        Fact("role", lambda key: key.role),
        Fact("level", lambda key: key.level or "default"),
        Fact("weight", lambda key: f"{key.weight:g}"),
        Fact("state", state),
        Fact("disabled", lambda key: key.disabled),
        Fact("expires", lambda key: key.expires_at or "never"),
        Fact("revoked", lambda key: key.revoked_at),
        Fact("models", lambda key: key.models or "all"),
        Fact("routes", lambda key: key.routes or "all"),
        Fact("networks", lambda key: key.cidrs or "all"),
        *(_limit(name, title) for name, title in key_forms.LIMITS),
        Fact("created", lambda key: key.created_at),
        Fact("last used", lambda key: key.last_used_at),
        Fact("rotated", lambda key: key.rotated_at),
        Fact("old secret until", lambda key: key.previous_until),
    )
    actions: ClassVar = (
        creating("n", "New", key_forms.new, verb="keys create", secret=lambda made: str(made.key)),
        editing(
            "e",
            "Edit",
            key_forms.change,
            verb="keys update",
            done=lambda made: f"Changed the key {made.name}.",
            fresh=lambda client, key: client.keys.get(key.id),
        ),
        Action("t", "On/off", "keys update", _toggle, possible=_of_revoked),
        editing(
            "o",
            "Rotate",
            key_forms.rotate,
            verb="keys rotate",
            secret=lambda made: str(made.key),
            note=old_secret,
            possible=_of_revoked,
            fresh=lambda client, key: client.keys.get(key.id),
        ),
        ending(
            "x",
            "Revoke",
            lambda key: f"Revoke the key {key.name}, for good?",
            lambda client, key, force: client.keys.revoke(key.id, force=force),
            verb="keys revoke",
            named=lambda key: key.name,
            done=lambda key: f"Revoked the key {key.name}.",
            consequence="It is refused from now on, and stays in this list.",
            possible=_of_revoked,
        ),
        ending(
            "d",
            "Delete",
            lambda key: f"Delete the key {key.name}?",
            lambda client, key, force: client.keys.delete(key.id, force=force),
            verb="keys delete",
            named=lambda key: key.name,
            done=lambda key: f"Deleted the key {key.name}.",
            consequence="It is refused from now on. What it has used stays counted.",
            typed=True,
        ),
    )

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.ApiKey]:
        with named("user", filters.get("user", ""), "llmgate users list"):
            return pages(await client.keys.page(after, limit, **filters))

    async def look(self, client: AdminClient, row: schemas.ApiKey) -> schemas.ApiKey:
        return await client.keys.get(row.id)


class KeysSection(Section):
    """API keys."""

    name_, key, label, short = "keys", "5", "Keys", "Keys"
    views = (Keys,)
    help = "API keys, of users and of applications: what they may do, and how much of it."
