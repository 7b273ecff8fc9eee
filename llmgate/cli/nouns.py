"""Which noun or command leads to which module: all that the help of the whole program needs.

A module is imported when its noun is used, so that ``llmgate --help`` and completion come at once. To add a noun,
add its line to ``NOUNS``: where its ``group(…)`` is, and the same summary as there (a test compares them). A command
without a noun names its function, or the function ``mount_…(app)`` that registers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a noun or a command is defined, and what the help says of it in one line."""

    module: str
    attribute: str
    summary: str

    def load(self) -> Any:
        """Import it: a Typer group, a command's function, or a function that registers commands."""
        return getattr(import_module(f"llmgate.cli.{self.module}"), self.attribute)


COMMANDS = {
    "serve": Entry("serve", "serve", "Run the gateway."),
    "init": Entry("init", "init", "Write a configuration, the secret key and the first administrator."),
    "recover": Entry("recover", "mount_recover", "Give an administrator a new password, without logging in."),
    "login": Entry("login", "mount_login", "Log in and remember the session."),
    "logout": Entry("login", "mount_login", "End the session, at the daemon and here."),
    "passwd": Entry("login", "mount_login", "Change your own password and end your other sessions."),
    "tui": Entry("tui", "mount_tui", "Watch and administer a daemon, here or elsewhere, in the terminal."),
    "chat": Entry("chat", "mount_chat", "Ask a model."),
    "usage": Entry("usage", "mount_usage", "Show requests and tokens; of the last 24 hours unless told otherwise."),
    "backup": Entry("backup", "mount_backup", "Save the whole installation into one encrypted file."),
    "restore": Entry("backup", "mount_backup", "Fill an empty installation from a backup."),
    "doctor": Entry("doctor", "mount_doctor", "Examine this installation, and say how to mend what is wrong."),
    "openapi": Entry("openapi", "mount_openapi", "Print the description of the admin API, as OpenAPI 3.1 in JSON."),
    "version": Entry("command", "mount_version", "Print the version of this program."),
}
NOUNS = {
    "auth": Entry("login", "auth", "Who you are to the daemon."),
    "context": Entry("context", "context", "The daemons that are known here, each by a name."),
    "users": Entry("users", "users", "Who may log in."),
    "tokens": Entry("tokens", "tokens", "Registration tokens, with which people make their own accounts."),
    "keys": Entry("keys", "keys", "API keys of applications and users."),
    "whitelist": Entry("whitelist", "whitelist", "Networks that need no credential."),
    "sessions": Entry("sessions", "sessions", "Who is logged in, and from where."),
    "activity": Entry("activity", "activity", "Who changed what, and who logged in."),
    "settings": Entry("settings", "settings", "What the daemon works by, and who decides it."),
    "queue": Entry("queue", "queue", "The waiting line."),
    "requests": Entry("usage", "requests", "Finished requests."),
    "upstreams": Entry("upstreams", "upstreams", "The servers that run the models."),
    "pools": Entry("pools", "pools", "Upstreams that share one waiting line."),
    "models": Entry("models", "models", "The models on the upstreams."),
    "events": Entry("events", "events", "What happens, as it happens."),
    "system": Entry("system", "system", "The daemon and its machine."),
    "db": Entry("db", "db", "The database's schema."),
    "completion": Entry("shells", "completion", "Completion of commands and names in your shell."),
    "config": Entry("config", "config", "The daemon's configuration on this machine."),
}
ALL = {**COMMANDS, **NOUNS}
