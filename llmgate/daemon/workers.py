"""Several workers on one machine: processes of their own that accept on one listening socket.

Their parent binds the socket, starts them, starts again those that die, and says when to stop. It serves
nothing itself and opens neither the database nor the broker.

Each worker and the parent hold the two ends of a socket pair (a pipe could be opened by others of the same
user through /proc, a socket cannot) and write lines of words:

    parent → worker    token TOKEN             first of all: what makes the first administrator
    worker → parent    ready | ready setup     it accepts requests; there is no administrator yet
    worker → parent    drains SECONDS          so long it may take to drain
    worker → parent    reloaded                it was asked to, and has: the others shall do it as well
    parent → worker    drain | cut             stop kindly; end what still runs
    parent → worker    reload                  read the configuration again

A worker that reads the end instead of a line has lost its parent, and drains. Orders are words, not signals,
because a daemon counts signals: systemd sends SIGTERM to every process of a service, and one passed on by the
parent would be the worker's second, which ends running answers.
"""

from __future__ import annotations

import asyncio
import enum
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from llmgate.daemon.auth.sealed import new_setup_token
from llmgate.daemon.backlog import close_for_good
from llmgate.daemon.terminal import Terminal
from llmgate.errors import StartupError

SPARE_SECONDS = 15.0
"""What a worker may take to end beyond its drain, before it is killed."""


