"""Turns at the other daemons of the cluster: who has come to the wrong one follows them from there.

A turn belongs to the daemon where it began. A browser that connects again may come to another: a second worker on the
same socket, or another machine behind the load balancer. That daemon asks the others, through the queue, who has the
turn; only ids and an address pass through the broker. Then it connects to the daemon of the turn, and passes its frames
on (``link``). The grace counts where the turn is, and there it is ended.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from llmgate.daemon.chat.channel import HANDSHAKE_SECONDS, Channel, ChannelLost, accept, connect
from llmgate.daemon.chat.following import Follower
from llmgate.daemon.chat.link import SILENT_SECONDS, Link
from llmgate.daemon.chat.turns import Turns
from llmgate.daemon.queue.replies import gathered
from llmgate.daemon.queue.ticket import QueueStatus
from llmgate.errors import StartupError
from llmgate.schemas.chat import RunningTurn

ASK, TOLD = "chat.ask", "chat.told"
"""Topics of the queue's control plane."""
FIND_SECONDS: Final = 1.0
"""Longest wait for the answers of the others."""
BEAT_SECONDS: Final = 5.0
LINKS: Final = 500
"""Connections from others, and to others, that a daemon has at most."""
QUESTIONS: Final = 200
"""Questions that a daemon asks at once; of more, nobody has the turn."""
OTHERS_SECONDS: Final = 5.0
"""A daemon that was not heard for so long is not waited for."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RUNNING = TypeAdapter(list[RunningTurn])


class Cluster(Protocol):
    """What a queue has for daemons to tell each other things."""

    def tell(self, topic: str, body: Any, to: str | None = None) -> None: ...
    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None: ...
    def status(self) -> QueueStatus: ...


class Peers:
    """See the module. ``key`` is derived from the server's secret; ``host`` and ``ports`` are where the others connect
    to, the first port that is free."""

    def __init__(
        self,
        queue: Cluster,
        turns: Turns,
        key: bytes,
        *,
        host: str = "127.0.0.1",
        ports: Sequence[int] = (0,),
    ) -> None:
        self._queue = queue
        self._turns = turns
        self._key = key
        self._host = host
        self._ports = ports
        self._port = 0
        self._name = secrets.token_hex(8)
        self._server: asyncio.Server | None = None
        self._numbers = itertools.count(1)
        self._questions: dict[int, asyncio.Queue[Any]] = {}
        self._links: set[Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("llmgate.chat")

    # -- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen to the others. Raises StartupError, saying what to do."""
        failure: OSError | None = None
        for port in self._ports:
            try:
                self._server = await asyncio.start_server(self._connected, self._host, port)
                self._port = self._server.sockets[0].getsockname()[1]
                break
            except OSError as reason:
                failure = reason
        else:
            raise StartupError(
                f"Cannot listen on {self._host} for the other daemons of the cluster: {failure}.",
                hint="Set server.peer_host to an address of this machine, and server.peer_port to a free port or to 0.",
            )
        self._queue.listen(ASK, self._asked)
        self._queue.listen(TOLD, self._told)
        self._log.info("chat_peers", address=self._host, port=self._port)

    async def close(self) -> None:
        """End every link, of others as well as of our own."""
        self._queue.listen(ASK, _nobody)
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        for link in links:
            link.leave(bye=False)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*(link.left() for link in links), *self._serving, return_exceptions=True)

    # -- asking ------------------------------------------------------------------------------

    async def running(self, user_id: str) -> list[RunningTurn]:
        """The user's turns at the other daemons."""
        found: list[RunningTurn] = []
        for turns in await self._ask("running", user_id, ""):
            with suppress(ValidationError):  # from a daemon of another version
                found += _RUNNING.validate_python(turns)
        return found

    async def follow(self, user_id: str, turn_id: str, woken: Callable[[], None]) -> Link | None:
        """Follow a turn that is none of this daemon's; None when no other has it, or cannot be reached."""
        return await self._follow_found(user_id, await self._ask("find", user_id, turn_id, enough=1), woken)

    async def follow_ref(self, user_id: str, ref: str, woken: Callable[[], None]) -> Link | None:
        """The same for the turn that this ``ref`` has begun."""
        return await self._follow_found(user_id, await self._ask("ref", user_id, ref, enough=1), woken)

    async def _follow_found(self, user_id: str, answers: Sequence[Any], woken: Callable[[], None]) -> Link | None:
        if not answers or len(self._links) >= LINKS:
            return None
        host, port, name, turn_id = answers[0]
        try:
            channel = await connect(str(host), int(port), self._key, str(name))
        except ChannelLost as failure:
            advice = "server.peer_host must be an address that the other daemons reach"
            self._log.warning("chat_peer_unreachable", address=host, port=port, reason=str(failure), advice=advice)
            return None
        channel.put({"turn": turn_id, "user": user_id})
        link = Link(str(turn_id), channel, woken, self._links.discard)
        self._links.add(link)
        return link

    async def stop(self, user_id: str, turn_id: str) -> bool:
        """End a turn of another daemon. False when none has it."""
        return bool(await self._ask("stop", user_id, turn_id, enough=1))

    def bye(self, user_id: str, turn_ids: Iterable[str]) -> None:
        """A page that was closed does not follow these turns of other daemons any more."""
        self._queue.tell(ASK, [0, "bye", user_id, list(turn_ids)])

    def forget(self, user_id: str, conversation: str | None = None) -> None:
        """A conversation was deleted, or all of the user's."""
        self._queue.tell(ASK, [0, "forget", user_id, conversation])

    async def _ask(self, do: str, user_id: str, what: str, enough: int | None = None) -> list[Any]:
        """What the other daemons answer that is not None: until that is enough, or all have answered."""
        others = self._others()
        if not others or len(self._questions) >= QUESTIONS or (what and not _ID.fullmatch(what)):
            return []
        number = next(self._numbers)
        replies = self._questions[number] = asyncio.Queue()
        self._queue.tell(ASK, [number, do, user_id, what])
        try:
            return await gathered(replies, others, FIND_SECONDS, enough)
        finally:
            del self._questions[number]

    def _others(self) -> int:
        status = self._queue.status()
        if status.state != "connected":
            return 0
        return sum(daemon.heard <= OTHERS_SECONDS for daemon in status.daemons[1:])

    def _told(self, boot: str, told: Any) -> None:
        number, answer = told
        replies = self._questions.get(number)
        if replies is not None:
            replies.put_nowait(answer)

    # -- answering ---------------------------------------------------------------------------

    def _asked(self, boot: str, asked: Any) -> None:
        number, do, user_id, what = asked
        answer = self._answer(do, str(user_id), what)
        if number:
            self._queue.tell(TOLD, [number, answer], boot)

    def _answer(self, do: str, user_id: str, what: Any) -> Any:
        turns = self._turns
        match do:
            case "running":
                return [turn.model_dump(mode="json") for turn in turns.running(user_id)]
            case "find":
                return self._here(str(what)) if turns.has(user_id, str(what)) else None
            case "ref":
                turn_id = turns.of_ref(user_id, str(what))
                return self._here(turn_id) if turn_id is not None else None
            case "stop":
                return turns.stop(user_id, str(what)) or None
            case "bye":
                turns.bye(user_id, what)
            case "forget":
                turns.forget(user_id, what)
        return None

    def _here(self, turn_id: str) -> list[Any]:
        return [self._host, self._port, self._name, turn_id]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= LINKS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let somebody follow who has come to another daemon."""
        try:
            channel = await accept(reader, writer, self._key, self._name)
            order = await channel.receive(HANDSHAKE_SECONDS)
            await self._follow(str(order.get("user")), str(order.get("turn")), channel)
        except ChannelLost as lost:
            self._log.debug("chat_link_lost", reason=str(lost))
        except Exception:  # a defect of ours ends this connection alone, and must be seen
            self._log.exception("chat_link_broke")
        finally:
            writer.close()

    async def _follow(self, user_id: str, turn_id: str, channel: Channel) -> None:
        """Until the turn has no more frames, or whoever follows it has gone."""
        news = asyncio.Event()
        follower = self._turns.attach(user_id, turn_id, news.set)
        if follower is None:
            channel.put({"end": True})
            return
        obeying = asyncio.create_task(self._obey(user_id, turn_id, channel))
        tasks = [obeying, *map(asyncio.create_task, (_tell(follower, news, channel), _beat(channel)))]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {obeying}:
                task.result()
        finally:
            # Its end without an error is a good-bye, whatever else has ended.
            bye = obeying.done() and not obeying.cancelled() and obeying.exception() is None
            self._turns.leave(follower, bye=bye)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _obey(self, user_id: str, turn_id: str, channel: Channel) -> None:
        """Do what is ordered, until good-bye is said. Raises ChannelLost."""
        while (do := (await channel.receive(SILENT_SECONDS)).get("do")) != "bye":
            if do == "stop":
                self._turns.stop(user_id, turn_id)


async def _tell(follower: Follower, news: asyncio.Event, channel: Channel) -> None:
    """All frames of a turn, to its end. Whoever is slow gets fewer and larger ones."""
    news.set()
    while not follower.is_done:
        await news.wait()
        news.clear()
        for frame in follower.take():
            await channel.send({"frame": frame.model_dump(mode="json")})
    channel.put({"end": True})


async def _beat(channel: Channel) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        channel.put({})


def _nobody(boot: str, told: Any) -> None:
    """Nothing is answered any more."""
