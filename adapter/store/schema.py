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
    sa.Column("acknowledged_by", sa.Text, nullable=False, server_default=sa.text("''")),
    # how often the escalation has begun, and will begin again by itself
    sa.Column("run", sa.Integer, nullable=False, server_default="0"),
    sa.Column("repeats_left", sa.Integer, nullable=False, server_default="0"),
    sa.Column("step", sa.Integer),  # index of the step under way; null: none is
    sa.Column("step_until", Instant),  # its wait ends
    sa.Column("look_at", Instant),  # the escalation may go on; null: none is under way
    sa.Column("exhausted_at", Instant),  # it reached nobody; null: it has not ended so
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
page_escalates = pages.c.look_at.is_not(None)
sa.Index(
    "ix_pages_look_at",
    pages.c.look_at,
    sqlite_where=page_escalates,
    postgresql_where=page_escalates,
)

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
    # the run and the step of its page's escalation that it is made for; null: none
    sa.Column("run", sa.Integer, nullable=False, server_default="0"),
    sa.Column("step", sa.Integer),
    sa.Column("result", sa.Text),  # model.Result; null: nothing reported
    sa.Column("reported_at", Instant),
    sa.Column("drill_id", sa.Text),  # null: no drill's
    # what led to it, as a W3C trace context; '': nothing was traced
    sa.Column("traceparent", sa.Text, nullable=False, server_default=sa.text("''")),
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
# What the vendor took and has reported nothing of.
call_is_submitted = sa.and_(
    calls.c.state == sa.literal_column("'accepted'"), calls.c.result.is_(None)
)
sa.Index(
    "ix_calls_submitted",
    calls.c.dialled_at,
    sqlite_where=call_is_submitted,
    postgresql_where=call_is_submitted,
)
_drilled = calls.c.drill_id.is_not(None)
sa.Index("ix_calls_drill", calls.c.drill_id, sqlite_where=_drilled, postgresql_where=_drilled)
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
    # the receipt: null, until something is reported
    sa.Column("result", sa.Text),  # model.Result
    sa.Column("talk_seconds", sa.Integer),
    sa.Column("billed", sa.Integer),
    sa.Column("receipt_code", sa.Text),
    sa.Column("receipt_description", sa.Text),
    sa.Column("reported_at", Instant),
)
sa.Index("ix_attempts_call", attempts.c.call_id)
sa.Index("ix_attempts_phone", attempts.c.phone, attempts.c.started_at)
sa.Index("ix_attempts_started_at", attempts.c.started_at)  # the pace of all replicas
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

fallbacks = sa.Table(
    "fallbacks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("page_id", sa.Text, sa.ForeignKey("pages.id", ondelete="CASCADE"), nullable=False),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),  # of the page's escalation
    sa.Column("state", sa.Text, nullable=False),  # model.FallbackState
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("settled_at", Instant),  # null: still to be told
    sa.Column("note", sa.Text, nullable=False),
)
fallback_is_open = fallbacks.c.settled_at.is_(None)
# Told once for each run, whoever finds it exhausted.
sa.Index("uq_fallbacks_run", fallbacks.c.page_id, fallbacks.c.run, unique=True)
sa.Index(
    "ix_fallbacks_due",
    fallbacks.c.due_at,
    sqlite_where=fallback_is_open,
    postgresql_where=fallback_is_open,
)

# What became of each alert at each receiver: one row a reason, however often it was posted.
verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("receiver", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),  # model.Reason
    sa.Column("page_id", sa.Text),  # of the last time; null: no page has it
    sa.Column("route", sa.Text, nullable=False),  # id of the route that chose the receiver
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("first_at", Instant, nullable=False),
    sa.Column("last_at", Instant, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
)
sa.Index("ix_verdicts_last_at", verdicts.c.last_at)
sa.Index("ix_verdicts_fingerprint", verdicts.c.fingerprint)
sa.Index("ix_verdicts_page", verdicts.c.page_id)

# The story, as far as the other tables do not keep it. Rows are added, never changed.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _Number, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # model.EventKind
    sa.Column("page_id", sa.Text, sa.ForeignKey("pages.id", ondelete="CASCADE")),
    sa.Column("call_id", sa.Text),
    sa.Column("step", sa.Integer),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_events_page", events.c.page_id, events.c.id)
sa.Index("ix_events_call", events.c.call_id)
sa.Index("ix_events_at", events.c.at)

overrides = sa.Table(
    "overrides",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("schedule", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("starts_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("removed_at", Instant),  # null: it stands
    sa.Column("removed_by", sa.Text, nullable=False),
)
sa.Index("ix_overrides_ends_at", overrides.c.ends_at)

# Bodies that were accepted, compressed, for replaying them.
webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", _Number, primary_key=True, autoincrement=True),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("source", sa.Text, nullable=False),  # model.Source
    sa.Column("size", sa.Integer, nullable=False),  # of the whole body, in bytes
    sa.Column("body", sa.LargeBinary, nullable=False),  # zlib
    sqlite_autoincrement=True,
)
sa.Index("ix_webhooks_received_at", webhooks.c.received_at)

# The last good copy of each schedule's iCalendar feed.
calendars = sa.Table(
    "calendars",
    metadata,
    sa.Column("schedule", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),  # a hash: a URL may hold a secret
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("last_modified", sa.Text, nullable=False),
    sa.Column("fetched_at", Instant, nullable=False),
)

# When each heartbeat was last heard.
heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("heard_at", Instant, nullable=False),
    sa.Column("silent_since", Instant),  # null: it is not missing, or nobody was told yet
)

# One row that is written to see whether anything can be.
probe = sa.Table(
    "probe",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
)
