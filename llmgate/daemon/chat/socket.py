"""One open WebSocket: the frames of a client, and those of the turns that it follows."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

import structlog
from pydantic import ValidationError

from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.chat import asking
from llmgate.daemon.chat.chat import Chat
from llmgate.daemon.chat.connections import BAD_FRAMES, SESSION_OVER, TOO_SLOW
from llmgate.daemon.chat.dialect import problem_of
from llmgate.daemon.chat.following import Follower, rest
from llmgate.daemon.chat.link import Link
from llmgate.daemon.exchange import Message, Receive, Scope, Send
from llmgate.daemon.protocols.bodies import INLINE_BYTES, off_the_loop
from llmgate.daemon.protocols.nodes import refuse_many_values
from llmgate.daemon.store.types import storable
from llmgate.daemon.websocket import FLUSH_SECONDS, WIRE, GatewaySocket, unread
from llmgate.errors import AuthenticationFailed, InvalidRequest, LLMGateError
from llmgate.schemas.base import Answer
from llmgate.schemas.chat import CLIENT_FRAME, Attach, Bye, Gone, Here, HereToo, Refused, Start, Stop
from llmgate.validation import explain, faults_of

STALL_SECONDS: Final = 30.0
"""A client that takes nothing for so long is too slow."""
MOST_FAULTS: Final = 100
"""Frames that are not valid. With one more the connection is closed."""
MOST_LOOSE: Final = 50
"""Answers that wait for the client to take them. Until it has, nothing more is read from it."""
SAID_SO: Final = frozenset({1000, 1001})
"""Closed with one of these codes, the client goes for good: its page is closed, or it has logged out."""
DEFECT: Final = 1011

ClientFrame = Start | Stop | Attach | Bye | Here


class BadFrame(Exception):
    """A frame that is none of ours. ``ref`` names the turn that it would have started, if it told so much."""

    def __init__(self, reason: str, ref: str | None = None) -> None:
        super().__init__(reason)
        self.ref = ref


class Socket:
    """See the module. It has no task but that of its connection, and another while there is something to send."""

    def __init__(self, chat: Chat, caller: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        self.user_id = caller.id
        self.session_id = caller.session_id or ""
        self._chat = chat
        self._caller = caller
        self._receive = receive
        self._send = send
        self._wire = cast("GatewaySocket", scope["extensions"][WIRE])
        self._followed: dict[str, Follower | Link] = {}
        self._loose: deque[str] = deque()
        self._room = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closing: int | None = None
        self._is_gone = False
        """The client takes nothing any more: whoever reads from it will soon be told why."""
        self._faults = 0
        self._arriving = object()
        """Stands for the message that comes next, in the account of what is held in memory."""
        self._log = structlog.get_logger("llmgate.chat")

    async def run(self) -> None:
        """Until one side has closed it."""
        self._wire.hold = self._hold
        code = 1006
        try:
            self.put(await self._chat.hello(self.user_id))
            while (message := await self._receive())["type"] == "websocket.receive":
                taken, self._arriving = self._arriving, object()
                try:
                    await self._take(_raw(message), taken)
                finally:
                    self._chat.bodies.forget(taken)
            code = message.get("code", 1006)
        finally:
            self._wire.hold = unread
            self._chat.bodies.forget(self._arriving)
            await self._let_go(bye=self._closing is None and code in SAID_SO)

    def _hold(self, size: int) -> None:
        self._chat.bodies.reservation(self._arriving, self._caller.owner)(size)

    @property
    def _is_ending(self) -> bool:
        return self._closing is not None or self._is_gone

    async def _let_go(self, *, bye: bool) -> None:
        self._is_gone = True
        self._leave_all(bye=bye)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    # -- what the client says ----------------------------------------------------------------

    async def _take(self, raw: bytes | None, taken: object) -> None:
        while len(self._loose) >= MOST_LOOSE and not self._is_ending:
            self._room.clear()
            await self._room.wait()
        if self._is_ending:
            return
        try:
            if raw is None:
                raise BadFrame("Frames are text.")
            frame = await off_the_loop(parsed, raw)
            del raw
            if isinstance(frame, Start):
                await self._start(frame, taken)
            else:
                await self._obey(frame)
        except BadFrame as fault:
            self._faults += 1
            self.put(Refused(ref=fault.ref, error=problem_of(InvalidRequest(str(fault)))))
            if self._faults > MOST_FAULTS:
                self.close(BAD_FRAMES)

    async def _obey(self, frame: Stop | Attach | Bye | Here) -> None:
        match frame:
            case Attach():
                await self._attach(frame.turn)
            case Stop():
                if not await self._chat.stop(self.user_id, frame.turn):
                    self.put(Gone(turn=frame.turn))
            case Bye():
                self._leave_all(bye=True)
            case Here():
                self.put(HereToo())

    async def _start(self, start: Start, taken: object) -> None:
        try:
            self._count(start, taken)
            caller = await self._chat.caller(self.session_id)
            follower = await self._chat.begin(caller, start, self._wake)
        except AuthenticationFailed:
            self.close(SESSION_OVER)
        except LLMGateError as refusal:
            self.put(Refused(ref=start.ref, error=problem_of(refusal)))
        else:
            self._follow(follower.turn_id, follower)

    def _count(self, start: Start, taken: object) -> None:
        """It is held now, instead of the message that it came in. Raises LimitExceeded, or QueueFull."""
        self._chat.bodies.forget(taken)
        size = asking.size_of(start)
        if size > INLINE_BYTES:
            self._chat.bodies.reservation(taken, self._caller.owner)(size)

    async def _attach(self, turn_id: str) -> None:
        known = self._followed.get(turn_id)
        if isinstance(known, Follower):
            known.start_over()
            return
        found = await self._chat.attach(self.user_id, turn_id, self._wake)
        if found is not None:
            self._follow(turn_id, found)
        else:
            self._followed.pop(turn_id, None)
            self.put(Gone(turn=turn_id))
        if known is not None:  # only now, so that there is always one
            self._chat.leave(known, bye=False)

    def _follow(self, turn_id: str, follower: Follower | Link) -> None:
        """One of each turn: the newer one, which begins with all that there is."""
        before = self._followed.get(turn_id)
        self._followed[turn_id] = follower
        if before is not None:
            # A good-bye over an old link might be heard before the new one is there, and end the turn.
            self._chat.leave(before, bye=isinstance(before, Follower))
        self._wake()

    def _leave_all(self, *, bye: bool) -> None:
        followed, self._followed = self._followed, {}
        for follower in followed.values():
            self._chat.leave(follower, bye=bye)

    # -- what it is told ---------------------------------------------------------------------

    def put(self, frame: Answer) -> None:
        self._loose.append(frame.model_dump_json())
        self._wake()

    def close(self, code: int) -> None:
        """Close it with this code: at once when its session is over, else behind what there still is to send."""
        if self._closing is not None:
            return
        self._closing = code
        if code == SESSION_OVER:
            self._leave_all(bye=False)
            self._loose.clear()
        self._room.set()
        self._wake()
        asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._wire.cut, code)

    def _wake(self) -> None:
        if self._writer is None and not self._is_gone:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while await self._write_news():
                pass
            if self._closing is not None:
                await self._send({"type": "websocket.close", "code": self._closing})
                self._is_gone = True
        except (OSError, TimeoutError) as failure:
            self._is_gone = True
            if isinstance(failure, TimeoutError):
                self._wire.cut(TOO_SLOW)
        except Exception:  # a defect of ours ends this connection, and must be seen
            self._is_gone = True
            self._log.exception("socket_broke", user=self.user_id)
            self._wire.cut(DEFECT)
        finally:
            self._writer = None
            self._room.set()

    async def _write_news(self) -> bool:
        """Send what there is at this moment. False when that was nothing."""
        is_any = bool(self._loose)
        while self._loose:
            await self._give(self._loose[0])
            with suppress(IndexError):  # a session that is over clears it
                self._loose.popleft()
        self._room.set()
        told: list[Answer] = []
        for turn_id, follower in list(self._followed.items()):
            frames = follower.take()
            for frame in frames:
                await self._give(frame.model_dump_json())
            told += frames
            if follower.is_done and self._followed.get(turn_id) is follower:
                del self._followed[turn_id]
                self._chat.leave(follower, bye=True)
        await rest(told)
        return is_any or bool(told)

    async def _give(self, text: str) -> None:
        """Send one frame. Raises TimeoutError when the client takes nothing at all for ``STALL_SECONDS``."""
        while True:
            unsent = self._wire.unsent()
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._send({"type": "websocket.send", "text": text})
            except TimeoutError:  # it has waited for its turn, and nothing of it was written
                if self._wire.unsent() >= unsent:
                    raise
            else:
                return


def _raw(message: Message) -> bytes | None:
    """The text of a message, out of it: as ``str`` it may take four times as much, for one wide character."""
    text: str | None = message.pop("text", None)
    return None if text is None else text.encode()


def parsed(raw: bytes) -> ClientFrame:
    """A client's frame. Raises BadFrame."""
    try:
        refuse_many_values(raw)
        return CLIENT_FRAME.validate_json(raw)
    except InvalidRequest as refusal:
        raise BadFrame(str(refusal)) from None
    except ValidationError as failure:
        faults = faults_of(failure.errors(include_url=False, include_input=False, include_context=False))
        raise BadFrame(explain(faults[:5]), _ref_in(raw)) from None


def _ref_in(raw: bytes) -> str | None:
    try:
        content: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    ref = content.get("ref") if isinstance(content, Mapping) else None
    return storable(ref, 64) if isinstance(ref, str) else None