class Order(enum.StrEnum):
    """What a parent tells its worker. An order that is given twice is the same order."""

    RELOAD = "reload"
    DRAIN = "drain"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Handover:
    """What a worker is told on its command line: its number (from 1) and two inherited descriptors."""

    number: int
    listener: int
    channel: int

    def __str__(self) -> str:
        return f"{self.number}:{self.listener}:{self.channel}"

    @classmethod
    def parse(cls, text: str) -> Handover:
        """Raises ValueError for what is none."""
        number, listener, channel = map(int, text.split(":"))
        return cls(number, listener, channel)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds before a dead worker is started again: twice as many each time, until it has held out."""

    first: float = 0.5
    longest: float = 30.0
    held_out: float = 60.0


class Parent:
    """A worker's end of the channel."""

    def __init__(self, setup_token: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.setup_token = setup_token
        self._reader = reader
        self._writer = writer

    def ready(self, *, needs_setup: bool) -> None:
        """Say that this worker accepts requests, and whether the token is of use."""
        self._writer.write(b"ready setup\n" if needs_setup else b"ready\n")

    def drains(self, seconds: float) -> None:
        """Say how long draining may take, which can change while the worker runs."""
        self._writer.write(f"drains {seconds}\n".encode())

    def reloaded(self) -> None:
        """Say that this worker has read the configuration again, so that the others do it as well."""
        self._writer.write(b"reloaded\n")

    async def orders(self) -> AsyncIterator[Order]:
        """What the parent says from now on; its end is an order to drain."""
        while line := await _line(self._reader):
            yield Order(line)
        yield Order.DRAIN


@asynccontextmanager
async def parent_of(handover: Handover) -> AsyncIterator[tuple[Parent, socket.socket]]:
    """In a worker: its parent, and the listening socket. Raises StartupError when there is no parent."""
    try:
        listener = socket.socket(fileno=handover.listener)
        channel = socket.socket(fileno=handover.channel)
    except OSError:
        raise StartupError("Workers are started by `llmgate serve --workers`, not by hand.") from None
    listener.set_inheritable(False)
    channel.set_inheritable(False)
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    try:
        word, _, token = (await _line(reader)).partition(" ")
        if word != "token" or not token:
            raise StartupError("The process that started this worker is gone.")
        yield Parent(token, reader, writer), listener
    finally:
        writer.close()


async def _line(reader: asyncio.StreamReader) -> str:
    """A line without its end; empty when the other side is gone."""
    try:
        return (await reader.readline()).decode().rstrip("\n")
    except ConnectionError:  # it went away without having read everything
        return ""


class _Worker:
    """One of the workers: the process that it is now, if it is one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.settled = asyncio.Event()
        """It has been ready once, or never will be."""
        self.needs_setup = False
        self.ready_at: float | None = None
        self.drain_seconds = 0.0
        self._process: Process | None = None
        self._channel: asyncio.StreamWriter | None = None
        self._is_to_stop = self._is_to_reload = False
        self._log = structlog.get_logger("llmgate.workers")

    async def live(
        self,
        command: Sequence[str],
        listener: socket.socket,
        token: str,
        environment: Mapping[str, str],
        on_reloaded: Callable[[], None],
    ) -> int:
        """Be a process from its start to its end. Returns its exit code, negative for a signal."""
        self.ready_at, self._is_to_reload = None, False
        ours, theirs = socket.socketpair()
        with theirs:
            handover = Handover(self.number, listener.fileno(), theirs.fileno())
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    str(handover),
                    stdin=DEVNULL,
                    pass_fds=(handover.listener, handover.channel),
                    env={**os.environ, **environment},
                    # Ctrl-C on the terminal is for the parent alone, which then says what to do.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        reader, self._channel = await asyncio.open_unix_connection(sock=ours)
        self._channel.write(f"token {token}\n".encode())
        if self._is_to_stop:  # ordered while it was being started
            self._signal(signal.SIGTERM)
        try:
            word, _, setup = (await _line(reader)).partition(" ")
            if word == "ready":
                self.ready_at = asyncio.get_running_loop().time()
                self.needs_setup = bool(setup)
                self.settled.set()
                self._log.info("worker_ready", worker=self.number, pid=self._process.pid)
                if self._is_to_reload:
                    self.reload()
                while line := await _line(reader):
                    if line == "reloaded":
                        on_reloaded()
                    else:
                        self.drain_seconds = float(line.removeprefix("drains "))
            return await self._process.wait()
        finally:
            self._channel.close()
            self._process = self._channel = None

    def order(self, order: Order) -> None:
        self._is_to_stop = True
        if self._process is None or self._channel is None:
            return
        if self.ready_at is None:
            # It serves nobody, and may be far from reading orders.
            self._signal(signal.SIGTERM)
        else:
            self._channel.write(f"{order}\n".encode())

    def reload(self) -> None:
        """One that is still starting may have read the old configuration: it is told as soon as it can hear."""
        self._is_to_reload = self.ready_at is None
        if self._channel is not None and self.ready_at is not None:
            self._channel.write(f"{Order.RELOAD}\n".encode())

    def kill(self) -> bool:
        """Whether there was still something to kill."""
        return self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> bool:
        if self._process is None:
            return False
        try:
            self._process.send_signal(number)
        except ProcessLookupError:  # it has ended in this moment
            return False
        return True


class Workers:
    """The parent's side: ``count`` processes of ``command``, to which a Handover is appended."""

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        listener: socket.socket,
        *,
        stop_seconds: float,
        pauses: Pauses | None = None,
        environment: Mapping[str, str] | None = None,
        died: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``stop_seconds`` after the order to drain, workers that still run are killed. ``environment`` is what they
        find there beside our own; ``died`` hears the number of each whose process has ended."""
        self._command = command
        self._environment = environment or {}
        self._died = died
        self._listener = listener
        self._stop_seconds = stop_seconds
        self._pauses = pauses or Pauses()
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._token = new_setup_token()
        self._stopping = asyncio.Event()
        self._terminal = Terminal()
        self._deadline: asyncio.TimerHandle | None = None
        self._exit_code = 0
        self._failure: StartupError | None = None
        self._log = structlog.get_logger("llmgate.workers")

    async def run(self, announce: Callable[[str | None], None]) -> int:
        """Run until SIGTERM or SIGINT, or until a worker fails to start; return the exit code for all.

        ``announce`` is called once all are ready, with the setup token if there is no administrator. The first
        worker starts alone: what only one may do (migrations) or should say (an error in the settings) is then
        done and said once. Raises StartupError for a worker that never was ready and cannot have said why.
        """
        first, *others = self._workers
        with self._signals_stop():
            keeping = [asyncio.create_task(self._keep(first))]
            try:
                await first.settled.wait()
                if not self._stopping.is_set():
                    keeping += [asyncio.create_task(self._keep(worker)) for worker in others]
                    for worker in others:
                        await worker.settled.wait()
                if not self._stopping.is_set():
                    announce(self._token if first.needs_setup else None)
                await asyncio.gather(*keeping)
            except BaseException:
                # Whatever went wrong here, the workers can still stop kindly.
                if not self._stopping.is_set():
                    self.stop()
                await asyncio.wait(keeping)
                raise
            finally:
                if self._deadline is not None:
                    self._deadline.cancel()
        if self._failure is not None:
            raise self._failure
        return self._exit_code

    def stop(self) -> None:
        """The first call lets the workers drain, any further one ends what they still run."""
        is_first = not self._stopping.is_set()
        self._stopping.set()
        close_for_good(self._listener)
        for worker in self._workers:
            worker.order(Order.DRAIN if is_first else Order.CUT)
        if self._deadline is not None:
            self._deadline.cancel()
        longest = max(self._stop_seconds, *(worker.drain_seconds + SPARE_SECONDS for worker in self._workers))
        seconds = longest if is_first else min(longest, SPARE_SECONDS)
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._kill)

    def _hung_up(self) -> None:
        """SIGHUP: the workers read the configuration again, unless it means that our terminal is gone."""
        if self._terminal.is_gone:
            self.stop()
        else:
            self._reload()

    def _reload(self, but: _Worker | None = None) -> None:
        for worker in self._workers:
            if worker is not but:
                worker.reload()

    @contextmanager
    def _signals_stop(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _keep(self, worker: _Worker) -> None:
        """Let a worker live again and again, until all stop."""
        pause = self._pauses.first
        try:
            while not self._stopping.is_set():
                code = await self._live(worker)
                if self._stopping.is_set():
                    self._ended(worker, code)
                elif not worker.settled.is_set():
                    self._failed(worker, code)
                else:
                    if worker.ready_at is not None and self._now() - worker.ready_at >= self._pauses.held_out:
                        pause = self._pauses.first
                    self._log.error("worker_died", worker=worker.number, **_how(code), restart_in=pause)
                    await self._paused(pause)
                    pause = min(2 * pause, self._pauses.longest)
        finally:
            worker.settled.set()

    async def _live(self, worker: _Worker) -> int:
        try:
            return await worker.live(
                self._command, self._listener, self._token, self._environment, lambda: self._reload(but=worker)
            )
        except OSError as failure:  # no memory, no processes
            self._log.error("worker_not_started", worker=worker.number, error=str(failure))
            return 1
        finally:
            self._died(worker.number)

    async def _paused(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _ended(self, worker: _Worker, code: int) -> None:
        """Judge how a worker ended that was to stop."""
        was_starting = worker.ready_at is None and code == -signal.SIGTERM
        if code and not was_starting:
            self._log.error("worker_ended_badly", worker=worker.number, **_how(code))
            self._exit_code = self._exit_code or max(code, 1)

    def _failed(self, worker: _Worker, code: int) -> None:
        """Stop everything, because a worker has ended without ever being ready."""
        if code > 0:
            self._exit_code = self._exit_code or code
        else:
            how = " ".join(f"{name} {value}" for name, value in _how(code).items()).replace("_", " ")
            self._failure = StartupError(f"Worker {worker.number} ended before it was ready, with {how}.")
        if not self._stopping.is_set():
            self.stop()

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.kill():
                self._log.error("worker_killed", worker=worker.number, reason="it did not stop in time")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _how(code: int) -> dict[str, Any]:
    """How a process ended, from the code that asyncio gives."""
    if code >= 0:
        return {"exit_code": code}
    try:
        return {"signal": signal.Signals(-code).name}
    except ValueError:  # a real-time signal has no name
        return {"signal": -code}
