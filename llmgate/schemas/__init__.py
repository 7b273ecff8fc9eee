"""The wire types of our own APIs: ``/admin/v1`` and ``/gate``.

What a client sends is judged strictly (unknown fields are refused). What the daemon answers may grow:
a client keeps fields that it does not know, so that an older client shows what a newer daemon tells.
Times are RFC 3339 in UTC, waits and durations are seconds.
"""

from __future__ import annotations

from llmgate.schemas.access import (
    ApiKey,
    KeyCreate,
    KeyUpdate,
    Models,
    NewApiKey,
    NewPassword,
    NewRegistrationToken,
    RegistrationToken,
    TokenCreate,
    User,
    UserCreate,
    UserUpdate,
    Weight,
    WhitelistCreate,
    WhitelistEntry,
    WhitelistUpdate,
)
from llmgate.schemas.base import Answer, Level, Name, Page, Password, Request, RoleName, Update
from llmgate.schemas.gate import ChangePassword, Login, Me, Redeem, Refresh, Tokens
from llmgate.schemas.queue import LevelChange, PoolStats, QueueDaemon, QueueStatus, Running, Waiting
from llmgate.schemas.records import GroupBy, RequestRecord, System, Upstream, UsageReport, UsageRow

__all__ = [
    "Answer",
    "ApiKey",
    "ChangePassword",
    "GroupBy",
    "KeyCreate",
    "KeyUpdate",
    "Level",
    "LevelChange",
    "Login",
    "Me",
    "Models",
    "Name",
    "NewApiKey",
    "NewPassword",
    "NewRegistrationToken",
    "Page",
    "Password",
    "PoolStats",
    "QueueDaemon",
    "QueueStatus",
    "Redeem",
    "Refresh",
    "RegistrationToken",
    "Request",
    "RequestRecord",
    "RoleName",
    "Running",
    "System",
    "TokenCreate",
    "Tokens",
    "Update",
    "Upstream",
    "UsageReport",
    "UsageRow",
    "User",
    "UserCreate",
    "UserUpdate",
    "Waiting",
    "Weight",
    "WhitelistCreate",
    "WhitelistEntry",
    "WhitelistUpdate",
]
