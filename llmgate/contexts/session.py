"""A stored session as the client's credentials: renewed in time, and by one process at once."""

from __future__ import annotations

import asyncio
import time

from pydantic import SecretStr

from llmgate import schemas
from llmgate.connection import Connection
from llmgate.contexts.naming import name_for
from llmgate.contexts.stored import Store, StoredSession
from llmgate.errors import AuthenticationFailed, StateUnreadable

MARGIN = 20.0
"""An access token that ends within so many seconds is renewed before it is used."""


class SessionCredentials:
    """Refresh tokens rotate: two processes that both used an old one would end the session. So the
    renewal is done under the store's lock, and who comes second finds the new tokens there."""

    def __init__(self, store: Store, context: str, session: StoredSession) -> None:
        self._store = store
        self._context = context
        self._session = session
        self._renewal: asyncio.Task[str] | None = None
        self._outdated: StoredSession | None = None
        """What is stored still, when the tokens that came instead could not be: they are kept here alone."""

    async def token(self, connection: Connection) -> str | None:
        if self._session.expires_at - time.time() < MARGIN:
            return await self.renewed(connection, self._session.access_token)
        return self._session.access_token

    async def renewed(self, connection: Connection, refused: str) -> str | None:
        if self._session.access_token != refused:
            return self._session.access_token
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(connection, refused))
            self._renewal.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        # Whoever asks may give up. The renewal goes on: with its answer lost, the session would be too.
        return await asyncio.shield(self._renewal)

    async def settled(self) -> None:
        if self._renewal is not None:
            await asyncio.wait({self._renewal})

    async def _renew(self, connection: Connection, refused: str) -> str:
        with await asyncio.to_thread(self._store.lock):
            stored = await asyncio.to_thread(self._store.session, self._context, self._session.url)
            if stored is None:
                raise AuthenticationFailed("You are not logged in any more.", hint="Log in: llmgate login")
            newest = self._session if stored == self._outdated else stored
            if newest.access_token == refused:
                # From here on the old refresh token is spent: whatever happens to the files, the new one is used.
                newest = self._session = await self._refresh(connection, newest)
                await self._save(stored, newest)
        self._session = newest
        return newest.access_token

    async def _save(self, stored: StoredSession, newest: StoredSession) -> None:
        try:
            await asyncio.to_thread(self._store.save_session, self._context, newest)
            self._outdated = None
        except StateUnreadable:
            # This process works on; the next one has to log in.
            self._outdated = stored

    async def _refresh(self, connection: Connection, session: StoredSession) -> StoredSession:
        body = schemas.Refresh(refresh_token=SecretStr(session.refresh_token))
        try:
            tokens = await connection.ask("POST", "/gate/auth/refresh", schemas.Tokens, body=body, anonymous=True)
        except AuthenticationFailed:
            raise AuthenticationFailed("Your session has ended.", hint="Log in again: llmgate login") from None
        return session_of(session.url, tokens)


def session_of(url: str, tokens: schemas.Tokens) -> StoredSession:
    """Tokens as they are kept."""
    return StoredSession(
        url=url,
        user=tokens.user.name,
        access_token=tokens.access_token or "",
        refresh_token=tokens.refresh_token or "",
        expires_at=time.time() + tokens.expires_in,
    )


def remember(store: Store, context: str | None, url: str, tokens: schemas.Tokens, *, current: bool = True) -> str:
    """Keep a new session; returns its context's name, given or found.

    Its daemon becomes the one that commands talk to; not ``current``: only where there is no other.
    """
    with store.lock():
        context = context or name_for(store.contexts().urls, url)
        store.add_context(context, url, current=current)
        store.save_session(context, session_of(url, tokens))
    return context
