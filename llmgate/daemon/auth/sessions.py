"""Sessions: log in, stay logged in with rotating refresh tokens, log out at once."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Principal, PrincipalKind
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.auth.tokens import AccessTokens
from llmgate.daemon.changes import Change, Changes
from llmgate.daemon.ids import new_id
from llmgate.daemon.live import Current
from llmgate.daemon.store import sessions, users
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.sessions import Session
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed, NotFound

MOST = 100
"""Live sessions of one user, and as many that have ended of which it is remembered."""
_GRACE = timedelta(seconds=10)
_REFRESH_FORM = re.compile(r"llmf_([0-9A-Z]{26})_([0-9]{1,9})_([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets. ``expires_in`` is the life of the access token in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    user: User
    session_id: str


class Sessions:
    """The sessions of users.

    A refresh token is ``llmf_<session>_<generation>_<HMAC-SHA256>``: it proves itself, each use makes the next
    generation, and the database holds the digest of the one that is valid. Whoever presents an older one holds a
    copy, so the session ends (RFC 9700, section 4.14). For 10 seconds the one before is answered with the same
    successor again, because two tabs of a browser may refresh at once and answers get lost.
    """

    def __init__(
        self,
        database: Database,
        changes: Changes,
        hasher: PasswordHasher,
        secret: ServerSecret,
        settings: Current,
        throttle: LoginThrottle,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.throttle = throttle
        """Of registrations, too: all that somebody tries from one address counts together."""
        self._database = database
        self._changes = changes
        self._hasher = hasher
        self._clock = clock
        self._settings = settings
        self._access = AccessTokens(secret, minutes=lambda: settings.auth.session_minutes)
        self._proof_key = secret.derive("refresh-token")
        self._digest_key = secret.derive("refresh-token-digest")

    async def login(
        self, name: str, password: str, *, address: str, client: str, on_ended: Callable[[], None] = lambda: None
    ) -> Tokens:
        """Start a session. ``address`` is where it comes from, ``client`` what it calls itself.

        Of a user who has ``MOST`` of them, the one that was renewed longest ago ends for it; then ``on_ended`` is
        called. Raises AuthenticationFailed, the same for an unknown name, a wrong password and a disabled user, and
        TooManyAttempts.
        """
        user, hashed = await self._prove(name, password, address)
        actor = Actor("session", user.id, user.name, address)
        async with self._changes.begin(actor) as change:
            await self._check_unchanged(change.tx, user, hashed)
            has_ended = await self._make_room(change, user)
            tokens = await self._start(change, user, address=address, client=client)
        if has_ended:
            on_ended()
        return tokens

    async def change_password(self, name: str, current: str, new: str, *, actor: Actor, client: str) -> Tokens:
        """Set the password, end every session of the user, and start a new one: all of it, or nothing.

        ``actor`` is the user. Raises AuthenticationFailed when the current password is wrong, TooManyAttempts.
        """
        user, hashed = await self._prove(name, current, actor.address)
        made = await self._hasher.hash(new)
        async with self._changes.begin(actor) as change:
            await self._check_unchanged(change.tx, user, hashed)
            if user.id != actor.id:  # renamed a moment ago, and somebody else has taken the name
                raise AuthenticationFailed
            await users.set_password(change.tx, user.id, made)
            await sessions.revoke_user(change.tx, user.id)
            change.note("user.password", user.id, user.name)
            return await self._start(change, user, address=actor.address, client=client)

    async def _prove(self, name: str, password: str, address: str) -> tuple[User, str | None]:
        """Whose name and password these are, and the digest that the password fits. Guessing is slowed down."""
        with self.throttle.attempt(name, address):
            return await self._judge(name, password)

    async def _check_unchanged(self, tx: AsyncConnection, user: User, hashed: str | None) -> None:
        """Hashing takes a while: who was deleted, disabled or got another password meanwhile does not get in."""
        try:
            now = await users.get(tx, user.id)
        except NotFound:
            raise _wrong() from None
        if now.disabled or await users.password_hash(tx, user.id) != hashed:
            raise _wrong()

    async def _make_room(self, change: Change, user: User) -> bool:
        """For one more session of the user. Whether others had to end for it."""
        surplus = await sessions.surplus(change.tx, user.id, MOST - 1, self._clock())
        for session in surplus:
            await sessions.revoke(change.tx, session.id)
            why = {"client": session.client, "address": session.address, "reason": f"more than {MOST} sessions"}
            change.note("session.revoke", session.id, user.name, **why)
        await sessions.forget_surplus(change.tx, user.id, MOST, self._clock())
        return bool(surplus)

    async def _start(self, change: Change, user: User, *, address: str, client: str) -> Tokens:
        now = self._clock()
        session_id = new_id()
        refresh_token = self._refresh_token(session_id, 0)
        await sessions.create(
            change.tx,
            session_id=session_id,
            user_id=user.id,
            refresh_hash=self._digest(refresh_token),
            now=now,
            expires_at=now + timedelta(days=self._settings.auth.refresh_days),
            client=client,
            address=address,
        )
        await users.touch_login(change.tx, user.id)
        change.note("session.login", session_id, user.name, client=client)
        return self._tokens(user, session_id, refresh_token)

    async def refresh(
        self, refresh_token: str, *, address: str = "", on_reuse: Callable[[], None] = lambda: None
    ) -> Tokens:
        """Trade a refresh token for new tokens. AuthenticationFailed when it, or its session, is not valid.

        ``on_reuse`` is called when the session has been ended because an old token was presented.
        """
        session_id, generation = self._parse(refresh_token)
        successor = self._refresh_token(session_id, generation + 1)
        async with self._database.begin() as tx:
            session, user = await self._live(tx, session_id)
            old_hash, new_hash = self._digest(refresh_token), self._digest(successor)
            rotated = await sessions.rotate(
                tx, session.id, old_hash=old_hash, new_hash=new_hash, now=self._clock()
            ) or self._just_rotated(await sessions.get(tx, session.id), old_hash, new_hash)
        if not rotated:
            await self._end_reused(session, user, address)
            on_reuse()
            raise _refused()
        return self._tokens(user, session.id, successor)

    async def _end_reused(self, session: Session, user: User, address: str) -> None:
        """End a session of whose refresh token there is a copy. Raises AuthenticationFailed if it has ended already."""
        async with self._changes.begin(Actor("session", user.id, user.name, address)) as change:
            if not await sessions.revoke(change.tx, session.id):
                raise _refused()
            change.note("session.reuse", session.id, user.name, client=session.client, logged_in_from=session.address)

    async def logout(self, session_id: str, actor: Actor) -> None:
        async with self._changes.begin(actor) as change:
            await sessions.revoke(change.tx, session_id)
            change.note("session.logout", session_id, actor.name)

    async def verify(self, access_token: str) -> Principal:
        """Who holds this access token. Raises AuthenticationFailed."""
        principal, _ = await self.check(access_token)
        return principal

    async def check(self, access_token: str) -> tuple[Principal, datetime]:
        """Who holds this access token, and until when it is good at the longest. Raises AuthenticationFailed."""
        claims = self._access.read(access_token)
        async with self._database.read() as tx:
            session, user = await self._live(tx, claims.session_id)
        if user.id != claims.user_id:
            raise _refused()
        return self._principal(session, user), min(claims.expires_at, session.expires_at)

    async def of(self, session_id: str) -> tuple[Principal, datetime]:
        """Whose session it is, and until when it lives at the longest. Raises AuthenticationFailed.

        For what was begun with an access token and outlives it: the session is what can be revoked.
        """
        async with self._database.read() as tx:
            session, user = await self._live(tx, session_id)
        return self._principal(session, user), session.expires_at

    async def alive(self, session_ids: Collection[str]) -> set[str]:
        """Those of these sessions that are good at this moment. Raises StoreUnavailable."""
        async with self._database.read() as tx:
            return await sessions.alive(tx, session_ids, self._clock())

    def _principal(self, session: Session, user: User) -> Principal:
        return Principal(
            kind=PrincipalKind.SESSION,
            id=user.id,
            name=user.name,
            role=user.role,
            level=user.level or self._settings.levels.user,
            user_id=user.id,
            session_id=session.id,
        )

    async def _judge(self, name: str, password: str) -> tuple[User, str | None]:
        async with self._database.read() as tx:
            try:
                user = await users.by_name(tx, name)
            except NotFound:
                user = None
            # Asked for nobody as well: the time that it takes must not tell who exists.
            hashed = await users.password_hash(tx, user.id if user is not None else "")
        fits = await self._hasher.verify(password, hashed)
        if user is None or not fits or user.disabled:
            raise _wrong()
        return user, hashed

    async def _live(self, tx: AsyncConnection, session_id: str) -> tuple[Session, User]:
        try:
            session = await sessions.get(tx, session_id)
            user = await users.get(tx, session.user_id)
        except NotFound:
            raise _refused() from None
        if user.disabled or not session.is_live(self._clock()):
            raise _refused()
        return session, user

    def _just_rotated(self, session: Session, old_hash: str, new_hash: str) -> bool:
        """Whether this refresh token was traded for exactly this successor a moment ago."""
        if session.rotated_at is None or session.revoked_at is not None:
            return False
        recent = self._clock() - session.rotated_at <= _GRACE
        return recent and session.previous_hash == old_hash and session.refresh_hash == new_hash

    def _tokens(self, user: User, session_id: str, refresh_token: str) -> Tokens:
        access_token = self._access.issue(user_id=user.id, session_id=session_id, now=self._clock())
        return Tokens(access_token, refresh_token, self._access.seconds, user, session_id)

    def _refresh_token(self, session_id: str, generation: int) -> str:
        body = f"llmf_{session_id}_{generation}"
        return f"{body}_{hmac.digest(self._proof_key, body.encode(), 'sha256').hex()}"

    def _parse(self, refresh_token: str) -> tuple[str, int]:
        match = _REFRESH_FORM.fullmatch(refresh_token)
        if match is None:
            raise _refused()
        session_id, generation = match[1], int(match[2])
        if not hmac.compare_digest(self._refresh_token(session_id, generation), refresh_token):
            raise _refused()
        return session_id, generation

    def _digest(self, refresh_token: str) -> str:
        return hmac.digest(self._digest_key, refresh_token.encode(), "sha256").hex()


def _wrong() -> AuthenticationFailed:
    return AuthenticationFailed("The name or the password is wrong.")


def _refused() -> AuthenticationFailed:
    return AuthenticationFailed("The session is not valid (any more).", hint="Log in again.")
