"""Every setting of the daemon, declared once.

Order of precedence: command-line flags, then ``LLMGATE_<SECTION>__<KEY>`` in the environment, then
``llmgate.toml``, then the defaults below. ``llmgate.toml.example`` is generated from this module.
Unknown keys are refused with the nearest known name.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from llmgate.addresses import is_own
from llmgate.config_queue import Name, QueueSettings, Seconds, Section
from llmgate.config_requests import RequestSettings
from llmgate.config_rules import (
    ActivitySettings,
    AuthSettings,
    ChatSettings,
    HealthSettings,
    LevelSettings,
    LogSettings,
    UsageSettings,
)
from llmgate.config_server import ServerSettings
from llmgate.errors import ConfigError
from llmgate.urls import fault_of_upstream_url

__all__ = [
    "ActivitySettings",
    "AuthSettings",
    "ChatSettings",
    "HealthSettings",
    "LevelSettings",
    "LogSettings",
    "QueueSettings",
    "RequestSettings",
    "Section",
    "ServerSettings",
    "UsageSettings",
]


class StateSettings(Section):
    dir: Path = Field(
        Path("~/.local/state/llmgate"),
        description="Directory of the database and the secret key (0700). In a service: /var/lib/llmgate.",
    )
    secret_file: Path | None = Field(
        None,
        description="File of the secret key (0600). Default: secret.key in the state directory.",
        examples=["/etc/llmgate/secret.key"],
    )

    @field_validator("dir", "secret_file")
    @classmethod
    def expand(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value is not None else None


class DatabaseSettings(Section):
    url: SecretStr = Field(
        SecretStr(""),
        description="postgresql://user:password@host/name, or empty for SQLite in the state directory.",
    )
    pool_size: int = Field(10, ge=1, le=100, description="Connections kept open to PostgreSQL.")
    timeout: Seconds = Field(5, description="Longest wait for a connection or a statement.")

    @field_validator("url")
    @classmethod
    def scheme_is_known(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not re.match(r"(postgres(ql)?|sqlite)(\+\w+)?://", url):
            raise ValueError("must begin with postgresql:// or sqlite://, or be empty")
        if url.partition("?")[0].count("@") > 1:  # a part of the password would be taken for the host, and be shown
            raise ValueError("must have %40 for each @ in user and password")
        return value


class UpstreamSettings(Section):
    name: Name = Field(description="Name in statistics and logs.")
    kind: Literal["ollama", "openai"] = Field(
        "ollama", description='"ollama", or "openai" for vLLM, llama.cpp, LM Studio and the like.'
    )
    url: str = Field(description="Base URL, without /v1 or /api.")
    slots: int = Field(1, ge=1, le=1024, description="Requests it runs at once. For Ollama: OLLAMA_NUM_PARALLEL.")
    pool: Name | None = Field(
        None,
        description="Upstreams of one pool serve the same models and share one line. Default: its own name.",
        examples=["gpu"],
    )
    api_key: SecretStr = Field(SecretStr(""), description="Bearer token that the upstream wants, if any.")
    connect_timeout: float = Field(3, gt=0, le=60, description="Seconds to connect.")
    first_byte_timeout: float = Field(
        600, gt=0, le=86_400, description="Seconds to the first byte; includes loading a model."
    )
    idle_timeout: float = Field(120, gt=0, le=86_400, description="Longest silence in the middle of an answer.")

    @field_validator("url")
    @classmethod
    def is_plain_http(cls, value: str) -> str:
        if fault := fault_of_upstream_url(value):
            raise ValueError(fault)
        return value.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def fits_into_a_header(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[!-~]*", value.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces")
        return value

    @property
    def pool_name(self) -> str:
        return self.pool or self.name


DEFAULT_UPSTREAM = UpstreamSettings(
    name="ollama",
    kind="ollama",
    url="http://127.0.0.1:11434",
    slots=1,
    pool=None,
    api_key=SecretStr(""),
    connect_timeout=3,
    first_byte_timeout=600,
    idle_timeout=120,
)


class Settings(BaseSettings):
    """The whole configuration of one daemon. Immutable once loaded."""

    model_config = SettingsConfigDict(
        env_prefix="LLMGATE_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    server: ServerSettings = Field(default_factory=ServerSettings, description="Where the gateway listens.")
    state: StateSettings = Field(default_factory=StateSettings, description="What it keeps on disk.")
    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="Users, keys, usage.")
    auth: AuthSettings = Field(default_factory=AuthSettings, description="Sessions and credentials.")
    levels: LevelSettings = Field(default_factory=LevelSettings, description="Who is served first.")
    queue: QueueSettings = Field(default_factory=QueueSettings, description="The waiting line.")
    requests: RequestSettings = Field(
        default_factory=RequestSettings,
        description="What one request may ask of a server. Administrators may ask for more.",
    )
    health: HealthSettings = Field(default_factory=HealthSettings, description="Watching the upstreams.")
    usage: UsageSettings = Field(default_factory=UsageSettings, description="What is counted and kept.")
    activity: ActivitySettings = Field(default_factory=ActivitySettings, description="Who changed what.")
    chat: ChatSettings = Field(default_factory=ChatSettings, description="The chat page.")
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged.")
    upstreams: list[UpstreamSettings] = Field(
        default_factory=lambda: [DEFAULT_UPSTREAM],
        description="The servers that run the models; one [[upstreams]] table each.",
    )

    @field_validator("upstreams")
    @classmethod
    def some_upstream(cls, value: list[UpstreamSettings]) -> list[UpstreamSettings]:
        if not value:
            raise ValueError("there must be at least one [[upstreams]] table; without any, an Ollama here is assumed")
        return value

    @model_validator(mode="after")
    def upstream_names_differ(self) -> Settings:
        names = [upstream.name for upstream in self.upstreams]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two upstreams are named {name!r}")
        return self

    @model_validator(mode="after")
    def upstreams_are_others(self) -> Settings:
        server = self.server
        for upstream in self.upstreams:
            # The built-in default stands back when the database has others.
            if upstream != DEFAULT_UPSTREAM and is_own(upstream.url, server.host, server.port, server.public_url):
                raise ValueError(f"the upstream {upstream.name!r} is the gateway itself: look at its port")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The sources are merged by ``load``, which knows their order and remembers each value's origin.
        return (init_settings,)


Origin = Literal["flag", "environment", "file", "default"]


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and where each value came from (``server.port`` → ``file``). ``reread`` reads the same sources again;
    None where there are none, as in the demo."""

    settings: Settings
    path: Path | None
    origins: Mapping[str, Origin]
    reread: Callable[[], LoadedSettings] | None = None

    def origin(self, key: str) -> Origin:
        return self.origins.get(key, "default")


