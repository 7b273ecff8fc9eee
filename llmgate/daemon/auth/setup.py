"""The first administrator, made with a token that only the daemon's own terminal shows."""

from __future__ import annotations

import hmac

from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.sealed import new_setup_token
from llmgate.daemon.changes import Changes
from llmgate.daemon.store import checks, users
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed


class FirstAdmin:
    """Holds the setup token of this run of the daemon, in memory only."""

    def __init__(self, database: Database, changes: Changes, hasher: PasswordHasher) -> None:
        self._database = database
        self._changes = changes
        self._hasher = hasher
        self._token: str | None = None
        self._exists = False

    async def prepare(self, token: str | None = None) -> str | None:
        """Make the token, to be printed on the terminal; None when there is, or ever was, an administrator.

        Workers are given the ``token`` that all of them have; that it is redeemed once is for the database to see.
        """
        self._token = token or new_setup_token() if await self.is_needed() else None
        return self._token

    async def is_needed(self) -> bool:
        """Whether there is no administrator, and never was one; asked of the database only until there is."""
        if not self._exists:
            async with self._database.read() as tx:
                self._exists = await users.any_admin(tx)
        return not self._exists

    async def redeem(self, token: str, name: str, password: str, *, address: str = "") -> User:
        """Make the first administrator, once.

        Raises AuthenticationFailed when the token is not the one, or there is none; Conflict when somebody else was
        first; InvalidRequest for an unusable name or password, which leaves the token usable.
        """
        expected = self._token
        if expected is None or not hmac.compare_digest(token.strip().encode("utf-8", "replace"), expected.encode()):
            raise AuthenticationFailed(
                "The setup token is not valid.", hint="It is printed on the daemon's terminal while no admin exists."
            )
        checks.user_name(name)
        hashed = await self._hasher.hash(password)
        async with self._changes.begin(Actor("token", "setup", name, address)) as change:
            user = await users.create_first_admin(change.tx, name=name, password_hash=hashed)
            change.note("user.setup", user.id, user.name, role=user.role)
        self._token = None
        return user
