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


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, inside the connection's transaction.

    Raises StartupError when the database's version is unknown here, which means a newer program made it.
    """
    alembic = config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(alembic).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise StartupError(
            f"The database has the schema {current}, which this version of llmgate does not know.",
            hint="A newer llmgate has migrated it: run that one, or restore a backup from before.",
        )
    command.upgrade(alembic, "head")
