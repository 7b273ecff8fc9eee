"""A browser that comes to another daemon than the one that runs its turn, with a real broker between the daemons."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from websockets.asyncio.client import connect

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.chat.turns import GRACE_SECONDS
from llmgate.daemon.queue.rabbitmq.exchanges import CONTROL, DAEMONS
from llmgate.daemon.store import users
from llmgate.daemon.store.database import Database
from tests.chat.harness import PASSWORD, Frame, Page, start, text_of
from tests.cluster.harness import Cluster, cluster, two_workers
from tests.fakes import FakeOllama, Script
from tests.gateway.ready_made import hashed
from tests.system.test_workers import only

pytestmark = pytest.mark.slow

SOON = GRACE_SECONDS / 3
"""What ends before this has not waited for the grace."""
SLOWLY = Script(tokens=["a ", "b ", "c "], token_gates={1: "more"})


async def log_in(running: Cluster, url: str) -> str:
    """The access token of Ann, who is new."""
    database = Database(running.database_url)
    await database.connect()
    try:
        async with database.begin() as tx:
            await users.create(tx, name="ann", password_hash=await hashed(PASSWORD), role=Role.USER)
    finally:
        await database.close()
    answer = await running.client.post(f"{url}/gate/auth/login", json={"name": "ann", "password": PASSWORD})
    token: str = answer.json()["access_token"]
    return token


@asynccontextmanager
async def page_at(url: str, token: str) -> AsyncIterator[Page]:
    """A page that is connected, and was not greeted yet."""
    headers = {"authorization": f"Bearer {token}"}
    socket_url = url.replace("http://", "ws://") + "/gate/ws"
    async with connect(socket_url, additional_headers=headers, max_size=None, proxy=None) as socket:
        yield Page(socket)


@asynccontextmanager
async def two_daemons(
    folder: Path, database_url: str, broker_url: str
) -> AsyncIterator[tuple[Cluster, FakeOllama, str]]:
    """They, what runs the models, and Ann's access token."""
    async with (
        FakeOllama() as fake,
        cluster(folder, database_url=database_url, broker_urls=[broker_url] * 2, upstream_url=fake.url) as running,
    ):
        await running.all_connected()
        yield running, fake, await log_in(running, running.daemons[0].url)


async def begun(page: Page, content: str) -> Frame:
    """A turn that has said something."""
    await page.next("hello")
    accepted = await page.ask(content)
    await page.until_text("a ")
    return accepted


async def test_a_turn_is_followed_stopped_and_left_at_another_daemon(
    tmp_path: Path, postgres_url: str, vhost_url: str
) -> None:
    async with two_daemons(tmp_path, postgres_url, vhost_url) as (running, fake, token):
        one, two = (daemon.url for daemon in running.daemons)
        fake.script(SLOWLY)
        fake.script(Script(tokens=["Letters"]))
        async with page_at(one, token) as page:
            turn = (await begun(page, "Which letters?"))["turn"]
            await page.lose()
        async with page_at(two, token) as page:
            hello = await page.next("hello")
            assert [one["turn"] for one in hello["turns"]] == [turn]
            await page.send({"type": "attach", "turn": turn})
            assert (await page.next("snapshot"))["content"] == "a "
            fake.release("more")
            done = await page.next("done")
            assert text_of(page.frames) == done["message"]["content"] == "a b c "
            assert done["outcome"] == "completed"
            titles = [frame for frame in page.frames if frame["type"] == "title"]
            assert (titles[0] if titles else await page.next("title"))["title"] == "Letters"

        # Whoever does not know whether a question was taken asks it again, and may come to another daemon.
        asked = len(fake.requests)
        fake.script(SLOWLY)
        async with page_at(one, token) as page:
            await page.send(start("Again?", ref="again", keep=False))
            turn = (await page.next("accepted"))["turn"]
            await page.lose()
        async with page_at(two, token) as page:
            await page.send(start("Again?", ref="again", keep=False, again=True))
            assert (await page.next("snapshot"))["turn"] == turn
            assert (await page.next("done"))["message"]["content"] == "a b c "
        assert len(fake.requests) == asked + 1

        fake.script(Script(tokens=["a ", "b "], token_gates={1: "never"}), times=2)
        async with page_at(one, token) as first, page_at(two, token) as second:
            turn = (await begun(first, "Stop me"))["turn"]
            await second.next("hello")
            await second.send({"type": "attach", "turn": turn})
            await second.send({"type": "stop", "turn": turn})
            assert (await second.next("done"))["outcome"] == "stopped"
            assert (await first.next("done"))["outcome"] == "stopped"
            await second.send({"type": "attach", "turn": "01UNKNOWN"})
            assert (await second.next("gone"))["turn"] == "01UNKNOWN"

        async with page_at(one, token) as first:
            turn = (await begun(first, "Leave me"))["turn"]
            await first.lose()
        async with page_at(two, token) as second:
            await second.next("hello")
            await second.send({"type": "attach", "turn": turn})
            await second.next("snapshot")
            await second.leave(1001)
        async with asyncio.timeout(SOON):
            await fake.requests[-1].disconnected.wait()


