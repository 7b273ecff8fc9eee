"""The configuration file, the state directory and the secret key: are they there, and whose are they?"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from llmgate.config import LoadedSettings
from llmgate.daemon.auth import secrets
from llmgate.daemon.operations.checks.base import Case, Finding, Status, in_thread
from llmgate.daemon.operations.installation import sqlite_file
from llmgate.daemon.services import secret_path


async def check_config_file(case: Case) -> Sequence[Finding]:
    """It is valid, or this would not run. May others read the passwords in it?"""
    return [await in_thread(lambda: _config_file(case.loaded))]


def _config_file(loaded: LoadedSettings) -> Finding:
    path = loaded.path
    if path is None:
        return Finding("config", Status.WARN, "There is no file; the defaults apply.", "Write one with: llmgate init")
    if stat.S_IMODE(path.stat().st_mode) & 0o007 and _holds_secrets(loaded):
        what = f"{path} is valid, but holds passwords and everybody on this machine may read it."
        return Finding("config", Status.WARN, what, f"chmod o= '{path}'")
    return Finding("config", Status.OK, f"{path} is valid.")


def _holds_secrets(loaded: LoadedSettings) -> bool:
    """Whether the file, and not only the environment, has something secret in it."""
    settings = loaded.settings
    keys = [("database.url", settings.database.url), ("queue.url", settings.queue.url)]
    if any(value.get_secret_value() and loaded.origin(name) == "file" for name, value in keys):
        return True
    return any(upstream.api_key.get_secret_value() for upstream in settings.upstreams)


async def check_state(case: Case) -> Sequence[Finding]:
    """State directory, secret key and SQLite file: there, and only for the daemon's user."""
    settings = case.settings
    files = [path for path in (secret_path(settings), sqlite_file(settings)) if path is not None]
    return await in_thread(lambda: _state(settings.state.dir, secret_path(settings), files))


def _state(directory: Path, secret: Path, files: Sequence[Path]) -> list[Finding]:
    there = [path for path in files if path.exists()]
    if not there:
        what = f"There is nothing in {directory} yet."
        return [Finding("state", Status.WARN, what, "Make the first administrator with: llmgate init")]
    owner = (directory if directory.is_dir() else there[0]).stat().st_uid
    findings = [_directory(directory, owner), *(_file(path, owner) for path in there)]
    if secret not in there:
        what = f"The secret key {secret} is missing, and there is a database."
        fix = f"Put the old secret.key back as {secret}, or restore a backup: llmgate restore"
        findings.append(Finding("state.secret", Status.FAIL, what, fix))
    elif os.access(secret, os.R_OK):
        findings.append(_secret(secret))
    return findings


def _directory(path: Path, owner: int) -> Finding:
    if not path.is_dir():
        return Finding("state", Status.SKIP, f"{path} does not exist; the files are elsewhere.")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        status = Status.FAIL if mode & 0o022 else Status.WARN
        return Finding("state", status, f"Others may enter {path} (mode {mode:04o}).", f"chmod 700 '{path}'")
    if os.geteuid() not in (owner, 0):
        what = f"{path} belongs to {_name(owner)}, and you are {_name(os.geteuid())}."
        todo = f"sudo -u {_name(owner)} llmgate doctor; or llmgate-host doctor where a systemd service runs it"
        return Finding("state", Status.WARN, what, todo)
    return Finding("state", Status.OK, f"{path} belongs to {_name(owner)} alone.")


def _file(path: Path, owner: int) -> Finding:
    check, status = f"state.{path.name}", path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        return Finding(check, Status.FAIL, f"Others may use {path} (mode {mode:04o}).", f"chmod 600 '{path}'")
    if status.st_uid not in (owner, 0):
        what = f"{path} belongs to {_name(status.st_uid)}, and its directory to {_name(owner)}."
        return Finding(check, Status.FAIL, what, f"chown {_name(owner)} '{path}'")
    return Finding(check, Status.OK, f"{path} has mode {mode:04o}.")


def _secret(path: Path) -> Finding:
    try:
        secrets.of_text(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as fault:
        what = f"The secret key in {path} cannot be used: it {fault}."
        return Finding("state.secret", Status.FAIL, what, "Put the original back, or restore a backup.")
    return Finding("state.secret", Status.OK, "The secret key is a good one.")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
