"""The composition root: every object of a daemon is built here, once, and closed in reverse order."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from llmgate.config import Settings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.ip_whitelist import Whitelist, client_address
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.secrets import ServerSecret, load_or_create
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.auth.setup import FirstAdmin
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.changes import Changes
from llmgate.daemon.clock import utc_now
from llmgate.daemon.events import Event, EventBus, RequestFinished, UpstreamChanged
from llmgate.daemon.exchange import Scope
from llmgate.daemon.gateway import Gateway
from llmgate.daemon.metrics import Metrics
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.revocation import Relearning
from llmgate.daemon.store import instance
from llmgate.daemon.store.database import Database, sqlite_url
from llmgate.daemon.supervisor import Supervisor
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.daemon.usage import UsageRecorder
from llmgate.errors import StoreUnavailable

FLUSH_SECONDS = 5.0
"""At shutdown, longest wait for the last usage to be written."""


@dataclass(slots=True)
class Services:
    """The objects of one running daemon."""

    settings: Settings
    database: Database
    changes: Changes
    secret: ServerSecret
    hasher: PasswordHasher
    sessions: Sessions
    first_admin: FirstAdmin
    whitelist: Whitelist
    authenticator: Authenticator
    queue: QueueManagerInterface
    upstreams: UpstreamRegistry
    bus: EventBus
    usage: UsageRecorder
    metrics: Metrics
    gateway: Gateway
    supervisor: Supervisor
    client_address: Callable[[Scope], str]
    started_at: datetime = field(default_factory=utc_now)
    draining: bool = False

    def rights_changed(self) -> None:
        """Somebody was revoked, disabled or changed: from now on everybody is judged anew, in all daemons."""
        self.authenticator.invalidate()
        self.queue.tell_revoked()

    async def not_ready(self) -> list[str]:
        """Why the daemon should not be sent requests; empty when it is ready."""
        reasons = [f"the background task {name} died: {why}" for name, why in self.supervisor.failed.items()]
        if self.draining:
            reasons.append("shutting down")
        try:
            await self.database.ping()
        except StoreUnavailable as failure:
            reasons.append(failure.message)
        if not self.upstreams.any_usable():
            reasons.append("no upstream is usable")
        queue = self.queue.status()
        if not queue.serves:
            reasons.append(f"the queue is {queue.state}, without any slot here: {queue.reason}")
        return reasons

    async def drain(self) -> None:
        """Shut down kindly: what waits ends now, what runs may go on for ``drain_seconds``."""
        if self.draining:
            return
        self.draining = True
        self.gateway.refuse_new()
        await self.queue.shut()
        await self.gateway.finished(self.settings.server.drain_seconds)


def address_resolver(trusted_proxies: Sequence[str]) -> Callable[[Scope], str]:
    """A function from an ASGI scope to the client's address, believing only ``trusted_proxies``."""
    trusted = [ipaddress.ip_network(network, strict=False) for network in trusted_proxies]

    def resolve(scope: Scope) -> str:
        peer = scope["client"][0] if scope.get("client") else ""
        if not trusted:
            return client_address(peer, (), ())
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer, forwarded, trusted)

    return resolve


def database_url(settings: Settings) -> str:
    """Where the data is: the configured server, or SQLite in the state directory."""
    return settings.database.url.get_secret_value() or sqlite_url(settings.state.dir / "llmgate.db")


