"""API keys, and what they are limited to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from llmgate.schemas.base import Answer, Level, Name, Request, RoleName, Update, When

KeyState = Literal["active", "owner_disabled", "disabled", "expired", "revoked"]
MOST_TOKENS = 10**15
LONGEST_OVERLAP = 30 * 24 * 3600

Weight = Annotated[float, Field(ge=0.01, le=100, description="Share of its level, beside keys of weight 1.")]
Models = Annotated[list[Name], Field(min_length=1, max_length=200)]
Routes = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    Field(
        min_length=1,
        max_length=50,
        description="Families of routes (chat, completions, embeddings, manage, admin, metrics) or paths like "
        "/v1/chat/completions; null: all.",
    ),
]
Networks = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(min_length=1, max_length=100, description="Networks or addresses that it may be used from; null: all."),
]
Requests = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS, description="Input and output together.")]
Waiting = Annotated[int, Field(ge=0, le=100_000, description="0: refused unless served at once.")]


class KeyLimits(Answer):
    """Null: no limit. Days and months are those of the UTC calendar."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    max_waiting: int | None
    tokens_per_day: int | None
    tokens_per_month: int | None


class ApiKey(KeyLimits):
    """``last4`` are the last characters of the key, to tell keys apart. ``user`` is the name of its user; it is null
    for an application's. ``owner_disabled``: the key is refused because that user is disabled. The secret before the
    last rotation works until ``previous_until``.
    """

    volatile = frozenset({"last_used_at", "state"})

    id: str
    name: str
    user_id: str | None
    user: str | None
    role: RoleName
    level: int | None
    state: KeyState
    models: list[str] | None
    routes: list[str] | None
    cidrs: list[str] | None
    weight: float
    expires_at: datetime | None
    revoked_at: datetime | None
    disabled: bool
    created_at: datetime
    last_used_at: datetime | None
    rotated_at: datetime | None
    previous_until: datetime | None
    last4: str


class NewApiKey(ApiKey):
    """``key`` is the secret; it is shown this once."""

    key: str


class KeyCreate(Request):
    """``user`` (id or name) makes it the key of that user; without, it belongs to an application. A key is never
    more than its user: neither an administrator's, nor of a better level."""

    name: Name
    user: str | None = Field(None, max_length=200)
    role: RoleName = "user"
    level: Level | None = None
    models: Models | None = None
    routes: Routes | None = None
    cidrs: Networks | None = None
    weight: Weight = 1.0
    expires_at: When | None = None
    requests_per_minute: Requests | None = None
    tokens_per_minute: Tokens | None = None
    max_concurrent: Requests | None = None
    max_waiting: Waiting | None = None
    tokens_per_day: Tokens | None = None
    tokens_per_month: Tokens | None = None


class KeyUpdate(Update):
    """``null`` takes a bound away."""

    nullable = frozenset({"level", "models", "routes", "cidrs", "expires_at", *KeyLimits.model_fields})

    name: Name | None = None
    level: Level | None = None
    disabled: bool | None = None
    models: Models | None = None
    routes: Routes | None = None
    cidrs: Networks | None = None
    weight: Weight | None = None
    expires_at: When | None = None
    requests_per_minute: Requests | None = None
    tokens_per_minute: Tokens | None = None
    max_concurrent: Requests | None = None
    max_waiting: Waiting | None = None
    tokens_per_day: Tokens | None = None
    tokens_per_month: Tokens | None = None


class KeyRotate(Request):
    """The secret before works for so many seconds more; an older one ends at once."""

    overlap_seconds: int = Field(3600, ge=0, le=LONGEST_OVERLAP)
