"""Accepts connections.

The event loop's own servers accept whatever comes until nothing can be opened any more, and then say so once for each
one that waits. This one asks first whether there is a place, takes only a few at a time, and rests when it cannot.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from llmgate.daemon.backlog import hear_no_more
from llmgate.daemon.connections import Connections, Place, Refusal
from llmgate.daemon.farewell import Farewells
from llmgate.errors import LLMGateError, Overloaded, TooManyConnections

AT_ONCE: Final = 32
"""Connections that are accepted before others have their turn."""
UNHEARD: Final = 8
"""Connections, at most, that may not have been read from yet when the next one needs the place of another: fewer than
there are spare places, so that there is always one that was, and had its answer."""
REST_SECONDS: Final = 0.2
"""Pause after one that could not be accepted."""
LEFT_OVER: Final = 4096
"""Connections, at most, that are still accepted when no more shall come."""
HANDSHAKE_SECONDS: Final = 0.02
"""So long a connection may take that was begun before we stopped to listen."""


class Acceptor:
    """Accepts on ``listener`` and gives each connection that has a place in ``connections`` to a protocol of its own.

    To uvicorn it is what ``loop.create_server`` returns.
    """

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        protocol: Callable[[Place], asyncio.Protocol],
        *,
        is_alone: bool = False,
    ) -> None:
        """``is_alone``: no other process accepts on this listener."""
        self.sockets = (listener,)
        self._listener = listener
        self._connections = connections
        self._protocol = protocol
        self._farewells = Farewells()
        self._beginning: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._is_open = False
        self._is_alone = is_alone
        self._closed = asyncio.Event()

    def open(self) -> None:
        """From now on accept."""
        self._is_open = True
        self._go_on()

    def close(self) -> None:
        """Accept no more. Those that are connected already, as far as they know, are let in: they are told why not."""
        if not self._is_open:
            return
        if self._rest is not None:
            self._rest.cancel()
        else:
            asyncio.get_running_loop().remove_reader(self._listener)
        if self._is_alone:
            hear_no_more(self._listener)
        self._accept_all()
        self._is_open = False
        if self._is_alone and self._connections:
            asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        self._accept_all()
        self._listener.close()
        self._farewells.end()
        self._closed.set()

    def _accept_all(self) -> None:
        for _ in range(LEFT_OVER):
            if not self._accept_one():
                break

    async def wait_closed(self) -> None:
        """Wait until none is in between."""
        await self._closed.wait()
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def _go_on(self) -> None:
        self._rest = None
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            if self._connections.is_full and len(self._beginning) >= UNHEARD:
                return  # in a few turns of the loop they have been heard
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """False when there is none, or none can be accepted."""
        try:
            client, address = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError:  # no descriptor, no memory
            self._connections.refused(Refusal.DESCRIPTORS)
            self._pause()
            return False
        client.setblocking(False)
        place = self._connections.enter(str(address[0]))
        if isinstance(place, Refusal):
            refusal: LLMGateError = overloaded() if place is Refusal.FULL else TooManyConnections(retry_after=5)
            self._farewells.tell(client, answer_of(refusal))
            return True
        task = asyncio.get_running_loop().create_task(self._begin(client, place))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        return True

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        if self._rest is None and self._is_open:
            loop.remove_reader(self._listener)
            self._rest = loop.call_later(REST_SECONDS, self._go_on)

    async def _begin(self, client: socket.socket, place: Place) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._protocol(place), client)
        except OSError:  # it has gone already
            place.leave()
            client.close()
            return
        except BaseException:
            place.leave()
            client.close()
            raise
        for _ in range(2):  # the next turn reads what is there; the one after that begins when it has been read
            await asyncio.sleep(0)
        place.is_heard = True


def answer_of(refusal: LLMGateError) -> bytes:
    """An error as a whole HTTP answer, after which the connection is closed."""
    body = json.dumps(refusal.problem()).encode()
    lines = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "connection: close",
    ]
    if refusal.retry_after is not None:
        lines.append(f"retry-after: {max(1, round(refusal.retry_after))}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def overloaded() -> LLMGateError:
    """What one is told for whom there is no place. Not all shall come back in the same moment."""
    return Overloaded(retry_after=random.uniform(1, 5))  # noqa: S311 - no secret
