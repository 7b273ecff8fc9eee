"""Users, and who of them is logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import SecretStr

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.tui.acting import Action, creating, editing, ending
from llmgate.tui.columns import Column, Fact
from llmgate.tui.filters import Filter, truth
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.forms.common import PASSWORD, USER_NAME, level, role, user_name
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.section import Section


def _secret(read: Callable[[str], Any]) -> Field:
    return Field(
        "password", "password", "--password-stdin", Kind.SECRET, read, hint=PASSWORD, required=True, repeated=True
    )


def _new() -> Form:
    return Form(
        "New user",
        "users create",
        (
            Field("name", "name", None, read=user_name, hint=USER_NAME, required=True),
            _secret(SecretStr),
            role(),
            level(),
        ),
        lambda client, body, force: client.users.create(body, force=force),
        schemas.UserCreate,
    )


def _change(user: schemas.User) -> Form:
    disabled = "on" if user.disabled else "off"
    return Form(
        f"Change the user {user.name}",
        "users update",
        (
            Field("name", "name", "--name", read=user_name, was=user.name),
            role(user.role),
            level(user.level, cleared="--default-level"),
            Field("disabled", "disabled", "--disable/--enable", Kind.SWITCH, was=disabled, hint="may not log in"),
        ),
        lambda client, body, force: client.users.update(user.id, body, force=force),
        schemas.UserUpdate,
        target=(user.name,),
        changes=True,
        button="Change",
    )


def _password(user: schemas.User) -> Form:
    async def send(client: AdminClient, values: Any, force: bool) -> bool:
        await client.set_password(user.id, values["password"])
        return True

    return Form(
        f"New password for {user.name}",
        "users password",
        (_secret(str),),
        send,
        target=(user.name,),
        button="Set",
        note="Every session of this user ends.",
    )


class Users(Listing[schemas.User]):
    """Who may log in."""

    title = "Users"
    lists, shows = "users list", "users show"
    search = "search"
    empty = "There are no users."
    topics = frozenset({"activity:user.", "activity:session.login"})
    columns = (
        Column[schemas.User]("name", lambda user: user.name, 20, grow=1),
        Column("role", lambda user: user.role, 6, tone=lambda user: "accent" if user.role == "admin" else ""),
        Column("level", lambda user: user.level or "default", 7),
        Column(
            "state",
            lambda user: "disabled" if user.disabled else "active",
            9,
            tone=lambda user: "bad" if user.disabled else "good",
        ),
        Column("last login", lambda user: user.last_login_at, 14),
        Column("created", lambda user: user.created_at, 14, wide=100),
    )
    facts = (
        Fact[schemas.User]("name", lambda user: user.name),
        Fact("id", lambda user: user.id),
        Fact("role", lambda user: user.role),
        Fact("level", lambda user: user.level or "default"),
        Fact("disabled", lambda user: user.disabled),
        Fact("created", lambda user: user.created_at),
        Fact("changed", lambda user: user.updated_at),
        Fact("last login", lambda user: user.last_login_at),
    )
    actions: ClassVar = (
        creating("n", "New", _new, verb="users create", done=lambda made: f"Created the user {made.name}."),
        editing(
            "e",
            "Edit",
            _change,
            verb="users update",
            done=lambda made: f"Changed the user {made.name}.",
            fresh=lambda client, user: client.users.get(user.id),
        ),
        editing("p", "Password", _password, verb="users password", done=lambda made: "The password is changed."),
        ending(
            "x",
            "End sessions",
            lambda user: f"End every session of {user.name}?",
            lambda client, user, force: client.sessions.revoke_all(user.id),
            verb="sessions revoke --user",
            named=lambda user: user.name,
            done=lambda user: f"Every session of {user.name} is ended.",
        ),
        ending(
            "d",
            "Delete",
            lambda user: f"Delete the user {user.name}?",
            lambda client, user, force: client.users.delete(user.id, force=force),
            verb="users delete",
            named=lambda user: user.name,
            done=lambda user: f"Deleted the user {user.name}.",
            consequence="Their keys and sessions end at once. What they used stays counted.",
            typed=True,
        ),
    )

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.User]:
        return pages(await client.users.page(after, limit, **filters))

    async def look(self, client: AdminClient, row: schemas.User) -> schemas.User:
        return await client.users.get(row.id)


class Sessions(Listing[schemas.Session]):
    """Who is logged in, and from where."""

    title = "Sessions"
    lists, shows = "sessions list", "sessions show"
    filters = (
        Filter("user", hint="NAME"),
        Filter("live", ("yes", "no"), truth, flag="--live/--ended"),
    )
    search = "user"
    empty = "Nobody is logged in."
    topics = frozenset({"activity:session.", "activity:user."})
    columns = (
        Column[schemas.Session]("user", lambda session: session.user, 16, grow=1),
        Column("from", lambda session: session.address, 15),
        Column("client", lambda session: session.client, 16, grow=1),
        Column("since", lambda session: session.created_at, 14),
        Column("last used", lambda session: session.last_used_at, 14, wide=100),
        Column(
            "state",
            lambda session: "this one" if session.current else "live" if session.live else "ended",
            8,
            tone=lambda session: "accent" if session.current else "good" if session.live else "dim",
        ),
    )
    facts = (
        Fact[schemas.Session]("user", lambda session: session.user),
        Fact("id", lambda session: session.id),
        Fact("from", lambda session: session.address),
        Fact("client", lambda session: session.client),
        Fact("since", lambda session: session.created_at),
        Fact("last used", lambda session: session.last_used_at),
        Fact("ends", lambda session: session.expires_at),
        Fact("ended", lambda session: session.revoked_at),
        Fact("live", lambda session: session.live),
        Fact("this one", lambda session: session.current),
    )
    actions: ClassVar[tuple[Action[Any], ...]] = (
        ending(
            "x",
            "End",
            lambda session: f"End this session of {session.user}, from {session.address}?",
            lambda client, session, force: client.sessions.revoke(session.id),
            verb="sessions revoke",
            named=lambda session: session.id,
            done=lambda session: f"The session of {session.user} is ended.",
            consequence=lambda session: "This is you: the dashboard has to log in again." if session.current else "",
            possible=lambda session: "" if session.live else "It has ended already.",
        ),
    )

    def named(self, row: schemas.Session) -> str:
        return row.id

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Session]:
        return pages(await client.sessions.page(after, limit, **filters))

    async def look(self, client: AdminClient, row: schemas.Session) -> schemas.Session:
        return await client.sessions.get(row.id)


class UsersSection(Section):
    """Users and their sessions."""

    name_, key, label, short = "users", "3", "Users", "Users"
    views = (Users, Sessions)
    help = "People who may log in, and where they are logged in now."
