"""The vendor's rules and memory: a request in, an answer and perhaps a call out.

Source: https://docs.ucloud.cn/api/summary/signature, https://docs.ucloud.cn/api/summary/public and
https://docs.ucloud.cn/api/uvms-api/. Knows no HTTP and never waits; time and ids are passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from adapter import signing
from adapter.clock import Clock
from adapter.model import Record, Secret, mask_number
from adapter.simulator.calls import Fate, PlacedCall
from adapter.simulator.checks import (
    Params,
    Refusal,
    Window,
    check_look_up,
    check_send,
    spoken,
    template_params,
)
from adapter.simulator.faults import LOOK_UP, SEND, Fault, Faults, Kind
from adapter.simulator.records import find

Body = dict[str, object]

KEPT = 10_000  # calls and requests remembered; the oldest go first
HIDDEN = frozenset({"PublicKey", "Signature", "SecurityToken"})
UNTOLD = frozenset({Kind.HTTP_STATUS, Kind.CUT, Kind.GARBAGE})  # the caller sees no RetCode
MESSAGES = {
    110: "API response timeout",
    130: "Gateway exception",
    150: "Service unavailable",
    153: "Request throttled",
}

_log = structlog.get_logger(__name__)


class Account(Record):
    """What the vendor knows of its customer."""

    keys: Mapping[str, Secret]  # public key -> private key
    projects: frozenset[str] = frozenset()  # empty: any
    from_numbers: frozenset[str] = frozenset()  # numbers purchased, as they are sent; empty: any
    templates: Mapping[str, str] = {}  # approved id -> text; empty: any id
    requests_per_second: int | None = None  # None: never throttled
    record_after: timedelta = timedelta(0)  # from placing a call to its record
    fate: Fate = Fate()  # what becomes of calls that no fault is about


class Received(Record):
    """A request's parameters, as the strings they came in."""

    method: str
    signed: Params  # as the signature counts them
    params: Params  # with arrays as `Name.0`, `Name.1`, …


class Exchange(Record):
    """A line of the request log."""

    time: datetime
    method: str
    action: str
    number: str
    template: str
    user_id: str
    params: Params  # without keys and signature
    ret_code: int | None  # None: the answer bore none
    message: str
    fault: Kind | None  # None: nothing was made to go wrong
    placed: bool  # a phone rang
    session_no: str
    req_uuid: str


class Answer(Record):
    """What to tell the caller, and in which way."""

    body: Body
    req_uuid: str
    fault: Fault | None = None  # None: told plainly


