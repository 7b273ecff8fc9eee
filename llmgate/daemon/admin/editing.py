"""What routes that change something depend on: who does it, on which version, and whether it was done before."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Query, Request, Response

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Caller, Daemon
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.changes import Change
from llmgate.daemon.services import Services
from llmgate.daemon.store import idempotency
from llmgate.daemon.store.activity import Actor
from llmgate.errors import AlreadyCreated, Conflict, InvalidRequest, PreconditionFailed

Row = TypeVar("Row", bound=schemas.Answer)


Force = Annotated[bool, Query(description="Do it even if it locks the caller out.")]
FORCE_HINT = "If that is meant, repeat it with force=true (--force)."


def actor_of(caller: Principal, daemon: Services, request: Request) -> Actor:
    """The caller, as the activity log names it."""
    address = daemon.client_address(request.scope)
    request_id = str(request.scope.get("state", {}).get("request_id", ""))
    return Actor(caller.kind.value, caller.id, caller.name, address, request_id)


def version_of(row: schemas.Answer) -> str:
    """The entity tag (RFC 9110, section 8.8.3) of a row: it changes whenever something changes that can be changed."""
    content = row.model_dump_json(exclude=set(type(row).volatile) or None)
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:24]}"'


def tagged(response: Response, row: Row) -> Row:
    """Send the row's version with it."""
    response.headers["etag"] = version_of(row)
    return row


class Edit:
    """A change of something that exists."""

    def __init__(self, daemon: Services, caller: Principal, actor: Actor, if_match: str | None) -> None:
        self.daemon = daemon
        self.caller = caller
        self.actor = actor
        self._if_match = if_match

    def begin(self) -> AbstractAsyncContextManager[Change]:
        """See ``Changes.begin``."""
        return self.daemon.changes.begin(self.actor)

    def expect(self, current: schemas.Answer) -> None:
        """Raises PreconditionFailed when the caller wants to change another version than this one."""
        if self._if_match is None or self._if_match.strip() == "*":
            return
        wanted = {tag.strip() for tag in self._if_match.split(",")}
        if version_of(current) not in wanted:
            raise PreconditionFailed(hint="Read it again, and change that.")


async def edit(
    daemon: Daemon,
    caller: Caller,
    request: Request,
    if_match: Annotated[
        str | None, Header(max_length=400, description="Change it only if this is still its `ETag`.")
    ] = None,
) -> Edit:
    return Edit(daemon, caller, actor_of(caller, daemon, request), if_match)


Editing = Annotated[Edit, Depends(edit)]
"""For routes that change or delete what has an ``ETag``: they must call ``expect``."""


async def act(daemon: Daemon, caller: Caller, request: Request) -> Edit:
    return Edit(daemon, caller, actor_of(caller, daemon, request), None)


Acting = Annotated[Edit, Depends(act)]
"""For routes that change what has no version, so that no ``If-Match`` is promised there."""


class Creation:
    """The making of something new, once for each Idempotency-Key."""

    def __init__(self, daemon: Services, caller: Principal, actor: Actor, key: str | None, request_hash: str) -> None:
        self.daemon = daemon
        self.caller = caller
        self.actor = actor
        self._key = key
        self._hash = request_hash
        self._answer: str | None = None

    def keep(self, answer: Row) -> Row:
        """Let a repeated request get this answer again. Never call it with a secret inside."""
        self._answer = answer.model_dump_json()
        return answer

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Change]:
        """See ``Changes.begin``. What is made is the target of the first note.

        Raises Replayed, which answers again what was answered before, or AlreadyCreated, with the id, where that was
        a secret; Conflict when the key belongs to another request.
        """
        async with self.daemon.changes.begin(self.actor) as change:
            if self._key is None:
                yield change
                return
            done = await idempotency.find(change.tx, self._owner, self._key)
            if done is not None:
                self._replay(done)
            yield change
            made = change.notes[0].target_id
            await idempotency.remember(
                change.tx, self._owner, self._key, idempotency.Done(self._hash, made, self._answer)
            )

    @property
    def _owner(self) -> str:
        return self.caller.owner

    def _replay(self, done: idempotency.Done) -> None:
        if done.request_hash != self._hash:
            raise Conflict(
                "This Idempotency-Key belongs to another request.", hint="Use a new key for each new request."
            )
        if done.answer is None:
            raise AlreadyCreated(
                "This Idempotency-Key has made it already; its secret is not shown again.",
                hint="Delete what was made and create it anew with another key, if the secret was lost.",
                subject=done.target_id,
            )
        raise Replayed(json.loads(done.answer))


class Replayed(Exception):
    """A request was carried out before; ``answer`` is what it was told."""

    def __init__(self, answer: object) -> None:
        super().__init__("replayed")
        self.answer = answer


async def creation(
    daemon: Daemon,
    caller: Caller,
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=200, description="Any unique text. A repeated request with it is not carried out again."),
    ] = None,
) -> Creation:
    if idempotency_key is not None and not (idempotency_key.isascii() and idempotency_key.isprintable()):
        raise InvalidRequest("The Idempotency-Key must be printable ASCII.")
    # Under a key of the server's: there may be a password in it, which nobody is to guess from what is stored.
    asked = f"{request.method} {request.scope['path']}\n".encode() + await request.body()
    digest = hmac.digest(daemon.secret.derive("idempotency"), asked, "sha256").hex()
    return Creation(daemon, caller, actor_of(caller, daemon, request), idempotency_key or None, digest)


Creating = Annotated[Creation, Depends(creation)]
