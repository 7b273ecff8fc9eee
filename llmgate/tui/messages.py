"""What has happened, as the feed and the client tell the screens. Workers never touch a widget: they post these."""

from __future__ import annotations

from textual.message import Message

from llmgate import schemas
from llmgate.errors import LLMGateError


class StatsArrived(Message):
    """How the gateway does, of this second. A newer one stands for all before it."""

    def __init__(self, stats: schemas.StatsEvent) -> None:
        super().__init__()
        self.stats = stats

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, StatsArrived)


class EventsArrived(Message):
    """What happened since the last time this was told, at most once a second; ``lost`` were too many to be kept."""

    def __init__(self, events: tuple[schemas.FeedEvent, ...], lost: int) -> None:
        super().__init__()
        self.events = events
        self.lost = lost


class StreamOpened(Message):
    """The daemon tells what happens."""


class StreamBroken(Message):
    """The daemon tells nothing any more; it is tried again."""

    def __init__(self, reason: LLMGateError) -> None:
        super().__init__()
        self.reason = reason


class LoginNeeded(Message):
    """There is no credential, or it is not accepted (any more)."""

    def __init__(self, reason: LLMGateError) -> None:
        super().__init__()
        self.reason = reason
