"""What is declared in the broker, and what a daemon says that may not declare it or that does not fit in."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiormq.exceptions import ChannelNotFoundEntity

from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.rabbitmq.control import Shape
from llmgate.daemon.queue.rabbitmq.exchanges import KINDS, TICKETS, ExchangeManager
from llmgate.daemon.queue.rabbitmq.queues import LINES, MOST_RETURNS, QueueManager, queue_of
from llmgate.daemon.queue.rabbitmq.wire import TicketMessage
from llmgate.errors import ConfigError
from tests.queue.backends import is_quiet, until
from tests.queue.factory import a_ticket
from tests.queue.rabbitmq.support import (
    Declared,
    a_manager,
    arguments,
    bindings,
    connected,
    declared,
    granted,
    ignore,
    running,
    settings_of,
    vhost_of,
)
from tests.services.rabbitmq import RabbitServer
from tests.system.processes import run

_numbers = itertools.count(1)


def aging(onward: str) -> dict[str, Any]:
    return {
        "x-message-ttl": 7500,
        "x-dead-letter-exchange": "llmgate.tickets",
        "x-dead-letter-routing-key": onward,
    }


LINES_OF_A_POOL: dict[str, dict[str, Any]] = {
    "llmgate.main.l1": {},
    "llmgate.main.l2": aging("main.aged"),
    "llmgate.main.l3": aging("main.l2"),
    "llmgate.main.l4": aging("main.l3"),
    "llmgate.main.l5": aging("main.l4"),
    "llmgate.main.aged": {},
}
OF_ITS_KIND: dict[str, dict[str, Any]] = {
    "classic": {"x-queue-type": "classic"},
    "quorum": {"x-queue-type": "quorum", "x-delivery-limit": MOST_RETURNS},
}


# -- a pool --------------------------------------------------------------------------------


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_a_pool_has_one_line_per_level_and_the_aged_lane(
    queue_type: str, vhost_url: str, rabbit: RabbitServer
) -> None:
    async with declared(vhost_url, queue_type=queue_type, aging_seconds=7.5) as connection:
        vhost = vhost_of(vhost_url)
        expected = {name: {**OF_ITS_KIND[queue_type], **more} for name, more in LINES_OF_A_POOL.items()}
        assert arguments(rabbit, vhost) == expected
        assert rabbit.exchanges(vhost) == KINDS
        assert bindings(rabbit, vhost) == {(TICKETS, name.removeprefix("llmgate."), name) for name in LINES_OF_A_POOL}
        again = QueueManager(settings_of(vhost_url, queue_type=queue_type, aging_seconds=7.5))
        await again.declare_pool(connection, "main")  # to declare it once more is no matter
        assert arguments(rabbit, vhost) == expected


async def publish(connection: Any, line: int) -> None:
    channel = await connection.channel()
    body = TicketMessage(a_ticket("t1"), "a", 0, 2, aged=False, since=0.0).encode()
    await channel.basic_publish(body, exchange="", routing_key=queue_of("main", line))
    await channel.close()


async def test_what_others_use_is_not_changed(vhost_url: str, rabbit: RabbitServer) -> None:
    """Nothing at all of it, and nothing of what was made on the way stays."""
    async with declared(vhost_url, aging_seconds=30) as connection:
        await publish(connection, 5)
        before = arguments(rabbit, vhost_of(vhost_url))
        consumed = await connection.channel()
        for line in LINES:
            await consumed.basic_consume(queue_of("main", line), ignore)
        other = QueueManager(settings_of(vhost_url, aging_seconds=31))
        with pytest.raises(ConfigError, match=r"^queue\.aging_seconds is not the same here"):
            await other.declare_pool(connection, "main")
        assert arguments(rabbit, vhost_of(vhost_url)) == before
        assert rabbit.queues(vhost_of(vhost_url))["llmgate.main.l5"] == 1


async def test_another_kind_of_queue_is_named_as_such(vhost_url: str) -> None:
    async with declared(vhost_url) as connection:
        consumed = await connection.channel()
        for line in LINES:
            await consumed.basic_consume(queue_of("main", line), ignore)
        with pytest.raises(ConfigError, match=r"^queue\.queue_type is not the same here"):
            await QueueManager(settings_of(vhost_url, queue_type="quorum")).declare_pool(connection, "main")


@pytest.mark.parametrize("change", [{"aging_seconds": 31}, {"queue_type": "quorum"}])
async def test_what_nobody_uses_is_made_anew(change: dict[str, Any], vhost_url: str, rabbit: RabbitServer) -> None:
    """After a change of the settings: all daemons were stopped, and their queues are still there."""
    async with declared(vhost_url, aging_seconds=30) as connection:
        await publish(connection, 5)
        settings = settings_of(vhost_url, **{"aging_seconds": 30, **change})
        await QueueManager(settings).declare_pool(connection, "main")
        found = arguments(rabbit, vhost_of(vhost_url))
        assert {queue["x-queue-type"] for queue in found.values()} == {settings.queue_type}
        assert found["llmgate.main.l4"]["x-message-ttl"] == settings.aging_seconds * 1000
        assert len(found) == len(LINES)
        assert len(bindings(rabbit, vhost_of(vhost_url))) == len(LINES)


# -- the lock and the inbox ----------------------------------------------------------------


async def test_only_one_connection_has_the_lock(vhost_url: str) -> None:
    queues = QueueManager(settings_of(vhost_url))
    async with connected(vhost_url) as second:
        async with connected(vhost_url) as first:
            assert await queues.lock(first, "main")
            assert await queues.lock(first, "main")
            assert not await queues.lock(second, "main")
            assert await queues.lock(second, "other")
        assert await queues.lock(second, "main")


async def test_an_inbox_lives_as_long_as_its_connection(vhost_url: str, rabbit: RabbitServer) -> None:
    vhost = vhost_of(vhost_url)
    queues = QueueManager(settings_of(vhost_url))
    async with connected(vhost_url) as watching:
        await ExchangeManager().declare(watching)
        async with connected(vhost_url) as connection:
            channel = await connection.channel()
            name = await queues.declare_inbox(channel, "b00t", 3)
            await queues.bind_inbox(channel, name, "b00t")
            await queues.bind_inbox(channel, name, None)
            assert name == "llmgate.daemon.b00t.3"
            assert arguments(rabbit, vhost) == {name: {"x-queue-type": "classic"}}
            assert bindings(rabbit, vhost) == {("llmgate.daemons", "b00t", name), ("llmgate.control", "", name)}
        assert rabbit.queues(vhost) == {}
        channel = await watching.channel()
        with pytest.raises(ChannelNotFoundEntity):
            await channel.queue_declare(name, passive=True)


async def test_what_is_in_a_line_is_counted(vhost_url: str) -> None:
    async with declared(vhost_url) as connection:
        queues, channel = QueueManager(settings_of(vhost_url)), await connection.channel()
        await publish(connection, AGED_LANE)
        depth = await queues.depth(channel, "main", AGED_LANE)
        assert (depth.ready, depth.consumers) == (1, 0)


# -- who may not ---------------------------------------------------------------------------


@dataclass
class Refused:
    """A broker's address that does not work, and what has to be said about it."""

    url: str
    says: str
    hint: str


