"""Clients that ask, and some that hang up; what became of each goes into the journal."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Sequence

import httpx

from tests.cluster.harness import Cluster, Daemon
from tests.trust.answers import Plan, plan, question
from tests.trust.journal import Attempt, Journal
from tests.trust.reading import Reply, judge
from tests.trust.upstream import WitnessOllama, nonces

BOUND = 150.0
"""Seconds after which a request without an outcome is lost: longer than the longest wait for a turn and an answer."""
LOOK_SECONDS = 0.5
PAUSE = 0.25
"""After a failure, as clients do."""
_RESET = struct.pack("ii", 1, 0)


class Load:
    """Keeps so many requests in flight, spread over the daemons that are ready, until it is told to stop."""

    def __init__(
        self,
        running: Cluster,
        keys: Sequence[str],
        upstreams: Sequence[WitnessOllama],
        journal: Journal,
        *,
        clients: int,
        seed: int,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        """Hang-ups, by what had come until then."""
        self._cluster = running
        self._keys = keys
        self._upstreams = upstreams
        self._journal = journal
        self._clients = clients
        self._seed = seed
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: dict[str, bool] = {}

    def start(self) -> None:
        self._watch = asyncio.create_task(self._look_who_is_ready())
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]

    async def stop(self) -> None:
        """Let everything that was begun come to its end."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        self._watch.cancel()

    async def _look_who_is_ready(self) -> None:
        """As a load balancer does: a daemon without any slot says so, and gets nothing new."""
        while True:
            await asyncio.gather(*(self._look(daemon) for daemon in self._cluster.daemons))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, daemon: Daemon) -> None:
        try:
            answer = await self._cluster.client.get(f"{daemon.url}/health/ready", timeout=LOOK_SECONDS)
            self._ready[daemon.name] = answer.status_code == 200
        except httpx.HTTPError:
            self._ready[daemon.name] = False

    async def _client(self, number: int) -> None:
        dice = random.Random(f"client/{self._seed}/{number}")  # noqa: S311 - a test's load
        prefix = nonces(self._seed, number)
        turn = 0
        while not self._stopping:
            alive = [daemon for daemon in self._cluster.daemons if daemon.answers]
            able = [daemon for daemon in alive if self._ready.get(daemon.name, True)] or alive
            if not able:
                await asyncio.sleep(PAUSE)
                continue
            turn += 1
            attempt = await self._ask(dice.choice(able), f"{prefix}{turn:05}", dice.choice(self._keys))
            if attempt.result in ("unreached", "reset", "error"):
                await asyncio.sleep(PAUSE * dice.random())

    async def _ask(self, daemon: Daemon, nonce: str, key: str) -> Attempt:
        loop = asyncio.get_running_loop()
        wanted = plan(self._seed, nonce)
        attempt = Attempt(nonce, daemon.name, daemon.pid, loop.time())
        reply = Reply()
        try:
            async with asyncio.timeout(BOUND):
                attempt.result = "unreached"
                reader, writer = await asyncio.open_connection("127.0.0.1", int(daemon.url.rpartition(":")[2]))
                attempt.result = "stuck"
                left = False
                try:
                    left = await self._leaves(attempt.nonce, wanted, reply, (reader, writer), key)
                finally:
                    _hang_up(writer, rude=wanted.rude and left)
                if left:
                    attempt.result = "gone"
        except (OSError, asyncio.IncompleteReadError) as failure:
            if attempt.result == "stuck" and not isinstance(failure, TimeoutError):
                attempt.result = "reset"
        if attempt.result != "unreached":
            judge(attempt, wanted, reply)
        attempt.ended = loop.time()
        self._count(attempt, wanted)
        self._journal.write(attempt)
        return attempt

    async def _leaves(
        self,
        nonce: str,
        wanted: Plan,
        reply: Reply,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        key: str,
    ) -> bool:
        """Ask and take the answer; True when it is time to leave instead, as the plan says."""
        reader, writer = connection
        writer.write(_request(nonce, wanted, key))
        taking = asyncio.create_task(_take(reader, reply, wanted.taken if wanted.leave == "middle" else None))
        waits: set[asyncio.Task[object]] = {taking}
        if wanted.leave == "first":
            waits |= {asyncio.create_task(one.begun(nonce).wait()) for one in self._upstreams}
        patience = wanted.patience if wanted.leave == "early" else None
        try:
            await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            return not taking.done() or not taking.result()
        finally:
            for task in waits:
                task.cancel()
            for one in self._upstreams:
                one.forget(nonce)

    def _count(self, attempt: Attempt, wanted: Plan) -> None:
        self.counts[attempt.result] += 1
        if attempt.result == "gone":
            self.cuts[wanted.leave] += 1


async def _take(reader: asyncio.StreamReader, reply: Reply, at_most: int | None) -> bool:
    """The answer, into the reply. False when ``at_most`` bytes of it have come before its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    reply.status = int(head.split(b" ", 2)[1])
    _, chunked, _ = head.partition(b"transfer-encoding: chunked")
    if not chunked:
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        reply.body += await reader.readexactly(size)
        reply.complete = True
        return True
    while size := int(await reader.readuntil(b"\r\n"), 16):
        reply.body += (await reader.readexactly(size + 2))[:-2]
        if at_most is not None and len(reply.body) >= at_most:
            return False
    await reader.readexactly(2)
    reply.complete = True
    return True


def _request(nonce: str, wanted: Plan, key: str) -> bytes:
    body = question(nonce, wanted)
    lines = [
        f"POST {wanted.path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Authorization: Bearer {key}",
        f"X-Request-Id: {nonce}",
        f"X-LLMGate-Priority: {wanted.level}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _hang_up(writer: asyncio.StreamWriter, *, rude: bool) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if rude and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    else:
        writer.close()
