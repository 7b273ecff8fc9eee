"""The settings in effect: what file, environment and flags say, and below them what was changed at run time.

Precedence: flag, environment, file, database, default. So a value that an operator has written down is never changed
from outside, and the database decides only what nobody has written down.

Whoever is given the LiveSettings in place of a Settings reads its values when it needs them. Where a change has to
be acted upon (a line that is in order already, connections, the log), ``on_change`` is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import structlog

from llmgate.config import (
    ActivitySettings,
    AuthSettings,
    ChatSettings,
    DatabaseSettings,
    HealthSettings,
    LevelSettings,
    LoadedSettings,
    LogSettings,
    QueueSettings,
    RequestSettings,
    ServerSettings,
    Settings,
    StateSettings,
    UsageSettings,
)
from llmgate.config_keys import Key, changed, keys
from llmgate.errors import InvalidRequest, ReadOnly

Decider = Literal["flag", "environment", "file", "database", "default"]
Told = Callable[[Settings, Settings], None]


class LiveSettings:
    """See the module. ``settings`` is the whole of them at this moment."""

    def __init__(self, loaded: LoadedSettings) -> None:
        self.loaded = loaded
        self.settings = loaded.settings
        self.overrides: Mapping[str, Any] = {}
        """What the database says, by key."""
        self._told: list[Told] = []
        self._log = structlog.get_logger("llmgate.settings")

    def on_change(self, told: Told) -> None:
        """``told`` gets the settings before and after each change. It must neither block nor fail."""
        self._told.append(told)

    def decider(self, key: str) -> Decider:
        """What decides a setting."""
        origin = self.loaded.origin(key)
        return "database" if origin == "default" and key in self.overrides else origin

    def why_not(self, key: Key) -> tuple[str, str] | None:
        """Why a setting cannot be changed at run time, and what to do instead; None: it can."""
        place = str(self.loaded.path) if self.loaded.path else "the configuration file"
        match self.loaded.origin(key.name):
            case _ if not key.run_time:
                return f"{key.name} cannot be changed while the daemon runs.", f"Set it in {place}, and restart."
            case "flag":
                return f"{key.name} is decided by the command line of the daemon.", "Start it without that option."
            case "environment":
                return (
                    f"{key.name} is decided by the environment variable {key.variable}.",
                    "Remove the variable, and restart the daemon.",
                )
            case "file":
                return f"{key.name} is decided by {place}.", "Change it there, then: llmgate config reload"
            case _:
                return None

    def check_mutable(self, key: Key) -> None:
        """Raises ReadOnly, which says who decides and what to do."""
        found = self.why_not(key)
        if found is not None:
            raise ReadOnly(found[0], hint=found[1])

    def composed(self, overrides: Mapping[str, Any], loaded: LoadedSettings | None = None) -> Settings:
        """What would be in effect with these overrides. Raises InvalidRequest when that is not usable."""
        base = loaded or self.loaded
        return changed(base.settings, {key: value for key, value in overrides.items() if base.origin(key) == "default"})

    def usable(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Those overrides that this version knows and accepts. One that another version has written must not keep
        a daemon from starting."""
        found: dict[str, Any] = {}
        for name, value in overrides.items():
            key = keys().get(name)
            try:
                if key is None or not key.run_time:
                    raise InvalidRequest("it cannot be changed at run time")
                key.check(value)
                changed(Settings(), {name: value})
            except InvalidRequest as failure:
                self._log.warning("setting_ignored", key=name, reason=failure.message)
            else:
                found[name] = value
        return found

    def use(self, overrides: Mapping[str, Any], loaded: LoadedSettings | None = None) -> bool:
        """From now on this holds. False when nothing is different. Raises what ``composed`` does, and then nothing
        has changed."""
        before, after = self.settings, self.composed(overrides, loaded)
        self.loaded, self.overrides = loaded or self.loaded, dict(overrides)
        if after == before:
            return False
        self.settings = after
        for told in self._told:
            try:
                told(before, after)
            except Exception:  # a defect of one must not keep the others from what was decided
                self._log.exception("setting_not_applied")
        return True

    @property
    def server(self) -> ServerSettings:
        return self.settings.server

    @property
    def state(self) -> StateSettings:
        return self.settings.state

    @property
    def database(self) -> DatabaseSettings:
        return self.settings.database

    @property
    def auth(self) -> AuthSettings:
        return self.settings.auth

    @property
    def levels(self) -> LevelSettings:
        return self.settings.levels

    @property
    def queue(self) -> QueueSettings:
        return self.settings.queue

    @property
    def requests(self) -> RequestSettings:
        return self.settings.requests

    @property
    def health(self) -> HealthSettings:
        return self.settings.health

    @property
    def usage(self) -> UsageSettings:
        return self.settings.usage

    @property
    def activity(self) -> ActivitySettings:
        return self.settings.activity

    @property
    def chat(self) -> ChatSettings:
        return self.settings.chat

    @property
    def log(self) -> LogSettings:
        return self.settings.log


Current = Settings | LiveSettings
"""What is read when it is needed: of a running daemon the LiveSettings, else settings that stay as they are."""


def as_loaded(settings: Settings | LoadedSettings) -> LoadedSettings:
    """Settings that came from nowhere: the database may decide any of them, and there is nothing to read again."""
    return settings if isinstance(settings, LoadedSettings) else LoadedSettings(settings, None, {})
