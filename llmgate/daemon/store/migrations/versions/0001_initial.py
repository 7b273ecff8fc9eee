"""Users, sessions, keys, registration tokens, whitelist, request log, usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ROLE = sa.String(32)


def upgrade() -> None:
    _instance_and_people()
    _keys_and_tokens()
    _accounting()


def _instance_and_people() -> None:
    op.create_table(
        "instance",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_key", sa.String, nullable=False, unique=True),
        sa.Column("password_hash", sa.String),
        sa.Column("role", _ROLE, nullable=False),
        sa.Column("level", sa.Integer),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("last_login_at", _TIME),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.Column("refresh_hash", sa.String, nullable=False, unique=True),
        sa.Column("previous_hash", sa.String),
        sa.Column("rotated_at", _TIME),
        sa.Column("client", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])


def _keys_and_tokens() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("role", _ROLE, nullable=False),
        sa.Column("level", sa.Integer),
        sa.Column("models", sa.JSON),
        sa.Column("weight", sa.Double, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME),
        sa.Column("last4", sa.String, nullable=False),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])
    op.create_index("ix_api_keys_created_at_id", "api_keys", ["created_at", "id"])
    active = sa.text("revoked_at IS NULL")
    op.create_index(
        "uq_api_keys_active_name", "api_keys", ["name"], unique=True, sqlite_where=active, postgresql_where=active
    )
    op.create_table(
        "registration_tokens",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False, unique=True),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("role", _ROLE, nullable=False),
        sa.Column("level", sa.Integer),
        sa.Column("max_uses", sa.Integer, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.String),
    )
    op.create_table(
        "whitelist",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("cidr", sa.String, nullable=False, unique=True),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("level", sa.Integer),
        sa.Column("expires_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
    )


def _accounting() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", sa.String, primary_key=True),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.Column("principal_kind", sa.String, nullable=False),
        sa.Column("principal_id", sa.String, nullable=False),
        sa.Column("principal_name", sa.String, nullable=False),
        sa.Column("user_id", sa.String),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("route", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("pool", sa.String),
        sa.Column("upstream", sa.String),
        sa.Column("submitted_level", sa.Integer, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error_code", sa.String),
        sa.Column("wait", sa.Double, nullable=False),
        sa.Column("first_byte", sa.Double),
        sa.Column("duration", sa.Double, nullable=False),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
    )
    op.create_index("ix_requests_finished_at_request_id", "requests", ["finished_at", "request_id"])
    by_principal = ["principal_kind", "principal_id", "finished_at"]
    op.create_index("ix_requests_principal_kind_principal_id_finished_at", "requests", by_principal)
    op.create_table(
        "usage",
        sa.Column("hour", _TIME, primary_key=True),
        sa.Column("principal_kind", sa.String, primary_key=True),
        sa.Column("principal_id", sa.String, primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("wait_seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "usage_principals",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("user_id", sa.String),
    )
