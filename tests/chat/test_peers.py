"""Turns at the other daemons: found through the queue, followed over a connection of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address
from typing import Any, Self

import pytest

from llmgate.config import Settings
from llmgate.daemon.auth.principals import Principal, PrincipalKind, Role
from llmgate.daemon.chat import address as address_module
from llmgate.daemon.chat import channel as channels
from llmgate.daemon.chat import link as link_module
from llmgate.daemon.chat import peers as peers_module
from llmgate.daemon.chat.address import private_address
from llmgate.daemon.chat.channel import Channel, connect
from llmgate.daemon.chat.following import Follower
from llmgate.daemon.chat.keeping import answer_of
from llmgate.daemon.chat.link import Link
from llmgate.daemon.chat.peers import Peers
from llmgate.daemon.chat.turn import Ended, Turn
from llmgate.daemon.chat.turns import Turns
from llmgate.daemon.ids import new_id
from llmgate.daemon.queue.ticket import DaemonStatus, QueueStatus
from llmgate.errors import StartupError
from llmgate.schemas.base import Answer
from llmgate.schemas.chat import Start
from llmgate.schemas.conversations import TurnOutcome
from tests.services.ports import free_ports

KEY = b"k" * 32
ANN, BOB = "ann", "bob"
ANY = str(IPv4Address(0))


class Broker:
    """Daemons that tell each other things, at once."""

    def __init__(self) -> None:
        self.daemons: dict[str, Voice] = {}
        self.told: list[str] = []
        self.state = "connected"
        self.mute: set[str] = set()


class Voice:
    """One daemon's queue."""

    def __init__(self, broker: Broker, boot: str) -> None:
        self.broker = broker
        self.boot = boot
        self.topics: dict[str, Callable[[str, Any], None]] = {}
        broker.daemons[boot] = self

    def tell(self, topic: str, body: Any, to: str | None = None) -> None:
        text = json.dumps(body)
        self.broker.told.append(text)
        for boot, other in list(self.broker.daemons.items()):
            if boot not in {self.boot, *self.broker.mute} and to in {None, boot} and topic in other.topics:
                asyncio.get_running_loop().call_soon(other.topics[topic], self.boot, json.loads(text))

    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None:
        self.topics[topic] = told

    def status(self) -> QueueStatus:
        boots = [self.boot, *(boot for boot in self.broker.daemons if boot != self.boot)]
        daemons = [DaemonStatus(boot, boot, "connected", "", [], 0, 0, 0.0) for boot in boots]
        return QueueStatus("rabbitmq", self.broker.state, "", serves=True, daemons=daemons)


class Daemon:
    """The turns of one daemon, which do what the test does with them, and its peers."""

    def __init__(self, broker: Broker, number: int, key: bytes) -> None:
        self.turns = Turns(self.conduct, grace=60)
        self.peers = Peers(Voice(broker, f"boot{number}"), self.turns, key)

    async def conduct(self, turn: Turn, start: Start, caller: Principal) -> None:
        turn.accept(None, None, None, "")
        stopped = asyncio.create_task(turn.stopping.wait())
        stopped.add_done_callback(lambda done: None if done.cancelled() else end(turn, "stopped"))
        try:
            await turn.over.wait()
        finally:
            stopped.cancel()

    async def begin(self, user_id: str = ANN) -> Turn:
        """A turn whose first follower was lost."""
        caller = Principal(PrincipalKind.SESSION, user_id, user_id, Role.USER, 3, user_id, session_id="s")
        start = Start(ref=f"r{new_id()}", model="m", content="what?", keep=False)
        follower = self.turns.start(caller, start, lambda: None)
        await within(follower.turn.settled)
        self.turns.leave(follower, bye=False)
        return follower.turn


def end(turn: Turn, outcome: TurnOutcome = "completed") -> None:
    turn.end(Ended(outcome, answer_of(turn, outcome, None), None, turn.usage()))


class World:
    """Some daemons: where the browser comes now is ``here``, the first one."""

    def __init__(self, broker: Broker, daemons: list[Daemon]) -> None:
        self.broker = broker
        self.daemons = daemons
        self.here = daemons[0].peers


