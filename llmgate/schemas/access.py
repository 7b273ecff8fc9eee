"""Users, registration tokens, API keys and the whitelist."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from llmgate.schemas.base import Answer, Level, Name, Password, Request, RoleName, Update


class User(Answer):
    volatile = frozenset({"last_login_at"})

    id: str
    name: str
    role: RoleName
    level: int | None
    disabled: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None


class UserCreate(Request):
    name: Name
    password: Password
    role: RoleName = "user"
    level: Level | None = None


class UserUpdate(Update):
    """``level: null`` returns to the default level."""

    nullable = frozenset({"level"})

    name: Name | None = None
    role: RoleName | None = None
    level: Level | None = None
    disabled: bool | None = None


class NewPassword(Request):
    password: Password


# -- registration tokens ---------------------------------------------------------------------


class RegistrationToken(Answer):
    volatile = frozenset({"uses"})

    id: str
    label: str
    role: RoleName
    level: int | None
    max_uses: int
    uses: int
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    created_by: str | None


class NewRegistrationToken(RegistrationToken):
    """``token`` is the text to hand over; it is shown this once."""

    token: str


class TokenCreate(Request):
    label: Name = ""
    role: RoleName = "user"
    level: Level | None = None
    max_uses: int = Field(1, ge=1, le=100_000)
    expires_at: AwareDatetime | None = None


# -- API keys --------------------------------------------------------------------------------


class ApiKey(Answer):
    """``last4`` are the last characters of the key, to tell keys apart."""

    volatile = frozenset({"last_used_at"})

    id: str
    name: str
    user_id: str | None
    role: RoleName
    level: int | None
    models: list[str] | None
    weight: float
    expires_at: datetime | None
    revoked_at: datetime | None
    disabled: bool
    created_at: datetime
    last_used_at: datetime | None
    last4: str


class NewApiKey(ApiKey):
    """``key`` is the secret; it is shown this once."""

    key: str


Weight = Annotated[float, Field(ge=0.01, le=100, description="Share of its level, beside keys of weight 1.")]
Models = Annotated[list[Name], Field(min_length=1, max_length=200)]


class KeyCreate(Request):
    """``user`` (id or name) makes it the key of that user; without, it belongs to an application."""

    name: Name
    user: str | None = Field(None, max_length=200)
    role: RoleName = "user"
    level: Level | None = None
    models: Models | None = None
    weight: Weight = 1.0
    expires_at: AwareDatetime | None = None


class KeyUpdate(Update):
    nullable = frozenset({"level", "models", "expires_at"})

    name: Name | None = None
    level: Level | None = None
    disabled: bool | None = None
    models: Models | None = None
    weight: Weight | None = None
    expires_at: AwareDatetime | None = None


# -- whitelist -------------------------------------------------------------------------------


class WhitelistEntry(Answer):
    id: str
    cidr: str
    label: str
    level: int | None
    expires_at: datetime | None
    created_at: datetime


class WhitelistCreate(Request):
    cidr: str = Field(max_length=64, description="A network or an address, e.g. 192.168.1.0/24.")
    label: Name = ""
    level: Level | None = None
    expires_at: AwareDatetime | None = None


class WhitelistUpdate(Update):
    nullable = frozenset({"level", "expires_at"})

    label: Name | None = None
    level: Level | None = None
    expires_at: AwareDatetime | None = None
