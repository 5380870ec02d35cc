"""Who is let in: bearer tokens, basic auth and Grafana's signature, several at once."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.authentication import (
    Accepted,
    Basic,
    Credentials,
    Denial,
    Denied,
    Hmac,
    Method,
    authenticate,
    check_body,
    check_headers,
    methods,
)
from adapter.model import Secret

VECTORS = Path(__file__).parents[1] / "../shared/vectors/grafana_hmac.json"

NOW = datetime(2026, 11, 20, 14, 10, tzinfo=UTC)
NOW_UNIX = int(NOW.timestamp())
BODY = '{"alerts": []} 火'.encode()

SIGNATURE = "X-Grafana-Alerting-Signature"
TIMESTAMP = "X-Grafana-Alerting-Timestamp"

BEARER = Credentials(bearer_tokens=(Secret("new-token"), Secret("old-token")))
BASIC = Credentials(
    basic=Basic(user="alertmanager", passwords=(Secret("new-password"), Secret("old:password")))
)
SIGNED = Credentials(hmac=Hmac(secrets=(Secret("new-key"), Secret("old-key"))))
TIMED = Credentials(hmac=Hmac(secrets=(Secret("new-key"),), timestamp_header=TIMESTAMP))
ALL = Credentials(bearer_tokens=BEARER.bearer_tokens, basic=BASIC.basic, hmac=SIGNED.hmac)
SECRETS = ("new-token", "old-token", "new-password", "old:password", "new-key", "old-key")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def signed(key: str, body: bytes = BODY, at: int | str | None = None) -> dict[str, str]:
    """Sign as Grafana does; `at` is what its time header says."""
    prefix = b"" if at is None else f"{at}:".encode()
    digest = hmac.new(key.encode(), prefix + body, hashlib.sha256).hexdigest()
    return {SIGNATURE: digest} | ({} if at is None else {TIMESTAMP: str(at)})


@pytest.mark.parametrize(
    ("credentials", "headers", "method", "secret"),
    [
        pytest.param(BEARER, bearer("new-token"), "bearer", 0, id="the token"),
        pytest.param(BEARER, bearer("old-token"), "bearer", 1, id="the token being rotated out"),
        pytest.param(
            BEARER,
            {"authorization": "bearer \t new-token "},
            "bearer",
            0,
            id="small letters and blanks",
        ),
        pytest.param(
            BEARER, {"AUTHORIZATION": "BEARER new-token"}, "bearer", 0, id="capital letters"
        ),
        pytest.param(BASIC, basic("alertmanager", "new-password"), "basic", 0, id="the password"),
        pytest.param(
            BASIC,
            basic("alertmanager", "old:password"),
            "basic",
            1,
            id="the password being rotated out, with a colon",
        ),
        pytest.param(
            Credentials(basic=Basic(user="", passwords=(Secret("p"),))),
            basic("", "p"),
            "basic",
            0,
            id="a user without a name",
        ),
        pytest.param(
            Credentials(basic=Basic(user="грач", passwords=(Secret("密码"),))),
            basic("грач", "密码"),
            "basic",
            0,
            id="user and password beyond ASCII",
        ),
        pytest.param(
            Credentials(bearer_tokens=(Secret("voilà"),)),
            # Its last byte is 0xA0, a blank in Latin-1.
            bearer("voilà".encode().decode("latin-1")),
            "bearer",
            0,
            id="a token beyond ASCII, as web servers decode its bytes",
        ),
        pytest.param(
            Credentials(bearer_tokens=(Secret("密码"),)),
            bearer("密码"),
            "bearer",
            0,
            id="a token beyond Latin-1, already decoded",
        ),
        pytest.param(
            Credentials(bearer_tokens=(Secret("\udcff!"),)),
            bearer("\xff!"),
            "bearer",
            0,
            id="a token of an environment that is not UTF-8",
        ),
        pytest.param(SIGNED, signed("new-key"), "hmac", 0, id="a signature"),
        pytest.param(SIGNED, signed("old-key"), "hmac", 1, id="the key being rotated out"),
        pytest.param(
            SIGNED,
            {SIGNATURE.lower(): " " + signed("new-key")[SIGNATURE].upper()},
            "hmac",
            0,
            id="a signature in capital letters",
        ),
        pytest.param(
            Credentials(hmac=Hmac(secrets=(Secret("new-key"),), header="X-Mine")),
            {"x-mine": signed("new-key")[SIGNATURE]},
            "hmac",
            0,
            id="a header of one's own",
        ),
        pytest.param(TIMED, signed("new-key", at=NOW_UNIX), "hmac", 0, id="signed now"),
        pytest.param(
            TIMED, signed("new-key", at=NOW_UNIX - 300), "hmac", 0, id="signed five minutes ago"
        ),
        pytest.param(
            TIMED,
            signed("new-key", at=NOW_UNIX + 300),
            "hmac",
            0,
            id="signed by a clock five minutes ahead",
        ),
        pytest.param(ALL, bearer("old-token"), "bearer", 1, id="one of three: bearer"),
        pytest.param(
            ALL, basic("alertmanager", "new-password"), "basic", 0, id="one of three: basic"
        ),
        pytest.param(ALL, signed("new-key"), "hmac", 0, id="one of three: signature"),
        pytest.param(
            ALL,
            bearer("wrong") | signed("new-key"),
            "hmac",
            0,
            id="a right signature beside a wrong token",
        ),
        pytest.param(
            ALL,
            bearer("new-token") | signed("wrong"),
            "bearer",
            0,
            id="a right token beside a wrong signature",
        ),
        pytest.param(
            Credentials(bearer_tokens=(Secret(""), Secret("x"), Secret("x"))),
            bearer("x"),
            "bearer",
            1,
            id="an empty secret before it, the same behind it",
        ),
    ],
)
def test_who_is_let_in(credentials, headers, method, secret):
    assert authenticate(credentials, headers, BODY, NOW) == Accepted(method=method, secret=secret)


@pytest.mark.parametrize(
    ("credentials", "headers", "reason"),
    [
        pytest.param(BEARER, {}, "missing", id="no credentials"),
        pytest.param(SIGNED, {}, "missing", id="no signature"),
        pytest.param(SIGNED, {SIGNATURE: ""}, "missing", id="an empty signature"),
        pytest.param(SIGNED, {SIGNATURE: " "}, "missing", id="a blank signature"),
        pytest.param(SIGNED, {TIMESTAMP: "1"}, "missing", id="a time and no signature"),
        pytest.param(BEARER, {"Authorization": ""}, "unsupported", id="an empty header"),
        pytest.param(
            BEARER, {"Authorization": "Digest a=b"}, "unsupported", id="a scheme nobody knows"
        ),
        pytest.param(
            BEARER, {"Authorization": "new-token"}, "unsupported", id="a token without a scheme"
        ),
        pytest.param(
            BEARER,
            basic("alertmanager", "new-password"),
            "unsupported",
            id="basic auth where it is not set up",
        ),
        pytest.param(BASIC, bearer("new-token"), "unsupported", id="a token where none is set up"),
        pytest.param(BEARER, signed("new-key"), "missing", id="a signature where none is set up"),
        pytest.param(BEARER, bearer("wrong"), "wrong_token", id="a wrong token"),
        pytest.param(BEARER, bearer(""), "wrong_token", id="an empty token"),
        pytest.param(BEARER, bearer("new-toke"), "wrong_token", id="the beginning of a token"),
        pytest.param(BEARER, bearer("new-token old-token"), "wrong_token", id="two tokens"),
        pytest.param(BEARER, bearer("NEW-TOKEN"), "wrong_token", id="the token in capitals"),
        pytest.param(BEARER, bearer("nëw-token"), "wrong_token", id="a token beyond ASCII"),
        pytest.param(BEARER, bearer("\ud800密"), "wrong_token", id="a token that is no text"),
        pytest.param(
            Credentials(bearer_tokens=(Secret(""), Secret("x"))),
            bearer(""),
            "wrong_token",
            id="an empty token where one is set up empty",
        ),
        pytest.param(
            BASIC, basic("alertmanager", "wrong"), "wrong_password", id="a wrong password"
        ),
        pytest.param(BASIC, basic("alertmanager", ""), "wrong_password", id="an empty password"),
        pytest.param(BASIC, basic("grafana", "new-password"), "wrong_password", id="a wrong user"),
        pytest.param(
            BASIC, basic("", "alertmanager:new-password"), "wrong_password", id="a colon too many"
        ),
        pytest.param(
            BASIC, {"Authorization": "Basic YWxlcnRtYW5hZ2Vy"}, "wrong_password", id="no colon"
        ),
        pytest.param(
            Credentials(basic=Basic(user="alertmanager", passwords=(Secret(""), Secret("x")))),
            basic("alertmanager", ""),
            "wrong_password",
            id="an empty password where one is set up empty",
        ),
        pytest.param(BASIC, {"Authorization": "Basic"}, "wrong_password", id="nothing after Basic"),
        pytest.param(BASIC, {"Authorization": "Basic abc"}, "malformed", id="base64 cut short"),
        pytest.param(BASIC, {"Authorization": "Basic a:b"}, "malformed", id="no base64"),
        pytest.param(BASIC, {"Authorization": "Basic 密码é="}, "malformed", id="beyond ASCII"),
        pytest.param(SIGNED, signed("wrong"), "wrong_signature", id="another key"),
        pytest.param(SIGNED, signed("new-key", b"other"), "wrong_signature", id="another body"),
        pytest.param(
            SIGNED,
            {SIGNATURE: "sha256=" + signed("new-key")[SIGNATURE]},
            "wrong_signature",
            id="a prefix Grafana does not send",
        ),
        pytest.param(SIGNED, {SIGNATURE: "火"}, "wrong_signature", id="no hex digits"),
        pytest.param(
            SIGNED,
            signed("new-key", at=NOW_UNIX),
            "wrong_signature",
            id="a time is signed where none is expected",
        ),
        pytest.param(
            Credentials(hmac=Hmac(secrets=(Secret(""), Secret("x")))),
            signed(""),
            "wrong_signature",
            id="signed with the empty key where one is set up empty",
        ),
        pytest.param(TIMED, signed("new-key"), "no_timestamp", id="no time where one is expected"),
        pytest.param(
            TIMED, signed("new-key", at="yesterday"), "no_timestamp", id="a time that is none"
        ),
        pytest.param(TIMED, signed("new-key", at="-5"), "no_timestamp", id="a time before 1970"),
        pytest.param(
            TIMED, signed("new-key", at="1" * 5_000), "no_timestamp", id="a time of 5,000 digits"
        ),
        pytest.param(
            TIMED, signed("new-key", at="١"), "no_timestamp", id="digits of another script"
        ),
        pytest.param(
            TIMED, signed("new-key", at=NOW_UNIX - 301), "outside_window", id="signed too long ago"
        ),
        pytest.param(
            TIMED, signed("new-key", at=NOW_UNIX + 301), "outside_window", id="signed in the future"
        ),
        pytest.param(
            TIMED,
            signed("new-key", at=NOW_UNIX - 900) | {TIMESTAMP: str(NOW_UNIX)},
            "wrong_signature",
            id="an old signature with a fresh time",
        ),
        pytest.param(
            ALL, bearer("wrong") | signed("wrong"), "wrong_signature", id="everything is wrong"
        ),
        pytest.param(Credentials(), bearer("x"), "nothing_accepted", id="nothing is set up"),
        pytest.param(
            Credentials(
                bearer_tokens=(Secret(""),),
                basic=Basic(user="x", passwords=(Secret(""),)),
                hmac=Hmac(secrets=(Secret(""),)),
            ),
            bearer("") | signed(""),
            "nothing_accepted",
            id="nothing but empty secrets is set up",
        ),
    ],
)
def test_who_is_not_let_in(credentials, headers, reason):
    verdict = authenticate(credentials, headers, BODY, NOW)
    assert isinstance(verdict, Denied)
    assert verdict.reason == reason
    assert verdict.status == (403 if reason == "nothing_accepted" else 401)
    assert bool(verdict.challenges) == (verdict.status == 401)


@pytest.mark.parametrize(
    ("credentials", "headers", "needs_body"),
    [
        pytest.param(ALL, {}, False, id="no credentials"),
        pytest.param(ALL, bearer("wrong"), False, id="a wrong token"),
        pytest.param(ALL, bearer("new-token") | signed("wrong"), False, id="a right token"),
        pytest.param(TIMED, signed("new-key", at=5), False, id="a signature of 1970"),
        pytest.param(BEARER, signed("new-key"), False, id="a signature where none is set up"),
        pytest.param(ALL, signed("wrong"), True, id="a signature"),
        pytest.param(ALL, bearer("wrong") | signed("wrong"), True, id="both, the token wrong"),
    ],
)
def test_the_body_is_read_for_signatures_alone(credentials, headers, needs_body):
    assert (check_headers(credentials, headers, NOW) is None) == needs_body


def test_a_denial_says_what_would_help():
    assert authenticate(ALL, bearer("wrong"), BODY, NOW) == Denied(
        reason=Denial.WRONG_TOKEN,
        status=401,
        message="the bearer token is wrong; accepted here: "
        "a bearer token or basic auth or an HMAC signature",
        challenges=(
            'Bearer realm="uvms-adapter"',
            'Basic charset="UTF-8", realm="uvms-adapter"',
            'HMAC-SHA256 header="X-Grafana-Alerting-Signature", realm="uvms-adapter"',
        ),
    )


def test_where_nothing_is_set_up_no_credentials_would_help():
    assert authenticate(Credentials(), {}, BODY, NOW) == Denied(
        reason=Denial.NOTHING_ACCEPTED,
        status=403,
        message="no credentials are set up here, so nobody is let in",
        challenges=(),
    )


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (ALL, (Method.BEARER, Method.BASIC, Method.HMAC)),
        (BASIC, (Method.BASIC,)),
        (Credentials(), ()),
        (Credentials(bearer_tokens=(Secret(""),)), ()),
    ],
)
def test_which_methods_are_set_up(credentials, expected):
    assert methods(credentials) == expected


def test_the_window_can_be_set():
    strict = Hmac(secrets=(Secret("k"),), timestamp_header=TIMESTAMP, window=timedelta(seconds=10))
    verdict = authenticate(Credentials(hmac=strict), signed("k", at=NOW_UNIX - 11), BODY, NOW)
    assert isinstance(verdict, Denied)
    assert verdict.reason is Denial.OUTSIDE_WINDOW


def test_upstream_signatures():
    if not VECTORS.exists():
        pytest.skip(f"no upstream vectors at {VECTORS}")
    for case in json.loads(VECTORS.read_text())["cases"]:
        config = Hmac(
            secrets=(Secret(case["secret"]),),
            header=case.get("header", SIGNATURE),
            timestamp_header=case.get("timestamp_header") or None,
        )
        headers = {config.header: case.get("signature_hex", "")}
        stamp = case.get("timestamp")
        if stamp is not None:
            headers[config.timestamp_header] = stamp
        at = datetime.fromtimestamp(int(stamp or 0), UTC)
        body = case.get("body", "").encode()
        verdict = authenticate(Credentials(hmac=config), headers, body, at)
        assert isinstance(verdict, Denied if "error" in case else Accepted), case["name"]


@given(
    st.dictionaries(
        st.sampled_from(["Authorization", SIGNATURE, TIMESTAMP]),
        st.text()
        | st.sampled_from(["Bearer ", "Basic ", ""]).flatmap(
            lambda scheme: st.text().map(lambda rest: scheme + rest)
        )
        | st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
    ),
    st.binary(),
)
def test_whatever_is_sent_nobody_comes_in_without_a_secret_and_none_is_told(headers, body):
    timed = Credentials(bearer_tokens=ALL.bearer_tokens, basic=ALL.basic, hmac=TIMED.hmac)
    for credentials in (ALL, timed):
        verdict = authenticate(credentials, headers, body, NOW)
        assert isinstance(verdict, Denied)
        assert not [secret for secret in SECRETS if secret in repr((credentials, verdict))]


@given(st.text(min_size=1), st.text(min_size=1), st.binary(), st.integers(-300, 300))
def test_whoever_holds_a_secret_comes_in(secret, user, body, seconds):
    user = user.replace(":", "")
    credentials = Credentials(
        basic=Basic(user=user, passwords=(Secret("x"), Secret(secret))),
        hmac=Hmac(secrets=(Secret("x"), Secret(secret)), timestamp_header=TIMESTAMP),
    )
    for headers in (basic(user, secret), signed(secret, body, NOW_UNIX + seconds)):
        assert isinstance(authenticate(credentials, headers, body, NOW), Accepted)


def test_the_signature_alone_can_be_asked_for():
    assert check_body(ALL, signed("old-key"), BODY, NOW) == Accepted(method=Method.HMAC, secret=1)
    assert isinstance(check_body(TIMED, signed("new-key", at=5), BODY, NOW), Denied)