@asynccontextmanager
async def world(count: int = 2, *, keys: Sequence[bytes] = (KEY, KEY, KEY)) -> AsyncIterator[World]:
    """So many daemons. In the end nothing of them is left."""
    before = asyncio.all_tasks()
    broker = Broker()
    daemons = [Daemon(broker, number, keys[number]) for number in range(count)]
    async with AsyncExitStack() as stack:
        for daemon in daemons:
            await daemon.peers.start()
            stack.push_async_callback(daemon.turns.close, 0)
            stack.push_async_callback(daemon.peers.close)
        yield World(broker, daemons)
    assert asyncio.all_tasks() <= before
    for daemon in daemons:
        assert not daemon.peers._links
        assert not daemon.peers._serving
        assert not daemon.peers._questions


class Reader:
    """Reads a link, as a socket does."""

    def __init__(self, there: World, turn: Turn, link: Link | None = None) -> None:
        self.there = there
        self.turn = turn
        self.news = asyncio.Event()
        self.link = link
        if link is not None:
            link.woken = self.news.set
            self.news.set()
        self.waiting: list[Answer] = []

    async def follow(self, user_id: str = ANN, at: int = 0) -> Self:
        self.link = await self.there.daemons[at].peers.follow(user_id, self.turn.id, self.news.set)
        assert self.link is not None
        return self

    async def one(self) -> dict[str, Any]:
        """The next frame."""
        assert self.link is not None
        async with asyncio.timeout(5):
            while not self.waiting:
                await self.news.wait()
                self.news.clear()
                self.waiting += self.link.take()
        return self.waiting.pop(0).model_dump(mode="json")

    async def rest(self) -> list[dict[str, Any]]:
        """All frames to the last one."""
        assert self.link is not None
        frames = []
        while self.waiting or not self.link.is_done:
            frames.append(await self.one())
        self.link.leave(bye=False)
        return frames

    def leave(self, *, bye: bool) -> None:
        assert self.link is not None
        self.link.leave(bye=bye)


async def followed(there: World, turn: Turn) -> Reader:
    return await Reader(there, turn).follow()