def load(
    path: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> LoadedSettings:
    """Read the file, the environment and the flags, in rising precedence.

    Raises ConfigError, naming the file, the key and what would be right.
    """
    file_values = _read_file(path) if path else {}
    env_values = _read_environment(environ)
    merged: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    layers: tuple[tuple[Origin, Mapping[str, Any]], ...] = (
        ("file", file_values),
        ("environment", env_values),
        ("flag", flags or {}),
    )
    for origin, values in layers:
        for section, content in values.items():
            if isinstance(content, Mapping):
                merged.setdefault(section, {}).update(content)
                origins.update({f"{section}.{key}": origin for key in content})
                origins.setdefault(section, origin)
            else:
                merged[section] = content
                origins[section] = origin
                tables = [table for table in content if isinstance(table, Mapping)]
                origins.update({f"{section}[{i}].{key}": origin for i, table in enumerate(tables) for key in table})
    try:
        return LoadedSettings(Settings(**merged), path, origins, lambda: load(path, flags, environ))
    except ValidationError as failure:
        raise ConfigError(_explain(failure, path, origins)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ConfigError(f"Cannot read {path}: {failure.strerror}.", hint="Write one with: llmgate init") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path} is not valid TOML: {failure}.") from None
    sections = [name for name, content in values.items() if not isinstance(content, dict | list)]
    if sections:
        raise ConfigError(f"{path}: {sections[0]} stands outside of any table.", hint="Put it below a [section].")
    return values


def _read_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for variable, text in environ.items():
        match = re.fullmatch(r"LLMGATE_([A-Z0-9]+)__(\w+)", variable)
        if match is None:
            continue
        if match[1] == "UPSTREAMS":
            raise ConfigError(f"{variable}: upstreams are set in the file, not in the environment.")
        section, key = match[1].lower(), match[2].lower()
        field = Settings.model_fields.get(section)
        table = field.annotation if field else None
        if not (isinstance(table, type) and issubclass(table, Section)):
            sections = [f"LLMGATE_{name.upper()}__{match[2]}" for name in Settings.model_fields if name != "upstreams"]
            raise ConfigError(f"{variable} names no section.{_nearest(variable, sections)}")
        entry = table.model_fields.get(key)
        if entry is None:
            variables = [f"LLMGATE_{match[1]}__{name.upper()}" for name in table.model_fields]
            raise ConfigError(f"{variable} names no setting.{_nearest(variable, variables)}")
        is_list = get_origin(entry.annotation) is list
        values.setdefault(section, {})[key] = [part for part in text.split(",") if part] if is_list else text
    return values


def _nearest(key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known are: {', '.join(sorted(names))}."


_SOURCES = {"flag": "the command line", "environment": "the environment", "default": "the settings"}


def _explain(failure: ValidationError, path: Path | None, origins: Mapping[str, Origin]) -> str:
    sentences = []
    for error in failure.errors(include_url=False):
        where = [str(part) for part in error["loc"]]
        key = ".".join(where) or "settings"
        origin = origins.get(key, origins.get(where[0] if where else "", "default"))
        source = _SOURCES.get(origin) or str(path)
        if error["type"] == "extra_forbidden":
            table = _table_of(where[:-1])
            sentences.append(f"{key} (from {source}) is not a setting.{_nearest(where[-1], table.model_fields)}")
        else:
            message = error["msg"].removeprefix("Value error, ")
            sentences.append(f"{key} (from {source}) is wrong: {message[:1].lower()}{message[1:]}.")
    return " ".join(sentences)


def _table_of(where: list[str]) -> type[BaseModel]:
    table: type[BaseModel] = Settings
    for part in where:
        field = table.model_fields.get(part)
        if field is None:
            continue
        inner = get_args(field.annotation)[0] if get_origin(field.annotation) is list else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            table = inner
    return table
