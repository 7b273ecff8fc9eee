"""What of a turn is kept in its conversation: the question when it is asked, the answer when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.chat import asking
from llmgate.daemon.chat.asking import Line, Picture
from llmgate.daemon.chat.titles import first_line
from llmgate.daemon.chat.turn import Turn
from llmgate.daemon.clock import utc_now
from llmgate.daemon.store import conversations, images, messages
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.errors import InvalidRequest, NotFound, StoreUnavailable
from llmgate.schemas.chat import Start
from llmgate.schemas.conversations import Message, TurnOutcome

RETRIES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between the attempts to keep an answer while the database does not answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn that was taken. ``begins`` is what its answer has from the beginning; ``is_first``: its conversation was
    made for it. ``lines`` are the whole branch for the model."""

    conversation: str | None
    parent: str | None
    user_message: Message | None
    begins: str
    lines: list[Line]
    is_first: bool = False


class Keeper:
    """See the module. ``days`` is the setting ``chat.conversation_days``."""

    def __init__(self, database: Database, days: Callable[[], int]) -> None:
        self._database = database
        self._days = days
        self._log = structlog.get_logger("llmgate.chat")

    async def begin(self, turn: Turn, start: Start) -> Asked:
        """Keep the question, if it is to be kept, in one transaction. Before that ends the turn knows its
        conversation: whoever deletes it in this moment ends the turn.

        Raises InvalidRequest, NotFound, PermissionDenied where nothing is kept, Conflict without room for it, or
        StoreUnavailable; then nothing has changed.
        """
        asking.check(start)
        if start.keep:
            conversations.check_kept(self._days())
        pictures: list[Picture] = []
        if asking.has_pictures(start):
            pictures = await asyncio.to_thread(asking.pictures_of, start)
        if not start.keep:
            lines = asking.temporary_lines(start)
            begins = lines[-1].content if start.mode == "continue" else ""
            return Asked(None, None, None, begins, lines)
        async with self._database.begin() as tx:
            return await self._keep(tx, turn, start, pictures)

    async def _keep(self, tx: AsyncConnection, turn: Turn, start: Start, pictures: Sequence[Picture]) -> Asked:
        conversation = await self._conversation(tx, turn.user_id, start)
        turn.conversation = conversation.id
        before: list[messages.Message] = []
        if start.parent is not None:
            before = await messages.path(tx, conversation.id, start.parent)
        lines = [Line(one.role, one.content, one.images, one.id) for one in before]
        if start.mode == "send":
            said = await messages.add(
                tx,
                conversation_id=conversation.id,
                parent=start.parent,
                role="user",
                content=start.content,
                images=pictures,
            )
            lines.append(Line("user", said.content, [image.data for image in start.images]))
            shown = Message.model_validate(said)
            return Asked(conversation.id, said.id, shown, "", lines, is_first=start.conversation is None)
        expected = "user" if start.mode == "regenerate" else "assistant"
        last = before[-1]
        if last.role != expected:
            raise InvalidRequest(f"To {start.mode} needs a message of the {expected}.", param="parent")
        await conversations.check_room(tx, conversation.id)
        if start.mode == "regenerate":
            return Asked(conversation.id, last.id, None, "", lines)
        return Asked(conversation.id, last.parent, None, last.content, lines)

    async def _conversation(self, tx: AsyncConnection, user_id: str, start: Start) -> Conversation:
        """The one that is asked in. What is chosen now is what it goes on with."""
        parameters = start.parameters.model_dump(exclude_none=True)
        if start.conversation is None:
            return await conversations.create(
                tx,
                user_id=user_id,
                title=first_line(start.content),
                model=start.model,
                system=start.system,
                parameters=parameters,
            )
        found = await conversations.get(tx, start.conversation, user_id)
        if (found.model, found.system, found.parameters) != (start.model, start.system, parameters):
            await conversations.update(tx, found.id, model=start.model, system=start.system, parameters=parameters)
        return found

    async def pictures(self, lines: Sequence[Line]) -> dict[str, list[bytes]]:
        """Those of kept messages, by the id of the message. Raises StoreUnavailable."""
        wanted = [line.kept for line in lines if line.kept is not None and line.images]
        if not wanted:
            return {}
        async with self._database.read() as tx:
            found = await images.bytes_of(tx, wanted)
        return {message_id: [data for _, data in pictures] for message_id, pictures in found.items()}

    async def end(self, turn: Turn, message: Message, *, patient: bool) -> Message:
        """Keep the answer. One that nothing was said in is not kept, unless the model has completed it: the question
        stands in the conversation without an answer, and can be asked again.

        Also harmless when the conversation was deleted meanwhile. ``patient``: while the database does not answer,
        try it for about half a minute. Raises StoreUnavailable.
        """
        is_empty = not message.thinking and len(message.content) <= turn.begins
        if turn.conversation is None or (is_empty and message.outcome != "completed"):
            return message
        for pause in (*(RETRIES if patient else ()), None):
            try:
                return await self._add(turn.conversation, message)
            except NotFound:
                return message
            except StoreUnavailable as failure:
                self._log.warning("answer_not_kept_yet", turn=turn.id, reason=failure.message)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        return message

    async def _add(self, conversation: str, message: Message) -> Message:
        values = message.model_dump(exclude={"id", "created_at", "images"})
        async with self._database.begin() as tx:
            try:  # an attempt that seemed to fail may have been carried out
                made = await messages.get(tx, conversation, message.id)
            except NotFound:
                made = await messages.add(tx, conversation_id=conversation, message_id=message.id, **values)
        return Message.model_validate(made)


def answer_of(turn: Turn, outcome: TurnOutcome, error_code: str | None) -> Message:
    """The answer of a turn as it is now."""
    counts = turn.usage()
    return Message(
        id=turn.message,
        parent=turn.parent,
        role="assistant",
        content=str(turn.content),
        thinking=str(turn.thinking) or None,
        images=[],
        model=turn.model,
        created_at=utc_now(),
        outcome=outcome,
        error_code=error_code,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        duration=counts.duration,
        notice=turn.notice.text if turn.notice else None,
    )
