"""Sends what one daemon has to say: in order, confirmed by the broker within a deadline, many items in one message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aiormq import spec
from aiormq.abc import AbstractChannel

from llmgate.daemon.queue.rabbitmq.connection import FAILURES
from llmgate.daemon.queue.rabbitmq.wire import Item, encode_items

PUBLISH_SECONDS = 2.0
"""A broker that has not confirmed a message for so long is taken for gone."""
STALL_SECONDS = 1.0
"""Another daemon may have taken it for gone, if it has not confirmed for so long what this one had sent: they send at
different times."""
BATCH = 256
"""Messages that wait for their confirmation at the same time."""
MOST_PENDING = 200_000
"""Items that may wait to be sent; more mean that nothing gets through."""


@dataclass(frozen=True, slots=True)
class Message:
    exchange: str
    key: str
    body: bytes
    expires_ms: int | None = None
    """The broker moves it on after so long; None: after the queue's own time."""


class Publisher:
    """One channel's outbox. ``sender`` is this daemon's boot id; ``failed`` is called, once, when the broker did not
    take something in time; ``returned`` with the keys of daemons that are not there."""

    def __init__(
        self,
        channel: AbstractChannel,
        sender: str,
        *,
        failed: Callable[[str], None],
        returned: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._channel = channel
        self._sender = sender
        self._failed = failed
        self._returned = returned
        self._messages: deque[Message] = deque()
        self._items: dict[tuple[str, str], list[Item]] = {}
        self._pending = 0
        self._has_given_up = False
        self._wake = asyncio.Event()
        self.idle = True
        self.unconfirmed_since: float | None = None
        """Since when, on the clock of the event loop, nothing has been confirmed although something was sent."""
        self._sent_at: float | None = None
        self._taken_at = self._stalled_at = float("-inf")

    def unconfirmed_for(self) -> float:
        """For how many seconds the broker has confirmed nothing although something was sent."""
        since = self.unconfirmed_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    def unheard_since(self, stuck_seconds: float) -> float:
        """Since when, on the clock of the event loop, nothing that was told can have reached anybody.

        What waits has not left. What is under way to the broker may have been passed on, unless it has been so for
        ``stuck_seconds``: a broker passes on and confirms in one go.
        """
        now = asyncio.get_running_loop().time()
        if self.unconfirmed_since is None:
            return now
        if self._sent_at is None or now - self._sent_at >= stuck_seconds:
            return self.unconfirmed_since
        return self._sent_at

    def since_stalled(self) -> float:
        """Seconds since the broker has last kept something for STALL_SECONDS before it confirmed it; 0 while it
        does."""
        now = asyncio.get_running_loop().time()
        is_stalled = self._sent_at is not None and now - self._sent_at >= STALL_SECONDS
        return 0.0 if is_stalled else now - self._stalled_at

    def since_taken(self) -> float:
        """Seconds since the latest moment at which the connection is known to have been the broker's: what was sent
        then has been confirmed."""
        return asyncio.get_running_loop().time() - self._taken_at

    def send(self, message: Message) -> None:
        """Send a message of its own."""
        self._messages.append(message)
        self._count(1)

    def tell(self, exchange: str, key: str, item: Item) -> None:
        """Send an item, together with others for the same key."""
        self._items.setdefault((exchange, key), []).append(item)
        self._count(1)

    def _count(self, more: int) -> None:
        self._pending += more
        self.idle = False
        if self.unconfirmed_since is None:
            self.unconfirmed_since = asyncio.get_running_loop().time()
        if self._pending > MOST_PENDING:
            self._give_up("too much waits to be sent to the broker")
        self._wake.set()

    def _give_up(self, reason: str) -> None:
        if not self._has_given_up:
            self._has_given_up = True
            self._failed(reason)

    async def run(self) -> None:
        """Send, until cancelled or the broker fails."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._take():
                began = self._sent_at = asyncio.get_running_loop().time()
                try:
                    async with asyncio.timeout(PUBLISH_SECONDS):
                        await self._publish_all(batch)
                except FAILURES as failure:
                    is_late = isinstance(failure, TimeoutError)
                    self._give_up("it confirms nothing" if is_late else f"a message was not taken: {failure!r}")
                    return
                if asyncio.get_running_loop().time() - began >= STALL_SECONDS:
                    self._stalled_at = asyncio.get_running_loop().time()
                self._taken_at = began
                self.unconfirmed_since = began  # what was told meanwhile is not confirmed yet
            self.idle, self.unconfirmed_since, self._sent_at = True, None, None

    def _take(self) -> list[Message]:
        """Tickets first: one that is written and a slot that is given back at the same time should meet in this order.
        Items wait for no more than one batch of them: whoever is slow to accept is taken for gone."""
        batch: list[Message] = []
        while self._messages and len(batch) < BATCH:
            batch.append(self._messages.popleft())
        self._pending -= len(batch) + sum(len(items) for items in self._items.values())
        batch += [Message(*where, encode_items(self._sender, items)) for where, items in self._items.items()]
        self._items.clear()
        return batch

    async def _publish_all(self, batch: list[Message]) -> None:
        if len(batch) == 1:
            await self._publish(batch[0])
        else:
            await asyncio.gather(*map(self._publish, batch))

    async def _publish(self, message: Message) -> None:
        expires = None if message.expires_ms is None else str(message.expires_ms)
        answer = await self._channel.basic_publish(  # type: ignore[call-arg]  # its types do not know wait
            message.body,
            exchange=message.exchange,
            routing_key=message.key,
            mandatory=True,
            wait=False,  # for the socket; the confirmation is waited for
            properties=spec.Basic.Properties(delivery_mode=1, expiration=expires),
        )
        if not isinstance(answer, spec.Basic.Ack):  # a returned message: nobody has a queue for this key
            self._returned(message.key)
