"""The chat of a daemon: its turns, who is connected, and what both need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from llmgate import __version__
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.chat.conduct import Conductor
from llmgate.daemon.chat.connections import Connections
from llmgate.daemon.chat.following import Follower
from llmgate.daemon.chat.keeping import Keeper
from llmgate.daemon.chat.link import Link
from llmgate.daemon.chat.peers import Peers
from llmgate.daemon.chat.positions import Positions
from llmgate.daemon.chat.titler import Titler
from llmgate.daemon.chat.turns import Turns
from llmgate.daemon.chat.window import Windows
from llmgate.daemon.gateway import Gateway
from llmgate.daemon.live import Current
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.store.database import Database
from llmgate.daemon.supervisor import Supervisor
from llmgate.daemon.upstreams.capabilities import CapabilityBook
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import AuthenticationFailed
from llmgate.schemas.chat import Hello, RunningTurn, Start

FAREWELL_SECONDS: Final = 2.0
"""At shutdown, longest wait for the clients to take the last frames."""


class Chat:
    """See the module. ``peers`` is set where there are other daemons."""

    def __init__(
        self,
        gateway: Gateway,
        authenticator: Authenticator,
        sessions: Sessions,
        upstreams: UpstreamRegistry,
        capabilities: CapabilityBook,
        queue: QueueManagerInterface,
        database: Database,
        settings: Current,
    ) -> None:
        self.peers: Peers | None = None
        self.bodies = gateway.bodies
        self.positions = Positions(queue)
        self.windows = Windows(upstreams, capabilities, lambda: settings.chat.context_tokens)
        self.conductor = Conductor(
            gateway,
            authenticator,
            upstreams,
            Keeper(database, lambda: settings.chat.conversation_days),
            self.windows,
            self.positions,
            lambda: settings.server.max_body_bytes,
            lambda: settings.requests,
        )
        self.turns = Turns(self.conductor.run)
        self.connections = Connections(sessions.alive, self._session_over)
        self.titler = Titler(
            gateway, authenticator, database, queue, self.connections, lambda: settings.chat.titles == "model"
        )
        self.conductor.exchanged = self.titler.exchanged
        self._authenticator = authenticator
        authenticator.on_change(self.connections.look)

    async def open(self, supervisor: Supervisor) -> None:
        """Begin the work in the background. Raises StartupError."""
        supervisor.start("chat positions", self.positions.run())
        supervisor.start("chat connections", self.connections.run())
        self.titler.start()
        if self.peers is not None:
            await self.peers.start()

    async def caller(self, session_id: str) -> Principal:
        """Who is connected, as of now. Raises AuthenticationFailed when the session is over, or StoreUnavailable."""
        return await self._authenticator.of_session(session_id)

    async def hello(self, user_id: str) -> Hello:
        """What a client is told first."""
        return Hello(version=__version__, grace_seconds=self.turns.grace, turns=await self.running(user_id))

    # -- turns, also those of other daemons --------------------------------------------------

    async def running(self, user_id: str) -> list[RunningTurn]:
        """The user's turns that go on."""
        found = self.turns.running(user_id)
        if self.peers is not None:
            found += await self.peers.running(user_id)
        return found

    async def begin(self, caller: Principal, start: Start, woken: Callable[[], None]) -> Follower | Link:
        """Begin a turn, or follow the one that this ``ref`` has begun already: here, or when it is asked ``again`` at
        whichever daemon. Raises as ``Turns.start`` does."""
        if start.again and self.peers is not None and self.turns.of_ref(caller.id, start.ref) is None:
            link = await self.peers.follow_ref(caller.id, start.ref, woken)
            if link is not None:
                return link
        return self.turns.start(caller, start, woken)

    async def attach(self, user_id: str, turn_id: str, woken: Callable[[], None]) -> Follower | Link | None:
        """Follow a turn, from all that there is so far; None when the user has no such turn."""
        found = self.turns.attach(user_id, turn_id, woken)
        if found is None and self.peers is not None:
            return await self.peers.follow(user_id, turn_id, woken)
        return found

    def leave(self, follower: Follower | Link, *, bye: bool) -> None:
        """Follow no more. ``bye``: the client has said so; else it was lost, and may come back."""
        if isinstance(follower, Link):
            follower.leave(bye=bye)
        else:
            self.turns.leave(follower, bye=bye)

    async def stop(self, user_id: str, turn_id: str) -> bool:
        """End a turn. False when the user has no such turn."""
        if self.turns.stop(user_id, turn_id):
            return True
        return self.peers is not None and await self.peers.stop(user_id, turn_id)

    def bye(self, user_id: str, turn_ids: Sequence[str]) -> None:
        """The page that followed these was closed."""
        self.turns.bye(user_id, turn_ids)
        elsewhere = [turn_id for turn_id in turn_ids if not self.turns.has(user_id, turn_id)]
        if self.peers is not None and elsewhere:
            self.peers.bye(user_id, elsewhere)

    def forget(self, user_id: str, conversation: str | None = None) -> None:
        """A conversation was deleted, or all of the user's: what is still answered there ends."""
        self.turns.forget(user_id, conversation)
        if self.peers is not None:
            self.peers.forget(user_id, conversation)

    def _session_over(self, session_id: str) -> None:
        refusal = AuthenticationFailed("The session is not valid (any more).", hint="Log in again.")
        self.turns.end_session(session_id, refusal)

    # -- shutting down -----------------------------------------------------------------------

    def refuse_new(self) -> None:
        """From now on nothing is started. What runs may end."""
        self.conductor.is_draining = True
        self.turns.refuse_new()

    async def close(self) -> None:
        """Behind the gateway's drain: wait for the answers to be kept, tell their followers, and close."""
        self.refuse_new()
        await self.titler.close()
        await self.turns.close()
        await self.connections.close(FAREWELL_SECONDS)
        if self.peers is not None:
            await self.peers.close()
