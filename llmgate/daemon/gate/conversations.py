"""One's own conversations: what is kept of one's chats. Nobody else sees them, not even an administrator.

They are made by asking (``gate/chat.py`` and the WebSocket). Changing them is no part of the activity log.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part, Person
from llmgate.daemon.budget import held
from llmgate.daemon.gate import exports
from llmgate.daemon.gate.sending import Large, reading
from llmgate.daemon.store import conversations, messages
from llmgate.errors import Conflict, LimitExceeded, QueueFull, TooManyConcurrent

router = APIRouter(prefix="/conversations", tags=["conversations"])

Search = Annotated[str | None, Query(max_length=200, description="Part of a title or of a message, in any case.")]

_LARGE = raises(LimitExceeded, TooManyConcurrent, QueueFull)
_READING = [Depends(reading)]
_ATTACHMENT: dict[str, Any] = {"schema": {"type": "string"}, "required": True}
_FILE: dict[int | str, dict[str, Any]] = {200: {"headers": {"Content-Disposition": _ATTACHMENT}}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        **_FILE[200],
        "content": {"text/markdown": {"schema": {"type": "string", "description": "With `format=markdown`."}}},
    }
}


@router.get("")
async def list_conversations(
    daemon: Daemon, caller: Person, part: Part, search: Search = None
) -> schemas.Page[schemas.Conversation]:
    """The caller's conversations, the one first in which something was said last.

    While something is said in others, they move to the front; the pages that follow stay where they are.
    """
    async with daemon.database.read() as tx:
        rows = await conversations.page(tx, user_id=caller.id, search=search, after=part.after, limit=part.and_one)
    return part.page(rows, schemas.Conversation, key="place")


@router.delete("")
async def delete_all(daemon: Daemon, caller: Person) -> schemas.ConversationsDeleted:
    """Delete all of them, for good. They go in pieces: when it fails in between, some are left."""
    deleted = await conversations.forget_user(daemon.database, caller.id)
    daemon.chat.forget(caller.id)
    return schemas.ConversationsDeleted(deleted=deleted)


@router.get("/export", response_model=schemas.ConversationsExport, responses={**_FILE, **_LARGE}, dependencies=_READING)
async def export_all(daemon: Daemon, caller: Person) -> Response:
    """All of them as a JSON file, with the bytes of their pictures as `data` in base64.

    It is sent while it is read. If something fails in between it is cut off, and so no whole JSON.
    """
    pieces = exports.all_as_json(daemon.database, caller.id)
    # One conversation at a time is in memory, of whatever size.
    hold = held(daemon.gateway.bodies, caller.owner, conversations.LARGEST_TEXT)
    return exports.Download(pieces, caller.name, "json", hold)


@router.get("/{conversation}", response_model=schemas.ConversationDetail, responses=_LARGE, dependencies=_READING)
async def show(daemon: Daemon, caller: Person, conversation: str) -> Response:
    """One of them, with its whole tree of messages, the oldest first."""
    async with daemon.database.read() as tx:
        found = await conversations.get(tx, conversation, caller.id)
        shown = exports.detail(found, await messages.tree(tx, found.id))
    return Large(daemon.gateway.bodies, caller, shown.model_dump_json().encode(), "application/json", {})


@router.patch("/{conversation}")
async def update(
    daemon: Daemon, caller: Person, conversation: str, body: schemas.ConversationUpdate
) -> schemas.Conversation:
    """Name it, choose what its next answers are made with, or which branch is shown. Its place in the list stays.

    403 for what would be kept, where the gateway keeps no conversations any more.
    """
    changes = body.changes()
    if body.parameters is not None:
        changes["parameters"] = body.parameters.model_dump(exclude_none=True)
    if body.title is not None:
        changes["titled_by"] = "user"
    if set(changes) != {"leaf"}:
        conversations.check_kept(daemon.settings.chat.conversation_days)
    async with daemon.database.begin() as tx:
        found = await conversations.get(tx, conversation, caller.id)
        return schemas.Conversation.model_validate(await conversations.update(tx, found.id, **changes))


@router.delete("/{conversation}", status_code=204)
async def delete(daemon: Daemon, caller: Person, conversation: str) -> None:
    """Delete it with its messages and pictures, for good."""
    async with daemon.database.begin() as tx:
        found = await conversations.get(tx, conversation, caller.id)
        await conversations.delete(tx, found.id)
    daemon.chat.forget(caller.id, found.id)


@router.get(
    "/{conversation}/export",
    response_model=schemas.ConversationDetail,
    responses={**_FILES, **_LARGE},
    dependencies=_READING,
)
async def export(
    daemon: Daemon,
    caller: Person,
    conversation: str,
    format: exports.Format = "json",  # noqa: A002  that is what users of other APIs try first
) -> Response:
    """One of them as a file: all of it as JSON, with the bytes of its pictures as `data` in base64, or as Markdown the
    branch that is shown."""
    async with daemon.database.read() as tx:
        found = await conversations.get(tx, conversation, caller.id)
        if format == "json":
            said = await messages.tree(tx, found.id)
            pieces = exports.as_json(daemon.database, found, said)
        else:
            said = await messages.path(tx, found.id, found.leaf) if found.leaf else []
            pieces = exports.as_markdown(found, said)
    hold = held(daemon.gateway.bodies, caller.owner, exports.size_of(said))
    return exports.Download(pieces, found.title, format, hold)


@router.patch("/{conversation}/messages/{message}", responses=raises(Conflict))
async def correct(
    daemon: Daemon, caller: Person, conversation: str, message: str, body: schemas.MessageUpdate
) -> schemas.Message:
    """Put another text in the place of an answer's. 409 for a question: sent again, it gets a branch of its own."""
    conversations.check_kept(daemon.settings.chat.conversation_days)
    async with daemon.database.begin() as tx:
        found = await conversations.get(tx, conversation, caller.id)
        corrected = await messages.correct(tx, (await messages.get(tx, found.id, message)).id, body.content)
    return schemas.Message.model_validate(corrected)
