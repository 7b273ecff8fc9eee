"""The settings of the waiting line, and what every table of the configuration has in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
Level = Annotated[int, Field(ge=1, le=5)]
Seconds = Annotated[float, Field(ge=0, le=31_536_000)]

RUN_TIME: dict[str, Any] = {"run_time": True}
"""Said of a setting as ``json_schema_extra``: it can be changed while the daemon runs. Whoever uses such a setting
reads it anew each time, or is told of the change."""


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class QueueSettings(Section):
    backend: Literal["memory", "rabbitmq"] = Field(
        "memory", description='Where tickets wait: "memory" for one daemon, "rabbitmq" for several with one line.'
    )
    url: SecretStr = Field(
        SecretStr(""), description="amqp://user:password@host/vhost of the broker, or amqps:// for TLS."
    )
    queue_type: Literal["classic", "quorum"] = Field(
        "classic", description='RabbitMQ\'s kind of queue: "quorum" for a cluster of brokers.'
    )
    window: int = Field(
        2000, ge=10, le=65_535, description="Tickets of a level among which the order is decided; others wait behind."
    )
    hold_seconds: float = Field(
        600, ge=1, le=86_400, description="Must be shorter than the broker's consumer_timeout (30 minutes by default)."
    )
    tls_ca_file: Path | None = Field(
        None,
        description="Authority of the broker's certificate. Default: the system's.",
        examples=["/etc/llmgate/ca.pem"],
    )
    tls_cert_file: Path | None = Field(
        None, description="Certificate of this client, if the broker wants one.", examples=["/etc/llmgate/client.pem"]
    )
    tls_key_file: Path | None = Field(
        None, description="Key of that certificate.", examples=["/etc/llmgate/client.key"]
    )
    aging_seconds: float = Field(
        30,
        gt=0,
        le=86_400,
        description="A waiting request moves one level up every so many seconds.",
        json_schema_extra=RUN_TIME,
    )
    aged_share: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share of the grants for requests that have aged past level 2.",
        json_schema_extra=RUN_TIME,
    )
    deadline_seconds: float = Field(
        600, gt=0, le=86_400, description="Longest wait for a turn; then 504.", json_schema_extra=RUN_TIME
    )
    max_waiting: int = Field(
        10_000,
        ge=1,
        description="Requests that may wait in all; more are refused with 503.",
        json_schema_extra=RUN_TIME,
    )
    max_waiting_per_principal: int = Field(
        1_000,
        ge=1,
        description="Requests of one principal that may wait; more are refused with 429.",
        json_schema_extra=RUN_TIME,
    )
    max_waiting_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="Memory for waiting bodies and large answers; one principal may take a fourth of it.",
        json_schema_extra=RUN_TIME,
    )
    keepalive_after: float = Field(
        10,
        gt=0,
        le=3600,
        description="A stream that waits longer is opened and kept alive at this interval.",
        json_schema_extra=RUN_TIME,
    )
    settle_ms: int = Field(
        250,
        ge=0,
        le=60_000,
        description="After a cancelled answer the slot rests so long before its next use.",
        json_schema_extra=RUN_TIME,
    )
    outage_grace: float = Field(
        10,
        ge=0,
        le=3600,
        description="With every upstream of a pool down, requests wait so long before 503.",
        json_schema_extra=RUN_TIME,
    )

    @field_validator("url")
    @classmethod
    def is_amqp(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not re.match(r"amqps?://[^/\s?#]+(/[^/\s?#]*)?$", url):
            raise ValueError("must look like amqp://user:password@host:5672/vhost")
        return value

    @model_validator(mode="after")
    def rabbitmq_has_an_address(self) -> QueueSettings:
        if self.backend == "rabbitmq" and not self.url.get_secret_value():
            raise ValueError('backend = "rabbitmq" needs queue.url, the address of the broker')
        return self
