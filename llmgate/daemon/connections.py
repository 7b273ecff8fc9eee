"""How many connections there may be at once, and who has to make room for others.

There are always fewer than the process may have open: a daemon that cannot open a file or reach its upstream any more
serves nobody. When there are as many as there may be, the connection that has gone longest without a request is
closed for the next one, so that whoever only keeps connections open, or sends a head byte by byte, keeps nobody out.
Only when everybody is being served, others are refused; of those, a few are listened to for long enough to
answer whether the daemon is alive. Nobody has to make room before what was sent at once could be read: else of many
that ask in the same moment most would be closed without a word.
"""

from __future__ import annotations

import ipaddress
import resource
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from itertools import islice

import structlog

from llmgate.config import ServerSettings
from llmgate.daemon.events import ConnectionRefused

RESERVE = 64
"""File descriptors, at least, that are kept for files, the database, the broker and upstreams; else a fourth of all."""
SPARE = 16
"""Connections beyond the limit that may still ask for the daemon's health. They take from the reserve."""
FEWEST = 16
MOST = 65_536
"""Where the operating system sets no other limit."""
LOG_SECONDS = 10.0
"""So often, at most, the log says what was refused."""


class Refusal(StrEnum):
    """Why a connection, or the request on it, was not served. Labels of a metric."""

    FULL = "full"
    ADDRESS = "address"
    MADE_ROOM = "made_room"
    DESCRIPTORS = "descriptors"
    BAD = "bad_request"
    SLOW = "slow_request"


class Place:
    """One connection's place. ``close`` is set by whoever holds the connection, and closes it."""

    __slots__ = ("_connections", "close", "is_heard", "is_spare", "network")

    def __init__(self, connections: Connections, network: str | None, *, is_spare: bool) -> None:
        self._connections = connections
        self.network = network
        self.is_spare = is_spare
        """It is one too many: only for a short question."""
        self.is_heard = False
        """What its client sent at once has been read. Until then it makes no room."""
        self.close: Callable[[], None] = _nothing

    def busy(self) -> None:
        """A request is being served."""
        self.is_heard = True
        self._connections._stir(self)  # noqa: SLF001

    def idle(self) -> None:
        """No request is being served any more."""
        self.is_heard = True
        self._connections._rest(self)  # noqa: SLF001

    def leave(self) -> None:
        """The connection is closed. Harmless when it is not the first time."""
        self.close = _nothing  # else the two would hold on to each other, until the garbage collector comes by
        self._connections._leave(self)  # noqa: SLF001

    def refused(self, why: Refusal) -> None:
        """What came over it was not served."""
        self._connections.refused(why)


def _nothing() -> None:
    """Nobody holds the connection yet."""


class Connections:
    """See the module. ``settings`` tells those of this moment, ``publish`` is told what was refused, ``clock`` counts
    seconds."""

    def __init__(
        self,
        settings: Callable[[], ServerSettings],
        publish: Callable[[ConnectionRefused], None] = lambda _: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._clock = clock
        self._places: set[Place] = set()
        self._idle: dict[Place, None] = {}
        self._idle_spare: dict[Place, None] = {}
        self._spare = 0
        self._from: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._told_at = -LOG_SECONDS
        self._log = structlog.get_logger("llmgate.connections")

    def __len__(self) -> int:
        return len(self._places)

    @property
    def limit(self) -> int:
        """How many there may be."""
        possible = most_connections()
        wanted = self._settings().max_connections
        return min(wanted, possible) if wanted else possible

    @property
    def is_full(self) -> bool:
        """Whether somebody has to make room for the next one."""
        return len(self._places) >= self.limit

    def enter(self, address: str) -> Place | Refusal:
        """A place for a new connection from this address, or why it gets none."""
        limit = self.limit
        network = self._counted(address)
        if network is not None and self._from[network] >= self._most_of_one(limit):
            self.refused(Refusal.ADDRESS, address)
            return Refusal.ADDRESS
        is_spare = len(self._places) - self._spare >= limit and not self._make_room(self._idle)
        if is_spare and self._spare >= SPARE and not self._make_room(self._idle_spare):
            self.refused(Refusal.FULL, address)
            return Refusal.FULL
        place = Place(self, network, is_spare=is_spare)
        self._places.add(place)
        self._spare += is_spare
        self._rest(place)
        if network is not None:
            self._from[network] += 1
        return place

    def refused(self, why: Refusal, address: str | None = None) -> None:
        """Count it, and say so in the log, but not so often that the log itself becomes a burden."""
        self._publish(ConnectionRefused(why.value))
        self._untold[why] += 1
        now = self._clock()
        if now - self._told_at >= LOG_SECONDS:
            self._told_at = now
            last = {} if address is None else {"client": address}
            self._log.warning("connections_refused", open=len(self._places), limit=self.limit, **self._untold, **last)
            self._untold.clear()

    def _most_of_one(self, limit: int) -> int:
        return min(self._settings().max_connections_per_address, max(1, limit // 2))

    def _counted(self, address: str) -> str | None:
        """The network whose connections are counted; None where many people come from one."""
        settings = self._settings()
        if not settings.max_connections_per_address:
            return None
        return _network(address, tuple(settings.trusted_proxies))

    def _make_room(self, idle: dict[Place, None]) -> bool:
        """Close the one of these that has gone longest without a request. False when there is none."""
        place = next((place for place in islice(idle, SPARE) if place.is_heard), None)
        if place is None:
            return False
        self._leave(place)
        self.refused(Refusal.MADE_ROOM)
        place.close()
        return True

    def _rest(self, place: Place) -> None:
        self._stir(place)
        if place in self._places:
            (self._idle_spare if place.is_spare else self._idle)[place] = None

    def _stir(self, place: Place) -> None:
        (self._idle_spare if place.is_spare else self._idle).pop(place, None)

    def _leave(self, place: Place) -> None:
        self._stir(place)
        if place not in self._places:
            return
        self._places.discard(place)
        self._spare -= place.is_spare
        if place.network is not None:
            self._from[place.network] -= 1
            if not self._from[place.network]:
                del self._from[place.network]


def most_connections() -> int:
    """How many connections the limit of file descriptors allows."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return MOST
    return max(FEWEST, min(MOST, descriptors - max(RESERVE, descriptors // 4)))


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as this process may have: the usual 1,024 are for programs that use ``select``."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST if most == resource.RLIM_INFINITY else min(most, 2 * MOST)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@lru_cache(maxsize=4096)
def _network(address: str, proxies: tuple[str, ...]) -> str | None:
    """What counts as one client: an IPv4 address or an IPv6 /64. None for this machine, for proxies that are
    trusted, and for what is no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if parsed.is_loopback or any(parsed in ipaddress.ip_network(proxy, strict=False) for proxy in proxies):
        return None
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
