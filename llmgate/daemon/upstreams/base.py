"""What an upstream is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.base import Call, StreamReader, Usage
from llmgate.errors import UnsupportedByUpstream


class HealthState(StrEnum):
    """How an upstream does. Healthy, degraded and recovering ones may be granted requests, others not."""

    UNKNOWN = "unknown"
    """Not probed yet."""
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It answers, but slowly, or some of its requests failed lately."""
    RATE_LIMITED = "rate_limited"
    """It answered 429 and rests until its Retry-After is over; no fault of its own."""
    RECOVERING = "recovering"
    """It answered a probe after a failure; one request at a time until one succeeds."""
    UNHEALTHY = "unhealthy"
    """It answers, but with errors."""
    OFFLINE = "offline"
    """It cannot be reached, or does not answer at all."""
    MISCONFIGURED = "misconfigured"
    """It refuses our credentials (401, 403) or is not what the configuration says."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as an upstream lists it. ``listing`` is the entry as it came, for ``/api/tags``."""

    name: str
    listing: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an upstream told of itself. ``loaded`` are the models that it holds in memory, as ``/api/ps``
    lists them; ``version`` is empty where it does not tell one."""

    models: Sequence[ModelInfo]
    loaded: Sequence[Mapping[str, Any]]
    version: str = ""


Quick = Callable[[bytes], bytes | None]


class UpstreamAnswer(ABC):
    """An answer that has begun: status and content type are known. Always close it."""

    status: int
    content_type: str
    retry_after: float | None
    """The upstream's Retry-After, in seconds."""

    @abstractmethod
    def chunks(self, quick: Quick | None = None) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamCut or UpstreamTimeout, and what ``quick`` raises.

        ``quick`` sees each piece first, in the moment when it arrives if somebody waits for it: no task has to wake up.
        What it returns comes out here; None says that the piece is dealt with.
        """

    @abstractmethod
    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamProtocolError past ``limit`` bytes."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection to the upstream unless the answer was read to its end: closing is how
        an upstream learns that it can stop generating."""


class Upstream(ABC):
    """One server. ``send`` speaks the caller's protocol to it, translated only where it must be."""

    settings: UpstreamSettings
    timeout: float
    """Longest wait, in seconds, for what ``inspect`` and ``show`` ask."""
    manages_models: ClassVar[bool] = False
    """Whether ``pull``, ``copy`` and ``delete`` do something here."""

    @abstractmethod
    async def send(self, call: Call) -> UpstreamAnswer:
        """Send a granted request and wait for the head of the answer.

        Raises UpstreamUnreachable (no byte of the request was written: it may be tried elsewhere),
        UpstreamTimeout, UpstreamCut, or UnsupportedByUpstream when this kind cannot do that at all.
        """

    @abstractmethod
    def reader(self, call: Call) -> StreamReader:
        """A reader that turns this upstream's stream into what the caller shall see."""

    @abstractmethod
    def whole(self, call: Call, answer: bytes) -> tuple[bytes, Usage]:
        """A whole answer of status 200 in the caller's protocol, and its usage. Raises UpstreamProtocolError."""

    @abstractmethod
    async def inspect(self) -> Inspection:
        """Look whether it works and what it has. Raises what is wrong, an UpstreamError."""

    @abstractmethod
    async def show(self, model: str) -> dict[str, Any]:
        """Details of a model, as ``/api/show`` tells them. Raises ModelNotFound."""

    def pull(self, model: str) -> AsyncGenerator[Mapping[str, Any], None]:
        """Load a model from its registry: the progress, as Ollama tells it, until it is there.

        Raises UnsupportedByUpstream, or what went wrong, an UpstreamError. Closing the generator ends the loading.
        """
        raise self._unsupported("pull")

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name. Raises UnsupportedByUpstream, ModelNotFound or an UpstreamError."""
        raise self._unsupported("copy")

    async def delete(self, model: str) -> None:
        """Remove a model. Raises UnsupportedByUpstream, ModelNotFound or an UpstreamError."""
        raise self._unsupported("delete")

    def _unsupported(self, verb: str) -> UnsupportedByUpstream:
        return UnsupportedByUpstream(
            f"The upstream {self.settings.name} is of the kind {self.settings.kind!r}, which cannot {verb} models.",
            hint="Its models are managed on the server itself.",
        )

    @abstractmethod
    async def close(self) -> None:
        """Close idle connections."""
