"""Inbox: what one daemon is told by the others, and who of its parts that is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from llmgate.daemon.queue.pool import Mode
from llmgate.daemon.queue.rabbitmq.control import ControlPlane
from llmgate.daemon.queue.rabbitmq.dispatcher import Dispatcher
from llmgate.daemon.queue.rabbitmq.owner import TicketOwner
from llmgate.daemon.queue.rabbitmq.wire import Item, decode_items


class Inbox:
    """See the module. ``dispatchers`` are the manager's own, and change; ``facts`` are what a heartbeat tells;
    ``on_revoked`` hears that rights were changed elsewhere."""

    def __init__(
        self,
        boot: str,
        clock: Callable[[], float],
        owner: TicketOwner,
        control: ControlPlane,
        dispatchers: Mapping[str, Dispatcher],
        facts: Callable[[], dict[str, Any]],
        on_revoked: Callable[[], None],
    ) -> None:
        self.echoed_at = float("-inf")
        """When this daemon heard itself last."""
        self._boot = boot
        self._clock = clock
        self._owner = owner
        self._control = control
        self._dispatchers = dispatchers
        self._facts = facts
        self._on_revoked = on_revoked
        self._log = structlog.get_logger("llmgate.queue")

    def told(self, body: bytes) -> None:
        """A message has come."""
        try:
            sender, items = decode_items(body)
        except (ValueError, LookupError):
            self._log.warning("unreadable_message", size=len(body))
            return
        for item in items:
            try:
                self._hear(sender, item)
            except Exception as failure:  # from a daemon of another version: what else it says must be heard
                self._log.warning("unreadable_item", item=str(item[:1]), sender=sender, error=repr(failure))
        for dispatcher in self._dispatchers.values():
            dispatcher.step()

    def told_by_self(self, item: Item) -> None:
        """The owner of tickets has something to say to the dispatcher in this process."""
        if dispatcher := self._dispatchers.get(item[1]):
            dispatcher.heard(self._boot, item)
            dispatcher.step()

    def _hear(self, sender: str, item: Item) -> None:
        match item[0]:
            case "ping":
                self._owner.pinged(sender, item)
            case "grant":
                self._owner.granted(sender, item)
            case "missing":
                self._owner.missing(item)
            case "audit":
                self._owner.audit(item[1])
            case "accepted" | "refused" | "released" | "left" | "pong" | "waiting" | "outdated":
                if dispatcher := self._dispatchers.get(item[1]):
                    dispatcher.heard(sender, item)
            case "ask":
                self._control.asked(sender, item[1], item[2], item[3])
            case "reply":
                self._control.replied(item[1], item[2])
            case "dead":
                self._control.heard_bye(item[1])
            case _:
                self._hear_all(sender, item)

    def _hear_all(self, sender: str, item: Item) -> None:
        """What all daemons are told."""
        if sender == self._boot:
            self.echoed_at = self._clock()
            return
        match item[0]:
            case "beat":
                self._control.heard_beat(sender, item[1])
                self._owner.heard_epochs(item[1]["epochs"])
                for dispatcher in self._dispatchers.values():
                    dispatcher.alive(sender)
            case "hello" | "census":
                self._control.beat(self._facts(), to=sender)
            case "bye":
                self._control.heard_bye(sender)
            case "mode":
                self._control.heard_mode(item[1], item[2], Mode(item[3]))
            case "revoked":
                self._on_revoked()
            case "topic":
                self._control.heard_topic(sender, item[1], item[2])
