"""A stored session as the client's credentials: renewed in time, and by one process at once."""

from __future__ import annotations

import asyncio
import time

from pydantic import SecretStr

from llmgate import schemas
from llmgate.connection import Connection
from llmgate.contexts.naming import name_for
from llmgate.contexts.stored import Store, StoredSession
from llmgate.errors import AuthenticationFailed

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
            stored = self._store.session(self._context, self._session.url)
            if stored is None:
                raise AuthenticationFailed("You are not logged in any more.", hint="Log in: llmgate login")
            if stored.access_token == refused:
                stored = await self._refresh(connection, stored)
                self._store.save_session(self._context, stored)
        self._session = stored
        return stored.access_token

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


def remember(store: Store, context: str | None, url: str, tokens: schemas.Tokens) -> str:
    """Keep a new session, and make its daemon the current one; returns its context's name, given or found."""
    with store.lock():
        context = context or name_for(store.contexts().urls, url)
        store.add_context(context, url)
        store.save_session(context, session_of(url, tokens))
    return context
