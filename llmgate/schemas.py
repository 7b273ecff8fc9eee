"""The wire types of our own APIs: ``/admin/v1`` and ``/gate``.

What a client sends is judged strictly (unknown fields are refused). What the daemon answers may grow:
a client keeps fields that it does not know, so that an older client shows what a newer daemon tells.
Times are RFC 3339 in UTC, waits and durations are seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

Level = Annotated[int, Field(ge=1, le=5, description="1 is served first, 5 last.")]
RoleName = Literal["user", "admin"]
GroupBy = Literal["principal", "user", "key", "model", "hour", "day", "level"]


# What a name may look like is decided by the store, in one place; here it is only bounded.
Name = Annotated[str, Field(max_length=200)]
Password = Annotated[SecretStr, Field(max_length=1024)]


class Request(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Update(Request):
    """A change: only what is sent is changed. Null is for what can be taken away, named in ``nullable``."""

    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def changes_something(self) -> Self:
        changes = self.changes()
        if not changes:
            raise ValueError("nothing to change")
        for name, value in changes.items():
            if value is None and name not in self.nullable:
                raise ValueError(f"{name} must not be null")
        return self

    def changes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class Answer(BaseModel):
    """What the daemon answers."""

    model_config = ConfigDict(extra="allow", from_attributes=True)


Row = TypeVar("Row", bound=Answer)


class Page(Answer, Generic[Row]):
    """Part of a list. ``next`` is the cursor of the following part, null at the end."""

    data: list[Row]
    next: str | None = None


# -- users -------------------------------------------------------------------------------------


class User(Answer):
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


# -- registration tokens -----------------------------------------------------------------------


class RegistrationToken(Answer):
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


# -- API keys ----------------------------------------------------------------------------------


class ApiKey(Answer):
    """``last4`` are the last characters of the key, to tell keys apart."""

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


# -- whitelist ---------------------------------------------------------------------------------


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


# -- queue -------------------------------------------------------------------------------------


class Waiting(Answer):
    """A waiting request. ``ahead`` are the waiting requests that would be served before it."""

    ticket_id: str
    pool: str
    model: str
    owner: str
    submitted_level: int
    level: int
    aged: bool
    ahead: int
    waited: float
    estimated_wait: float | None


class Running(Answer):
    """A request that holds a slot."""

    ticket_id: str
    pool: str
    model: str
    owner: str
    level: int
    upstream: str
    running_for: float


class PoolStats(Answer):
    """A pool at one moment; waits are of the requests granted recently, by level."""

    pool: str
    state: str
    slots: int
    running: int
    waiting: int
    waiting_by_level: dict[int, int]
    aged_waiting: int
    oldest_wait: float
    granted: int
    granted_aged: int
    promotions: int
    wait_p50: dict[int, float]
    wait_p95: dict[int, float]
    upstreams: dict[str, tuple[int, int]]


class LevelChange(Request):
    level: Level


# -- usage and requests ------------------------------------------------------------------------


class UsageRow(Answer):
    key: str
    name: str
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    wait_seconds: float


class UsageReport(Answer):
    group_by: GroupBy
    since: datetime
    until: datetime
    data: list[UsageRow]


class RequestRecord(Answer):
    """One finished request."""

    request_id: str
    finished_at: datetime
    principal_kind: str
    principal_id: str
    principal_name: str
    user_id: str | None
    protocol: str
    route: str
    model: str
    pool: str | None
    upstream: str | None
    submitted_level: int
    stream: bool
    outcome: str
    status: int
    error_code: str | None
    wait: float
    first_byte: float | None
    duration: float
    input_tokens: int | None
    output_tokens: int | None


# -- upstreams and system ----------------------------------------------------------------------


class Upstream(Answer):
    name: str
    kind: str
    url: str
    pool: str
    slots: int
    state: str
    reason: str
    models: list[str]
    loaded: list[str]
    version: str


class System(Answer):
    version: str
    started_at: datetime
    uptime: float
    ready: bool
    not_ready: list[str]


# -- /gate: what everyone may do for themselves ------------------------------------------------


class Login(Request):
    """``cookie`` asks for HttpOnly cookies instead of tokens in the answer."""

    name: str = Field(max_length=200)
    password: Password
    cookie: bool = False


class Refresh(Request):
    """Without ``refresh_token`` the cookie is taken, and answered with cookies."""

    refresh_token: SecretStr | None = Field(None, max_length=4096)


class Redeem(Request):
    """A registration or setup token, and the account to make with it."""

    token: SecretStr = Field(max_length=200)
    name: Name
    password: Password


class ChangePassword(Request):
    current_password: Password
    password: Password
    cookie: bool = False


class Tokens(Answer):
    """A session. The tokens are absent when they were set as cookies. ``expires_in`` is in seconds."""

    user: User
    expires_in: float
    access_token: str | None = None
    refresh_token: str | None = None


class Me(Answer):
    """Who asks, as the gateway sees it."""

    kind: str
    id: str
    name: str
    role: RoleName
    level: int
    user_id: str | None
    session_id: str | None
    models: list[str] | None
