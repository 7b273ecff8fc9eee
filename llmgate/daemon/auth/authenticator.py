"""Turns the headers of a request into a principal."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network

from llmgate.daemon.auth import api_keys, credentials
from llmgate.daemon.auth.credentials import Headers, refused
from llmgate.daemon.auth.ip_whitelist import Whitelist, is_within, one_client
from llmgate.daemon.auth.principals import Principal, PrincipalKind, Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.live import Current
from llmgate.daemon.store import keys, users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.keys import ApiKey
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed, NotFound, PermissionDenied, StoreUnavailable

_FRESH = 4.0
_REFRESH_TIME = 1.0
_STALE = 60.0
_MOST_CACHED = 10_000
_PROBE_TIME = 5.0
_PROBE_PAUSE = 1.0
_SESSION = b"session:"
"""Before the id of a session, where other principals have the digest of their credential."""

Verify = Callable[[], Awaitable[tuple[Principal, datetime | None]]]
"""Asks the database for a principal, and until when its credential is good. Raises AuthenticationFailed or NotFound."""


@dataclass(slots=True)
class _Known:
    """A principal that was verified: until when that is taken as a fact, and until when if the database is away."""

    principal: Principal
    fresh_until: float
    stale_until: float


class Authenticator:
    """Knows who asks: by API key, by session, or by a whitelisted address.

    What was verified is taken as a fact for 4 seconds. Then one request asks the database again, and the others that
    come within the second that this may take do not: 5 seconds in all. While the database does not answer it is 60,
    but never longer than the credential lives. ``clock`` counts seconds, like ``time.monotonic``.
    """

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        secret: ServerSecret,
        whitelist: Whitelist,
        settings: Current,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._secret = secret
        self._whitelist = whitelist
        self._settings = settings
        self._placeholders = frozenset(text.encode() for text in settings.auth.placeholders)
        self._cookie = credentials.cookie_name(settings.server).encode()
        self._origin = credentials.public_origin(settings.server)
        self._clock = clock
        self._cache: OrderedDict[bytes, _Known] = OrderedDict()
        self._generation = 0
        self._outage_until: float | None = None
        self._used: dict[str, float] = {}
        self._told: list[Callable[[], None]] = []
        self.changed = asyncio.Event()
        """Set by ``invalidate``; whoever watches it clears it."""

    async def authenticate(self, headers: Headers, *, address: str, method: str) -> Principal:
        """Who sent these headers (names in lower case, as ASGI gives them) from this address.

        Raises AuthenticationFailed, always the same; PermissionDenied for a change that a foreign page asks a browser
        to make, and for a key that is not for this address; StoreUnavailable for a principal that was not seen lately
        while the database does not answer.
        """
        secret, is_cookie = credentials.extract(headers, placeholders=self._placeholders, cookie=self._cookie)
        if secret is None:
            principal = self._by_address(address)
            if credentials.is_foreign_page(headers, method, self._origin):
                raise _foreign_page()
            return principal
        credential = secret
        principal = await self._known(hashlib.sha256(secret).digest(), lambda: self._verify(credential))
        if principal.networks is not None and not is_within(address, principal.networks):
            raise PermissionDenied("This key may not be used from your address.", hint=f"You come from {address}.")
        if principal.kind is PrincipalKind.KEY:
            self._used[principal.id] = time.time()
        if is_cookie and not credentials.may_change_state(headers, method, self._origin):
            raise _foreign_page()
        return principal

    async def again(self, known: Principal, headers: Headers, *, address: str, method: str) -> Principal:
        """Who sent them, asked anew of an answer that is under way. Raises as ``authenticate`` does.

        An access token lives for minutes, and what was begun with it may take hours: of a session it counts that it
        has not ended.
        """
        if known.session_id is not None:
            return await self.of_session(known.session_id)
        return await self.authenticate(headers, address=address, method=method)

    async def of_session(self, session_id: str) -> Principal:
        """Whose session it is, by the same rule: for what the daemon itself does for a user, which outlives the access
        token that it was begun with.

        Raises AuthenticationFailed when the session has ended, or StoreUnavailable.
        """
        return await self._known(_SESSION + session_id.encode(), lambda: self._sessions.of(session_id))

    def invalidate(self) -> None:
        """Forget what was verified: somebody was revoked, disabled or changed."""
        self._cache.clear()
        self._generation += 1
        self.changed.set()
        for told in self._told:
            told()

    def on_change(self, told: Callable[[], None]) -> None:
        """``told`` is called by ``invalidate``. It must not block."""
        self._told.append(told)

    def used(self) -> dict[str, datetime]:
        """When each API key was last used, since this was asked last."""
        used, self._used = self._used, {}
        return {key_id: datetime.fromtimestamp(when, UTC) for key_id, when in used.items()}

    def _by_address(self, address: str) -> Principal:
        entry = self._whitelist.match(address) if self._settings.auth.whitelist else None
        if entry is None:
            raise refused()
        level = entry.level or self._settings.levels.whitelist
        client = one_client(address)
        return Principal(PrincipalKind.ADDRESS, client, entry.label or client, Role.USER, level)

    async def _known(self, digest: bytes, verify: Verify) -> Principal:
        now = self._clock()
        known = self._cache.get(digest)
        if known is None or now >= known.fresh_until:
            if known is not None:
                known.fresh_until = min(now + _REFRESH_TIME, known.stale_until)
            known = await self._look_up(verify, digest, known)
        else:
            self._cache.move_to_end(digest)
        return known.principal

    async def _look_up(self, verify: Verify, digest: bytes, known: _Known | None) -> _Known:
        """Ask the database. While it is away, ``known`` is good enough, and one request at a time tries again."""
        now = self._clock()
        if self._outage_until is not None:
            if known is not None and now < min(self._outage_until, known.stale_until):
                return known
            self._outage_until = now + _PROBE_TIME
        generation = self._generation
        try:
            principal, expires_at = await verify()
        except StoreUnavailable:
            now = self._clock()
            self._outage_until = now + _PROBE_PAUSE
            if known is not None and now < known.stale_until and generation == self._generation:
                return known
            raise
        except (AuthenticationFailed, NotFound):
            self._outage_until = None
            self._cache.pop(digest, None)
            raise refused() from None
        self._outage_until = None
        life = (expires_at - utc_now()).total_seconds() if expires_at else _STALE
        known = _Known(principal, now + min(_FRESH, life), now + min(_STALE, life))
        if generation == self._generation:
            self._remember(digest, known)
        else:
            # Somebody's rights have changed meanwhile, and what was read may be from before that. Whoever has looked
            # through what is under way could not see what only begins now: it is looked at once more.
            self.changed.set()
        return known

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._cache[digest] = known
        self._cache.move_to_end(digest)
        if len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)

    async def _verify(self, secret: bytes) -> tuple[Principal, datetime | None]:
        """The principal of a credential and when it expires. Raises AuthenticationFailed or NotFound."""
        text = secret.decode("latin-1")
        if not text.startswith(api_keys.PREFIX):
            return await self._sessions.check(text)
        if api_keys.parse(text) is None:
            raise refused()
        digest, now = api_keys.digest(self._secret, text), utc_now()
        async with self._database.read() as tx:
            key, until = await keys.by_secret(tx, digest, now)
            owner = await users.get(tx, key.user_id) if key.user_id else None
        if not key.is_live(now):
            raise refused()
        ends = [end for end in (key.expires_at, until) if end is not None]
        return self._of_key(key, owner), min(ends, default=None)

    def _of_key(self, key: ApiKey, owner: User | None) -> Principal:
        """A key is never more than the user that it belongs to."""
        is_admin = key.role is Role.ADMIN and (owner is None or owner.role is Role.ADMIN)
        ceiling = owner.level if owner is not None and owner.level is not None else 1
        return Principal(
            kind=PrincipalKind.KEY,
            id=key.id,
            name=key.name,
            role=Role.ADMIN if is_admin else Role.USER,
            level=max(key.level or self._settings.levels.api_key, ceiling),
            user_id=key.user_id,
            models=frozenset(key.models) if key.models is not None else None,
            weight=key.weight,
            routes=frozenset(key.routes) if key.routes is not None else None,
            networks=tuple(map(ip_network, key.cidrs)) if key.cidrs is not None else None,
            limits=key.limits,
            user=owner.name if owner is not None else None,
        )


def _foreign_page() -> PermissionDenied:
    return PermissionDenied(
        "A page of another site may not do that.", hint="Check server.public_url if this is the gateway's own."
    )
