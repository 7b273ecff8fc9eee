"""Activity log, run-time settings and upstreams, idempotency keys, limits of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _activity()
    _keys()
    _settings_and_upstreams()
    _indexes()


def _activity() -> None:
    op.create_table(
        "activity",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor_kind", sa.String, nullable=False),
        sa.Column("actor_id", sa.String, nullable=False),
        sa.Column("actor_name", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("target_id", sa.String, nullable=False),
        sa.Column("target_name", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.create_index("ix_activity_at_seq", "activity", ["at", "seq"])
    for column in ("action", "actor_id", "actor_name", "target_id", "target_name"):
        op.create_index(f"ix_activity_{column}_seq", "activity", [column, "seq"])
    op.create_table(
        "activity_checkpoints",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("signature", sa.String, nullable=False),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("request_hash", sa.String, nullable=False),
        sa.Column("target_id", sa.String, nullable=False),
        sa.Column("answer", sa.String),
        sa.Column("created_at", _TIME, nullable=False),
    )


def _keys() -> None:
    for column in (
        sa.Column("routes", sa.JSON),
        sa.Column("cidrs", sa.JSON),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("max_concurrent", sa.Integer),
        sa.Column("max_waiting", sa.Integer),
        sa.Column("tokens_per_day", sa.BigInteger),
        sa.Column("tokens_per_month", sa.BigInteger),
        sa.Column("previous_digest", sa.String),
        sa.Column("previous_until", _TIME),
        sa.Column("rotated_at", _TIME),
    ):
        op.add_column("api_keys", column)
    # A key that was rotated has two digests for a while.
    op.create_index("ix_api_keys_previous_digest", "api_keys", ["previous_digest"], unique=True)


def _settings_and_upstreams() -> None:
    op.create_table(
        "settings",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("updated_by", sa.String, nullable=False),
    )
    op.create_table(
        "upstreams",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("pool", sa.String),
        sa.Column("api_key_sealed", sa.String),
        sa.Column("connect_timeout", sa.Double, nullable=False),
        sa.Column("first_byte_timeout", sa.Double, nullable=False),
        sa.Column("idle_timeout", sa.Double, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )


def _indexes() -> None:
    """Each filter of a list has an index that answers a page in the list's own order."""
    for column in ("model", "outcome", "user_id", "submitted_level", "upstream"):
        op.create_index(
            f"ix_requests_{column}_finished_at_request_id", "requests", [column, "finished_at", "request_id"]
        )
    principal = ["principal_kind", "principal_id", "finished_at"]
    op.drop_index("ix_requests_principal_kind_principal_id_finished_at", "requests")
    op.create_index(
        "ix_requests_principal_kind_principal_id_finished_at_request_id", "requests", [*principal, "request_id"]
    )
    op.drop_index("ix_api_keys_user_id", "api_keys")
    op.create_index("ix_api_keys_user_id_created_at_id", "api_keys", ["user_id", "created_at", "id"])
    op.create_index("ix_api_keys_name", "api_keys", ["name"])
    op.drop_index("ix_sessions_user_id", "sessions")
    op.create_index("ix_sessions_user_id_id", "sessions", ["user_id", "id"])
    op.create_index("ix_usage_principal_kind_principal_id_hour", "usage", ["principal_kind", "principal_id", "hour"])
