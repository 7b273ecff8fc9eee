"""The settings of the rules that a daemon works by: who may come, what is kept, what is watched and logged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from llmgate.config_queue import RUN_TIME, Level, Section


class AuthSettings(Section):
    whitelist: bool = Field(
        True, description="Whether whitelisted addresses need no credential.", json_schema_extra=RUN_TIME
    )
    registration: bool = Field(
        True, description="Whether who has a registration token may make an account.", json_schema_extra=RUN_TIME
    )
    session_minutes: int = Field(
        15, ge=1, le=1440, description="Life of an access token made from now on.", json_schema_extra=RUN_TIME
    )
    refresh_days: int = Field(
        30, ge=1, le=365, description="Life of a session that begins from now on.", json_schema_extra=RUN_TIME
    )
    placeholders: list[str] = Field(
        default_factory=lambda: ["ollama", "none", "EMPTY", "sk-no-key-required", "no-key", "not-needed"],
        description="Keys that stock clients are forced to send; they count as no credential.",
    )
    password_min_length: int = Field(
        10, ge=8, le=128, description="Shortest password accepted.", json_schema_extra=RUN_TIME
    )
    keys_per_user: int = Field(
        5,
        ge=0,
        le=1000,
        description="API keys that a user may have and make without an administrator; 0: none.",
        json_schema_extra=RUN_TIME,
    )


class LevelSettings(Section):
    whitelist: Level = Field(
        1, description="Level of whitelisted addresses. 1 is served first, 5 last.", json_schema_extra=RUN_TIME
    )
    api_key: Level = Field(2, description="Level of API keys that name none themselves.", json_schema_extra=RUN_TIME)
    user: Level = Field(3, description="Level of user sessions.", json_schema_extra=RUN_TIME)


class HealthSettings(Section):
    interval: float = Field(
        10, gt=0, le=3600, description="Seconds between probes of a healthy upstream.", json_schema_extra=RUN_TIME
    )
    timeout: float = Field(5, gt=0, le=60, description="Longest wait for a probe's answer.", json_schema_extra=RUN_TIME)
    failures: int = Field(
        3, ge=1, le=100, description="Failures in a row that take an upstream out.", json_schema_extra=RUN_TIME
    )
    backoff_max: float = Field(
        60,
        gt=0,
        le=3600,
        description="Longest pause between probes of a failing upstream.",
        json_schema_extra=RUN_TIME,
    )


class UsageSettings(Section):
    request_log_days: int = Field(
        90, ge=1, le=3650, description="How long single requests are kept.", json_schema_extra=RUN_TIME
    )
    usage_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="How long the hourly sums are kept, 32 or more; 0: for ever.",
        json_schema_extra=RUN_TIME,
    )
    flush_seconds: float = Field(1, gt=0, le=60, description="How often finished requests are written.")
    max_spool_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        le=1024**4,
        description="Room in the state directory for finished requests while the database is away (about 500 bytes "
        "each); 0: they are kept in memory only.",
    )

    @field_validator("usage_days")
    @classmethod
    def holds_a_month(cls, value: int) -> int:
        if 0 < value < 32:
            raise ValueError("must be 0 or at least 32: the monthly budgets of keys are counted from these sums")
        return value


class ActivitySettings(Section):
    days: int = Field(
        365,
        ge=0,
        le=36_500,
        description="How long entries of the activity log are kept; 0: for ever.",
        json_schema_extra=RUN_TIME,
    )


class ChatSettings(Section):
    conversation_days: int = Field(
        90,
        ge=0,
        le=3650,
        description="How long conversations are kept after the last message in them; 0: not at all. Then every chat is "
        "temporary, and those that were kept are deleted within the hour.",
        json_schema_extra=RUN_TIME,
    )
    context_tokens: int = Field(
        4096,
        ge=512,
        le=10_000_000,
        description="Window of models that tell none. For Ollama: its OLLAMA_CONTEXT_LENGTH.",
        json_schema_extra=RUN_TIME,
    )
    titles: Literal["model", "first_line"] = Field(
        "model",
        description='Who names a conversation: its "model", at level 5, or the "first_line" of its question.',
        json_schema_extra=RUN_TIME,
    )


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity logged.", json_schema_extra=RUN_TIME
    )
    format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else json.")
