"""The daemon and the machine that it runs on. Sizes are bytes, shares are percent."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from llmgate.schemas.base import Answer
from llmgate.schemas.queue import QueueDaemon


class Versions(Answer):
    """What runs here. ``database`` and ``broker`` are those of the servers; null where there is none or it is not
    known."""

    llmgate: str
    python: str
    platform: str
    database: str | None
    broker: str | None


class Cpu(Answer):
    """``percent`` is the use of all cores together since somebody looked last; ``load`` the averages of 1, 5 and 15
    minutes."""

    percent: float
    cores: int
    load: tuple[float, float, float]


class Memory(Answer):
    """Of the machine. ``used`` is what is not available to others any more."""

    total: int
    used: int


class Disk(Answer):
    """Where the state directory is."""

    path: str
    total: int
    used: int
    free: int


class Process(Answer):
    """The daemon's own process. ``descriptors_limit`` is how many it may have open."""

    pid: int
    memory: int
    threads: int
    descriptors: int
    descriptors_limit: int


class Machine(Answer):
    """The machine that the asked daemon runs on."""

    cpu: Cpu
    memory: Memory
    disk: Disk
    process: Process


class Gpu(Answer):
    """A GPU as ``nvidia-smi`` tells it; null where it does not say. ``temperature`` is in degrees Celsius."""

    name: str
    percent: float | None
    memory_total: int | None
    memory_used: int | None
    temperature: float | None


class DatabaseFacts(Answer):
    """``kind`` is sqlite or postgresql; ``revision`` is that of its schema. Null while it does not answer."""

    kind: str
    size: int | None
    revision: str | None


class UsageState(Answer):
    """Finished requests that are not written down yet, and that never will be because there was no room for them."""

    pending: int
    dropped: int


class FeedState(Answer):
    """Open event streams of this daemon, and events that one of them did not get because it was too slow."""

    clients: int
    dropped: int


class FailedLogins(Answer):
    """Logins that failed at this daemon within the hour that begins at ``hour``; ``throttled`` were not even tried."""

    hour: datetime
    failed: int
    throttled: int


class UpstreamCount(Answer):
    usable: int
    total: int


class System(Answer):
    """The daemon that was asked. ``machine`` is null when the system does not tell within two seconds.

    ``daemons`` are those of the cluster, the asked one first; a queue in memory names none. ``failed_logins`` holds
    the hours of the last day in which there were some, oldest first.
    """

    version: str
    started_at: datetime
    uptime: float
    ready: bool
    not_ready: list[str]
    queue_backend: str
    queue_state: str
    versions: Versions
    machine: Machine | None
    gpus: list[Gpu] = Field(description="Empty without `nvidia-smi`.")
    database: DatabaseFacts
    usage: UsageState
    events: FeedState
    failed_logins: list[FailedLogins]
    upstreams: UpstreamCount
    daemons: list[QueueDaemon]
