"""What does the harm: each lane of a round strikes one thing after the other, beside the other lanes."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import httpx

from tests.cluster.harness import Cluster, Daemon, eventually
from tests.services.postgres import PostgresServer
from tests.services.proxy import FaultProxy
from tests.services.rabbitmq import RabbitServer
from tests.trust.journal import Fault, Journal, Life
from tests.trust.schedule import LANES, Round, Strike

START_SECONDS = 90.0
"""Longest time until a daemon serves again, whatever else is away."""
HEAL_SECONDS = 60.0
"""Longest time until all daemons take part again, when nothing is done to them any more."""
LOOK_SECONDS = 3.0

BROKEN: Sequence[Callable[[str, random.Random], bytes]] = (
    lambda good, dice: good.encode()[: dice.randrange(1, len(good))] + b'\n[log]\nlevel = "loud"\n',
    lambda good, dice: dice.randbytes(200),
    lambda good, dice: b"",  # without its upstreams, say; then followed by what is no TOML
    lambda good, dice: (good + "\n[queue\n").encode(),
    lambda good, dice: (good + "\nnot_a_setting = 1\n").encode(),
    lambda good, dice: good.replace("drain_seconds = ", "drain_seconds = -").encode(),
    lambda good, dice: good.replace("[log]", "[log]\nlevel = 7").encode(),
    lambda good, dice: good.replace('url = "http', 'url = "gopher').encode(),
    lambda good, dice: good.replace("slots = ", 'slots = "many"  # ').encode(),
)
"""Ways to spoil a configuration. What comes of each is followed by a line that makes it bad for sure."""
SURELY_BAD = b"\n]]not toml[[\n"


class Nemesis:
    """Strikes, remembers how often, and starts again what it has ended. ``broker`` and ``postgres`` may be absent."""

    def __init__(
        self,
        running: Cluster,
        broker: RabbitServer | None,
        postgres: PostgresServer | None,
        proxies: Sequence[FaultProxy],
        journal: Journal,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        """``at_rest`` is called whenever the broker has been killed: what it has on its disk can be looked at."""
        self.counts: Counter[str] = Counter()
        self._cluster = running
        self._broker = broker
        self._postgres = postgres
        self._proxies = list(proxies)
        self._journal = journal
        self._at_rest = at_rest
        self._locks = {daemon.name: asyncio.Lock() for daemon in running.daemons}
        self._born = {daemon.name: _now() for daemon in running.daemons}
        self._kinds: dict[str, Callable[[Strike], Awaitable[str]]] = {
            "broker_kill": self._kill_broker,
            "broker_stop": self._stop_broker,
            "broker_restart": self._restart_broker,
            "broker_alarm": self._alarm,
            "cable": self._cut_cable,
            "daemon_kill": self._kill_daemon,
            "daemon_term": self._term_daemon,
            "daemon_freeze": self._freeze_daemon,
            "database_stop": self._stop_database,
            "bad_config": self._spoil_config,
        }

    async def strike(self, what: Round) -> None:
        """Everything of one round."""
        began = _now()
        async with asyncio.TaskGroup() as lanes:
            for lane in dict.fromkeys(LANES.values()):
                lanes.create_task(self._run_lane(what.lane(lane), began))

    async def _run_lane(self, strikes: Sequence[Strike], round_began: float) -> None:
        for strike in strikes:
            await asyncio.sleep(max(0.0, round_began + strike.at - _now()))
            began = _now()
            detail = await self._kinds[strike.kind](strike)
            self.counts[strike.kind] += 1
            self._journal.write(Fault(strike.kind, strike.target, began, _now(), detail))

    async def healed(self) -> None:
        """Until every daemon takes part again. Raises TimeoutError."""
        await eventually(self._all_connected, HEAL_SECONDS)

    async def _all_connected(self) -> bool:
        for daemon in self._cluster.daemons:
            ready = (await self._cluster.client.get(f"{daemon.url}/health/ready", timeout=LOOK_SECONDS)).json()
            if self._broker is not None and ready["queue"]["state"] != "connected":
                return False
        return self._broker is None or bool((await self._cluster.stats(self._cluster.daemons[0]))["dispatcher"])

    # -- the broker --------------------------------------------------------------------------

    async def _kill_broker(self, strike: Strike) -> str:
        assert self._broker is not None
        await asyncio.to_thread(self._broker.kill)
        await asyncio.sleep(strike.seconds)
        await asyncio.to_thread(self._at_rest)
        await asyncio.to_thread(self._broker.start)
        await self._recovered()
        return ""

    async def _stop_broker(self, strike: Strike) -> str:
        assert self._broker is not None
        self._broker.freeze()
        await asyncio.sleep(strike.seconds)
        self._broker.thaw()
        await self._recovered()
        return f"{strike.seconds:.1f} s"

    async def _restart_broker(self, strike: Strike) -> str:
        """As an operator does."""
        assert self._broker is not None
        await asyncio.to_thread(self._broker.restart)
        await self._recovered()
        return ""

    async def _alarm(self, strike: Strike) -> str:
        assert self._broker is not None
        await asyncio.to_thread(self._broker.alarm, True)
        await asyncio.sleep(strike.seconds)
        await asyncio.to_thread(self._broker.alarm, False)
        await self._recovered()
        return f"{strike.seconds:.1f} s"

    async def _cut_cable(self, strike: Strike) -> str:
        """Of one daemon, to the broker: silent, or with a reset."""
        proxy = self._proxies[strike.detail % len(self._proxies)]
        silent = strike.detail % 2 == 0
        await (proxy.blackhole() if silent else proxy.refuse())
        await asyncio.sleep(strike.seconds)
        await proxy.heal()
        await self._recovered()
        return f"{'silent' if silent else 'reset'} {strike.seconds:.1f} s"

    async def _recovered(self) -> None:
        """Until those daemons that live take part again, if that is soon: the next fault may as well come before."""

        async def connected() -> bool:
            for daemon in self._cluster.daemons:
                if not daemon.answers:
                    continue
                ready = (await self._cluster.client.get(f"{daemon.url}/health/ready", timeout=LOOK_SECONDS)).json()
                if ready["queue"]["state"] != "connected":
                    return False
            return True

        with suppress(TimeoutError):
            await eventually(connected, 15, pause=0.2)

    # -- daemons -----------------------------------------------------------------------------

    @asynccontextmanager
    async def _victim(self, strike: Strike) -> AsyncIterator[Daemon]:
        """The daemon that a strike aims at, by name or by what it does; nothing else is done to it meanwhile."""
        daemons = self._cluster.daemons
        chosen = daemons[strike.detail % len(daemons)]
        if strike.target in ("dispatcher", "another") and self._broker is not None:
            found = await self._dispatcher() or chosen
            others = [daemon for daemon in daemons if daemon is not found]
            chosen = found if strike.target == "dispatcher" else others[strike.detail % len(others)]
        for number, daemon in enumerate(daemons, 1):
            if strike.target == f"daemon{number}":
                chosen = daemon
        async with self._locks[chosen.name]:
            yield chosen

    async def _dispatcher(self) -> Daemon | None:
        for asked in self._cluster.daemons:
            with suppress(httpx.HTTPError, KeyError, IndexError):
                name = (await self._cluster.stats(asked))["dispatcher"] or ""
                found = [one for one in self._cluster.daemons if one.answers and name.endswith(f"/{one.pid}")]
                if found:
                    return found[0]
        return None

    async def _kill_daemon(self, strike: Strike) -> str:
        async with self._victim(strike) as daemon:
            pid, told = daemon.pid, _now()
            await daemon.kill()
            self._died(daemon, pid, "kill", told, -9)
            await asyncio.sleep(strike.seconds)
            return f"{daemon.name} {pid}, {await self._start(daemon)}"

    async def _term_daemon(self, strike: Strike) -> str:
        async with self._victim(strike) as daemon:
            pid, told = daemon.pid, _now()
            code = await daemon.stop()
            self._died(daemon, pid, "term", told, code)
            await asyncio.sleep(strike.seconds)
            return f"{daemon.name} {pid}, {await self._start(daemon)}"

    async def _freeze_daemon(self, strike: Strike) -> str:
        async with self._victim(strike) as daemon:
            daemon.answers = False
            daemon.send(signal.SIGSTOP)
            await asyncio.sleep(strike.seconds)
            daemon.send(signal.SIGCONT)
            daemon.answers = True
            return f"{daemon.name} {daemon.pid}, {strike.seconds:.1f} s"

    def _died(self, daemon: Daemon, pid: int, how: str, told: float, code: int) -> None:
        assert how in ("kill", "term")
        self._journal.write(
            Life(daemon.name, pid, self._born[daemon.name], _now(), "kill" if how == "kill" else "term", told, code)
        )

    async def _start(self, daemon: Daemon) -> str:
        """As a supervisor does: again and again, because it cannot start without its database."""
        began = self._born[daemon.name] = _now()
        tries = 0
        async with asyncio.timeout(START_SECONDS):
            while True:
                tries += 1
                try:
                    await daemon.start()
                except RuntimeError:
                    await asyncio.sleep(0.5)
                else:
                    return f"back after {_now() - began:.1f} s, {tries} tries"

    # -- the database ------------------------------------------------------------------------

    async def _stop_database(self, strike: Strike) -> str:
        assert self._postgres is not None
        await asyncio.to_thread(self._postgres.crash)
        await asyncio.sleep(strike.seconds)
        await asyncio.to_thread(self._postgres.resume)
        return f"{strike.seconds:.1f} s"

    # -- the configuration -------------------------------------------------------------------

    async def _spoil_config(self, strike: Strike) -> str:
        """A bad file, and the daemon is told to read it; it has to say no, and go on with what it has."""
        dice = random.Random(strike.detail)  # noqa: S311 - a test's faults
        async with self._victim(strike) as daemon:
            good = daemon.config.read_text(encoding="utf-8")
            way = dice.randrange(len(BROKEN))
            daemon.config.write_bytes(BROKEN[way](good, dice) + SURELY_BAD)
            try:
                by_signal = dice.random() < 0.5
                told = await (self._by_signal(daemon) if by_signal else self._by_request(daemon))
            finally:
                daemon.config.write_text(good, encoding="utf-8")
            return f"{daemon.name} {daemon.pid}, way {way}: {told}"

    async def _by_signal(self, daemon: Daemon) -> str:
        before = daemon.counted["settings_not_reloaded"]
        daemon.send(signal.SIGHUP)

        async def refused() -> bool:
            return daemon.counted["settings_not_reloaded"] > before

        await eventually(refused, HEAL_SECONDS)
        return "refused by SIGHUP"

    async def _by_request(self, daemon: Daemon) -> str:
        """What `llmgate config reload` does."""
        answer = await self._cluster.client.post(
            f"{daemon.url}/admin/v1/settings/reload",
            headers={"authorization": f"Bearer {self._cluster.admin}"},
            timeout=HEAL_SECONDS,
        )
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        code = answer.json()["code"] if is_problem else ""
        if code == "store_unavailable":  # who asks is not known without the database
            return await self._by_signal(daemon)
        if (answer.status_code, code) != (409, "config_invalid"):
            self._journal.note("log", f"{daemon.name}: a bad configuration was answered with {answer.text[:200]!r}")
        return "refused by request"


def _now() -> float:
    return asyncio.get_running_loop().time()
