"""The real parts, put together as the daemon does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import hypothesis
import pytest

from llmgate.config import Settings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.ip_whitelist import Whitelist
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.changes import Changes
from llmgate.daemon.events import EventBus
from llmgate.daemon.store import users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.users import User

PASSWORD = "correct horse battery"

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("llmgate", deadline=None)
hypothesis.settings.load_profile("llmgate")


@dataclass
class Clock:
    """Time that passes only when a test says so: a wall clock and a monotonic one."""

    start: datetime = field(default_factory=utc_now)
    passed: float = 0.0

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def advance(self, seconds: float) -> None:
        self.passed += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def secret() -> ServerSecret:
    return ServerSecret(bytes(range(32)))


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock=clock.monotonic)


@pytest.fixture
def changes(database: Database, secret: ServerSecret) -> Changes:
    return Changes(database, secret.derive("activity"), EventBus())


@pytest.fixture
def sessions(
    database: Database,
    changes: Changes,
    hasher: PasswordHasher,
    secret: ServerSecret,
    settings: Settings,
    throttle: LoginThrottle,
    clock: Clock,
) -> Sessions:
    return Sessions(database, changes, hasher, secret, settings, throttle, clock=clock.now)


@pytest.fixture
def whitelist() -> Whitelist:
    return Whitelist()


@pytest.fixture
def authenticator(
    database: Database, sessions: Sessions, secret: ServerSecret, whitelist: Whitelist, settings: Settings, clock: Clock
) -> Authenticator:
    return Authenticator(database, sessions, secret, whitelist, settings, clock=clock.monotonic)


@pytest.fixture
async def ann(database: Database, hasher: PasswordHasher) -> User:
    """A user whose password is PASSWORD."""
    hashed = await hasher.hash(PASSWORD)
    async with database.begin() as tx:
        return await users.create(tx, name="ann", password_hash=hashed, role=Role.USER)
