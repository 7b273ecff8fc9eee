"""The composition root: every object of a daemon is built here, once, and closed in reverse order."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from llmgate.config import LoadedSettings, Settings, UpstreamSettings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.ip_whitelist import Whitelist, client_address
from llmgate.daemon.auth.owners import Owners
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.secrets import ServerSecret, load_or_create
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.auth.setup import FirstAdmin
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.backend import create_queue, own_name, shape_of
from llmgate.daemon.budget import Reads
from llmgate.daemon.chain import ActivityChain
from llmgate.daemon.changes import Changes
from llmgate.daemon.chat.address import private_address
from llmgate.daemon.chat.chat import Chat
from llmgate.daemon.chat.peers import Peers
from llmgate.daemon.clock import utc_now
from llmgate.daemon.connections import Connections
from llmgate.daemon.events import EventBus
from llmgate.daemon.exchange import Scope
from llmgate.daemon.gateway import Gateway
from llmgate.daemon.limits.keeper import TOPIC as LIMITS
from llmgate.daemon.limits.keeper import LimitKeeper
from llmgate.daemon.live import LiveSettings, as_loaded
from llmgate.daemon.logs import set_log_level
from llmgate.daemon.machine import Machine
from llmgate.daemon.observers import Observers, change_of_settings, observe
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.reconfiguration import Reconfiguration, learn
from llmgate.daemon.retention import Retention
from llmgate.daemon.revocation import Relearning
from llmgate.daemon.store import instance
from llmgate.daemon.store.database import Database, sqlite_url
from llmgate.daemon.store.spool import UsageSpool
from llmgate.daemon.supervisor import Supervisor
from llmgate.daemon.upstreams import effective
from llmgate.daemon.upstreams.capabilities import CapabilityBook
from llmgate.daemon.upstreams.models import ModelKeeper
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.daemon.upstreams.sealing import TokenSeal
from llmgate.daemon.usage import UsageRecorder
from llmgate.errors import StoreUnavailable

ACTIVITY_KEY = "activity"
"""The purpose of the key that the activity log is chained with, see ``ServerSecret.derive``."""
PEERS = "chat peers"
"""The purpose of the key that daemons use who show each other their turns."""
STOP = "stop"
"""The topic under which daemons tell each other which request is to be ended."""
FLUSH_SECONDS = 5.0
"""At shutdown, longest wait for the last usage to be written."""


@dataclass(slots=True)
class Services:
    """The objects of one running daemon."""

    live: LiveSettings
    reconfiguration: Reconfiguration
    database: Database
    changes: Changes
    chain: ActivityChain
    secret: ServerSecret
    hasher: PasswordHasher
    sessions: Sessions
    first_admin: FirstAdmin
    whitelist: Whitelist
    authenticator: Authenticator
    owners: Owners
    queue: QueueManagerInterface
    upstreams: UpstreamRegistry
    capabilities: CapabilityBook
    seal: TokenSeal
    models: ModelKeeper
    bus: EventBus
    usage: UsageRecorder
    limits: LimitKeeper
    observers: Observers
    machine: Machine
    gateway: Gateway
    chat: Chat
    supervisor: Supervisor
    client_address: Callable[[Scope], str]
    reads: Reads = field(default_factory=Reads)
    started_at: datetime = field(default_factory=utc_now)
    draining: bool = False
    connections: Connections = field(init=False)

    def __post_init__(self) -> None:
        self.connections = Connections(lambda: self.live.server, self.bus.publish)

    def rights_changed(self) -> None:
        """Somebody was revoked, disabled or changed: from now on everybody is judged anew, in all daemons."""
        self.authenticator.invalidate()
        self.queue.tell_revoked()

    def stop_running(self, request_id: str) -> None:
        """End a request that holds a slot, in whichever daemon it is answered."""
        if not self.gateway.stop(request_id):
            self.queue.tell(STOP, request_id)

    @property
    def settings(self) -> Settings:
        """Those in effect at this moment: not to be kept."""
        return self.live.settings

    @property
    def configuration_file(self) -> str:
        """The file, in words where there is none."""
        return str(self.live.loaded.path or "the configuration file")

    async def upstreams_changed(self) -> None:
        """The upstreams of the database were changed: take them over, here and in all other daemons."""
        await self.reconfiguration.spread()

    async def settle(self) -> None:
        """The settings may have changed, or the upstreams of the database: work with those from now on."""
        known = await _upstreams_of(self.database, self.settings, self.seal)
        self.upstreams.apply(known)
        shape = shape_of(self.settings, known, self.secret, self.reconfiguration.version)
        self.queue.apply(self.settings.queue, shape)

    def follow(self, before: Settings, after: Settings) -> None:
        """The settings have changed: act on what nobody reads anew each time."""
        if (before.auth, before.levels) != (after.auth, after.levels):
            self.authenticator.invalidate()
        if before.health != after.health:
            self.upstreams.apply_health(after.health)

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
        self.observers.feed.close()
        self.chat.refuse_new()
        self.gateway.refuse_new()
        self.models.stop()
        await self.queue.shut()
        await self.gateway.finished(self.settings.server.drain_seconds)
        await self.chat.close()


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


def secret_path(settings: Settings) -> Path:
    """Where the secret key is."""
    return settings.state.secret_file or settings.state.dir / "secret.key"


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
            secret = load_or_create(secret_path(settings), may_create=is_new)
            await instance.check_secret(tx, secret.fingerprint)
    except BaseException:
        await database.close()
        raise
    return database, secret


def changes_of(database: Database, secret: ServerSecret, bus: EventBus | None = None) -> Changes:
    """What writes into the activity log of this database."""
    return Changes(database, secret.derive(ACTIVITY_KEY), bus or EventBus())


def seal_of(secret: ServerSecret) -> TokenSeal:
    """What encrypts the bearer tokens of upstreams."""
    return TokenSeal(secret.derive("upstream tokens"))


@asynccontextmanager
async def open_services(configuration: Settings | LoadedSettings) -> AsyncIterator[Services]:
    """Build and start everything; stop and close it in reverse order."""
    async with AsyncExitStack() as stack:
        bus = EventBus()
        live = _live(configuration, bus)
        database, secret = await open_database(live.settings)
        stack.push_async_callback(database.close)
        version = await learn(database, live)
        settings = live.settings
        changes = changes_of(database, secret, bus)
        access = await _open_access(stack, live, database, changes, secret)
        relearning = Relearning(database, access.whitelist, access.authenticator)
        known = await _upstreams_of(database, settings, seal_of(secret))
        queue = create_queue(settings, known, secret, version, bus, relearning)
        stack.push_async_callback(queue.close)
        upstreams = UpstreamRegistry(known, settings.health, queue, bus)
        capabilities, models = CapabilityBook(upstreams), ModelKeeper(upstreams, changes)
        for close in (upstreams.close, capabilities.close, models.close):
            stack.push_async_callback(close)
        usage = UsageRecorder(database, access.authenticator, settings.usage, _spool_of(settings))
        stack.push_async_callback(usage.finish, FLUSH_SECONDS)
        limits = create_limits(usage, queue)
        resolve_address = address_resolver(settings.server.trusted_proxies)
        gateway = Gateway(live, access.authenticator, upstreams, queue, limits, bus, resolve_address)
        chat = Chat(gateway, access.authenticator, access.sessions, upstreams, capabilities, queue, database, live)
        stack.push_async_callback(chat.close)
        supervisor = Supervisor()
        stack.push_async_callback(supervisor.stop)
        reconfiguration = Reconfiguration(live, version, database, changes, queue, lambda: services.settle())  # noqa: PLW0108 - made after it
        services = Services(
            live=live,
            reconfiguration=reconfiguration,
            database=database,
            changes=changes,
            chain=ActivityChain(database, secret.derive(ACTIVITY_KEY)),
            secret=secret,
            hasher=access.hasher,
            sessions=access.sessions,
            first_admin=FirstAdmin(database, changes, access.hasher),
            whitelist=access.whitelist,
            authenticator=access.authenticator,
            owners=Owners(database, access.whitelist),
            queue=queue,
            upstreams=upstreams,
            capabilities=capabilities,
            seal=seal_of(secret),
            models=models,
            bus=bus,
            usage=usage,
            limits=limits,
            observers=observe(bus, queue, upstreams, usage, own_name()),
            machine=Machine(settings.state.dir),
            gateway=gateway,
            chat=chat,
            supervisor=supervisor,
            client_address=resolve_address,
        )
        live.on_change(services.follow)
        await _start(services, relearning)
        yield services


@dataclass(frozen=True, slots=True)
class _Access:
    """What knows who may come in."""

    hasher: PasswordHasher
    sessions: Sessions
    whitelist: Whitelist
    authenticator: Authenticator


def _live(configuration: Settings | LoadedSettings, bus: EventBus) -> LiveSettings:
    live = LiveSettings(as_loaded(configuration))
    live.on_change(lambda _, after: set_log_level(after.log.level))
    live.on_change(lambda before, after: bus.publish(change_of_settings(before, after)))
    return live


async def _open_access(
    stack: AsyncExitStack, live: LiveSettings, database: Database, changes: Changes, secret: ServerSecret
) -> _Access:
    hasher = PasswordHasher(min_length=lambda: live.auth.password_min_length)
    stack.callback(hasher.close)
    sessions = Sessions(database, changes, hasher, secret, live, LoginThrottle())
    whitelist = Whitelist()
    async with database.read() as tx:
        await whitelist.reload(tx)
    return _Access(hasher, sessions, whitelist, Authenticator(database, sessions, secret, whitelist, live))


async def _upstreams_of(database: Database, settings: Settings, seal: TokenSeal) -> list[UpstreamSettings]:
    """Those of the configuration and of the database that are in effect."""
    async with database.read() as tx:
        return [one.settings for one in await effective.read(tx, settings, seal)]


async def _start(services: Services, relearning: Relearning) -> None:
    """Everything that goes on in the background, in the order in which one needs the other."""
    start, settings = services.supervisor.start, services.settings

    def stop(_: str, request_id: Any) -> None:
        services.gateway.stop(str(request_id))

    services.queue.listen(STOP, stop)
    start("relearning", relearning.run())
    services.observers.start(services.supervisor)
    await services.queue.start()
    start("queue", services.queue.run())
    await services.upstreams.start()
    start("upstreams", services.upstreams.run())
    start("settings", services.reconfiguration.run())
    start("usage", services.usage.run())
    start("limits", services.limits.run())
    start("retention", Retention(services.database, services.chain, lambda: services.settings).run())
    start("open answers", services.gateway.answers.run())
    if settings.queue.backend != "memory":
        host, ports = await private_address(settings)
        key = services.secret.derive(PEERS)
        services.chat.peers = Peers(services.queue, services.chat.turns, key, host=host, ports=ports)
    await services.chat.open(services.supervisor)


def create_limits(usage: UsageRecorder, queue: QueueManagerInterface) -> LimitKeeper:
    """What holds principals to their limits, together with the other daemons of the queue."""
    keeper = LimitKeeper(read_spent=usage.spent, unwritten=usage.unwritten, clock=queue.now, tell=queue.tell)
    queue.listen(LIMITS, keeper.heard)
    return keeper


def _spool_of(settings: Settings) -> UsageSpool | None:
    """Where finished requests wait that the database does not take."""
    most = settings.usage.max_spool_bytes
    return UsageSpool(settings.state.dir / "usage-spool", most) if most else None
