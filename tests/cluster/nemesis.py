"""What does the harm to a cluster, one thing after the other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.cluster.harness import Cluster
from tests.cluster.load import Phase
from tests.services.proxy import FaultProxy
from tests.services.rabbitmq import RabbitServer

FREEZE_SECONDS = 16.0
"""Longer than the broker takes to let go of a frozen daemon (12 s), and than its test allows for that."""
DEAD_SECONDS = 3.0
"""How long a killed daemon stays dead."""
REST_SECONDS = 2.0
"""Time to see that everything goes on, after a fault is over."""


Fault = Callable[["Nemesis", Phase], Awaitable[None]]
"""Does one thing, tells the phase when it has struck, and returns when it is over."""


class Nemesis:
    """Does the harm, one thing after the other, and remembers when."""

    def __init__(self, running: Cluster, broker: RabbitServer, proxy: FaultProxy) -> None:
        self.phases: list[Phase] = []
        self._cluster = running
        self._broker = broker
        self._proxy = proxy

    async def strike(self, name: str, fault: Callable[[Phase], Awaitable[None]]) -> None:
        """One fault, and then the time to recover."""
        loop = asyncio.get_running_loop()
        phase = Phase(name, loop.time())
        self.phases.append(phase)
        await fault(phase)
        await self._cluster.all_connected()
        await _pass(REST_SECONDS)
        phase.ended = loop.time()

    async def kill_the_dispatcher(self, phase: Phase) -> None:
        victim = await self._cluster.dispatcher()
        phase.struck = asyncio.get_running_loop().time()
        await victim.kill()
        await _pass(DEAD_SECONDS)
        await victim.start()

    async def kill_another(self, phase: Phase) -> None:
        dispatcher = await self._cluster.dispatcher()
        victim = next(daemon for daemon in self._cluster.daemons if daemon is not dispatcher)
        phase.struck = asyncio.get_running_loop().time()
        await victim.kill()
        await _pass(DEAD_SECONDS)
        await victim.start()

    async def freeze_the_dispatcher(self, phase: Phase) -> None:
        victim = await self._cluster.dispatcher()
        victim.answers = False
        phase.struck = asyncio.get_running_loop().time()
        victim.send(signal.SIGSTOP)
        await _pass(FREEZE_SECONDS)
        victim.send(signal.SIGCONT)
        victim.answers = True

    async def restart_the_broker(self, phase: Phase) -> None:
        phase.struck = asyncio.get_running_loop().time()
        await asyncio.to_thread(self._broker.restart)

    async def freeze_the_broker(self, phase: Phase) -> None:
        phase.struck = asyncio.get_running_loop().time()
        self._broker.freeze()
        await _pass(FREEZE_SECONDS)
        self._broker.thaw()

    async def alarm_the_broker(self, phase: Phase) -> None:
        phase.struck = asyncio.get_running_loop().time()
        await asyncio.to_thread(self._broker.alarm, True)
        await _pass(FREEZE_SECONDS)
        await asyncio.to_thread(self._broker.alarm, False)

    async def cut_one_off(self, phase: Phase) -> None:
        phase.struck = asyncio.get_running_loop().time()
        await self._proxy.blackhole()
        await _pass(FREEZE_SECONDS)
        await self._proxy.heal()


async def _pass(seconds: float) -> None:
    """A fault lasts as long as it lasts."""
    await asyncio.sleep(seconds)
