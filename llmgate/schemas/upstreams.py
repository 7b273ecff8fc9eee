"""Upstreams, the pools that they form, and the models on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from llmgate.schemas.base import Answer, Request, Update

Kind = Literal["ollama", "openai"]
UpstreamName = Annotated[str, Field(pattern="^[a-z0-9_-]{1,40}$")]
Url = Annotated[str, Field(max_length=500, description="Base URL, without /v1 or /api.")]
Slots = Annotated[int, Field(ge=1, le=1024, description="Requests that it runs at once.")]
Token = Annotated[SecretStr, Field(max_length=1000, description="Bearer token that the upstream wants.")]
Connecting = Annotated[float, Field(gt=0, le=60, description="Seconds to connect.")]
Waiting = Annotated[float, Field(gt=0, le=86_400, description="Seconds.")]
ModelName = Annotated[str, Field(min_length=1, max_length=500)]


class Upstream(Answer):
    """A server that runs models. ``origin`` says who decides that it exists: ``file`` (then it is read-only here),
    ``database``, or ``default``, the built-in one that stands in while there is no other.

    ``models`` are those that it told last, ``loaded`` those that it holds in memory.
    """

    volatile = frozenset({"state", "reason", "models", "loaded", "version"})

    name: str
    kind: str
    url: str
    pool: str
    slots: int
    api_key_set: bool
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    origin: Literal["file", "database", "default"]
    state: str
    reason: str
    models: list[str]
    loaded: list[str]
    version: str


class UpstreamCreate(Request):
    """What is left out has the default of the configuration file. The default pool is one of the upstream's name."""

    name: UpstreamName
    kind: Kind = "ollama"
    url: Url
    slots: Slots = 1
    pool: UpstreamName | None = None
    api_key: Token | None = None
    connect_timeout: Connecting | None = None
    first_byte_timeout: Waiting | None = None
    idle_timeout: Waiting | None = None


class UpstreamUpdate(Update):
    """``pool: null`` gives it a pool of its own, ``api_key: null`` takes the token away."""

    nullable = frozenset({"pool", "api_key"})

    kind: Kind | None = None
    url: Url | None = None
    slots: Slots | None = None
    pool: UpstreamName | None = None
    api_key: Token | None = None
    connect_timeout: Connecting | None = None
    first_byte_timeout: Waiting | None = None
    idle_timeout: Waiting | None = None


class Pool(Answer):
    """Upstreams that share one waiting line. ``models`` are served, because all usable upstreams have them;
    ``partial_models`` are not: they name the upstreams that have each. ``slots`` are those of usable upstreams."""

    pool: str
    state: str
    slots: int
    running: int
    waiting: int
    upstreams: list[str]
    usable_upstreams: list[str]
    models: list[str]
    partial_models: dict[str, list[str]]


# -- models ----------------------------------------------------------------------------------


class Model(Answer):
    """A model over all pools. What no upstream tells is null; ``size`` is in bytes.

    ``pools`` serve it, ``partial_pools`` have it only on some of their upstreams and so do not; ``upstreams`` have it,
    ``loaded`` hold it in memory.
    """

    name: str
    served: bool
    pools: list[str]
    partial_pools: list[str]
    upstreams: list[str]
    loaded: list[str]
    size: int | None
    family: str | None
    parameters: str | None
    quantization: str | None
    digest: str | None
    modified_at: str | None


class LoadedModel(Answer):
    """A model in the memory of one upstream. ``size`` and ``size_vram`` are in bytes, null where it does not tell."""

    name: str
    upstream: str
    pool: str
    size: int | None
    size_vram: int | None
    context_length: int | None
    expires_at: str | None


class ModelDetails(Model):
    """``details`` is what one of its upstreams answers to ``/api/show``."""

    details: dict[str, Any]


class ModelPull(Request):
    """``pool`` may be left out where there is only one that can; ``upstream`` pulls onto that one alone."""

    model: ModelName
    pool: UpstreamName | None = None
    upstream: UpstreamName | None = None


class ModelCopy(Request):
    """``pool`` may be left out where only one has the source."""

    source: ModelName
    destination: ModelName
    pool: UpstreamName | None = None


class PullEvent(Answer):
    """Something that happened during a pull. ``digest``, ``total`` and ``completed`` (bytes) are of the layer that is
    being loaded. ``done`` ends the part of one upstream, with an ``error`` if it failed."""

    upstream: str
    status: str = ""
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    done: bool = False
    error: str | None = None


class ModelChange(Answer):
    """What was done to a model, and on which upstreams."""

    model: str
    pool: str
    upstreams: list[str]
