"""A new password for an administrator, without anybody who could log in: who holds the machine holds the gateway.

Daemons may go on serving. They find the entry in the activity log, as they do what was changed through another daemon.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import LoadedSettings
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.changes import local_actor
from llmgate.daemon.live import LiveSettings
from llmgate.daemon.reconfiguration import learn
from llmgate.daemon.services import changes_of
from llmgate.daemon.store import instance, schema, sessions, users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.users import User
from llmgate.errors import Conflict, InputNeeded, NotFound, StartupError

MOST_NAMED = 20
"""Administrators that an error names, of however many there are."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done: to whom, whether it had been disabled, and how many sessions were ended."""

    user: User
    was_disabled: bool
    sessions: int


async def find_admin(database: Database, secret: ServerSecret, name: str | None) -> User:
    """The administrator of this name (or id); without a name, the only one.

    Raises InputNeeded when there are several, NotFound when there is none, Conflict for another user and for a schema
    that is older than this program, StartupError for a newer one and for a database that was made with another secret.
    """
    async with database.read() as tx:
        await _check(tx, secret)
        admins = await users.administrators(tx)
        if name is not None:
            return await _named(tx, name, admins)
    if not admins:
        raise _nobody()
    if len(admins) > 1:
        several = f"There are several administrators: {_names(admins)}."
        raise InputNeeded(several, hint="Say which: llmgate recover NAME")
    return admins[0]


async def recover(
    database: Database, secret: ServerSecret, settings: LoadedSettings, user: User, password: str
) -> Recovered:
    """Set the password of an administrator, enable it and end its sessions: all of it, or nothing.

    Raises InvalidRequest for a password that the daemon would not accept either, NotFound or Conflict when the user
    is gone or is no administrator any more.
    """
    live = LiveSettings(settings)
    await learn(database, live)  # the shortest password may have been changed while it serves
    hasher = PasswordHasher(min_length=lambda: live.auth.password_min_length)
    try:
        digest = await hasher.hash(password)
    finally:
        hasher.close()
    async with changes_of(database, secret).begin(local_actor()) as change:
        found = await users.get(change.tx, user.id)
        _check_role(found)
        await users.set_password(change.tx, found.id, digest)
        if found.disabled:
            await users.update(change.tx, found.id, disabled=False)
        ended = await sessions.revoke_user(change.tx, found.id)
        change.note("user.recover", found.id, found.name, was_disabled=found.disabled, sessions=ended)
    return Recovered(found, found.disabled, ended)


async def _check(tx: AsyncConnection, secret: ServerSecret) -> None:
    """What is written with another secret, or by a program that does not know the tables, breaks more than it mends."""
    revision = await tx.run_sync(schema.current)
    if revision is None:
        raise _nobody()
    if schema.pending(revision):
        raise Conflict("The database has an older schema than this program.", hint="First: llmgate db upgrade")
    if await instance.get(tx, instance.FINGERPRINT) != secret.fingerprint:
        raise StartupError(
            "This database was made with another secret key.", hint="Bring back the secret.key that belongs to it."
        )


async def _named(tx: AsyncConnection, name: str, admins: list[User]) -> User:
    try:
        found = await users.resolve(tx, name)
    except NotFound:
        if not admins:
            raise _nobody() from None
        raise NotFound(f"There is no user {name!r}.", hint=f"Administrators are: {_names(admins)}.") from None
    _check_role(found)
    return found


def _nobody() -> NotFound:
    return NotFound("There is no administrator yet.", hint="Make the first one with: llmgate init")


def _check_role(user: User) -> None:
    if user.role is not Role.ADMIN:
        raise Conflict(
            f"{user.name!r} is no administrator.",
            hint=f"An administrator sets that password: llmgate users password {user.name}",
        )


def _names(admins: list[User]) -> str:
    more = len(admins) - MOST_NAMED
    return ", ".join(admin.name for admin in admins[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
