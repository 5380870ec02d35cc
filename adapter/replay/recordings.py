"""Recorded notifications: from files and from the store, and written as JSON lines.

A file holds one body as Alertmanager or Grafana posts it, or a recording a line:
`{"received_at": "2026-11-24T03:00:05Z", "source": "alertmanager", "body": {…}}`. A body alone has
no time: see `DatedBy` for where that is taken from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from adapter.errors import AdapterError, InvalidNotification, NotJson
from adapter.intake import parse
from adapter.model import Notification, Record, Source
from adapter.sources import fields
from adapter.store.session import KeptWebhook

_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHOWN = 60  # characters of a value in an error

# 2026-11-24T03:00:05Z, 2026-11-24T03-00-05+08:00, 20261124T030005Z, 20261124_030005, and what may
# follow. Without a zone it is this machine's.
_FILE_NAME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[Tt_]([0-9]{2})[:-]?([0-9]{2})[:-]?([0-9]{2})"
    r"(?:\.([0-9]{1,6}))?(Z|[+-][0-9]{2}:?[0-9]{2})?(?![0-9])"
)


class DatedBy(StrEnum):
    """Where the time of a recording is from; the first that there is."""

    RECEIVED_AT = "received_at"
    FILE_NAME = "file name"
    ALERTS = "startsAt and endsAt"  # the latest of them: of a repeat too early
    MODIFIED = "time of the file"


class Recording(Record):
    """One notification as it came in."""

    at: datetime
    source: Source
    notification: Notification
    dated_by: DatedBy


class Recordings(Record):
    """What was read."""

    found: tuple[Recording, ...]  # in the order of their times
    skipped: tuple[InvalidRecording, ...] = ()


class InvalidRecording(AdapterError):
    """A file, or a line of it, is no recorded notification; `where` says which."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where}: {why}")


class _Found(Record):
    """A body, and what is known of when it came in."""

    where: str
    body: bytes
    modified_at: datetime
    source: Source | None = None  # None: to be seen from the body
    received_at: datetime | None = None  # None: not written down
    name: str = ""  # of a file that holds this body alone


def read_paths(
    paths: Iterable[Path], *, skip_invalid: bool = False, progress: Callable[[], None] | None = None
) -> Recordings:
    """Read files, and directories with all below them.

    Raises InvalidRecording, or an ExceptionGroup of them, where something cannot be read, unless
    `skip_invalid`. `progress` is called once for each file.
    """
    found: list[Recording] = []
    skipped: list[InvalidRecording] = []
    for path in _files(paths, skipped):
        for item in _of_file(path, skipped):
            _keep(item, found, skipped)
        if progress is not None:
            progress()
    return _recordings(found, skipped, skip_invalid=skip_invalid)


def of_webhooks(kept: Iterable[KeptWebhook], *, skip_invalid: bool = False) -> Recordings:
    """Read what the store has kept. Raises as `read_paths` does."""
    found: list[Recording] = []
    skipped: list[InvalidRecording] = []
    for webhook in kept:
        item = _Found(
            where=f"webhook {webhook.id}",
            body=webhook.body,
            modified_at=webhook.received_at,
            source=webhook.source,
            received_at=webhook.received_at,
        )
        _keep(item, found, skipped)
    return _recordings(found, skipped, skip_invalid=skip_invalid)


def write_line(webhook: KeptWebhook) -> bytes:
    """Return a kept webhook as a line that `read_paths` reads."""
    body = webhook.body.removeprefix(_BYTE_ORDER_MARK)
    try:
        on_one_line = msgspec.json.format(body, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError):  # read by a reader that takes more
        on_one_line = msgspec.json.encode(fields.decode(body))
    line = {
        "received_at": webhook.received_at.isoformat(),
        "source": webhook.source.value,
        "body": msgspec.Raw(on_one_line),
    }
    return msgspec.json.encode(line) + b"\n"


def _recordings(
    found: list[Recording], skipped: list[InvalidRecording], *, skip_invalid: bool
) -> Recordings:
    if skipped and not skip_invalid:
        raise skipped[0] if len(skipped) == 1 else ExceptionGroup("recordings", skipped)
    found.sort(key=lambda recording: recording.at)  # of one time, as they were read
    return Recordings(found=tuple(found), skipped=tuple(skipped))


# --- files -------------------------------------------------------------------------------------


