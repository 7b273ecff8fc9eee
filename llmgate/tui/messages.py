"""What has happened, as the feed and the client tell the screens. Workers never touch a widget: they post these."""

from __future__ import annotations

from textual.message import Message

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import LLMGateError


class Told(Message):
    """Something from the feed. ``source`` is the client that heard it: once another daemon is shown, it is of no
    interest any more."""

    source: AdminClient | None = None


class StatsArrived(Told):
    """How the gateway does, of this second. A newer one stands for all before it."""

    def __init__(self, stats: schemas.StatsEvent) -> None:
        super().__init__()
        self.stats = stats

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StatsArrived)


class EventsArrived(Told):
    """What happened since the last time this was told, at most once a second; ``lost`` were too many to be kept."""

    def __init__(self, events: tuple[schemas.FeedEvent, ...], lost: int) -> None:
        super().__init__()
        self.events = events
        self.lost = lost


class StreamOpened(Told):
    """The daemon tells what happens."""


class StreamBroken(Told):
    """The daemon tells nothing any more; it is tried again."""

    def __init__(self, reason: LLMGateError) -> None:
        super().__init__()
        self.reason = reason


class LoginNeeded(Told):
    """There is no credential, or it is not accepted (any more)."""

    def __init__(self, reason: LLMGateError) -> None:
        super().__init__()
        self.reason = reason
