"""The wire types of our own APIs: ``/admin/v1`` and ``/gate``.

What a client sends is judged strictly (unknown fields are refused). What the daemon answers may grow:
a client keeps fields that it does not know, so that an older client shows what a newer daemon tells.
Times are RFC 3339 in UTC, waits and durations are seconds.
"""

from __future__ import annotations

from llmgate.schemas.access import (
    NewPassword,
    NewRegistrationToken,
    RegistrationToken,
    TokenCreate,
    User,
    UserCreate,
    UserUpdate,
    WhitelistCreate,
    WhitelistEntry,
    WhitelistTest,
    WhitelistUpdate,
)
from llmgate.schemas.activity import (
    ActivityCheckpoint,
    ActivityEntry,
    ActivityFault,
    ActivityHead,
    ActivityPlace,
    ActivityVerdict,
    ActivityVerify,
)
from llmgate.schemas.base import Answer, Level, Name, Page, Password, Request, RoleName, Update, When
from llmgate.schemas.events import AnyEvent, EventType, FeedEvent
from llmgate.schemas.gate import ChangePassword, Login, Me, MyUse, Redeem, Refresh, Tokens
from llmgate.schemas.keys import (
    ApiKey,
    KeyCreate,
    KeyLimits,
    KeyRotate,
    KeyState,
    KeyUpdate,
    Models,
    NewApiKey,
    Weight,
)
from llmgate.schemas.problem import Fault, Problem
from llmgate.schemas.queue import LevelChange, PoolStats, QueueDaemon, QueueStatus, Running, Waiting
from llmgate.schemas.records import GroupBy, RequestRecord, UsageReport, UsageRow
from llmgate.schemas.sessions import Session, SessionsOf, SessionsRevoked
from llmgate.schemas.settings import ConfigReload, Setting, SettingChange, SettingData, SettingValue
from llmgate.schemas.system import System
from llmgate.schemas.upstreams import (
    LoadedModel,
    Model,
    ModelChange,
    ModelCopy,
    ModelDetails,
    ModelPull,
    Pool,
    PullEvent,
    Upstream,
    UpstreamCreate,
    UpstreamUpdate,
)

__all__ = [
    "ActivityCheckpoint",
    "ActivityEntry",
    "ActivityFault",
    "ActivityHead",
    "ActivityPlace",
    "ActivityVerdict",
    "ActivityVerify",
    "Answer",
    "AnyEvent",
    "ApiKey",
    "ChangePassword",
    "ConfigReload",
    "EventType",
    "Fault",
    "FeedEvent",
    "GroupBy",
    "KeyCreate",
    "KeyLimits",
    "KeyRotate",
    "KeyState",
    "KeyUpdate",
    "Level",
    "LevelChange",
    "LoadedModel",
    "Login",
    "Me",
    "Model",
    "ModelChange",
    "ModelCopy",
    "ModelDetails",
    "ModelPull",
    "Models",
    "MyUse",
    "Name",
    "NewApiKey",
    "NewPassword",
    "NewRegistrationToken",
    "Page",
    "Password",
    "Pool",
    "PoolStats",
    "Problem",
    "PullEvent",
    "QueueDaemon",
    "QueueStatus",
    "Redeem",
    "Refresh",
    "RegistrationToken",
    "Request",
    "RequestRecord",
    "RoleName",
    "Running",
    "Session",
    "SessionsOf",
    "SessionsRevoked",
    "Setting",
    "SettingChange",
    "SettingData",
    "SettingValue",
    "System",
    "TokenCreate",
    "Tokens",
    "Update",
    "Upstream",
    "UpstreamCreate",
    "UpstreamUpdate",
    "UsageReport",
    "UsageRow",
    "User",
    "UserCreate",
    "UserUpdate",
    "Waiting",
    "Weight",
    "When",
    "WhitelistCreate",
    "WhitelistEntry",
    "WhitelistTest",
    "WhitelistUpdate",
]
