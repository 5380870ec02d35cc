"""Requests to UVMS and its answers, as pure functions: what is sent, and how to read what comes.

Vendor pages: https://docs.ucloud.cn/api/uvms-api/send_uvms_message and
https://docs.ucloud.cn/api/uvms-api/get_uvms_send_record. Must not know how bytes travel, nor what
an answer means for a call: that is for `adapter.delivery`.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from adapter.delivery.fields import clean_message, count, identifier, instant, text
from adapter.delivery.outcomes import Answer, Failure
from adapter.delivery.policy import UvmsSettings
from adapter.delivery.receipts import read_result
from adapter.delivery.records import CallRecord
from adapter.model import PhoneNumber, Receipt, Record, Result, Secret
from adapter.signing import Parameter, flatten, sign

MAX_ANSWER_BYTES = 1024 * 1024  # a page of records is some 30 KB
RECORDS_PER_PAGE = 50  # the vendor says only that 10 is the default

# The vendor looks at no more than 7 days at once; what is rounded to full seconds has to fit too.
LONGEST_WINDOW = timedelta(days=7) - timedelta(minutes=1)

_RET_CODE = re.compile(r"\s*-?[0-9]{1,9}\s*", re.ASCII)


class Keys(Record):
    """The account's key pair, with the token of a temporary one."""

    public_key: str
    private_key: Secret
    security_token: Secret | None = None  # None: the pair is a permanent one

    def __repr__(self) -> str:
        return "Keys(***)"


class SendRequest(Record):
    """One call to be placed."""

    called: PhoneNumber
    template_id: str
    params: tuple[str, ...] = ()
    user_id: str = ""  # comes back in the receipt
    from_number: str = ""  # "" = the account-wide setting
    group_type: int | None = None  # None = the account-wide setting
    dispatch_rule: int | None = None  # None = the account-wide setting
    leave_by: float | None = None  # the event loop's time after which it must not leave; None: any


class RecordQuery(Record):
    """Which records to ask for."""

    since: datetime
    phone: PhoneNumber | None = None  # None: whatever number was called
    template_id: str | None = None  # None: whatever was said
    until: datetime | None = None  # None: now, by the vendor's clock


# --- requests, as pure functions ---------------------------------------------------------------


def send_params(settings: UvmsSettings, request: SendRequest) -> dict[str, Parameter]:
    """Return the parameters of SendUVMSMessage.

    A receiver that names a number of its own inherits neither group type nor dispatch rule: they
    belong to the account-wide number.
    """
    own = request.from_number != ""
    group_type, dispatch_rule = request.group_type, request.dispatch_rule
    if not own:
        group_type = settings.group_type if group_type is None else group_type
        dispatch_rule = settings.dispatch_rule if dispatch_rule is None else dispatch_rule
    return _common("SendUVMSMessage", settings) | {
        "CalledNumber": request.called.e164,
        "TemplateId": request.template_id,
        "TemplateParams": request.params,
        "UserId": request.user_id or None,
        "FromNumber": request.from_number or settings.from_number or None,
        "GroupType": group_type,
        "DispatchRule": dispatch_rule,
    }


def record_params(
    settings: UvmsSettings, query: RecordQuery, page: int, *, by_phone: bool
) -> dict[str, Parameter]:
    """Return the parameters of GetUVMSSendRecord for one page, oldest call first."""
    return _common("GetUVMSSendRecord", settings) | {
        "PhoneNumber": _as_recorded(query.phone) if query.phone and by_phone else None,
        "TemplateId": query.template_id or None,
        "StartTime": math.floor(query.since.timestamp()),
        "EndTime": None if query.until is None else math.ceil(query.until.timestamp()),
        "OrderBy": "call_start_time",
        "OrderType": "asc",
        "Page": page,
        "NumPerPage": RECORDS_PER_PAGE,
    }


def windows(query: RecordQuery) -> tuple[RecordQuery, ...]:
    """Cut a long window into ones that the vendor looks at; one without an end stays as it is."""
    until, found = query.until, []
    while until is not None and until - query.since > LONGEST_WINDOW:
        end = query.since + LONGEST_WINDOW
        found.append(replace(query, until=end))
        query = replace(query, since=end)
    return (*found, query)


