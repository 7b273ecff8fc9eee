"""``/gate``: what everyone may do for themselves."""

from __future__ import annotations

from pydantic import Field, SecretStr

from llmgate.schemas.access import User
from llmgate.schemas.base import Answer, Name, Password, Request, RoleName
from llmgate.schemas.keys import KeyLimits


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


class MyUse(Answer):
    """What counts towards the limits at this moment, in all daemons together. Requests and tokens are those of the
    last sixty seconds; today and this month are null where there is no budget, or nothing was asked for lately."""

    requests: float
    tokens: float
    in_flight: int
    tokens_today: int | None
    tokens_this_month: int | None


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
    routes: list[str] | None
    limits: KeyLimits | None
    used: MyUse | None
