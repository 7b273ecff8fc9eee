"""The private broker and database of the tests, as the demo needs them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from deploy.cluster_demo.children import Note, in_thread
from tests.services.postgres import PostgresServer
from tests.services.rabbitmq import RabbitServer

LOOK_SECONDS = 0.5


class Broker(RabbitServer):
    """A broker that can be killed from outside, and comes back."""

    @property
    def pid(self) -> int:
        assert self._broker is not None  # noqa: S101 - it was started
        return self._broker.pid

    async def keep(self, pause: float, note: Note) -> None:
        """Start it again, some seconds after it has ended. Runs until cancelled."""
        while True:
            while self._broker is None or self._broker.poll() is None:
                await asyncio.sleep(LOOK_SECONDS)
            note(f"RabbitMQ (pid {self.pid}) ended with status {self._broker.returncode}")
            await asyncio.sleep(pause)
            try:
                await in_thread(self.start)
            except RuntimeError as failure:
                note(f"RabbitMQ does not start: {failure}")
            else:
                note(f"RabbitMQ is started again (pid {self.pid})")


class Database(PostgresServer):
    def start(self) -> None:
        super().start()
        self.execute("CREATE DATABASE llmgate")

    def stop(self) -> None:
        """At once, by force if need be; harmless when it does not run."""
        if self._pid() is None:
            return
        # Ctrl-C goes to every process of the terminal: one more of it must not end the program that stops the server.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
        try:
            super().stop()
        except RuntimeError:
            if pid := self._pid():
                os.kill(pid, signal.SIGKILL)  # its own processes end when it has
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _pid(self) -> int | None:
        """The server's, if it runs: the file may be older than another process of that number."""
        try:
            pid = int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return None
        return pid if os.fsencode(self._data) in command else None