async def test_the_turn_of_a_daemon_that_was_killed_is_gone(tmp_path: Path, postgres_url: str, vhost_url: str) -> None:
    async with two_daemons(tmp_path, postgres_url, vhost_url) as (running, fake, token):
        one, two = running.daemons
        fake.script(SLOWLY)
        async with page_at(one.url, token) as first, page_at(two.url, token) as second:
            turn = (await begun(first, "Which letters?"))["turn"]
            await second.next("hello")
            await second.send({"type": "attach", "turn": turn})
            await second.next("snapshot")
            await one.kill()
            assert (await second.next("gone", timeout=SOON))["turn"] == turn
            await second.send({"type": "here"})
            assert await second.next("here")
        await one.start()


@asynccontextmanager
async def overheard(running: Cluster, broker_url: str) -> AsyncIterator[list[bytes]]:
    """All that the daemons tell each other through the broker."""
    heard: list[bytes] = []

    async def note(message: AbstractIncomingMessage) -> None:
        heard.append(message.body)

    daemons = (await running.ask(running.daemons[0], "/queue/status"))["daemons"]
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("llmgate.overheard", exclusive=True)
        await queue.bind(CONTROL)
        for daemon in daemons:
            await queue.bind(DAEMONS, daemon["boot"])
        await queue.consume(note, no_ack=True)
        yield heard


async def test_nothing_that_is_said_passes_through_the_broker(
    tmp_path: Path, postgres_url: str, vhost_url: str
) -> None:
    async with (
        two_daemons(tmp_path, postgres_url, vhost_url) as (running, fake, token),
        overheard(running, vhost_url) as heard,
    ):
        one, two = (daemon.url for daemon in running.daemons)
        fake.script(Script(thinking=["a zebra?"], tokens=["a ", "zebra "], token_gates={2: "more"}))
        fake.script(Script(tokens=["Zebras"]))
        async with page_at(one, token) as first, page_at(two, token) as second:
            turn = (await begun(first, "What is a zebra?"))["turn"]
            await second.next("hello")
            await second.send({"type": "attach", "turn": turn})
            fake.release("more")
            assert (await second.next("title"))["title"] == "Zebras"
        said = b"".join(heard).lower()
        assert turn.lower().encode() in said
        assert b"zebra" not in said
        assert "zebra" not in json.dumps([daemon.log for daemon in running.daemons]).lower()


async def test_a_turn_is_followed_through_any_worker_on_the_same_socket(
    tmp_path: Path, postgres_url: str, vhost_url: str
) -> None:
    async with (
        FakeOllama() as fake,
        cluster(tmp_path, database_url=postgres_url, broker_urls=[vhost_url], upstream_url=fake.url) as running,
    ):
        url = running.daemons[0].url
        token = await log_in(running, url)
        fake.script(SLOWLY)
        async with two_workers(running, tmp_path / "workers.log") as pids, AsyncExitStack() as stack:
            first = await stack.enter_async_context(page_at(url, token))
            turn = (await begun(first, "Which letters?"))["turn"]
            pages = []
            for number in pids:
                async with only(pids, number):
                    page = await stack.enter_async_context(page_at(url, token))
                    await page.next("hello")  # whoever stands still cannot be asked for its turns
                await page.send({"type": "attach", "turn": turn})
                assert (await page.next("snapshot"))["content"] == "a "
                pages.append(page)
            fake.release("more")
            for page in (first, *pages):
                assert (await page.next("done"))["message"]["content"] == "a b c "
                assert text_of(page.frames) == "a b c "
