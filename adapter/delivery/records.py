"""Whether a call that may have rung is in the vendor's records.

The records carry neither our UserId nor, as far as is documented, the SessionNo: a call is known
by number, template and time. Source: https://docs.ucloud.cn/api/uvms-api/get_uvms_send_record.
Knows nothing of how records are fetched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from adapter.delivery.outcomes import Answer
from adapter.delivery.policy import DeliveryPolicy
from adapter.model import Attempt, PhoneNumber, Receipt, Record

Span = tuple[datetime, datetime]  # when a request about a phone began and ended


class CallRecord(Record):
    """One call in the vendor's records."""

    task_no: str  # the record's own id; "": it has none
    phone: PhoneNumber  # in whatever form the vendor writes it
    template_id: str = ""  # "": not said
    placed_at: datetime | None = None  # submitted, else dialled; None: neither is said
    receipt: Receipt | None = None  # None: the vendor does not know yet how it went


class Records(Record):
    """What the vendor's records of a window say."""

    answer: Answer  # of the last request made for it
    records: tuple[CallRecord, ...] = ()
    complete: bool = False  # all of the window was read: what is not in here is not there


class LookUp(StrEnum):
    """What asking for a call that may have rung gave."""

    FOUND = "found"  # it was placed: a receipt with our UserId, or a record that fits
    ABSENT = "absent"  # the vendor answered in full, and it is not there
    FAILED = "failed"  # the vendor could not be asked, or did not answer in full


def record_window(
    attempt: Attempt, policy: DeliveryPolicy, now: datetime
) -> tuple[datetime, datetime | None]:
    """Return from when to when to ask for records of this attempt; None: until now.

    Until now is best said by the vendor's own clock, which may be ahead of ours.
    """
    since, until = _bounds(attempt, policy)
    return since, until if until < now else None


def look_up(
    seen: Records,
    attempt: Attempt,
    phone: PhoneNumber,
    used: Collection[str],
    policy: DeliveryPolicy,
    dialled: Collection[Span] = (),
) -> tuple[LookUp, CallRecord | None]:
    """Return whether the attempt's call is in the records, and its record if it is.

    `used` holds the task numbers (and session numbers) known to belong to other attempts, `dialled`
    when the phone was dialled lately, for whatever call. A record without number or time may be
    the one that is looked for, so beside it nothing is absent.
    """
    record = find_record(seen.records, attempt, phone, used, policy, dialled)
    if record is not None:
        return LookUp.FOUND, record
    readable = all(one.placed_at is not None and _digits(one.phone) for one in seen.records)
    return (LookUp.ABSENT if seen.complete and readable else LookUp.FAILED), None


def find_record(
    records: Iterable[CallRecord],
    attempt: Attempt,
    phone: PhoneNumber,
    used: Collection[str],
    policy: DeliveryPolicy,
    dialled: Collection[Span] = (),
) -> CallRecord | None:
    """Return the record nearest in time to the attempt that can be its own.

    Strict where a field is missing, but for the template: a wrong match is a page nobody hears. So
    a record that is nearer to another attempt at this phone is that one's: a call is placed while
    its request lasts, and while that lasts we make no other to this phone.
    """
    since, until = _bounds(attempt, policy)
    ours = (attempt.started_at, attempt.finished_at or attempt.started_at)
    near: list[tuple[timedelta, timedelta, CallRecord]] = []
    for record in records:
        if record.placed_at is None or not since <= record.placed_at <= until:
            continue
        if record.task_no and record.task_no in used:
            continue
        if record.template_id not in ("", attempt.template_id):
            continue
        distance = _distance(record.placed_at, ours)
        if any(_distance(record.placed_at, other) < distance for other in dialled):
            continue
        if same_number(record.phone, phone):
            near.append((distance, abs(record.placed_at - attempt.started_at), record))
    return min(near, key=lambda found: found[:2])[2] if near else None


def _distance(at: datetime, span: Span) -> timedelta:
    began, ended = span
    return max(began - at, at - ended, timedelta(0))


def match_records(
    records: Iterable[CallRecord],
    wanted: Sequence[tuple[Attempt, PhoneNumber]],
    used: Collection[str],
    policy: DeliveryPolicy,
    dialled: Mapping[PhoneNumber, Collection[Span]],
) -> dict[str, CallRecord]:
    """Return each attempt's own record by the attempt's id, as far as there is one.

    No record is two attempts' own. Whether TaskNo is the SessionNo is not documented: where it is,
    that decides. `used` holds the session numbers known of any attempt, `dialled` when each phone
    was dialled lately.
    """
    left, found = _by_tail(records), dict[str, CallRecord]()
    for sure in (True, False):
        for attempt, phone in wanted:
            if attempt.id in found:
                continue
            near = [*left.get(_tail(phone), ()), *left.get("", ())]
            if sure:
                near = [one for one in near if one.task_no == attempt.session_no != ""]
            others = set(used) - {attempt.session_no}
            times = () if sure else dialled.get(phone, ())
            record = find_record(near, attempt, phone, others, policy, times)
            if record is not None:
                found[attempt.id] = record
                left[_tail(record.phone)].remove(record)
    return found


def _by_tail(records: Iterable[CallRecord]) -> dict[str, list[CallRecord]]:
    """Sort records by how their numbers end: a busy hour has too many for holding all to all."""
    found: dict[str, list[CallRecord]] = {}
    for record in records:
        found.setdefault(_tail(record.phone), []).append(record)
    return found


def _tail(phone: PhoneNumber) -> str:
    """Return the last four digits; "" where they are hidden."""
    tail = _digits(phone)[-4:]
    return "" if "*" in tail else tail


def _bounds(attempt: Attempt, policy: DeliveryPolicy) -> tuple[datetime, datetime]:
    return attempt.started_at - policy.record_before, attempt.started_at + policy.record_after


def same_number(one: PhoneNumber, other: PhoneNumber) -> bool:
    """Tell whether two ways of writing a number mean the same phone.

    `+8613512345678`, `008613512345678`, `13512345678` and `135****5678` do; so do `+862188889057`
    and `02188889057`. The country code may be missing, and a star stands for any digit.
    """
    short, long = sorted((_digits(one), _digits(other)), key=len)
    if len(short) < 7 or len(long) - len(short) > 3:  # country codes have one to three digits
        return False
    return all(
        a == b or "*" in (a, b) for a, b in zip(reversed(short), reversed(long), strict=False)
    )


def _digits(phone: PhoneNumber) -> str:
    return "".join(char for char in phone.e164 if char in "0123456789*").lstrip("0")