def _files(paths: Iterable[Path], skipped: list[InvalidRecording]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        below = sorted(each for each in path.rglob("*") if _is_recording(each, path))
        if not below:
            suffixes = ", ".join(sorted(_SUFFIXES))
            skipped.append(InvalidRecording(str(path), f"no file below it is one of {suffixes}"))
        yield from below


def _is_recording(path: Path, top: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(top).parts)
    return path.suffix.lower() in _SUFFIXES and not hidden and path.is_file()


def _of_file(path: Path, skipped: list[InvalidRecording]) -> Iterator[_Found]:
    try:
        content = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
        modified_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        skipped.append(InvalidRecording(str(path), error.strerror or str(error)))
        return
    lines = [(n, line) for n, line in enumerate(content.splitlines(), 1) if line.strip()]
    whole = _object(content)
    if whole is not None or len(lines) < 2 or _object(lines[0][1]) is None:
        numbered: Sequence[tuple[int, bytes]] = [(0, content)]
    else:
        numbered = lines
    for number, text in numbered:
        where = f"{path}:{number}" if number else str(path)
        try:
            yield _found(where, text, modified_at, "" if number else path.name)
        except InvalidRecording as error:
            skipped.append(error)


def _found(where: str, text: bytes, modified_at: datetime, name: str) -> _Found:
    """Return what a file or a line holds: a recording, or a body alone."""
    parts = _object(text) or {}
    if "received_at" not in parts or "body" not in parts:
        return _Found(where=where, body=text, modified_at=modified_at, name=name)
    return _Found(
        where=where,
        body=bytes(parts["body"]),
        modified_at=modified_at,
        source=_source(where, parts["source"]) if "source" in parts else None,
        received_at=_received_at(where, parts["received_at"]),
    )


def _object(text: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the members of a JSON object; None: it is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _source(where: str, raw: msgspec.Raw) -> Source:
    try:
        return msgspec.json.decode(raw, type=Source)
    except msgspec.DecodeError:
        sources = ", ".join(Source)
        raise InvalidRecording(where, f"source is {_quoted(raw)}, not one of {sources}") from None


def _received_at(where: str, raw: msgspec.Raw) -> datetime:
    try:
        found = fields.instant(msgspec.json.decode(raw))
    except msgspec.DecodeError:
        found = None
    if found is None:
        why = f"received_at is {_quoted(raw)}, not a time such as 2026-11-24T03:00:05Z"
        raise InvalidRecording(where, why)
    return found


def _quoted(raw: msgspec.Raw) -> str:
    return bytes(raw).decode(errors="replace")[:_SHOWN]


# --- bodies ------------------------------------------------------------------------------------


def _keep(item: _Found, found: list[Recording], skipped: list[InvalidRecording]) -> None:
    try:
        found.append(_recording(item))
    except (NotJson, InvalidNotification) as error:
        skipped.append(InvalidRecording(item.where, str(error)))


def _recording(item: _Found) -> Recording:
    source = item.source or _source_of(item.body)
    reader = Source.ALERTMANAGER if source is Source.ALERTMANAGER else Source.GRAFANA
    at, dated_by = item.received_at or _in_name(item.name), DatedBy.RECEIVED_AT
    if item.received_at is None:
        dated_by = DatedBy.FILE_NAME
    if at is None:
        at, dated_by = _dated_by_alerts(item, parse(reader, item.body, item.modified_at))
    notification = parse(reader, item.body, at)
    return Recording(at=at, source=reader, notification=notification, dated_by=dated_by)


def _source_of(body: bytes) -> Source:
    """Tell who posted a body: only Grafana names an organisation, or has no list of alerts."""
    found = _object(body.removeprefix(_BYTE_ORDER_MARK)) or {}
    if "orgId" in found or ("alerts" not in found and "ruleName" in found):
        return Source.GRAFANA
    return Source.ALERTMANAGER


def _dated_by_alerts(item: _Found, notification: Notification) -> tuple[datetime, DatedBy]:
    times = [at for alert in notification.alerts for at in (alert.starts_at, alert.ends_at) if at]
    if times:
        return max(times), DatedBy.ALERTS
    return item.modified_at, DatedBy.MODIFIED


def _in_name(name: str) -> datetime | None:
    """Return the time that a file's name begins with; None: it begins with none."""
    found = _FILE_NAME.match(name)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    text = f"{year}-{month}-{day}T{hour}:{minute}:{second}.{(fraction or '').ljust(6, '0')}"
    try:
        return datetime.fromisoformat(text + (zone or "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
