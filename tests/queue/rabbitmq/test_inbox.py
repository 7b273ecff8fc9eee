"""What a daemon is told by one of another version, or by one that is broken, costs nothing of the rest."""

from __future__ import annotations

from typing import Any, cast

import pytest

from llmgate.daemon.queue.rabbitmq.control import ControlPlane
from llmgate.daemon.queue.rabbitmq.inbox import Inbox
from llmgate.daemon.queue.rabbitmq.owner import TicketOwner
from llmgate.daemon.queue.rabbitmq.wire import encode_items


@pytest.mark.parametrize("unreadable", [["a", "list"], {"key:1": [10**400] * 11}])
def test_what_follows_something_unreadable_is_heard(unreadable: Any) -> None:
    async def answer(question: str, arguments: Any) -> None:
        return None

    control = ControlPlane("me", "me/1", {}, clock=lambda: 0.0, answer=answer, on_mode=lambda pool, mode: None)
    control.topics["limits"] = _limits
    heard: list[str] = []
    owner = cast("TicketOwner", None)  # nothing of this is for it
    inbox = Inbox("me", lambda: 0.0, owner, control, {}, facts=dict, on_revoked=lambda: heard.append("revoked"))
    inbox.told(encode_items("other", [["topic", "limits", unreadable], ["revoked"]]))
    assert heard == ["revoked"]


def _limits(boot: str, body: Any) -> None:
    for told in body.values():
        list(map(float, told))
