"""Registration tokens, with which people make their own accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.tui.acting import creating, ending
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.filters import Filter
from llmgate.tui.forms import Field, Form
from llmgate.tui.forms.common import expires, level, number, role
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.section import Section

STATES = ("usable", "used", "expired", "revoked")
TONES: dict[str, Tone] = {"usable": "good", "used": "dim", "expired": "dim", "revoked": "bad"}


def state(token: schemas.RegistrationToken) -> str:
    """What has become of a token: what ended it for good counts before what may also be the case."""
    if token.revoked_at is not None:
        return "revoked"
    if token.uses >= token.max_uses:
        return "used"
    if token.expires_at is not None:
        end = token.expires_at if token.expires_at.tzinfo else token.expires_at.replace(tzinfo=UTC)
        if end <= datetime.now(UTC):
            return "expired"
    return "usable"


def called(token: schemas.RegistrationToken) -> str:
    """The token in a sentence: labels may be empty, and several may have the same."""
    return f"the registration token {token.label!r}" if token.label else f"the registration token {token.id}"


def _new() -> Form:
    return Form(
        "New registration token",
        "tokens create",
        (
            Field("label", "label", None, hint="what it is for"),
            Field("max_uses", "makes accounts", "--uses", read=number, was="1", hint="1"),
            expires(),
            role(),
            level(),
        ),
        lambda client, body, force: client.tokens.create(body),
        schemas.TokenCreate,
        note="Whoever has the token makes that many accounts, of this role and level.",
    )


class Tokens(Listing[schemas.RegistrationToken]):
    """What people make their accounts with."""

    title = "Registration tokens"
    lists, shows = "tokens list", "tokens show"
    filters = (Filter("state", STATES), Filter("created_by", hint="NAME", flag="--created-by"))
    empty = "There are no registration tokens. n makes one."
    topics = frozenset({"activity:token.", "activity:user.register"})
    columns = (
        Column[schemas.RegistrationToken]("label", lambda token: token.label, 16, grow=1),
        Column("role", lambda token: token.role, 6, tone=lambda token: "accent" if token.role == "admin" else ""),
        Column("level", lambda token: token.level or "default", 7),
        Column("used", lambda token: f"{token.uses} of {token.max_uses}", 12, by=lambda token: token.uses),
        Column("state", state, 8, tone=lambda token: TONES[state(token)]),
        Column("expires", lambda token: token.expires_at, 14),
        Column("by", lambda token: token.created_by, 14, wide=100),
        Column("created", lambda token: token.created_at, 14, wide=116),
    )
    facts = (
        Fact[schemas.RegistrationToken]("label", lambda token: token.label),
        Fact("id", lambda token: token.id),
        Fact("state", state),
        Fact("role", lambda token: token.role),
        Fact("level", lambda token: token.level or "default"),
        Fact("used", lambda token: f"{token.uses} of {token.max_uses}"),
        Fact("expires", lambda token: token.expires_at or "never"),
        Fact("revoked", lambda token: token.revoked_at),
        Fact("created", lambda token: token.created_at),
        Fact("by", lambda token: token.created_by),
    )
    actions: ClassVar = (
        creating(
            "n",
            "New",
            _new,
            verb="tokens create",
            secret=lambda made: str(made.token),
            note=lambda made: "Hand it over now: it is not shown again.",
        ),
        ending(
            "x",
            "Revoke",
            lambda token: f"Revoke {called(token)}?",
            lambda client, token, force: client.tokens.revoke(token.id),
            verb="tokens revoke",
            named=lambda token: token.id,
            done=lambda token: f"Revoked {called(token)}.",
            consequence="It makes no more accounts. Those made with it stay.",
            possible=lambda token: "It is revoked already." if token.revoked_at is not None else "",
        ),
        ending(
            "d",
            "Delete",
            lambda token: f"Delete {called(token)}?",
            lambda client, token, force: client.tokens.delete(token.id),
            verb="tokens delete",
            named=lambda token: token.id,
            done=lambda token: f"Deleted {called(token)}.",
            consequence="It makes no more accounts. Those made with it stay.",
        ),
    )

    def named(self, row: schemas.RegistrationToken) -> str:
        return row.id

    async def fetch(
        self, client: AdminClient, after: str | None, limit: int, **filters: Any
    ) -> Part[schemas.RegistrationToken]:
        return pages(await client.tokens.page(after, limit, **filters))

    async def look(self, client: AdminClient, row: schemas.RegistrationToken) -> schemas.RegistrationToken:
        return await client.tokens.get(row.id)


class TokensSection(Section):
    """Registration tokens."""

    name_, key, label, short = "tokens", "4", "Tokens", "Tokens"
    views = (Tokens,)
    help = "Registration tokens: whoever has one makes an account with it, without an administrator."
