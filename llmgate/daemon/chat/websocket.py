"""The WebSocket of the chat page: who may open one, and what goes over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from llmgate.config import ServerSettings
from llmgate.daemon.auth import credentials
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.chat.chat import Chat
from llmgate.daemon.chat.connections import SESSION_OVER, TOO_MANY
from llmgate.daemon.chat.dialect import problem_of
from llmgate.daemon.chat.socket import Socket
from llmgate.daemon.exchange import Receive, Scope, Send
from llmgate.daemon.live import Current
from llmgate.errors import AuthenticationFailed, LLMGateError, PermissionDenied

_ORIGIN: Final = b"origin"


class ChatEndpoint:
    """The ASGI application of ``/gate/ws``."""

    def __init__(
        self,
        chat: Chat,
        authenticator: Authenticator,
        client_address: Callable[[Scope], str],
        settings: Current,
    ) -> None:
        self._chat = chat
        self._authenticator = authenticator
        self._client_address = client_address
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # that somebody wants to connect
        try:
            caller = await self._caller(scope)
        except AuthenticationFailed as refusal:
            # To a page a refused WebSocket looks like a broken network; one that is closed tells it to log in again.
            await (_closed(send, SESSION_OVER) if _origins(scope) else _refused(send, refusal))
            return
        except LLMGateError as refusal:
            await _refused(send, refusal)
            return
        socket = Socket(self._chat, caller, scope, receive, send)
        if not self._chat.connections.enter(socket):
            await _closed(send, TOO_MANY)
            return
        try:
            await send({"type": "websocket.accept"})
            await socket.run()
        finally:
            self._chat.connections.leave(socket)

    async def _caller(self, scope: Scope) -> Principal:
        """Who asks. Raises PermissionDenied for a page that is not ours, and for who has not logged in.

        A browser tells the page's origin always. Without one it is none, and a cookie is not looked at.
        """
        headers, origins = scope["headers"], _origins(scope)
        if not origins:
            headers = [(name, value) for name, value in headers if name != b"cookie"]
        elif not is_our_page(origins, headers, self._settings.server):
            raise PermissionDenied(
                "A page of another site may not do that.", hint="Check server.public_url if this is the gateway's own."
            )
        address = self._client_address(scope)
        caller = await self._authenticator.authenticate(headers, address=address, method="GET")
        if caller.session_id is None:
            raise PermissionDenied("Only who has logged in with a name and a password can do that.")
        return caller


def is_our_page(origins: list[str], headers: credentials.Headers, server: ServerSettings) -> bool:
    """Whether a page of this origin is the gateway's own: of its public URL, and where none is set, of the host that
    was asked."""
    if len(origins) != 1:
        return False
    if server.public_url:
        return credentials.is_own_origin(origins[0].encode("latin-1"), credentials.public_origin(server), headers)
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    return len(hosts) == 1 and origins[0] in (f"http://{hosts[0]}", f"https://{hosts[0]}")


def _origins(scope: Scope) -> list[str]:
    return [value.decode("latin-1").lower() for name, value in scope["headers"] if name == _ORIGIN]


async def _refused(send: Send, refusal: LLMGateError) -> None:
    """Answer with a status instead of opening it."""
    body = json.dumps(problem_of(refusal)).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _closed(send: Send, code: int) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": code})
