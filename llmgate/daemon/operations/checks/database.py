"""The database: does it answer, has it our schema, does it belong to our secret key, what does its clock say?"""

from __future__ import annotations

from collections.abc import Sequence

from llmgate.daemon.auth import secrets
from llmgate.daemon.operations.checks.base import Case, Finding, Status, failed, in_thread
from llmgate.daemon.operations.checks.stored import Stored
from llmgate.daemon.operations.installation import sqlite_file
from llmgate.daemon.services import secret_path
from llmgate.daemon.store import schema
from llmgate.errors import LLMGateError, StartupError, StateUnreadable

WORRYING, WRONG = 2.0, 30.0
"""Seconds between two clocks."""


async def check_database(case: Case) -> Sequence[Finding]:
    file = sqlite_file(case.settings)
    if file is not None and not await in_thread(file.exists):
        return [Finding("database", Status.SKIP, f"There is no database at {file} yet.")]
    try:
        stored = await case.stored()
    except LLMGateError as failure:
        return [failed("database", failure, "Check database.url, and that the database runs.")]
    facts = stored.facts
    size = f"{facts.bytes / 1024 / 1024:.1f} MiB"
    reached = Finding("database", Status.OK, f"{facts.kind} {facts.version}: {facts.place}, {size}.")
    secret = await in_thread(lambda: _secret(case, stored))
    return [reached, _migrations(stored), secret, _clock(stored)]


def _migrations(stored: Stored) -> Finding:
    revision = stored.facts.revision
    if revision is None:
        return Finding("database.schema", Status.WARN, "It is empty.", "llmgate serve makes its tables when it starts.")
    try:
        pending = schema.pending(revision)
    except StartupError as failure:
        return failed("database.schema", failure)
    if pending:
        what = f"It has the schema {revision}; pending: {', '.join(pending)}."
        fix = "llmgate backup, then llmgate db upgrade (llmgate serve would do it, too)."
        return Finding("database.schema", Status.WARN, what, fix)
    return Finding("database.schema", Status.OK, f"It has the schema {revision}, the newest.")


def _secret(case: Case, stored: Stored) -> Finding:
    check = "database.secret"
    if stored.fingerprint is None:
        return Finding(check, Status.SKIP, "It belongs to no secret key yet.")
    path = secret_path(case.settings)
    try:
        ours = secrets.of_text(path.read_text(encoding="ascii"))
    except (OSError, ValueError, StateUnreadable):
        return Finding(check, Status.SKIP, f"{path} cannot be read.")
    if ours.fingerprint != stored.fingerprint:
        what = "It was made with another secret key: no API key and no session would be accepted."
        return Finding(check, Status.FAIL, what, f"Put the secret.key that belongs to it back as {path}.")
    return Finding(check, Status.OK, "It belongs to this secret key.")


def _clock(stored: Stored) -> Finding:
    check = "database.clock"
    if stored.facts.clock is None:
        return Finding(check, Status.SKIP, "It has no clock but ours.")
    apart = abs((stored.facts.clock - stored.seen_at).total_seconds())
    if apart < WORRYING:
        return Finding(check, Status.OK, f"Its clock and ours are {apart:.1f} s apart.")
    status = Status.FAIL if apart > WRONG else Status.WARN
    what = f"Its clock and ours are {apart:.0f} s apart: sessions and keys would end too early or too late."
    return Finding(check, status, what, "Let both machines take their time from NTP: timedatectl set-ntp true")
