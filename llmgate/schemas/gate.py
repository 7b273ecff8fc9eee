"""``/gate``: what everyone may do for themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from llmgate.schemas.access import User
from llmgate.schemas.base import Answer, Level, Name, Password, Request, RoleName, When
from llmgate.schemas.keys import KeyLimits, Models

MyUsageBy = Literal["day", "model", "key"]


class AboutGate(Answer):
    """What a page must know before anybody has logged in.

    ``setup_needed``: there is no user yet, and the first administrator is made with the setup token. ``cookies``:
    a browser that asks like this one can keep a session in cookies. ``conversations`` are kept for so many days.
    ``version`` is empty for who has not said who it is.
    """

    version: str
    registration: bool
    setup_needed: bool
    password_min_length: int
    conversations: bool
    conversation_days: int
    cookies: bool


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


# -- what one may use, and what one has used -------------------------------------------------


class UsableModel(Answer):
    """A model that the caller may ask. ``loaded``: some upstream holds it in memory.

    What no upstream tells is null. ``context_length`` is the largest window in tokens that it can have, ``window``
    the one that a chat gets which asks for none; ``size`` is in bytes.
    """

    name: str
    loaded: bool
    vision: bool | None
    thinking: bool | None
    tools: bool | None
    context_length: int | None
    window: int
    parameters: str | None
    quantization: str | None
    size: int | None


class MyKeyCreate(Request):
    """A key of the caller's own. Without ``level`` it has the caller's, or the one of API keys if that is served
    later. Its name gets an ending, which keeps it apart from everybody else's."""

    name: Annotated[str, Field(max_length=33)]
    level: Level | None = None
    models: Models | None = None
    expires_at: When | None = None


class MyUsage(Answer):
    """What one day, model or key has used. A day is written like 2026-12-31, in UTC."""

    name: str
    requests: int
    input_tokens: int
    output_tokens: int