class Vendor:
    """The simulated vendor. `listeners` hear of each call as it is placed, before the answer."""

    def __init__(
        self,
        account: Account,
        *,
        clock: Clock,
        new_id: Callable[[], str],
        listeners: tuple[Callable[[PlacedCall], None], ...] = (),
    ) -> None:
        self.account = account
        self.templates = dict(account.templates)
        self.faults = Faults()
        self.calls: deque[PlacedCall] = deque(maxlen=KEPT)
        self.requests: deque[Exchange] = deque(maxlen=KEPT)
        self.listeners = [*listeners]
        self.clock = clock
        self._new_id = new_id
        self._recent: deque[datetime] = deque()

    def receive(self, received: Received) -> Answer:
        """Check the request, let a fault have its way, place the call, remember and answer.

        A request the vendor would refuse anyway uses no fault up.
        """
        now, req_uuid = self.clock(), self._new_id()
        params = received.params
        action = params.get("Action", "")
        refusal, window = self._check(received, now)
        fault = None if refusal else self.faults.for_answer(action, params)
        rings = action == SEND and refusal is None and (fault is None or fault.rings)
        call = self._place(params, now, req_uuid) if rings else None
        if fault and fault.answers:
            refusal = Refusal(code=fault.answers, message=fault.message or _message(fault.answers))
        body: Body = {
            "RetCode": refusal.code if refusal else 0,
            "Action": f"{action}Response",
            "Message": refusal.message if refusal else "Send success" if window is None else "",
            "ReqUuid": req_uuid,
        }
        if refusal is None:
            body |= self._found(params, window, now, fault) if window else self._sent(params, call)
        if fault and fault.kind is Kind.STRING_RET_CODE:
            body["RetCode"] = str(body["RetCode"])
        self._remember(received, now, body, fault, call)
        return Answer(body=body, req_uuid=req_uuid, fault=fault)

    def _check(self, received: Received, now: datetime) -> tuple[Refusal | None, Window | None]:
        params = received.params
        refusal = self._check_gateway(received, now)
        if refusal:
            return refusal, None
        if params["Action"] == SEND:
            return check_send(params, self.templates, self.account.from_numbers), None
        checked = check_look_up(params, now)
        return (checked, None) if isinstance(checked, Refusal) else (None, checked)

    def _check_gateway(self, received: Received, now: datetime) -> Refusal | None:
        """What the gateway looks at before the product sees the request."""
        params, account = received.params, self.account
        action, project = params.get("Action", ""), params.get("ProjectId", "")
        private_key = account.keys.get(params.get("PublicKey", ""))
        if not action:
            return Refusal(code=160, message="Missing Action")
        if action not in (SEND, LOOK_UP):
            return Refusal(code=161, message=f"Action [{action}] not found")
        if not params.get("Signature"):
            return Refusal(code=170, message="Missing Signature")
        if private_key is None:
            return Refusal(code=172, message="User Not Exists")
        if params["Signature"] != signing.sign(received.signed, private_key.reveal):
            return Refusal(code=171, message="Signature VerifyAC Error")
        if project and account.projects and project not in account.projects:
            return Refusal(code=292, message=f"Project [{project}] not exists")
        return Refusal(code=153, message=_message(153)) if self._too_fast(now) else None

    def _too_fast(self, now: datetime) -> bool:
        limit = self.account.requests_per_second
        if limit is None:
            return False
        while self._recent and now - self._recent[0] >= timedelta(seconds=1):
            self._recent.popleft()
        if len(self._recent) >= limit:
            return True
        self._recent.append(now)
        return False

    def _place(self, params: Params, now: datetime, req_uuid: str) -> PlacedCall:
        text = self.templates.get(params["TemplateId"])
        values = template_params(params)
        from_number = params.get("FromNumber", "")
        call = PlacedCall(
            time=now,
            number=params["CalledNumber"],
            template=params["TemplateId"],
            params=values,
            words=None if text is None else spoken(text, values),
            user_id=params.get("UserId", ""),
            session_no=self._new_id(),
            task_no=self._new_id(),
            req_uuid=req_uuid,
            project=params.get("ProjectId", ""),
            from_number=from_number,
            group_type=int(params.get("GroupType") or ("2" if from_number else "1")),
            fate=self.faults.for_call(params, self.account.fate),
        )
        self.calls.append(call)
        for listener in self.listeners:
            listener(call)
        return call

    def _sent(self, params: Params, call: PlacedCall | None) -> Body:
        session: Body = {"SessionNo": call.session_no if call else self._new_id()}
        user_id = params.get("UserId")
        return session | ({"UserId": user_id} if user_id else {})

    def _found(self, params: Params, window: Window, now: datetime, fault: Fault | None) -> Body:
        calls = () if fault and fault.kind is Kind.LIE else self.calls
        total, page = find(calls, params, window, now, self.account.record_after)
        return {"Total": total, "Data": page}

    def _remember(
        self,
        received: Received,
        now: datetime,
        body: Body,
        fault: Fault | None,
        call: PlacedCall | None,
    ) -> None:
        params = received.params
        told = fault is None or fault.kind not in UNTOLD
        if fault and fault.kind is Kind.STALL:
            told = fault.rings
        exchange = Exchange(
            time=now,
            method=received.method,
            action=params.get("Action", ""),
            number=params.get("CalledNumber", params.get("PhoneNumber", "")),
            template=params.get("TemplateId", ""),
            user_id=params.get("UserId", ""),
            params={name: value for name, value in params.items() if name not in HIDDEN},
            ret_code=int(str(body["RetCode"])) if told else None,
            message=str(body["Message"]) if told else "",
            fault=fault.kind if fault else None,
            placed=call is not None,
            session_no=call.session_no if call else "",
            req_uuid=str(body["ReqUuid"]),
        )
        self.requests.append(exchange)
        _log.info(
            "simulator: request",
            action=exchange.action,
            number=mask_number(exchange.number) if exchange.number else "",
            template=exchange.template,
            words=call.words if call else None,
            placed=exchange.placed,
            ret_code=exchange.ret_code,
            message=exchange.message,
            fault=exchange.fault,
            req_uuid=exchange.req_uuid,
        )


def _message(ret_code: int) -> str:
    return MESSAGES.get(ret_code, f"Simulated RetCode {ret_code}")