async def within(event: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await event.wait()


async def followers(turn: Turn, count: int) -> None:
    """Wait until so many follow it."""
    async with asyncio.timeout(5):
        while len(turn.followers) != count:
            await asyncio.sleep(0)


def types(frames: Sequence[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames]


# Following


async def test_all_frames_of_a_turn_come_in_order_and_end_with_it() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        turn.grant(0.5, loading=False)
        turn.say("so far ")
        reader = await followed(there, turn)
        first = await reader.one()
        assert (first["type"], first["turn"], first["content"]) == ("snapshot", turn.id, "so far ")
        for number in range(2, 50):
            turn.say(f"wörd {number} 你好 ")
            frame = await reader.one()
            assert (frame["type"], frame["seq"], frame["text"]) == ("token", number, f"wörd {number} 你好 ")
        turn.say("last")
        end(turn)
        *tokens, done = await reader.rest()
        assert "".join(token["text"] for token in tokens) == "last"
        assert done["message"]["content"].startswith("so far wörd 2")
        assert done["message"]["content"].endswith("last")
        await followers(turn, 0)


async def test_several_follow_the_same_turn_and_each_gets_all() -> None:
    async with world(3) as there:
        turn = await there.daemons[2].begin()
        readers = [await followed(there, turn), await followed(there, turn), await Reader(there, turn).follow(at=1)]
        turn.say("a")
        end(turn)
        for reader in readers:
            frames = await reader.rest()
            assert (frames[0]["type"], frames[-1]["type"]) == ("snapshot", "done")
            assert frames[-1]["message"]["content"] == "a"


async def test_a_question_that_is_repeated_at_another_daemon_follows_the_turn_that_it_has_begun() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        link = await there.here.follow_ref(ANN, turn.ref, print)
        assert link is not None
        assert link.turn_id == turn.id
        reader = Reader(there, turn, link)
        end(turn)
        assert types(await reader.rest()) == ["snapshot", "done"]
        assert await there.here.follow_ref(BOB, turn.ref, print) is None
        assert await there.here.follow_ref(ANN, "another", print) is None


async def test_who_comes_at_the_end_of_a_turn_is_told_of_it() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        turn.say("all of it")
        end(turn)
        reader = await followed(there, turn)
        snapshot, done = await reader.rest()
        assert (snapshot["content"], done["type"], done["outcome"]) == ("all of it", "done", "completed")


async def test_neither_a_prompt_nor_a_token_passes_through_the_broker() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        assert (await there.here.running(ANN))[0].turn == turn.id
        reader = await followed(there, turn)
        turn.say("a secret")
        end(turn)
        assert "secret" in json.dumps(await reader.rest())
        there.here.bye(ANN, [turn.id])
        there.here.forget(ANN, None)
        assert len(there.broker.told) == 6
        assert "secret" not in "".join(there.broker.told)
        assert "what?" not in "".join(there.broker.told)


async def test_what_nobody_has_and_what_is_somebody_elses_is_not_found_and_nobody_waits() -> None:
    async with world(3) as there:
        turn = await there.daemons[1].begin()
        async with asyncio.timeout(peers_module.FIND_SECONDS / 2):
            assert await there.here.follow(ANN, new_id(), print) is None
            assert await there.here.follow(BOB, turn.id, print) is None
            assert await there.here.follow(ANN, "no id\n", print) is None
            assert not await there.here.stop(BOB, turn.id)


async def test_the_turns_of_a_user_at_all_other_daemons_are_known() -> None:
    async with world(3) as there:
        turns = [await daemon.begin() for daemon in there.daemons]
        other = await there.daemons[2].begin(BOB)
        assert {turn.turn for turn in await there.here.running(ANN)} == {turns[1].id, turns[2].id}
        assert [turn.ref for turn in await there.here.running(BOB)] == [other.ref]


# Orders, and how a follower leaves


async def test_a_turn_is_stopped_from_afar() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        assert reader.link is not None
        reader.link.stop()
        frames = await reader.rest()
        assert (frames[-1]["type"], frames[-1]["outcome"]) == ("done", "stopped")


async def test_the_turn_of_who_has_said_good_bye_ends_at_once() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        await followers(turn, 1)
        turn.say("much " * 1000)
        reader.leave(bye=True)
        reader.leave(bye=True)
        await within(turn.stopping)


async def test_the_turn_of_who_was_cut_off_goes_on_for_the_grace() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        await followers(turn, 1)
        reader.leave(bye=False)
        await followers(turn, 0)
        assert not turn.stopping.is_set()
        again = await followed(there, turn)
        end(turn)
        assert types(await again.rest()) == ["snapshot", "done"]


async def test_what_concerns_a_turn_reaches_it_also_without_following_it() -> None:
    async with world(3) as there:
        turn = await there.daemons[2].begin()
        assert await there.here.stop(ANN, turn.id)
        assert turn.stopping.is_set()
        left, kept = await there.daemons[2].begin(), await there.daemons[1].begin()
        there.here.bye(ANN, [left.id, new_id()])
        await within(left.stopping)
        kept.conversation = new_id()
        there.here.forget(BOB, kept.conversation)
        there.here.forget(ANN, new_id())
        assert await there.here.running(ANN)
        assert not kept.stopping.is_set()
        there.here.forget(ANN, kept.conversation)
        await within(kept.stopping)


async def test_a_turn_whose_daemon_ends_is_gone() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        assert (await reader.one())["type"] == "snapshot"
        await there.daemons[1].peers.close()
        assert await reader.rest() == [{"type": "gone", "turn": turn.id}]
        await followers(turn, 0)
        assert not turn.stopping.is_set()
        assert await there.here.follow(ANN, turn.id, print) is None


async def test_a_daemon_that_ends_leaves_what_it_follows_as_lost() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        await followed(there, turn)
        await followers(turn, 1)
        await there.here.close()
        await followers(turn, 0)
        assert not turn.stopping.is_set()


async def test_a_silent_connection_is_broken_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(link_module, "SILENT_SECONDS", 0.1)
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        assert types(await reader.rest()) == ["snapshot", "gone"]
        await followers(turn, 0)
        assert not turn.stopping.is_set()


async def test_a_turn_that_says_nothing_for_long_is_still_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(link_module, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(peers_module, "BEAT_SECONDS", 0.05)
    beats = asyncio.Semaphore(0)
    put = Channel.put

    def counted(self: Channel, frame: Any) -> None:
        if not frame:
            beats.release()
        put(self, frame)

    monkeypatch.setattr(Channel, "put", counted)
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        for _ in range(30):  # of both ends, together for longer than either may be silent
            await beats.acquire()
        turn.say("at last")
        end(turn)
        frames = await reader.rest()
        assert types(frames) == ["snapshot", "token", "done"]


async def test_who_takes_nothing_makes_nobody_wait_and_nothing_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "STALL_SECONDS", 0.2)
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        await followers(turn, 1)
        link = reader.link
        assert link is not None
        while turn.followers:
            turn.say("x" * 100_000)
            await asyncio.sleep(0)
        assert not turn.stopping.is_set()
        assert len(link._frames) <= link_module.KEPT
        assert types(await reader.rest())[-1] == "gone"


async def test_who_falls_back_gets_fewer_and_larger_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    gate.set()
    send = Channel.send

    async def slowly(self: Channel, frame: Any) -> None:
        await send(self, frame)
        await gate.wait()

    monkeypatch.setattr(Channel, "send", slowly)
    async with world() as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        await reader.one()
        gate.clear()
        for number in range(1000):
            turn.say(f"{number} ")
            await asyncio.sleep(0)
        end(turn)
        gate.set()
        *tokens, done = await reader.rest()
        assert len(tokens) <= 2
        assert done["message"]["content"] == "".join(token["text"] for token in tokens)


# Who may connect


async def test_another_key_opens_nothing() -> None:
    async with world(keys=(b"o" * 32, KEY)) as there:
        turn = await there.daemons[1].begin()
        reader = await followed(there, turn)
        assert types(await reader.rest()) == ["gone"]
        assert not turn.followers


async def test_an_order_for_somebody_elses_turn_is_refused_at_the_turn_itself() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        peers = there.daemons[1].peers
        channel = await connect("127.0.0.1", peers._port, KEY, peers._name)
        channel.put({"turn": turn.id, "user": BOB})
        assert await channel.receive(5) == {"end": True}
        channel.abort()


async def test_no_more_connect_than_a_daemon_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        first = await followed(there, turn)
        await followers(turn, 1)
        monkeypatch.setattr(peers_module, "LINKS", 1)
        assert await there.here.follow(ANN, turn.id, print) is None
        there.here._links.clear()
        second = await there.here.follow(ANN, turn.id, print)
        assert second is None or types(await Reader(there, turn, second).rest()) == ["gone"]
        end(turn)
        assert types(await first.rest()) == ["snapshot", "done"]


async def test_a_follower_that_breaks_is_seen_and_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        broken, good = await followed(there, turn), await followed(there, turn)
        await followers(turn, 2)
        monkeypatch.setattr(Follower, "take", _breaks_for(next(iter(turn.followers)), Follower.take))
        turn.say("a")
        end(turn)
        assert sorted([types(await broken.rest())[-1], types(await good.rest())[-1]]) == ["done", "gone"]


def _breaks_for(whom: object, take: Any) -> Any:
    def taken(self: object) -> Any:
        if self is whom:
            raise RuntimeError("broken")
        return take(self)

    return taken


# When the others cannot be asked


async def test_without_others_or_without_a_broker_nobody_is_asked() -> None:
    async with world(1) as there:
        turn = await there.daemons[0].begin()
        assert await there.here.running(ANN) == []
        assert await there.here.follow(ANN, turn.id, print) is None
        assert there.broker.told == []
    async with world(2) as there:
        there.broker.state = "degraded"
        turn = await there.daemons[1].begin()
        assert await there.here.follow(ANN, turn.id, print) is None
        assert there.broker.told == []


async def test_a_daemon_that_does_not_answer_costs_a_moment_and_no_answer_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers_module, "FIND_SECONDS", 0.1)
    async with world(3) as there:
        turn = await there.daemons[2].begin()
        there.broker.mute.add("boot1")
        assert [one.turn for one in await there.here.running(ANN)] == [turn.id]
        there.broker.mute.add("boot2")
        assert await there.here.follow(ANN, turn.id, print) is None


async def test_only_so_many_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "QUESTIONS", 3)
    monkeypatch.setattr(peers_module, "FIND_SECONDS", 0.1)
    async with world() as there:
        there.broker.mute.add("boot1")
        assert await asyncio.gather(*(there.here.follow(ANN, new_id(), print) for _ in range(10))) == [None] * 10
        assert len(there.broker.told) == 3