async def open_database(settings: Settings) -> tuple[Database, ServerSecret]:
    """A migrated database together with the secret it was made with. The caller closes the database.

    Raises StateUnreadable, StoreUnavailable or StartupError, each saying what to do.
    """
    database = Database(
        database_url(settings), pool_size=settings.database.pool_size, timeout=settings.database.timeout
    )
    await database.connect()
    try:
        await database.migrate()
        async with database.begin() as tx:
            # A new secret beside an old database would make every key in it useless.
            is_new = await instance.get(tx, "secret_fingerprint") is None
            path = settings.state.secret_file or settings.state.dir / "secret.key"
            secret = load_or_create(path, may_create=is_new)
            await instance.check_secret(tx, secret.fingerprint)
    except BaseException:
        await database.close()
        raise
    return database, secret


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Build and start everything; stop and close it in reverse order."""
    async with AsyncExitStack() as stack:
        database, secret = await open_database(settings)
        stack.push_async_callback(database.close)
        bus = EventBus()
        bus.subscribe(log_event)
        hasher = PasswordHasher(min_length=settings.auth.password_min_length)
        stack.callback(hasher.close)
        changes = Changes(database, secret.derive("activity"), bus)
        sessions = Sessions(database, changes, hasher, secret, settings, LoginThrottle())
        whitelist = Whitelist()
        async with database.read() as tx:
            await whitelist.reload(tx)
        authenticator = Authenticator(database, sessions, secret, whitelist, settings)
        relearning = Relearning(database, whitelist, authenticator)
        queue = create_queue(settings, secret, bus, relearning)
        stack.push_async_callback(queue.close)
        upstreams = UpstreamRegistry(settings.upstreams, settings.health, queue, bus)
        stack.push_async_callback(upstreams.close)
        usage = UsageRecorder(database, authenticator, settings.usage)
        bus.subscribe(usage)
        stack.push_async_callback(_flush, usage)
        metrics = Metrics(queue)
        bus.subscribe(metrics)
        resolve_address = address_resolver(settings.server.trusted_proxies)
        supervisor = Supervisor()
        stack.push_async_callback(supervisor.stop)
        services = Services(
            settings=settings,
            database=database,
            changes=changes,
            secret=secret,
            hasher=hasher,
            sessions=sessions,
            first_admin=FirstAdmin(database, changes, hasher),
            whitelist=whitelist,
            authenticator=authenticator,
            queue=queue,
            upstreams=upstreams,
            bus=bus,
            usage=usage,
            metrics=metrics,
            gateway=Gateway(settings, authenticator, upstreams, queue, bus, resolve_address),
            supervisor=supervisor,
            client_address=resolve_address,
        )
        supervisor.start("relearning", relearning.run())
        await queue.start()
        supervisor.start("queue", queue.run())
        await upstreams.start()
        supervisor.start("upstreams", upstreams.run())
        supervisor.start("usage", usage.run())
        supervisor.start("credentials", services.gateway.watch_credentials())
        yield services


def create_queue(
    settings: Settings, secret: ServerSecret, bus: EventBus, relearning: Relearning
) -> QueueManagerInterface:
    """The backend that is configured. Raises ConfigError."""
    if settings.queue.backend == "memory":
        return MemoryQueueManager(settings.queue, emit=bus.publish)
    from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager  # noqa: PLC0415 - one daemon needs no broker

    return RabbitMQManager(
        settings.queue,
        boot=secrets.token_hex(6),
        name=f"{socket.gethostname()}/{os.getpid()}",
        shape=shape_of(settings, secret),
        pools=[upstream.pool_name for upstream in settings.upstreams],
        emit=bus.publish,
        on_revoked=relearning.note,
    )


def shape_of(settings: Settings, secret: ServerSecret) -> dict[str, str | float]:
    """What must be the same in all daemons of a cluster, by its name in the configuration."""
    queue = settings.queue
    shape: dict[str, str | float] = {
        "secret key": secret.fingerprint,
        "queue.queue_type": queue.queue_type,
        "queue.aging_seconds": queue.aging_seconds,
        "queue.aged_share": queue.aged_share,
        "queue.settle_ms": queue.settle_ms,
    }
    for upstream in settings.upstreams:
        shape[f"upstreams.{upstream.name}.pool"] = upstream.pool_name
        shape[f"upstreams.{upstream.name}.slots"] = upstream.slots
    return shape


async def _flush(usage: UsageRecorder) -> None:
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await usage.flush()
    except Exception:  # the daemon is going down: what matters now is that the loss is named
        structlog.get_logger("llmgate.usage").exception("usage_lost", rows=usage.pending)


_requests_log = structlog.get_logger("llmgate.request")


def log_event(event: Event) -> None:
    """One line for each finished request and each change of an upstream."""
    if isinstance(event, RequestFinished):
        _requests_log.info(
            "request",
            id=event.request_id,
            principal=f"{event.principal_kind}:{event.principal_id}",
            route=event.route,
            model=event.model,
            upstream=event.upstream,
            level=event.submitted_level,
            outcome=event.outcome.value,
            status=event.status,
            error=event.error_code,
            wait_ms=round(event.wait * 1000),
            duration_ms=round(event.duration * 1000),
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
        )
    elif isinstance(event, UpstreamChanged):
        say = _requests_log.info if event.usable else _requests_log.warning
        say("upstream_changed", upstream=event.upstream, before=event.before, after=event.after, reason=event.reason)
