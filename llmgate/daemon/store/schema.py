"""The schema's version, and the way to the newest one."""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from llmgate.errors import StartupError


def config(connection: Connection) -> Config:
    """Alembic's configuration for the migrations inside this package, working on an open connection."""
    alembic = Config()
    alembic.set_main_option("script_location", str(resources.files("llmgate.daemon.store") / "migrations"))
    alembic.attributes["connection"] = connection
    return alembic


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations that are missing up to ``revision``, inside the connection's transaction.

    Raises StartupError when the database's version is unknown here, which means a newer program made it.
    """
    pending(current(connection))
    command.upgrade(config(connection), revision)


def current(connection: Connection) -> str | None:
    """The database's revision; None for one without a schema."""
    return MigrationContext.configure(connection).get_current_revision()


def revisions() -> dict[str, str]:
    """Every revision that this program knows, oldest first, and what it brought."""
    scripts = ScriptDirectory(str(resources.files("llmgate.daemon.store") / "migrations"))
    return {script.revision: script.doc for script in reversed(list(scripts.walk_revisions()))}


def pending(revision: str | None) -> dict[str, str]:
    """The revisions that a database of this one lacks. Raises StartupError when it is unknown here."""
    known = revisions()
    if revision is None:
        return known
    if revision not in known:
        raise StartupError(
            f"The database has the schema {revision}, which this version of llmgate does not know.",
            hint="A newer llmgate has migrated it: run that one, or restore a backup from before.",
        )
    names = list(known)
    return {name: known[name] for name in names[names.index(revision) + 1 :]}
