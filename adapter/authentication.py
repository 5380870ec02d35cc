"""Whether a request may come in: bearer token, basic auth, or Grafana's HMAC signature.

Any one of the methods that are set up suffices, with any of its secrets: while one is being
rotated the old and the new are both listed. `check_headers` decides what needs no body, so that
a stranger's ten megabytes are never read; `check_body` verifies the signature. Knows nothing of
HTTP frameworks, where secrets come from, or what a request is for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from adapter.model import Record, Secret

_REALM = "uvms-adapter"
# RFC 9110 allows spaces and tabs around a value; nothing more, a secret's last byte may be 0xA0.
_BLANKS = " \t"
_UNIX_SECONDS = re.compile("[0-9]{1,12}")


class Method(StrEnum):
    """How a sender can prove who it is."""

    BEARER = "bearer"
    BASIC = "basic"
    HMAC = "hmac"


class Denial(StrEnum):
    """Why a request is not let in."""

    NOTHING_ACCEPTED = "nothing_accepted"  # no secret is set up: nobody can be let in
    MISSING = "missing"  # the request carries no credentials
    UNSUPPORTED = "unsupported"  # it carries a kind that is not set up here
    MALFORMED = "malformed"  # basic auth that cannot be decoded
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a reason, no token
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - the user or the password is wrong
    WRONG_SIGNATURE = "wrong_signature"  # made with another secret, or over another body
    NO_TIMESTAMP = "no_timestamp"  # signed, but the time header is missing or no number
    OUTSIDE_WINDOW = "outside_window"  # signed too long ago, or in the future: clocks or a replay


class Basic(Record):
    """One user, and the passwords that are right at present."""

    user: str = ""
    passwords: tuple[Secret, ...] = ()


class Hmac(Record):
    """Grafana's signature over the body.

    Source: `hmacConfig` in
    https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
    """

    secrets: tuple[Secret, ...] = ()
    header: str = "X-Grafana-Alerting-Signature"
    timestamp_header: str | None = None  # None: the body alone is signed, a replay is possible
    window: timedelta = timedelta(minutes=5)  # how far a timestamp may be off, either way


class Credentials(Record):
    """What is accepted: every method that has a secret. An empty one is never right: it is none."""

    bearer_tokens: tuple[Secret, ...] = ()
    basic: Basic = Basic()
    hmac: Hmac = Hmac()


class Accepted(Record):
    """The request may come in."""

    method: Method
    secret: int  # which of the method's secrets, from 0: tells when a rotated one is out of use


class Denied(Record):
    """The request may not come in. `message` is for the sender, and shows nothing it sent."""

    reason: Denial
    status: int  # 401; 403 where no credentials would help
    message: str
    challenges: tuple[str, ...]  # the values of WWW-Authenticate; none with 403


def methods(credentials: Credentials) -> tuple[Method, ...]:
    """Return the methods by which anybody can come in; none means nobody can."""
    secrets = {
        Method.BEARER: credentials.bearer_tokens,
        Method.BASIC: credentials.basic.passwords,
        Method.HMAC: credentials.hmac.secrets,
    }
    return tuple(method for method, several in secrets.items() if any(s.reveal for s in several))


def authenticate(
    credentials: Credentials, headers: Mapping[str, str], body: bytes, now: datetime
) -> Accepted | Denied:
    """Decide over a request that is there as a whole."""
    verdict = check_headers(credentials, headers, now)
    return check_body(credentials, headers, body, now) if verdict is None else verdict


def check_headers(
    credentials: Credentials, headers: Mapping[str, str], now: datetime
) -> Accepted | Denied | None:
    """Decide without the body; None: read it and ask `check_body`."""
    accepted = methods(credentials)
    if not accepted:
        return _denied(credentials, Denial.NOTHING_ACCEPTED)
    given = _lower_names(headers)
    verdict = _authorization(credentials, given.get("authorization"))
    if isinstance(verdict, Accepted):
        return verdict
    if Method.HMAC in accepted and given.get(credentials.hmac.header.lower()):
        timing = _timing_denial(credentials.hmac, given, now)
        return _denied(credentials, timing) if timing else None
    return _denied(credentials, verdict)


def check_body(
    credentials: Credentials, headers: Mapping[str, str], body: bytes, now: datetime
) -> Accepted | Denied:
    """Verify the signature, and nothing but the signature."""
    config, given = credentials.hmac, _lower_names(headers)
    signature = _wire(given.get(config.header.lower(), "").strip(_BLANKS).lower())
    if not signature:
        return _denied(credentials, Denial.MISSING)
    if timing := _timing_denial(config, given, now):
        return _denied(credentials, timing)
    signed = _signed_prefix(config, given) + body
    index = _match(config.secrets, lambda secret: _hex_hmac(secret, signed), signature)
    if index is None:
        return _denied(credentials, Denial.WRONG_SIGNATURE)
    return Accepted(method=Method.HMAC, secret=index)


def _authorization(credentials: Credentials, value: str | None) -> Accepted | Denial:
    if value is None:
        return Denial.MISSING
    scheme, _, rest = value.strip(_BLANKS).partition(" ")
    accepted, given = methods(credentials), _wire(rest.strip(_BLANKS))
    match scheme.lower():
        case "bearer" if Method.BEARER in accepted:
            return _bearer(credentials.bearer_tokens, given)
        case "basic" if Method.BASIC in accepted:
            return _basic(credentials.basic, given)
        case _:
            return Denial.UNSUPPORTED


def _bearer(tokens: Iterable[Secret], given: bytes) -> Accepted | Denial:
    index = _match(tokens, lambda token: token, given)
    return Denial.WRONG_TOKEN if index is None else Accepted(method=Method.BEARER, secret=index)


def _basic(config: Basic, given: bytes) -> Accepted | Denial:
    try:
        decoded = base64.b64decode(given, validate=True)
    except binascii.Error:
        return Denial.MALFORMED
    user = config.user.encode() + b":"
    index = _match(config.passwords, lambda password: user + password, decoded)
    return Denial.WRONG_PASSWORD if index is None else Accepted(method=Method.BASIC, secret=index)


def _match(secrets: Iterable[Secret], proof: Callable[[bytes], bytes], given: bytes) -> int | None:
    """Return which secret's proof was given; None for none, and for an empty secret's.

    Every secret is tried and every comparison takes constant time, so the time taken tells nothing.
    """
    places = [
        index
        for index, secret in enumerate(secrets)
        if hmac.compare_digest(proof(_bytes_of(secret)), given) and secret.reveal
    ]
    return places[0] if places else None


def _hex_hmac(secret: bytes, signed: bytes) -> bytes:
    return hmac.new(secret, signed, hashlib.sha256).hexdigest().encode()


def _timing_denial(config: Hmac, given: Mapping[str, str], now: datetime) -> Denial | None:
    if config.timestamp_header is None:
        return None
    stamp = _timestamp(config.timestamp_header, given)
    if not _UNIX_SECONDS.fullmatch(stamp):
        return Denial.NO_TIMESTAMP
    off_by = abs(now.timestamp() - int(stamp))
    return Denial.OUTSIDE_WINDOW if off_by > config.window.total_seconds() else None


def _signed_prefix(config: Hmac, given: Mapping[str, str]) -> bytes:
    """Return what is signed before the body: the time as its header writes it."""
    if config.timestamp_header is None:
        return b""
    return _timestamp(config.timestamp_header, given).encode() + b":"


def _timestamp(name: str, given: Mapping[str, str]) -> str:
    return given.get(name.lower(), "").strip(_BLANKS)


def _denied(credentials: Credentials, reason: Denial) -> Denied:
    if reason is Denial.NOTHING_ACCEPTED:
        return Denied(reason=reason, status=403, message=_MESSAGES[reason], challenges=())
    accepted = methods(credentials)
    names = " or ".join(_NAMES[method] for method in accepted)
    return Denied(
        reason=reason,
        status=401,
        message=f"{_MESSAGES[reason]}; accepted here: {names}",
        challenges=tuple(_challenge(credentials, method) for method in accepted),
    )


def _challenge(credentials: Credentials, method: Method) -> str:
    scheme = {
        Method.BEARER: "Bearer",
        Method.BASIC: 'Basic charset="UTF-8",',
        # Not a registered scheme, but RFC 9110 wants one named with every 401.
        Method.HMAC: f'HMAC-SHA256 header="{credentials.hmac.header}",',
    }[method]
    return f'{scheme} realm="{_REALM}"'


def _lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _bytes_of(secret: Secret) -> bytes:
    # An environment variable that is not UTF-8 reaches Python with surrogates for its bytes.
    return secret.reveal.encode(errors="surrogateescape")


def _wire(value: str) -> bytes:
    """Return a header's bytes. Web servers decode them as Latin-1, so that is undone first."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


_NAMES = {
    Method.BEARER: "a bearer token",
    Method.BASIC: "basic auth",
    Method.HMAC: "an HMAC signature",
}

_MESSAGES = {
    Denial.NOTHING_ACCEPTED: "no credentials are set up here, so nobody is let in",
    Denial.MISSING: "the request carries no credentials",
    Denial.UNSUPPORTED: "the request carries credentials of a kind that is not set up here",
    Denial.MALFORMED: "the Authorization header is not base64 of user:password",
    Denial.WRONG_TOKEN: "the bearer token is wrong",
    Denial.WRONG_PASSWORD: "the user or the password is wrong",
    Denial.WRONG_SIGNATURE: "the signature does not fit the body and any secret set up here",
    Denial.NO_TIMESTAMP: "the signature's timestamp header is missing or no Unix time",
    Denial.OUTSIDE_WINDOW: "the signature's timestamp is too far from the time here",
}