def limited(rabbit: RabbitServer, vhost_url: str, configure: str, write: str = ".*", read: str = ".*") -> str:
    """The address for a user who may do so much."""
    user = f"user{next(_numbers)}"
    rabbit.add_user(user, "secret")
    rabbit.set_permissions(user, vhost_of(vhost_url), configure, write, read)
    return rabbit.url(vhost_of(vhost_url), user, "secret")


def wrong_password(rabbit: RabbitServer, vhost_url: str) -> Refused:
    url = rabbit.url(vhost_of(vhost_url), "guest", "no-such-password")
    return Refused(url, "refuses the login of queue.url", "user and password")


def missing_vhost(rabbit: RabbitServer, vhost_url: str) -> Refused:
    return Refused(rabbit.url("nowhere"), "virtual host of queue.url does not exist", "rabbitmqctl add_vhost")


def forbidden_vhost(rabbit: RabbitServer, vhost_url: str) -> Refused:
    user = f"user{next(_numbers)}"
    rabbit.add_user(user, "secret")
    url = rabbit.url(vhost_of(vhost_url), user, "secret")
    return Refused(url, "user of queue.url may not use the virtual host", "rabbitmqctl set_permissions")


def nothing_may_be_declared(rabbit: RabbitServer, vhost_url: str) -> Refused:
    return Refused(
        limited(rabbit, vhost_url, "^$"), "user of queue.url lacks a permission", "configure, write and read"
    )


def only_inboxes_may_be_declared(rabbit: RabbitServer, vhost_url: str) -> Refused:
    url = limited(rabbit, vhost_url, r"^llmgate\.daemon\..*$")
    return Refused(url, "user of queue.url lacks a permission", "configure, write and read")


def one_exchange_may_not_be_declared(rabbit: RabbitServer, vhost_url: str) -> Refused:
    url = limited(rabbit, vhost_url, r"^llmgate\.(tickets|daemons|daemon\..*)$")
    return Refused(url, "user of queue.url lacks a permission", "configure, write and read")


def one_line_may_not_be_declared(rabbit: RabbitServer, vhost_url: str) -> Refused:
    url = limited(rabbit, vhost_url, r"^llmgate\.(tickets|daemons|control|daemon\..*|main\.l[12])$")
    return Refused(url, "user of queue.url lacks a permission", "configure, write and read")


def nothing_may_be_written(rabbit: RabbitServer, vhost_url: str) -> Refused:
    url = limited(rabbit, vhost_url, ".*", write="^$")
    return Refused(url, "user of queue.url lacks a permission", "configure, write and read")


