"""What one answer of the vendor proves about a call, and what it tells a human.

One total function over (failure on the way, HTTP status, RetCode). Knows nothing of what follows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType

from adapter.model import Record


class Outcome(StrEnum):
    """What one attempt gave."""

    ACCEPTED = "accepted"  # the vendor took the call; a receipt says later whether it was answered
    RETRY = "retry"  # surely not placed, through no fault of the call: trying again may help
    THROTTLED = "throttled"  # surely not placed: the whole account has to slow down
    UNKNOWN = "unknown"  # may have rung: look it up before dialling again
    REFUSED = (
        "refused"  # the vendor will never take this call: waiting does not help, others may go
    )
    ACCOUNT_REFUSED = "account_refused"  # no call is taken until a human acts: all of them wait


class Failure(StrEnum):
    """Why there is no readable answer, by what that proves."""

    CONNECT = "connect"  # no connection (DNS, refused, timeout, TLS, proxy): nothing left
    TOO_LATE = "too_late"  # our hold on the call would have run out: nothing left
    NO_SLOT = "no_slot"  # our own connections were all busy: nothing left
    TIMEOUT = "timeout"  # the request left, the whole answer did not come in time
    CONNECTION_LOST = "connection_lost"  # the line broke after the request began to leave
    UNREADABLE = "unreadable"  # an answer came, but no JSON object with a RetCode, or far too long
    INTERRUPTED = "interrupted"  # our own process stopped while the request may have been out


class Answer(Record):
    """What came back from one request, as far as it could be read."""

    http_status: int | None = None  # None: no status line came
    failure: Failure | None = None  # None: `ret_code` was read
    ret_code: int | None = None  # None: see `failure`
    message: str = ""  # the vendor's, or what went wrong on the way; long numbers masked
    req_uuid: str = ""  # what the vendor's support asks for
    session_no: str = ""  # the vendor's id of an accepted call
    user_id: str = ""  # ours, echoed


class Verdict(Record):
    """What a RetCode means for the call, and to a human."""

    outcome: Outcome
    meaning: str


# Sources: https://github.com/UCloudDoc-Team/api/blob/master/summary/public.md and, for 151, 173,
# 180, 200, 290 and 291, the sibling product's
# https://github.com/UCloudDoc-Team/usms/blob/master/api_docs/error_code/error_code.md.
# 210 to 240 stand in no official list; gateways of the same make answer so to bad parameters.
RET_CODES: Mapping[int, Verdict] = MappingProxyType(
    {
        code: Verdict(outcome=outcome, meaning=meaning)
        for code, outcome, meaning in (
            (0, Outcome.ACCEPTED, "accepted"),
            (110, Outcome.UNKNOWN, "UVMS did not answer UCloud's gateway within 60 s"),
            (130, Outcome.RETRY, "UCloud's gateway or authentication service is failing"),
            (150, Outcome.RETRY, "the service is unavailable"),
            (151, Outcome.RETRY, "the gateway's cache is failing"),
            (153, Outcome.THROTTLED, "too many requests: lower limits.requests_per_second"),
            (160, Outcome.ACCOUNT_REFUSED, "Action is missing: check uvms.endpoint and any proxy"),
            (161, Outcome.ACCOUNT_REFUSED, "unknown Action: check uvms.endpoint"),
            (170, Outcome.ACCOUNT_REFUSED, "the signature is missing: check uvms.endpoint"),
            (171, Outcome.ACCOUNT_REFUSED, "wrong signature: check UVMS_PRIVATE_KEY"),
            (172, Outcome.ACCOUNT_REFUSED, "unknown user: check UVMS_PUBLIC_KEY"),
            (173, Outcome.ACCOUNT_REFUSED, "the account is restricted: ask UCloud why"),
            (174, Outcome.ACCOUNT_REFUSED, "unknown token: renew the security token"),
            (180, Outcome.ACCOUNT_REFUSED, "the API version is missing: check uvms.endpoint"),
            (200, Outcome.RETRY, "the API's public service is unavailable"),
            (210, Outcome.REFUSED, "a parameter is missing: check project_id, region and zone"),
            (220, Outcome.REFUSED, "a parameter is missing or wrong: check the voice template"),
            (230, Outcome.REFUSED, "a parameter is not acceptable: check number and template"),
            (240, Outcome.REFUSED, "the parameters are too long: shorten the texts"),
            (290, Outcome.ACCOUNT_REFUSED, "the project is not authorised: check uvms.project_id"),
            (291, Outcome.ACCOUNT_REFUSED, "the account may not use UVMS: grant it"),
            (292, Outcome.ACCOUNT_REFUSED, "no such project: check uvms.project_id"),
            (293, Outcome.ACCOUNT_REFUSED, "no permission here: check uvms.region and uvms.zone"),
            (294, Outcome.ACCOUNT_REFUSED, "our IP address is denied: add it to the allow-list"),
            (295, Outcome.ACCOUNT_REFUSED, "security lock: confirm it in UCloud's console"),
            (
                299,
                Outcome.ACCOUNT_REFUSED,
                "no permission: check uvms.project_id first (sub-accounts need it), then IAM",
            ),
        )
    }
)

# Neighbours of known codes: the gateway's complaints about action, credentials and permissions.
_ACCOUNT_CODES = (range(160, 180), range(290, 300))
_UNLISTED_ACCOUNT = Verdict(
    outcome=Outcome.ACCOUNT_REFUSED,
    meaning="a credential or permission problem not in our table: ask UCloud with the ReqUuid",
)

_FAILURES: Mapping[Failure, str] = MappingProxyType(
    {
        Failure.CONNECT: "no connection to uvms.endpoint: check network, DNS, proxy and TLS",
        Failure.TOO_LATE: "it was not sent in time, and nothing left",
        Failure.NO_SLOT: "all our connections to the vendor were busy",
        Failure.TIMEOUT: "no complete answer in time",
        Failure.CONNECTION_LOST: "the connection broke after the request began to leave",
        Failure.UNREADABLE: "the answer is no JSON object with a RetCode",
        Failure.INTERRUPTED: "the adapter stopped while the request may have been under way",
    }
)

_NOTHING_LEFT = frozenset({Failure.CONNECT, Failure.NO_SLOT, Failure.TOO_LATE})

# Which verdicts are believed under which HTTP status class; any other pair contradicts itself. A
# 5xx may come from behind the point where calls are placed, but these two come from before it.
_BELIEVED: Mapping[int, Collection[Outcome]] = MappingProxyType(
    {
        2: frozenset(Outcome),
        4: frozenset(Outcome) - {Outcome.ACCEPTED},
        5: frozenset({Outcome.THROTTLED, Outcome.ACCOUNT_REFUSED}),
    }
)

NO_OVERRIDES: Mapping[int, Outcome] = MappingProxyType({})


def classify(answer: Answer, overrides: Mapping[int, Outcome] = NO_OVERRIDES) -> Outcome:
    """Return what the answer proves; total, and in doubt `UNKNOWN`.

    A RetCode of `overrides` is believed whatever the HTTP status; a RetCode nobody has heard of,
    in an otherwise good answer, refuses this call.
    """
    if answer.failure in _NOTHING_LEFT:
        return Outcome.RETRY
    if answer.failure is not None or answer.ret_code is None:
        return _by_status(answer.http_status)
    if answer.ret_code in overrides:
        return overrides[answer.ret_code]
    verdict = _verdict(answer.ret_code)
    status_class = _status_class(answer.http_status)
    if verdict is None:
        return Outcome.REFUSED if status_class == 2 else _by_status(answer.http_status)
    believed = verdict.outcome in _BELIEVED.get(status_class, ())
    return verdict.outcome if believed else Outcome.UNKNOWN


def explain(answer: Answer) -> str:
    """Return in one line what happened and what a human can do, for logs and notes."""
    if answer.failure is not None and answer.http_status is None:
        text = _FAILURES[answer.failure]
    elif answer.failure is not None or answer.ret_code is None:
        text = f"HTTP {answer.http_status}: {_status_meaning(answer)}"
    else:
        verdict = _verdict(answer.ret_code)
        meaning = verdict.meaning if verdict else "a refusal not in our table: see the message"
        text = f"RetCode {answer.ret_code}: {meaning}"
        if _status_class(answer.http_status) != 2:
            text += f" (HTTP {answer.http_status})"
    return f"{text} [{answer.message}]" if answer.message else text


def _verdict(ret_code: int) -> Verdict | None:
    if any(ret_code in codes for codes in _ACCOUNT_CODES):
        return RET_CODES.get(ret_code, _UNLISTED_ACCOUNT)
    return RET_CODES.get(ret_code)


def _status_class(http_status: int | None) -> int:
    return 0 if http_status is None else http_status // 100


def _by_status(http_status: int | None) -> Outcome:
    """Judge by the HTTP status alone: no RetCode was read.

    UCloud's gateway answers its refusals with HTTP 200 and a RetCode. A bare 3xx or 4xx therefore
    is a proxy, a firewall or a wrong endpoint speaking: no call was placed, and none will be until
    a human acts. Of these only 408 is used by proxies for requests that went through.
    """
    if http_status == 429:
        return Outcome.THROTTLED
    if _status_class(http_status) in (3, 4) and http_status != 408:
        return Outcome.ACCOUNT_REFUSED
    return Outcome.UNKNOWN


def _status_meaning(answer: Answer) -> str:
    match _by_status(answer.http_status):
        case Outcome.THROTTLED:
            return RET_CODES[153].meaning
        case Outcome.ACCOUNT_REFUSED:
            return "not UVMS speaking: check uvms.endpoint, proxy and firewall"
        case _:
            return _FAILURES[answer.failure or Failure.UNREADABLE]