def signed_form(params: Mapping[str, Parameter], keys: Keys) -> dict[str, str]:
    """Return what is sent: the parameters, the public key, and the signature over all of them."""
    token = None if keys.security_token is None else keys.security_token.reveal
    flat = flatten({**params, "PublicKey": keys.public_key, "SecurityToken": token})
    return {**flat, "Signature": sign(flat, keys.private_key.reveal)}


def _common(action: str, settings: UvmsSettings) -> dict[str, Parameter]:
    return {
        "Action": action,
        "ProjectId": settings.project_id or None,
        "Region": settings.region or None,
        "Zone": settings.zone or None,
    }


def _as_recorded(phone: PhoneNumber) -> str:
    """Write the number as the vendor's examples of receipts do: national within China."""
    return phone.e164.removeprefix("+86").removeprefix("+")


# --- answers, as pure functions ----------------------------------------------------------------


def read_answer(http_status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Return what the vendor said; an answer without a readable RetCode is a failure.

    The names in `headers` are lower-case, or found whatever their case.
    """
    fields = _json_object(body) or {}
    ret_code = _ret_code(fields.get("RetCode"))
    req_uuid = fields.get("ReqUuid") or headers.get("x-ucloud-request-uuid")
    return Answer(
        http_status=http_status,
        failure=Failure.UNREADABLE if ret_code is None else None,
        ret_code=ret_code,
        message=clean_message(text(fields.get("Message"))),
        req_uuid=identifier(req_uuid),
        session_no=identifier(fields.get("SessionNo")),
        user_id=identifier(fields.get("UserId")),
    )


def read_records(body: bytes) -> tuple[int | None, tuple[CallRecord, ...]] | None:
    """Return how many records there are in all (None: not said) and those of this page.

    None where the body holds neither: then nothing is known, not even that there are none. The
    vendor's schema says `Total`, its example `Count`.
    """
    fields = _json_object(body) or {}
    items, total = fields.get("Data"), fields.get("Total", fields.get("Count"))
    said = total if isinstance(total, int) and not isinstance(total, bool) else None
    if not isinstance(items, list):
        return (0, ()) if said == 0 else None
    return said, tuple(_record(item) for item in items if isinstance(item, dict))


def _record(row: Mapping[str, Any]) -> CallRecord:
    times = (instant(row.get("SubmitTime")), instant(row.get("CallStartTime")))
    placed_at = next((time for time in times if time), None)
    return CallRecord(
        task_no=identifier(row.get("TaskNo")),
        phone=PhoneNumber(identifier(row.get("Phone"))),
        template_id=identifier(row.get("TemplateId")),
        placed_at=placed_at,
        receipt=_receipt(row, placed_at),
    )


def _receipt(row: Mapping[str, Any], placed_at: datetime | None) -> Receipt | None:
    """Return what a record says of its call's result; None while the vendor does not know it.

    Result 3 means "unknown" before the carrier's report too: it is a result once there is a
    ReceiveTime. What a call is billed at is not told in so many words; started periods are.
    """
    received_at = instant(row.get("ReceiveTime"))
    result, description = read_result(
        row.get("ReceiptResult"), clean_message(text(row.get("ReceiptDesc")))
    )
    heard_at = received_at or instant(row.get("CallEndTime")) or placed_at
    if heard_at is None or (result is Result.UNREPORTED and received_at is None):
        return None
    answered = result is Result.ANSWERED
    period = count(row.get("BillPeriod"))
    return Receipt(
        result=result,
        received_at=heard_at,
        talk_seconds=count(row.get("Duration")) if answered else 0,
        billed=-(-count(row.get("BillSecond")) // period) if period else 0,
        description=description,
    )


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)  # not msgspec: this one takes UTF-16 and a byte order mark too
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _ret_code(value: object) -> int | None:
    """Read a RetCode; the official Go SDK knows that some services send it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value) if isinstance(value, str) or abs(value) < 10**9 else ""
    return int(text) if _RET_CODE.fullmatch(text) else None


def inflate(encoding: str, raw: bytes) -> bytes | None:
    """Undo a compression we did not ask for, never beyond the limit; None: cannot."""
    if encoding.strip().lower() in ("", "identity"):
        return raw
    inflater = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, whichever it is
    try:
        body = inflater.decompress(raw, MAX_ANSWER_BYTES)
    except zlib.error:
        return None
    return body if inflater.eof else None
