"""One HTTP connection to a daemon: credentials, errors in words, answers as wire types."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from llmgate import __version__, schemas
from llmgate.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    Conflict,
    DaemonTimeout,
    DaemonUnreachable,
    GatewayBusy,
    InvalidRequest,
    LimitExceeded,
    LLMGateError,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    TooManyAttempts,
)
from llmgate.urls import base_url

CONNECT_SECONDS = 10.0
LINE_BYTES = 4 * 1024 * 1024
"""Longest line of a streamed answer."""
ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer that is read as a whole."""
PATIENCE = 2
"""How often the longest wait for a piece of an answer an exchange may take as a whole."""

Answer = TypeVar("Answer", bound=schemas.Answer)


class Credentials(Protocol):
    """Where the client's token comes from."""

    async def token(self, connection: Connection) -> str | None:
        """The token to send, None for none."""

    async def renewed(self, connection: Connection, refused: str) -> str | None:
        """Another token after ``refused`` was answered 401; None when there is no other."""

    async def settled(self) -> None:
        """Wait for what must not be cut off."""


class FixedToken:
    """An API key or an access token that cannot be renewed."""

    def __init__(self, token: str | None) -> None:
        self._token = SecretStr(token) if token else None

    async def token(self, connection: Connection) -> str | None:
        return self._token.get_secret_value() if self._token else None

    async def renewed(self, connection: Connection, refused: str) -> str | None:
        return None

    async def settled(self) -> None:
        return None


class Connection:
    """See ``AdminClient``, which gives the calls their names."""

    def __init__(self, url: str, credentials: Credentials, timeout: float) -> None:
        self.url = base_url(url)
        self._credentials = credentials
        self._timeout = timeout
        limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._http = httpx.AsyncClient(timeout=limits, headers={"user-agent": f"llmgate/{__version__}"})

    async def close(self) -> None:
        await self._credentials.settled()
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: Mapping[str, Any] | None = None,
        body: BaseModel | None = None,
        anonymous: bool = False,
        silence: float | None = None,
    ) -> Answer:
        """``silence`` as in ``stream``; without it the whole exchange has a deadline."""
        response = await self.send(method, path, query=query, body=body, anonymous=anonymous, silence=silence)
        with self.readable():
            return answer.model_validate_json(response.content)

    async def tell(self, method: str, path: str, *, body: BaseModel | None = None) -> None:
        await self.send(method, path, body=body)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: BaseModel | None = None,
        anonymous: bool = False,
        silence: float | None = None,
    ) -> httpx.Response:
        sent = json.dumps(revealed(body)).encode() if body is not None else None
        headers = {"content-type": "application/json"} if body is not None else {}
        params = {key: _text(value) for key, value in (query or {}).items() if value is not None}
        exchange = self.stream(method, path, sent, headers, params, anonymous=anonymous, silence=silence)
        deadline = None if silence is not None else PATIENCE * self._timeout
        try:
            async with asyncio.timeout(deadline), exchange as response:
                await raise_for_status(response)
                content = await whole(response)
                return httpx.Response(response.status_code, headers=plain(response.headers), content=content)
        except TimeoutError:
            raise DaemonTimeout(f"{self.url} did not answer in time.") from None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        *,
        anonymous: bool = False,
        silence: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, once more with another token if the first was refused.

        ``silence``: the longest time without a byte of the answer, in seconds; None: the connection's own.
        """
        token = None if anonymous else await self._credentials.token(self)
        with self._reachable():
            url = self.url + path
            request = self._http.build_request(method, url, content=content, headers=headers, params=params or None)
            if silence is not None:
                request.extensions["timeout"] = {**request.extensions["timeout"], "read": silence}
            response = await self._open(request, token)
            try:
                if response.status_code == 401 and token:
                    renewed = await self._credentials.renewed(self, token)
                    if renewed:
                        await response.aclose()
                        response = await self._open(request, renewed)
                yield response
            finally:
                await response.aclose()

    async def _open(self, request: httpx.Request, token: str | None) -> httpx.Response:
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        if self._http.is_closed:
            raise DaemonUnreachable(f"The connection to {self.url} is closed.")
        return await self._http.send(request, stream=True)

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Say in one sentence why the daemon cannot be reached."""
        try:
            yield
        except httpx.ConnectError:
            raise DaemonUnreachable(
                f"Cannot connect to {self.url}.", hint="Is it running? Start it with: llmgate serve, or name it: --url."
            ) from None
        except httpx.TimeoutException:
            raise DaemonTimeout(f"{self.url} did not answer in time.") from None
        except (httpx.InvalidURL, UnicodeError):
            raise InvalidRequest(f"{self.url!r} is not a URL.") from None
        except httpx.RequestError as failure:  # also what cannot be unpacked, and too many redirects
            reason = (str(failure) or type(failure).__name__).rstrip(".")
            raise DaemonUnreachable(f"The connection to {self.url} broke: {reason}.") from None
        except httpx.StreamError:
            raise DaemonUnreachable(f"The connection to {self.url} broke: it was closed.") from None

    @contextmanager
    def readable(self) -> Iterator[None]:
        try:
            yield
        except (ValidationError, ValueError, KeyError, TypeError, RecursionError):
            raise DaemonUnreachable(
                f"{self.url} answered something else than a llmgate of this version would.", hint="Is the URL right?"
            ) from None