def nothing_may_be_read(rabbit: RabbitServer, vhost_url: str) -> Refused:
    url = limited(rabbit, vhost_url, ".*", read="^$")
    return Refused(url, "user of queue.url lacks a permission", "configure, write and read")


CASES = [
    wrong_password,
    missing_vhost,
    forbidden_vhost,
    nothing_may_be_declared,
    only_inboxes_may_be_declared,
    one_exchange_may_not_be_declared,
    one_line_may_not_be_declared,
    nothing_may_be_written,
    nothing_may_be_read,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_who_may_not_is_told_so_and_leaves_nothing_behind(
    case: Callable[[RabbitServer, str], Refused], vhost_url: str, rabbit: RabbitServer
) -> None:
    refused = case(rabbit, vhost_url)
    before = Declared.of(rabbit, vhost_of(vhost_url))
    manager = a_manager(refused.url)
    with pytest.raises(ConfigError) as caught:
        await manager.start()
    await manager.close()
    problem = caught.value
    assert refused.says in problem.message
    assert problem.hint is not None
    assert refused.hint in problem.hint
    assert "queue.url" in problem.text()
    assert problem.exit_code == 6
    assert "secret" not in problem.text()
    assert "no-such-password" not in problem.text()
    assert "\n" not in problem.text()
    await until(lambda: Declared.of(rabbit, vhost_of(vhost_url)) == before, 3)


@pytest.mark.parametrize(
    "case", [wrong_password, missing_vhost, one_line_may_not_be_declared], ids=lambda c: c.__name__
)
async def test_the_command_says_it_in_one_sentence(
    case: Callable[[RabbitServer, str], Refused], vhost_url: str, rabbit: RabbitServer, tmp_path: Path
) -> None:
    refused = case(rabbit, vhost_url)
    before = Declared.of(rabbit, vhost_of(vhost_url))
    config = tmp_path / "llmgate.toml"
    config.write_text(
        f'[server]\nport = 0\n[state]\ndir = "{tmp_path / "state"}"\n'
        f'[queue]\nbackend = "rabbitmq"\nurl = "{refused.url}"\n'
        '[[upstreams]]\nname = "gpu"\npool = "main"\nurl = "http://127.0.0.1:9"\n'
        f'[database]\nurl = "sqlite:///{tmp_path / "llmgate.db"}"\n',
        encoding="utf-8",
    )
    code, out, err = await run("serve", "--config", str(config), home=tmp_path)
    assert code == 6, err
    assert out == ""
    assert refused.says in " ".join(err.split())
    assert "Traceback" not in err
    assert "secret@" not in err
    assert "no-such-password" not in err
    assert len(err.strip().splitlines()) <= 3, err
    assert Declared.of(rabbit, vhost_of(vhost_url)) == before


# -- daemons that do not fit together ------------------------------------------------------

SHAPE: dict[str, Any] = {
    "secret key": "f1ngerpr1nt",
    "queue.aging_seconds": 30.0,
    "upstreams.gpu.slots": 4,
    "upstreams.gpu.pool": "main",
}


@pytest.mark.parametrize(
    ("shape", "changes", "says"),
    [
        ({"queue.aging_seconds": 20.0}, {"aging_seconds": 20}, "queue.aging_seconds is 20.0 here and 30.0"),
        ({"secret key": "an0ther"}, {}, "secret key (state.secret_file) is another one"),
        ({"upstreams.gpu.slots": 2}, {}, "upstreams.gpu.slots is 2 here and 4"),
        ({"upstreams.gpu.pool": "fast"}, {}, "upstreams.gpu.pool is 'fast' here and 'main'"),
        ({"upstreams.new.slots": 2}, {}, "upstreams.new.slots is 2 here and not set"),
    ],
)
async def test_who_does_not_fit_in_does_not_start(
    shape: Shape, changes: dict[str, Any], says: str, vhost_url: str, rabbit: RabbitServer
) -> None:
    """The daemons that are there go on, and one that fits in joins."""
    async with running(a_manager(vhost_url, shape=SHAPE, aging_seconds=30)) as first:
        await until(lambda: is_quiet(first))
        before = arguments(rabbit, vhost_of(vhost_url))
        other = a_manager(vhost_url, shape={**SHAPE, **shape}, **{"aging_seconds": 30, **changes})
        with pytest.raises(ConfigError) as caught:
            await other.start()
        await other.close()
        assert says in caught.value.message
        assert "f1ngerpr1nt" not in caught.value.text()
        assert caught.value.exit_code == 6
        assert arguments(rabbit, vhost_of(vhost_url)) == before
        async with running(a_manager(vhost_url, shape=SHAPE, aging_seconds=30)) as third:
            await until(lambda: len(first.status().daemons) == len(third.status().daemons) == 2)
            grant = await granted(third, "t1")
            third.release(grant, 1.0)
            grant = await granted(first, "t2")
            first.release(grant, 1.0)
        assert first.status().state == "connected"