async def test_a_daemon_that_cannot_be_reached_has_nothing() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()
        there.daemons[1].peers._port = free_ports(1)[0]
        assert await there.here.follow(ANN, turn.id, print) is None


async def test_what_another_version_answers_does_no_harm() -> None:
    async with world() as there:
        voice = Voice(there.broker, "new")

        def answer(boot: str, asked: Any) -> None:
            voice.tell(peers_module.TOLD, [asked[0], [{"new": 1}]], boot)

        voice.listen(peers_module.ASK, answer)
        turn = await there.daemons[1].begin()
        assert [one.turn for one in await there.here.running(ANN)] == [turn.id]
        voice.tell(peers_module.ASK, [7, "unheard of", ANN, {}])


# Where it listens


@pytest.mark.parametrize(
    ("server", "broker", "address"),
    [
        ({}, "amqp://a:b@mq.invalid/v", "127.0.0.1"),
        ({"host": "127.0.0.2"}, "amqp://a:b@mq.invalid/v", "127.0.0.2"),
        ({"host": "::1"}, "amqp://a:b@mq.invalid/v", "::1"),
        ({"host": ANY}, "amqp://a:b@127.0.0.1/v", "127.0.0.1"),
        ({"host": "::"}, "amqp://a:b@[::1]/v", "::1"),
        ({"host": ANY, "peer_host": "127.0.0.3"}, "amqp://a:b@mq.invalid/v", "127.0.0.3"),
    ],
)
async def test_the_address_for_the_others(server: dict[str, Any], broker: str, address: str) -> None:
    settings = Settings(server=server, queue={"backend": "rabbitmq", "url": broker})
    assert await private_address(settings) == (address, (0,))