def segment(text: str) -> str:
    """``text`` as one segment of a path. Raises NotFound for what could only name another path."""
    if not text or text in (".", ".."):
        raise NotFound(f"There is nothing called {text!r}.")
    return quote(text, safe="")


def revealed(body: BaseModel) -> dict[str, Any]:
    """The fields that were set, as JSON values, with the secrets in clear."""
    dumped = body.model_dump(mode="json", exclude_unset=True)
    for name in dumped:
        value = getattr(body, name)
        if isinstance(value, SecretStr):
            dumped[name] = value.get_secret_value()
    return dumped


def error_of(
    status: int, content: bytes, request_id: str | None = None, retry_after: str | None = None
) -> LLMGateError:
    """The error that an answer tells, from a problem document or from Ollama's ``{"error": …}``.

    ``retry_after`` is the header of that name, in seconds.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return DaemonUnreachable(
            f"The answer was {status}, and not from llmgate.", hint="Is the URL right, and is a proxy in between?"
        )
    kind = _classes().get(str(document.get("code"))) or _by_status(status)
    detail = document.get("detail") or document.get("error") or f"The daemon answered {status}."
    hint = document.get("hint")
    error = kind(str(detail), hint=str(hint) if hint else None)
    error.request_id = request_id
    error.subject = document["id"] if isinstance(document.get("id"), str) else None
    if retry_after and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10:
        error.retry_after = float(retry_after)
        if isinstance(error, TooManyAttempts):
            error.hint = f"Try again in {retry_after} s."
    return error


def _classes() -> dict[str, type[LLMGateError]]:
    found: dict[str, type[LLMGateError]] = {}
    pending: list[type[LLMGateError]] = [LLMGateError]
    while pending:
        kind = pending.pop()
        if "code" in vars(kind):
            found[kind.code] = kind
        pending += kind.__subclasses__()
    return found


def _by_status(status: int) -> type[LLMGateError]:
    kinds: dict[int, type[LLMGateError]] = {
        401: AuthenticationFailed,
        403: PermissionDenied,
        404: NotFound,
        409: Conflict,
        412: PreconditionFailed,
        413: BodyTooLarge,
        429: LimitExceeded,
    }
    if status in kinds:
        return kinds[status]
    return InvalidRequest if status < 500 else GatewayBusy


async def raise_for_status(response: httpx.Response) -> None:
    if response.status_code >= 300:
        content, headers = await whole(response), response.headers
        raise error_of(response.status_code, content, headers.get("x-request-id"), headers.get("retry-after"))


async def whole(response: httpx.Response) -> bytes:
    """All of it, but not more than a daemon would ever answer."""
    kept, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise DaemonUnreachable("The answer is too large.", hint="Is the URL right?")
        kept.append(chunk)
    return b"".join(kept)


def plain(headers: httpx.Headers) -> list[tuple[str, str]]:
    """The headers of an answer without those that tell how it was sent."""
    coding = ("content-encoding", "content-length", "transfer-encoding")
    return [(name, value) for name, value in headers.multi_items() if name.lower() not in coding]


async def lines(response: httpx.Response) -> AsyncIterator[bytes]:
    kept = b""
    async for chunk in response.aiter_bytes():
        *whole, kept = (kept + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        if len(kept) > LINE_BYTES:
            raise DaemonUnreachable("The answer holds a line that is too long.")
    if kept.strip():
        yield kept


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
