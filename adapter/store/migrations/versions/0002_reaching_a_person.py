"""Schedules, escalation, receipts, and the story of it all. Only adds: older code runs on it too."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
compatible_from = "0001"

INSTANT = sa.DateTime(timezone=True)
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "calendars",
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("last_modified", sa.Text(), nullable=False),
        sa.Column("fetched_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("schedule", name="pk_calendars"),
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False),
        sa.Column("silent_since", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_heartbeats"),
    )
    op.create_table(
        "overrides",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("removed_at", INSTANT, nullable=True),
        sa.Column("removed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_overrides"),
    )
    op.create_index("ix_overrides_ends_at", "overrides", ["ends_at"])
    op.create_table(
        "verdicts",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("page_id", sa.Text(), nullable=True),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("first_at", INSTANT, nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", "fingerprint", "reason", name="pk_verdicts"),
    )
    op.create_index("ix_verdicts_fingerprint", "verdicts", ["fingerprint"])
    op.create_index("ix_verdicts_last_at", "verdicts", ["last_at"])
    op.create_index("ix_verdicts_page", "verdicts", ["page_id"])
    op.create_table(
        "webhooks",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhooks_received_at", "webhooks", ["received_at"])
    op.create_table(
        "events",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("page_id", sa.Text(), nullable=True),
        sa.Column("call_id", sa.Text(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["page_id"], ["pages.id"], name="fk_events_page_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_at", "events", ["at"])
    op.create_index("ix_events_call", "events", ["call_id"])
    op.create_index("ix_events_page", "events", ["page_id", "id"])
    op.create_table(
        "fallbacks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("page_id", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("settled_at", INSTANT, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["page_id"], ["pages.id"], name="fk_fallbacks_page_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_fallbacks"),
    )
    op.create_index(
        "ix_fallbacks_due",
        "fallbacks",
        ["due_at"],
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("uq_fallbacks_run", "fallbacks", ["page_id", "run"], unique=True)
    op.add_column("attempts", sa.Column("result", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("talk_seconds", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("billed", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("receipt_code", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("receipt_description", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("reported_at", INSTANT, nullable=True))
    op.create_index("ix_attempts_started_at", "attempts", ["started_at"])
    op.add_column("calls", sa.Column("run", sa.Integer(), server_default="0", nullable=False))
    op.add_column("calls", sa.Column("step", sa.Integer(), nullable=True))
    op.add_column("calls", sa.Column("result", sa.Text(), nullable=True))
    op.add_column("calls", sa.Column("reported_at", INSTANT, nullable=True))
    op.add_column("calls", sa.Column("drill_id", sa.Text(), nullable=True))
    op.add_column("calls", sa.Column("traceparent", sa.Text(), server_default="", nullable=False))
    op.create_index(
        "ix_calls_drill",
        "calls",
        ["drill_id"],
        sqlite_where=sa.text("drill_id IS NOT NULL"),
        postgresql_where=sa.text("drill_id IS NOT NULL"),
    )
    op.create_index(
        "ix_calls_submitted",
        "calls",
        ["dialled_at"],
        sqlite_where=sa.text("state = 'accepted' AND result IS NULL"),
        postgresql_where=sa.text("state = 'accepted' AND result IS NULL"),
    )
    op.add_column(
        "pages", sa.Column("acknowledged_by", sa.Text(), server_default="", nullable=False)
    )
    op.add_column("pages", sa.Column("run", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "pages", sa.Column("repeats_left", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column("pages", sa.Column("step", sa.Integer(), nullable=True))
    op.add_column("pages", sa.Column("step_until", INSTANT, nullable=True))
    op.add_column("pages", sa.Column("look_at", INSTANT, nullable=True))
    op.add_column("pages", sa.Column("exhausted_at", INSTANT, nullable=True))
    op.create_index(
        "ix_pages_look_at",
        "pages",
        ["look_at"],
        sqlite_where=sa.text("look_at IS NOT NULL"),
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
