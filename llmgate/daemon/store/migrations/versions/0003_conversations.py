"""Conversations, their messages and pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("leaf", sa.String),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("text_size", sa.BigInteger, nullable=False),
        sa.Column("image_size", sa.BigInteger, nullable=False),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("title_key", sa.String, nullable=False),
        sa.Column("titled_by", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("system", sa.String),
    )
    op.create_index("ix_conversations_user_id_updated_at_id", "conversations", ["user_id", "updated_at", "id"])
    op.create_index("ix_conversations_updated_at_id", "conversations", ["updated_at", "id"])
    sizes = ["user_id", "text_size", "image_size"]
    op.create_index("ix_conversations_user_id_text_size_image_size", "conversations", sizes)
    _messages()


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("conversation_id", sa.String, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("parent", sa.String),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("error_code", sa.String),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("duration", sa.Double),
        sa.Column("notice", sa.String),
        sa.Column("content", sa.String, nullable=False),
        sa.Column("folded", sa.String),
        sa.Column("thinking", sa.String),
    )
    op.create_index("ix_messages_conversation_id_number", "messages", ["conversation_id", "number"], unique=True)
    op.create_table(
        "images",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("message_id", sa.String, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_images_message_id_number", "images", ["message_id", "number"], unique=True)
