"""RabbitMQConnection: one plain connection to the broker, with a deadline on everything.

aio-pika's robust connections restore channels, queues and consumers by themselves, and would silently take a lock again
that another daemon should have. Here a connection that is lost stays lost; the manager makes new ones.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from llmgate.config import QueueSettings
from llmgate.errors import BrokerUnavailable, ConfigError

HEARTBEAT_SECONDS = 4
"""The broker lets go of a frozen daemon's lock after two to three of them, 12 seconds at most."""
CONNECT_SECONDS = 3.0
CALL_SECONDS = 3.0
"""Longest wait for the broker's answer to a declaration."""
CLOSE_SECONDS = 1.0

_PERMIT = "rabbitmqctl set_permissions …"

FAILURES = (AMQPError, OSError, TimeoutError, RuntimeError)
"""What aio-pika raises when a connection is, or goes, bad."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, and how to get in. ``shown`` has no password."""

    url: str
    shown: str
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, settings: QueueSettings) -> BrokerAddress:
        """Raises ConfigError for certificates that cannot be read."""
        url = URL(settings.url.get_secret_value())
        shown = str(url.with_user(None).with_query(None))
        return cls(str(url.update_query(heartbeat=str(HEARTBEAT_SECONDS))), shown, tls_context(url, settings))


def tls_context(url: URL, settings: QueueSettings) -> ssl.SSLContext | None:
    """For amqps: the system's authorities or the one that is configured, and this client's certificate."""
    if url.scheme != "amqps":
        return None
    try:
        context = ssl.create_default_context(cafile=_path(settings.tls_ca_file))
        if settings.tls_cert_file is not None:
            context.load_cert_chain(settings.tls_cert_file, _path(settings.tls_key_file))
    except (OSError, ssl.SSLError) as failure:
        raise ConfigError(f"The certificates of queue.tls_* cannot be used: {failure}.") from None
    return context


def _path(path: Path | None) -> str | None:
    return str(path) if path is not None else None


class _Connection(aio_pika.Connection):
    """One that could not be opened may be forgotten after the event loop has ended: then there is nobody to close it,
    and no reason for a warning on the user's terminal."""

    def __del__(self) -> None:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            super().__del__()


class RabbitMQConnection:
    """A connection for one role. ``on_lost`` is called once, with the reason, unless ``close`` came first."""

    def __init__(self, address: BrokerAddress, name: str, on_lost: Callable[[str], None]) -> None:
        self._address = address
        self._name = name
        self._on_lost = on_lost
        self._connection: AbstractConnection | None = None
        self._closing = False
        self.version = ""
        """The broker's, e.g. ``3.10.8``, once it is open."""

    async def open(self) -> None:
        """Connect. Raises ConfigError for what an operator has to mend, BrokerUnavailable for the rest."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await aio_pika.connect(
                    self._address.url,
                    ssl_context=self._address.tls,
                    client_properties={"connection_name": self._name},
                    connection_class=_Connection,
                )
        except FAILURES as failure:
            raise explain(failure, self._address.shown) from None
        self._connection = connection
        connection.close_callbacks.add(self._closed)
        underlay = connection.transport.connection if connection.transport else None
        told = getattr(underlay, "server_properties", {}).get("version", "")
        self.version = told.decode("ascii", "replace") if isinstance(told, bytes) else str(told)

    async def channel(self) -> AbstractChannel:
        """A new channel with publisher confirms. Raises what ``open`` does."""
        if self._connection is None:
            raise BrokerUnavailable("The broker is not connected.")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                underlay = self._connection.transport.connection if self._connection.transport else None
                if underlay is None:
                    raise BrokerUnavailable("The connection to the broker is gone.")
                channel: AbstractChannel = await underlay.channel(publisher_confirms=True, on_return_raises=False)
                return channel
        except FAILURES as failure:
            raise explain(failure, self._address.shown) from None

    async def close(self) -> None:
        """Let go of it, within a second also when the broker hangs."""
        self._closing = True
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        underlay = connection.transport.connection if connection.transport else None
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()
        except FAILURES:
            _cut(underlay)

    def _closed(self, _sender: object, reason: BaseException | None = None) -> None:
        if not self._closing:
            self._closing = True
            self._on_lost(_words(reason) if reason else "the broker closed the connection")


def _cut(underlay: object) -> None:
    """Close the socket of a connection whose broker does not answer, without waiting for it."""
    for name in ("_writer_task", "_reader_task"):
        task = getattr(underlay, name, None)
        if isinstance(task, asyncio.Task):
            task.cancel()


def explain(failure: BaseException, shown: str) -> ConfigError | BrokerUnavailable:
    """What a failure to connect or to declare means for the operator."""
    if isinstance(failure, ConfigError | BrokerUnavailable):
        return failure
    text = _words(failure)
    message, hint = f"The broker at {shown} cannot be reached: {text}.", "Check queue.url."
    if shown.startswith("amqps"):  # who lacks a certificate is often just hung up on
        hint = "Check queue.url and queue.tls_*."
    if isinstance(failure, ProbableAuthenticationError) or "ACCESS_REFUSED - Login" in text:
        return ConfigError(f"The broker at {shown} refuses the login of queue.url.", hint="Check user and password.")
    if isinstance(failure, ssl.SSLError) or isinstance(failure.__cause__, ssl.SSLError):
        message, hint = f"No TLS with the broker at {shown}: {failure}.", "Check queue.url and queue.tls_*."
    elif "NOT_ALLOWED" in text and "not found" in text:
        message = f"The virtual host of queue.url does not exist at {shown}."
        hint = "Create it (rabbitmqctl add_vhost), or correct the last part of the URL."
    elif "NOT_ALLOWED" in text and "limit" not in text and "is down" not in text:
        message, hint = f"The user of queue.url may not use the virtual host at {shown}.", _PERMIT
    elif isinstance(failure, ChannelAccessRefused) or "ACCESS_REFUSED" in text:
        message = f"The user of queue.url lacks a permission at {shown}: {text}."
        hint = f"It needs configure, write and read on 'llmgate\\..*': {_PERMIT}"
    else:
        return BrokerUnavailable(message, hint=hint)
    return ConfigError(message, hint=hint)


def _told(failure: BaseException) -> str:
    """Why the broker has closed a connection that was about to be opened. aiormq only says that it did not expect the
    frame that tells it; that frame is where it gave up."""
    trace = failure.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame.f_locals.get("frame") if trace is not None else None
    return str(getattr(frame, "reply_text", ""))


def _words(failure: BaseException) -> str:
    """One line of what happened, without addresses of objects."""
    if isinstance(failure, InvalidFrameError) and (told := _told(failure)):
        return told
    if isinstance(failure, TimeoutError):
        return "it does not answer in time"
    if isinstance(failure, aiormq.exceptions.AMQPChannelError | ConnectionClosed) and len(failure.args) > 1:
        return str(failure.args[1]).splitlines()[0]
    return (str(failure) or type(failure).__name__).splitlines()[0]
