"""The tables. Migrations create them; a test proves that both say the same.

Times are UTC. Text ids are made by the caller; episodes are numbered by the database, because
"joined later" must mean "larger id".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@lru_cache(maxsize=1024)  # a storm is written with the same few instants
def instant_text(instant: datetime) -> str:
    """Write an instant in UTC and always as long, so that such texts sort as the instants do.

    Raises ValueError for a time without a zone: it is refused at this border.
    """
    if instant.tzinfo is None:
        raise ValueError(f"a time without a zone: {instant!r}")
    return instant.astimezone(UTC).isoformat(" ", "microseconds")


class _SqliteInstant(sqlite.DATETIME):
    """SQLite has no type for instants: they are texts that a human can read in its shell."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        return lambda value: None if value is None else instant_text(value)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        read = datetime.fromisoformat
        return lambda value: None if value is None else read(value)


class Instant(sa.TypeDecorator[datetime]):
    """An aware UTC datetime."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose what the database has for it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_SqliteInstant())  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse a time without a zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        return value


_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

pages = sa.Table(
    "pages",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("group_key", sa.Text, nullable=False),  # canonical form of group_labels
    sa.Column("group_labels", sa.JSON, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("confirmed_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),  # null: open
    sa.Column("acknowledged_at", Instant),  # null: nobody has taken it
    sa.Column("truncated", sa.Boolean, nullable=False),
)
page_is_open = pages.c.closed_at.is_(None)
# One open page a group: two replicas that open it at once cannot both succeed.
sa.Index(
    "uq_pages_open",
    pages.c.receiver,
    pages.c.group_key,
    unique=True,
    sqlite_where=page_is_open,
    postgresql_where=page_is_open,
)
sa.Index("ix_pages_group", pages.c.receiver, pages.c.group_key, pages.c.opened_at)
sa.Index("ix_pages_opened_at", pages.c.opened_at)  # the newest first
sa.Index("ix_pages_closed_at", pages.c.closed_at)  # pruning

episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("id", _Number, primary_key=True, autoincrement=True),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    # null: heard of only as resolved
    sa.Column("page_id", sa.Text, sa.ForeignKey("pages.id", ondelete="CASCADE")),
    sa.Column("firing", sa.Boolean, nullable=False),
    sa.Column("starts_at", Instant, nullable=False),
    sa.Column("ends_at", Instant),  # null: not resolved
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("values", sa.JSON, nullable=False),
    sa.Column("generator_url", sa.Text, nullable=False),
    sqlite_autoincrement=True,  # an id is never used again, not even after pruning
)
# Indexes on a condition serve only queries that write it in the very same way.
is_firing = episodes.c.firing.is_(True)
# One firing episode an alert and receiver, for the same reason.
sa.Index(
    "uq_episodes_firing",
    episodes.c.receiver,
    episodes.c.fingerprint,
    unique=True,
    sqlite_where=is_firing,
    postgresql_where=is_firing,
)
sa.Index("ix_episodes_alert", episodes.c.receiver, episodes.c.fingerprint, episodes.c.id)
sa.Index("ix_episodes_page", episodes.c.page_id, episodes.c.id)
sa.Index(
    "ix_episodes_page_firing",
    episodes.c.page_id,
    sqlite_where=is_firing,
    postgresql_where=is_firing,
)
_ended = episodes.c.ends_at.is_not(None)
sa.Index("ix_episodes_ends_at", episodes.c.ends_at, sqlite_where=_ended, postgresql_where=_ended)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # null: a test call
    sa.Column("page_id", sa.Text, sa.ForeignKey("pages.id", ondelete="CASCADE")),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("phone", sa.Text, nullable=False),  # E.164
    sa.Column("reason", sa.Text, nullable=False),  # model.Reason
    sa.Column("state", sa.Text, nullable=False),  # model.CallState
    sa.Column("created_at", Instant, nullable=False),
    # waiting: not before; unknown: the next look-up; sending: the end of the lease
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("due_since", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("dialled_at", Instant),
    sa.Column("named_through", _Number),  # the youngest episode it names
    sa.Column("limited_until", Instant),
    sa.Column("settled_at", Instant),  # null: open
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("bundled_into", sa.Text),  # the call that says its words too
    # the attempt that holds it: who comes back late, with another one, settles nothing
    sa.Column("attempt_id", sa.Text),
)
call_is_open = calls.c.settled_at.is_(None)
# What is due for a phone, and what a phone is doing: answered by the index alone, which SQLite does
# only where the condition's column is in it.
sa.Index(
    "ix_calls_open",
    calls.c.state,
    calls.c.phone,
    calls.c.due_at,
    calls.c.settled_at,
    sqlite_where=call_is_open,
    postgresql_where=call_is_open,
)
_claimed = calls.c.attempt_id.is_not(None)
sa.Index("ix_calls_attempt", calls.c.attempt_id, sqlite_where=_claimed, postgresql_where=_claimed)
_bundled = calls.c.bundled_into.is_not(None)
sa.Index("ix_calls_bundled", calls.c.bundled_into, sqlite_where=_bundled, postgresql_where=_bundled)
_settled = calls.c.settled_at.is_not(None)
sa.Index("ix_calls_settled", calls.c.settled_at, sqlite_where=_settled, postgresql_where=_settled)
# What a phone was told about a page, and when.
sa.Index("ix_calls_page", calls.c.page_id, calls.c.phone, calls.c.state, calls.c.dialled_at)
sa.Index("ix_calls_created_at", calls.c.created_at)  # the newest first

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # the UserId the vendor echoes
    # of a bundle, the call that says the words of all
    sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id", ondelete="CASCADE"), nullable=False),
    sa.Column("phone", sa.Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),  # null: under way, or the process died
    sa.Column("outcome", sa.Text),  # delivery.Outcome; null: not known yet
    sa.Column("ret_code", sa.Integer),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("req_uuid", sa.Text, nullable=False),
    sa.Column("session_no", sa.Text, nullable=False),
    sa.Column("template_id", sa.Text, nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
)
sa.Index("ix_attempts_call", attempts.c.call_id)
sa.Index("ix_attempts_phone", attempts.c.phone, attempts.c.started_at)
sa.Index("ix_attempts_session_no", attempts.c.session_no)
sa.Index("ix_attempts_req_uuid", attempts.c.req_uuid)

rejected = sa.Table(
    "rejected",
    metadata,
    sa.Column("id", _Number, primary_key=True, autoincrement=True),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("source", sa.Text, nullable=False),  # model.Source
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # of the whole body, in bytes
    sa.Column("body", sa.LargeBinary, nullable=False),  # its beginning
    sqlite_autoincrement=True,
)

# One row that is written to see whether anything can be.
probe = sa.Table(
    "probe",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
)
