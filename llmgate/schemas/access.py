"""Users, registration tokens and the whitelist."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from llmgate.schemas.base import Answer, Level, Name, Password, Request, RoleName, Update, When


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
    expires_at: When | None = None


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
    expires_at: When | None = None


class WhitelistUpdate(Update):
    nullable = frozenset({"level", "expires_at"})

    label: Name | None = None
    level: Level | None = None
    expires_at: When | None = None


class WhitelistTest(Answer):
    """What the whitelist says of ``address``: the entry that lets it in and its level, or null. ``enabled`` is the
    setting auth.whitelist: without it, no entry counts.

    ``your_address`` is where this request comes from, as the gateway sees it. ``peer`` is the other end of the
    connection, ``forwarded_for`` what was sent as X-Forwarded-For, and ``explanation`` why the former follows.
    """

    address: str
    entry: WhitelistEntry | None
    level: int | None
    enabled: bool
    your_address: str
    peer: str
    forwarded_for: list[str]
    explanation: str
