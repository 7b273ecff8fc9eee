"""Wire types of the settings, and of reading the configuration file again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from llmgate.schemas.base import Answer, Request

SettingData = bool | int | float | str | list[str]


class Setting(Answer):
    """One setting of the daemon that was asked, and who decides it."""

    key: str = Field(description="Section and name, as in the configuration file: `queue.aging_seconds`.")
    value: SettingData | None = Field(description="What is in effect. Secrets are masked.")
    default: SettingData | None
    origin: Literal["flag", "environment", "file", "database", "default"] = Field(description="Who decides it.")
    mutable: bool = Field(description="Whether it can be changed here, at run time.")
    reason: str = Field("", description="Why it cannot, and what to do instead.")
    description: str
    accepts: dict[str, Any] = Field(description="The JSON Schema of its values.")
    updated_at: datetime | None = Field(None, description="When the database was told of it last.")
    updated_by: str | None = None


class SettingValue(Request):
    """The new value of a setting, of its own type: 30, not "30"."""

    value: SettingData


class SettingChange(Answer):
    """A setting that has another value now."""

    key: str
    before: SettingData | None
    after: SettingData | None


class ConfigReload(Answer):
    """What came of reading the file and the environment again, in the one daemon that was asked."""

    path: str | None = Field(description="The file; null when the daemon was started without one.")
    changed: list[SettingChange]
    needs_restart: list[str] = Field(description="Settings that differ and take effect only when the daemon restarts.")
    reloadable: bool = Field(description="False where there is nothing to read again, as in the demo.")
