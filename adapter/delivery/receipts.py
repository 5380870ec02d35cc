"""Receipts: what the vendor reports of a call that it took, and what that is worth.

Source: https://docs.ucloud.cn/uvms/receiptmessage. One JSON object a push, ReceiptResult 1 success,
2 failure, 3 not reported by the carrier; an HTTP answer other than 200 has it pushed again. What
that page leaves open is read so:
- The order of receipts and copies of one is not said: `merge` gives the same whatever it is.
- Of an unanswered call nobody listened, whatever its Duration counts (ringing, perhaps).
- An answered call without a Duration lasted from AnswerTime to CallEndTime, where these differ.
- ReceiptCode has no list, and its example contradicts itself: it is kept, and decides nothing.

Knows neither the store nor how receipts travel.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from adapter.delivery.fields import clean_message, count, identifier, instant, number, text
from adapter.errors import InvalidNotification, NotJson
from adapter.model import PhoneNumber, Receipt, Record, Result

# Of two results of one call the first here counts.
BEST_FIRST = (Result.ANSWERED, Result.HUNG_UP, Result.UNANSWERED, Result.UNREPORTED)

_RESULTS: dict[float, Result] = {
    1: Result.ANSWERED,
    2: Result.UNANSWERED,
    3: Result.UNREPORTED,
}
_MAX_CODE = 64  # characters
_MAX_SHOWN = 20  # characters of a ReceiptResult that the vendor does not document


class Reported(Record):
    """A receipt, with what tells whose it is."""

    user_id: str  # our attempt's id, echoed; "": not said
    session_no: str  # the vendor's id of the call; "": not said
    phone: PhoneNumber  # in whatever form the vendor writes it; may be empty
    receipt: Receipt
    template_id: str = ""  # "": not said
    placed_at: datetime | None = None  # None: not said


class Push(Record):
    """A pushed body, as far as it holds receipts."""

    reported: tuple[Reported, ...]  # at least one
    invalid: tuple[InvalidNotification, ...] = ()  # its items that are no receipts


# --- reading ------------------------------------------------------------------------------------


def read_push(body: bytes, now: datetime) -> Push:
    """Return the receipts in a body: one object, or an array of them.

    An item that is no receipt costs the others nothing. Raises NotJson, or InvalidNotification
    where nothing in the body is a receipt.
    """
    value = _decode(body)
    items = value if isinstance(value, list) else [value]
    reported: list[Reported] = []
    invalid: list[InvalidNotification] = []
    for index, item in enumerate(items):
        try:
            reported.append(_reported(item, f"$[{index}]" if items is value else "$", now))
        except InvalidNotification as error:
            invalid.append(error)
    if reported:
        return Push(reported=tuple(reported), invalid=tuple(invalid))
    raise invalid[0] if invalid else InvalidNotification("$", "receipts", "an empty list")


def read_result(value: object, description: str) -> tuple[Result, str]:
    """Return what a ReceiptResult means, and the description, which keeps an unknown one."""
    result = _RESULTS.get(number(value) or 0)
    if result is not None:
        return result, description
    unknown = clean_message(str(value)[:_MAX_SHOWN])
    return Result.UNREPORTED, f"{description} (ReceiptResult {unknown})".lstrip()


def _decode(body: bytes) -> object:
    try:
        return json.loads(body)  # not msgspec: this one takes UTF-16 and a byte order mark too
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None  # the error's text would quote the body
    except ValueError as error:
        raise NotJson(str(error) if body else "it is empty") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None


def _reported(item: object, path: str, now: datetime) -> Reported:
    if not isinstance(item, dict):
        raise InvalidNotification(path, "a receipt (an object)", _kind(item))
    said = item.get("ReceiptResult")
    if said is None or isinstance(said, dict | list):
        raise InvalidNotification(f"{path}.ReceiptResult", "1, 2 or 3", _kind(said))
    user_id, session_no = identifier(item.get("UserId")), identifier(item.get("SessionNo"))
    if not user_id and not session_no:
        raise InvalidNotification(f"{path}.SessionNo", "a SessionNo or a UserId", "neither")
    result, description = read_result(said, clean_message(text(item.get("ReceiptDesc"))))
    return Reported(
        user_id=user_id,
        session_no=session_no,
        phone=PhoneNumber(identifier(item.get("Phone"))),
        placed_at=instant(item.get("CallStartTime")),
        receipt=Receipt(
            result=result,
            received_at=now,
            talk_seconds=_talk_seconds(item) if result is Result.ANSWERED else 0,
            billed=count(item.get("CostCount")),
            code=clean_message(identifier(item.get("ReceiptCode")))[:_MAX_CODE],
            description=description,
        ),
    )


def _talk_seconds(item: dict[str, object]) -> int:
    answered, ended = instant(item.get("AnswerTime")), instant(item.get("CallEndTime"))
    said = count(item.get("Duration"))
    if said or answered is None or ended is None:
        return said
    return count((ended - answered).total_seconds())


def _kind(value: object) -> str:
    """Say what kind of thing stands there, never what it says: it may be a phone number."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return "a scalar"


# --- what it is worth ---------------------------------------------------------------------------


def merge(known: Receipt | None, news: Receipt) -> Receipt:
    """Return which of two receipts of one attempt counts.

    Answered before unanswered before unreported; then the longer talk; then whichever says more. So
    the order in which they come, and how often, changes nothing. Of copies the first is kept.
    """
    return news if known is None else max(known, news, key=_worth)


def _worth(receipt: Receipt) -> tuple[int, int, int, str, str, float]:
    return (
        -BEST_FIRST.index(receipt.result),
        receipt.talk_seconds,
        receipt.billed,
        receipt.code,
        receipt.description,
        -receipt.received_at.timestamp(),
    )


def judge(receipt: Receipt, minimum_answer: timedelta) -> Result:
    """Return what the receipt means where a talk of `minimum_answer` reached somebody."""
    hung_up = timedelta(seconds=receipt.talk_seconds) < minimum_answer
    if receipt.result is Result.ANSWERED and hung_up:
        return Result.HUNG_UP
    return receipt.result
