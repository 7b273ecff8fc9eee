"""Gives conversations a title: the model is asked for one, once its first answer is there.

It is asked as everybody asks, but at level 5, for few words, and waited for only so long: nobody is delayed by it for
more than those words take. Whatever goes wrong, the first line of the question stays the title.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.chat.conduct import Exchanged
from llmgate.daemon.chat.dialect import ENDPOINT
from llmgate.daemon.chat.hearing import Hearing
from llmgate.daemon.chat.titles import cleaned
from llmgate.daemon.chat.turn import Turn
from llmgate.daemon.exchange import Insider
from llmgate.daemon.gateway import Gateway
from llmgate.daemon.protocols.bodies import dump_body
from llmgate.daemon.store import conversations
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.errors import LLMGateError
from llmgate.schemas.chat import Start, Titled

TOPIC: Final = "chat.titled"
"""Under which the daemons of a cluster tell each other whose conversation has got a title: ids, not the title."""
LEVEL: Final = 5
AT_ONCE: Final = 8
"""Titles that a daemon asks for at the same time. More conversations keep their first line."""
SECONDS: Final = 60.0
"""Longest wait for a title, in line and for the answer."""
TOKENS: Final = 40
EXCERPT: Final = 1500
"""Characters of the question, and of the answer, that the model is shown."""
_ASKS: Final = """\
Write a title for the conversation below: at most six words, in the language of the conversation. \
Answer with the title only, on one line, without quotation marks.

Question:
{question}

Answer:
{answer}"""


def _is_said_again(title: str) -> bool:
    """Whether it is what the model was asked, as very small ones answer."""
    return len(title.split()) > 2 and title.casefold() in _ASKS.casefold()


class Cluster(Protocol):
    """What a queue has for daemons to tell each other things."""

    def tell(self, topic: str, body: Any, to: str | None = None) -> None: ...
    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None: ...


class Audience(Protocol):
    """The sockets of users at this daemon."""

    def is_here(self, user_id: str) -> bool: ...
    def tell(self, user_id: str, frame: Titled) -> None: ...


class Titler:
    """See the module. ``is_wanted`` tells whether the setting ``chat.titles`` is "model"."""

    def __init__(
        self,
        gateway: Gateway,
        authenticator: Authenticator,
        database: Database,
        queue: Cluster,
        audience: Audience,
        is_wanted: Callable[[], bool],
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._gateway = gateway
        self._authenticator = authenticator
        self._database = database
        self._queue = queue
        self._audience = audience
        self._is_wanted = is_wanted
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("llmgate.chat")

    def start(self) -> None:
        """Begin to hear of titles that other daemons have given."""
        self._queue.listen(TOPIC, self._heard)

    async def close(self) -> None:
        """Give up what is still being asked for."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def exchanged(self, first: Exchanged) -> None:
        """A conversation has had its first exchange."""
        if self._is_wanted():
            self._begin(self._give, first)

    def _heard(self, boot: str, told: Any) -> None:
        user_id, conversation_id = told
        if self._audience.is_here(user_id):
            self._begin(self._pass_on, str(user_id), str(conversation_id))

    def _begin(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        if len(self._tasks) >= AT_ONCE:
            return
        task = asyncio.create_task(self._try(work, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        try:
            await work(*arguments)
        except LLMGateError as failure:
            self._log.debug("title_not_given", reason=failure.message)
        except Exception:  # a conversation without a title of its own is no reason to end anything
            self._log.exception("title_broke")

    async def _give(self, first: Exchanged) -> None:
        turn = first.turn
        if turn.conversation is None:
            return
        async with self._database.read() as tx:
            conversation = await conversations.get(tx, turn.conversation, turn.user_id)
        if conversation.titled_by != "auto":
            return
        answer = await self._ask(conversation, turn, _body(conversation, first.question, first.answer))
        title = cleaned(answer)
        if title is None or _is_said_again(title):
            return
        async with self._database.begin() as tx:
            given = await conversations.retitle(tx, conversation.id, title)
        if given is not None:  # else its user was faster
            self._audience.tell(turn.user_id, Titled(conversation=conversation.id, title=given))
            self._queue.tell(TOPIC, [turn.user_id, conversation.id])

    async def _ask(self, conversation: Conversation, turn: Turn, body: bytes) -> str:
        """What the model answers; empty when it does not, or not in time."""

        async def identify() -> Principal:
            return replace(await self._authenticator.of_session(turn.session_id), level=LEVEL)

        # A turn that nobody follows. When its time is over it is stopped, and does not stay in line.
        asked = Turn(
            Start(ref="title", model=conversation.model, keep=False),
            user_id=turn.user_id,
            session_id=turn.session_id,
        )
        hearing = Hearing(asked, body)
        insider = Insider(identify, lambda ticket: None, lambda grant: None)
        timer = asyncio.get_running_loop().call_later(self._seconds, asked.stop)
        try:
            await self._gateway.serve(ENDPOINT, hearing.scope(), hearing.receive, hearing.send, insider)
        finally:
            timer.cancel()
        return str(asked.content) if hearing.is_complete else ""

    async def _pass_on(self, user_id: str, conversation_id: str) -> None:
        """Another daemon has given a title: tell it to who is here."""
        async with self._database.read() as tx:
            conversation = await conversations.get(tx, conversation_id, user_id)
        self._audience.tell(user_id, Titled(conversation=conversation.id, title=conversation.title))


def _body(conversation: Conversation, question: str, answer: str) -> bytes:
    text = _ASKS.format(question=question[:EXCERPT], answer=answer[:EXCERPT])
    options: dict[str, Any] = {"num_predict": TOKENS, "temperature": 0.2}
    num_ctx = conversation.parameters.get("num_ctx")
    if num_ctx is not None:  # with another window Ollama would load the model anew
        options["num_ctx"] = num_ctx
    messages = [{"role": "user", "content": text}]
    body = {"model": conversation.model, "messages": messages, "stream": True, "think": False, "options": options}
    return dump_body(body)