async def test_workers_of_one_machine_share_a_range_of_ports() -> None:
    port = free_ports(1)[0]
    settings = Settings(server={"peer_port": port})
    host, ports = await private_address(settings)
    assert (ports[0], len(ports)) == (port, min(64, 65536 - port))
    broker = Broker()
    turns = Turns(Daemon(broker, 1, KEY).conduct)
    daemons = [Peers(Voice(broker, boot), turns, KEY, host=host, ports=ports) for boot in ("one", "two")]
    try:
        for peers in daemons:
            await peers.start()
        assert port == daemons[0]._port < daemons[1]._port
        third = Peers(Voice(broker, "three"), turns, KEY, host=host, ports=[daemons[1]._port])
        with pytest.raises(StartupError, match="other daemons") as caught:
            await third.start()
        assert "server.peer_host" in (caught.value.hint or "")
    finally:
        for peers in daemons:
            await peers.close()


async def test_a_name_without_an_address_is_an_error_that_says_what_to_set() -> None:
    settings = Settings(server={"peer_host": "no.such.invalid"})
    with pytest.raises(StartupError, match=r"no\.such\.invalid") as caught:
        await private_address(settings)
    assert "server.peer_host" in (caught.value.hint or "")


async def test_without_an_address_of_the_broker_a_daemon_starts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts also without the broker itself."""
    settings = Settings(server={"host": ANY}, queue={"backend": "rabbitmq", "url": "amqp://a:b@mq.invalid/v"})
    monkeypatch.setattr(address_module, "_FAR_AWAY", "127.0.0.1")
    assert (await private_address(settings))[0] == "127.0.0.1"
    monkeypatch.setattr(address_module, "_FAR_AWAY", "also.invalid")
    assert (await private_address(settings))[0] == "127.0.0.1"
