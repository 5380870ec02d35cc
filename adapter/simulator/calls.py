"""The calls the simulator has placed, in the three shapes they are told in.

Our own log (`GET /_simulator/calls`, `--log FILE`), the vendor's receipt
(https://docs.ucloud.cn/uvms/receiptmessage) and the vendor's send record
(https://docs.ucloud.cn/api/uvms-api/get_uvms_send_record). Pure but for `append_to`; knows no HTTP.

The simulator is the vendor: unlike the rest of the program it tells full numbers here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec
import phonenumbers

from adapter.model import Record

BILLING_PERIOD = 60  # seconds; the vendor bills started minutes
RANDOM_NUMBER = "02188889057"  # what a random caller shows; the number of the vendor's example


class Result(StrEnum):
    """What became of a call."""

    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    UNREPORTED = "unreported"  # the carrier said nothing


RECEIPT_RESULT = {Result.ANSWERED: 1, Result.UNANSWERED: 2, Result.UNREPORTED: 3}
DESCRIPTION = {
    Result.ANSWERED: "用户接收成功",
    Result.UNANSWERED: "用户未接听",
    Result.UNREPORTED: "运营商未上报",
}


class Fate(Record):
    """What happens to a call once it is placed."""

    result: Result = Result.ANSWERED
    duration: int = 23  # seconds of talk; counts for answered calls alone
    receipt_after: float = 2.0  # seconds from placing the call to its receipt
    copies: int = 1  # how often the same receipt is pushed
    receipt: bool = True  # False: no receipt is ever pushed
    recorded: bool = True  # False: GetUVMSSendRecord never shows it


class PlacedCall(Record):
    """One phone that rang."""

    time: datetime
    number: str  # E.164
    template: str
    params: tuple[str, ...]
    words: str | None  # None: the template's text is not known
    user_id: str
    session_no: str
    task_no: str  # the record's own id: nothing documents that it equals SessionNo
    req_uuid: str
    project: str
    from_number: str
    group_type: int
    fate: Fate

    @property
    def receipt_due(self) -> datetime:
        """When the vendor knows how the call went."""
        return self.time + timedelta(seconds=self.fate.receipt_after)

    @property
    def talk_seconds(self) -> int:
        """How long somebody listened; 0 unless answered."""
        return self.fate.duration if self.fate.result is Result.ANSWERED else 0

    @property
    def shown_number(self) -> str:
        """The caller's number as the phone shows it."""
        return national(self.from_number) if self.from_number else RANDOM_NUMBER


def national(number: str) -> str:
    """Return the number as receipts and records give it: without plus and country code.

    What is no E.164 number is taken to be national already. That it is cut for other countries
    than China too is our assumption: the documents show Chinese numbers only.
    """
    try:
        return phonenumbers.national_significant_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return number


def receipt(call: PlacedCall) -> dict[str, str | int]:
    """Return the body of the call's receipt.

    What AnswerTime holds for a call nobody took is not documented; here it is 0.
    """
    started = _milliseconds(call.time)
    answered = call.fate.result is Result.ANSWERED
    body: dict[str, str | int] = {
        "SessionNo": call.session_no,
        "Phone": national(call.number),
        "ShowNumber": call.shown_number,
        "CostCount": math.ceil(call.talk_seconds / BILLING_PERIOD),
        "ReceiptResult": RECEIPT_RESULT[call.fate.result],
        "ReceiptCode": "200" if answered else "487",
        "ReceiptDesc": DESCRIPTION[call.fate.result],
        "CallStartTime": started,
        "AnswerTime": started if answered else 0,
        "CallEndTime": started + 1000 * call.talk_seconds,
        "Duration": call.talk_seconds,
    }
    return body | ({"UserId": call.user_id} if call.user_id else {})


def record(call: PlacedCall, now: datetime) -> dict[str, str | int | float]:
    """Return the call's SendRecordItem as the vendor knows it at `now`.

    Until the receipt is due its result is 3, unknown. Operator and cities are made up.
    """
    known = now >= call.receipt_due
    country, brevity = _country(call.number)
    return {
        "TaskNo": call.task_no,
        "Phone": national(call.number),
        "ShowNumber": call.shown_number if call.from_number else "",
        "PreCost": 1,
        "Purpose": 2,
        "BrevityCode": brevity,
        "CountryCode": country,
        "TemplateId": call.template,
        "CallStartTime": float(_milliseconds(call.time)),
        "CallEndTime": float(_milliseconds(call.time) + 1000 * call.talk_seconds) if known else 0.0,
        "Duration": call.talk_seconds if known else 0,
        "ChannelId": "simulator",
        "ReceiptResult": RECEIPT_RESULT[call.fate.result] if known else 3,
        "ReceiptDesc": DESCRIPTION[call.fate.result] if known else "",
        "ReceiveTime": float(_milliseconds(call.receipt_due)) if known else 0.0,
        "SubmitTime": float(_milliseconds(call.time)),
        "CallingCityCode": "021",
        "CalledCityCode": "021",
        "CalledOperatorCode": "cmcc",
        "GroupType": call.group_type,
        "BillSecond": call.talk_seconds if known else 0,
        "BillPeriod": BILLING_PERIOD,
    }


def append_to(path: Path) -> Callable[[PlacedCall], None]:
    """Return a listener that adds each call to the file as one line of JSON.

    The file is never truncated, and opened anew for each line: it outlives the simulator's death
    and may be moved away at any time.
    """

    def append(call: PlacedCall) -> None:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(call) + b"\n")

    return append


def _country(number: str) -> tuple[str, str]:
    code = phonenumbers.parse(number).country_code or 0
    return str(code), phonenumbers.region_code_for_country_code(code)


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
