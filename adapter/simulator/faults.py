"""The simulator's one table of faults: what goes wrong, for which requests, how often.

A fault is either about the answer the caller sees, or about what becomes of a call that was placed.
Pure; knows no HTTP and places no call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from adapter.model import Record
from adapter.simulator.calls import Fate, Result, national

SEND = "SendUVMSMessage"
LOOK_UP = "GetUVMSSendRecord"
ANY = "*"


class Kind(StrEnum):
    """What goes wrong. `place` decides apart from it whether the phone rings all the same."""

    # About the answer; one of them applies to a request.
    REFUSE = "refuse"  # `ret_code` with `message`
    THROTTLE = "throttle"  # RetCode 153
    HTTP_STATUS = "http_status"  # `status`, as a gateway in between would answer
    STALL = "stall"  # silence for `seconds`; then the answer if the call was placed, else a cut
    CUT = "cut"  # the connection is reset without an answer
    SLOW_BODY = "slow_body"  # the answer drips byte by byte over `seconds`
    STRING_RET_CODE = "string_ret_code"  # the RetCode (0, or `ret_code`) as a string
    GARBAGE = "garbage"  # HTTP 200 with `body`, or with bytes that are no JSON
    LIE = "lie"  # RetCode 0 though no call was placed, or no record shown
    # About the call; all that match apply, the later over the earlier.
    ANSWERED = "answered"  # `duration` seconds of talk, receipt after `seconds`, `copies` times
    UNANSWERED = "unanswered"  # receipt after `seconds`, `copies` times
    UNREPORTED = "unreported"  # receipt after `seconds`, `copies` times
    NO_RECEIPT = "no_receipt"  # never pushed; the record tells the result
    NO_RECORD = "no_record"  # GetUVMSSendRecord never shows the call


RESULTS = {
    Kind.ANSWERED: Result.ANSWERED,
    Kind.UNANSWERED: Result.UNANSWERED,
    Kind.UNREPORTED: Result.UNREPORTED,
}
ABOUT_THE_CALL = frozenset({*RESULTS, Kind.NO_RECEIPT, Kind.NO_RECORD})
RINGS_BY_DEFAULT = frozenset({Kind.SLOW_BODY, Kind.STRING_RET_CODE})
FIXED_RET_CODE = {Kind.THROTTLE: 153, Kind.LIE: 0}

Seconds = Annotated[float, Meta(ge=0)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table: which requests (all conditions hold), what, and how often."""

    kind: Kind
    action: str = SEND  # "*" = every action
    number: str | None = None  # E.164 or national; None = every number
    template: str | None = None  # None = every template
    times: Annotated[int, Meta(ge=1)] | None = None  # None = for ever
    place: bool | None = None  # does the phone ring all the same? None = the kind's default
    ret_code: int | None = None  # refuse: None = 150; string_ret_code: None = 0
    message: str = ""
    status: Annotated[int, Meta(ge=200, le=599)] = 503
    body: str | None = None  # None = something fitting
    seconds: Seconds | None = None  # None = 30 for stall and slow_body, 2 for receipts
    duration: Annotated[int, Meta(ge=0)] | None = None  # None = the default talk
    copies: Annotated[int, Meta(ge=1)] = 1

    @property
    def answers(self) -> int:
        """The RetCode that the answer bears, if it bears one."""
        fixed = FIXED_RET_CODE.get(self.kind)
        if fixed is not None:
            return fixed
        if self.ret_code is not None:
            return self.ret_code
        return 150 if self.kind is Kind.REFUSE else 0

    @property
    def rings(self) -> bool:
        """Whether a call is placed for the request."""
        if self.place is not None:
            return self.place
        return self.kind in RINGS_BY_DEFAULT and self.answers == 0

    @property
    def lasts(self) -> float:
        """How many seconds a stall or a drip takes."""
        return 30.0 if self.seconds is None else self.seconds


class Armed(Record):
    """A fault as the table shows it."""

    id: int
    fault: Fault
    used: int = 0  # requests or calls it was applied to

    @property
    def spent(self) -> bool:
        """Whether it has been applied as often as was asked for."""
        return self.fault.times is not None and self.used >= self.fault.times


class Faults:
    """The table. The oldest matching fault wins where one alone applies."""

    def __init__(self) -> None:
        self._rows: dict[int, Armed] = {}
        self._next_id = 1

    def add(self, *faults: Fault) -> tuple[Armed, ...]:
        """Arm the faults, in this order, after those already there."""
        added = tuple(Armed(id=self._next_id + n, fault=fault) for n, fault in enumerate(faults))
        self._next_id += len(added)
        self._rows |= {row.id: row for row in added}
        return added

    def list(self) -> tuple[Armed, ...]:
        """Return every fault, the spent ones too."""
        return tuple(self._rows.values())

    def clear(self) -> None:
        """Forget every fault."""
        self._rows.clear()

    def for_answer(self, action: str, params: Mapping[str, str]) -> Fault | None:
        """Return the fault of this request's answer, and count it as used."""
        rows = self._matching(action, params)
        row = next((row for row in rows if row.fault.kind not in ABOUT_THE_CALL), None)
        return self._use(row) if row else None

    def for_call(self, params: Mapping[str, str], fate: Fate) -> Fate:
        """Return what becomes of a call that is placed now, and count the faults as used."""
        for row in self._matching(SEND, params):
            if row.fault.kind in ABOUT_THE_CALL:
                fate = _bent(fate, self._use(row))
        return fate

    def _matching(self, action: str, params: Mapping[str, str]) -> Iterable[Armed]:
        return [
            row
            for row in self._rows.values()
            if not row.spent and _matches(row.fault, action, params)
        ]

    def _use(self, row: Armed) -> Fault:
        self._rows[row.id] = msgspec.structs.replace(row, used=row.used + 1)
        return row.fault


def _matches(fault: Fault, action: str, params: Mapping[str, str]) -> bool:
    number = params.get("CalledNumber", params.get("PhoneNumber", ""))
    return (
        fault.action in (ANY, action)
        and (fault.number is None or national(fault.number) == national(number))
        and (fault.template is None or fault.template == params.get("TemplateId"))
    )


def _bent(fate: Fate, fault: Fault) -> Fate:
    if fault.kind is Kind.NO_RECEIPT:
        return msgspec.structs.replace(fate, receipt=False)
    if fault.kind is Kind.NO_RECORD:
        return msgspec.structs.replace(fate, recorded=False)
    return msgspec.structs.replace(
        fate,
        result=RESULTS[fault.kind],
        duration=fate.duration if fault.duration is None else fault.duration,
        receipt_after=fate.receipt_after if fault.seconds is None else fault.seconds,
        copies=fault.copies,
    )
