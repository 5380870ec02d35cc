"""What an answer proves about a call, and what it tells a human."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.delivery.outcomes import RET_CODES, Answer, Failure, Outcome, classify, explain

# One row for every RetCode we know; the numbers stand here a second time on purpose.
RET_CODE_OUTCOMES = {
    0: Outcome.ACCEPTED,
    110: Outcome.UNKNOWN,
    130: Outcome.RETRY,
    150: Outcome.RETRY,
    151: Outcome.RETRY,
    153: Outcome.THROTTLED,
    160: Outcome.ACCOUNT_REFUSED,
    161: Outcome.ACCOUNT_REFUSED,
    170: Outcome.ACCOUNT_REFUSED,
    171: Outcome.ACCOUNT_REFUSED,
    172: Outcome.ACCOUNT_REFUSED,
    173: Outcome.ACCOUNT_REFUSED,
    174: Outcome.ACCOUNT_REFUSED,
    180: Outcome.ACCOUNT_REFUSED,
    200: Outcome.RETRY,
    210: Outcome.REFUSED,
    220: Outcome.REFUSED,
    230: Outcome.REFUSED,
    240: Outcome.REFUSED,
    290: Outcome.ACCOUNT_REFUSED,
    291: Outcome.ACCOUNT_REFUSED,
    292: Outcome.ACCOUNT_REFUSED,
    293: Outcome.ACCOUNT_REFUSED,
    294: Outcome.ACCOUNT_REFUSED,
    295: Outcome.ACCOUNT_REFUSED,
    299: Outcome.ACCOUNT_REFUSED,
}

# Not in the table, but neighbours of what is, and the codes just outside.
UNLISTED_OUTCOMES = {
    -1: Outcome.REFUSED,
    1: Outcome.REFUSED,
    159: Outcome.REFUSED,
    162: Outcome.ACCOUNT_REFUSED,
    179: Outcome.ACCOUNT_REFUSED,
    181: Outcome.REFUSED,
    289: Outcome.REFUSED,
    296: Outcome.ACCOUNT_REFUSED,
    300: Outcome.REFUSED,
    5000: Outcome.REFUSED,
    18013: Outcome.REFUSED,
}

# The status alone: no RetCode could be read.
STATUS_OUTCOMES = {
    None: Outcome.UNKNOWN,
    100: Outcome.UNKNOWN,
    200: Outcome.UNKNOWN,
    204: Outcome.UNKNOWN,
    301: Outcome.ACCOUNT_REFUSED,
    302: Outcome.ACCOUNT_REFUSED,
    307: Outcome.ACCOUNT_REFUSED,
    400: Outcome.ACCOUNT_REFUSED,
    401: Outcome.ACCOUNT_REFUSED,
    403: Outcome.ACCOUNT_REFUSED,
    404: Outcome.ACCOUNT_REFUSED,
    405: Outcome.ACCOUNT_REFUSED,
    407: Outcome.ACCOUNT_REFUSED,
    408: Outcome.UNKNOWN,  # some proxies say so of requests that they have passed on
    413: Outcome.ACCOUNT_REFUSED,
    429: Outcome.THROTTLED,
    451: Outcome.ACCOUNT_REFUSED,
    500: Outcome.UNKNOWN,
    502: Outcome.UNKNOWN,
    503: Outcome.UNKNOWN,
    504: Outcome.UNKNOWN,
    599: Outcome.UNKNOWN,
    999: Outcome.UNKNOWN,
}

FAILURE_OUTCOMES = {
    Failure.CONNECT: Outcome.RETRY,
    Failure.NO_SLOT: Outcome.RETRY,
    Failure.TOO_LATE: Outcome.RETRY,
    Failure.TIMEOUT: Outcome.UNKNOWN,
    Failure.CONNECTION_LOST: Outcome.UNKNOWN,
    Failure.UNREADABLE: Outcome.UNKNOWN,
    Failure.INTERRUPTED: Outcome.UNKNOWN,
}

# A RetCode under a status that is not 2xx.
CONTRADICTIONS = {
    "a gateway's 5xx may come from behind the placing of calls": (500, 0, Outcome.UNKNOWN),
    "unavailable, but behind what?": (503, 150, Outcome.UNKNOWN),
    "a bad parameter, but a crash too": (500, 230, Outcome.UNKNOWN),
    "throttling is before any placing": (503, 153, Outcome.THROTTLED),
    "so are credentials": (502, 171, Outcome.ACCOUNT_REFUSED),
    "what nobody knows says no more than its status": (500, 5000, Outcome.UNKNOWN),
    "accepted under a refusal": (403, 0, Outcome.UNKNOWN),
    "a refusal in two languages": (400, 230, Outcome.REFUSED),
    "unavailable under a 4xx": (429, 150, Outcome.RETRY),
    "the RetCode is nearer to the matter": (429, 171, Outcome.ACCOUNT_REFUSED),
    "unknown code under 429": (429, 5000, Outcome.THROTTLED),
    "unknown code under 403": (403, 5000, Outcome.ACCOUNT_REFUSED),
    "a redirect with a RetCode": (302, 0, Outcome.UNKNOWN),
    "no status at all": (None, 0, Outcome.UNKNOWN),
    "any 2xx is good": (202, 0, Outcome.ACCEPTED),
}


def answer(ret_code: int | None = None, http_status: int | None = 200, **more) -> Answer:
    return Answer(http_status=http_status, ret_code=ret_code, **more)


def test_every_code_of_the_table_has_its_row_here():
    assert set(RET_CODES) == set(RET_CODE_OUTCOMES)


@pytest.mark.parametrize(("ret_code", "outcome"), (RET_CODE_OUTCOMES | UNLISTED_OUTCOMES).items())
def test_ret_code(ret_code, outcome):
    assert classify(answer(ret_code)) is outcome


@pytest.mark.parametrize(("status", "outcome"), STATUS_OUTCOMES.items())
def test_status_without_a_ret_code(status, outcome):
    assert classify(answer(None, status, failure=Failure.UNREADABLE)) is outcome
    assert classify(answer(None, status)) is outcome


@pytest.mark.parametrize("failure", Failure)
def test_failure_without_a_status(failure):
    assert classify(answer(None, None, failure=failure)) is FAILURE_OUTCOMES[failure]


@pytest.mark.parametrize(
    ("status", "ret_code", "outcome"), CONTRADICTIONS.values(), ids=CONTRADICTIONS
)
def test_status_and_ret_code_that_contradict(status, ret_code, outcome):
    assert classify(answer(ret_code, status)) is outcome


def test_a_body_that_stopped_short_is_judged_by_its_status():
    assert classify(answer(None, 200, failure=Failure.TIMEOUT)) is Outcome.UNKNOWN
    assert classify(answer(None, 403, failure=Failure.TIMEOUT)) is Outcome.ACCOUNT_REFUSED


def test_a_failure_outweighs_a_ret_code():
    lost = answer(0, 200, failure=Failure.CONNECTION_LOST)
    assert classify(lost) is Outcome.UNKNOWN
    assert classify(lost, {0: Outcome.ACCEPTED}) is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("ret_code", [0, 153, 18013])
def test_the_operator_overrides_the_table(ret_code, status):
    overrides = {ret_code: Outcome.RETRY}
    assert classify(answer(ret_code, status), overrides) is Outcome.RETRY


def test_an_override_of_another_code_changes_nothing():
    assert classify(answer(171), {172: Outcome.RETRY}) is Outcome.ACCOUNT_REFUSED


answers = st.builds(
    Answer,
    http_status=st.none() | st.sampled_from(sorted(filter(None, STATUS_OUTCOMES))) | st.integers(),
    failure=st.none() | st.sampled_from(Failure),
    ret_code=st.none() | st.sampled_from(sorted(RET_CODES)) | st.integers(),
    message=st.text(max_size=20),
)


@given(answers)
def test_classify_and_explain_are_total(any_answer):
    outcome = classify(any_answer)
    assert outcome in Outcome
    assert explain(any_answer)
    if outcome is Outcome.ACCEPTED:
        assert any_answer.ret_code == 0
        assert any_answer.failure is None
        assert 200 <= any_answer.http_status <= 299


EXPLANATIONS = {
    "accepted": (answer(0), "RetCode 0: accepted"),
    "permission": (
        answer(299),
        "RetCode 299: no permission: check uvms.project_id first (sub-accounts need it), then IAM",
    ),
    "with the vendor's words": (
        answer(171, message="Signature VerifyAC Error"),
        "RetCode 171: wrong signature: check UVMS_PRIVATE_KEY [Signature VerifyAC Error]",
    ),
    "a code near known ones": (
        answer(296),
        "RetCode 296: a credential or permission problem not in our table: "
        "ask UCloud with the ReqUuid",
    ),
    "a code nobody knows": (
        answer(5000),
        "RetCode 5000: a refusal not in our table: see the message",
    ),
    "a code under another status": (
        answer(153, 503),
        "RetCode 153: too many requests: lower limits.requests_per_second (HTTP 503)",
    ),
    "nothing left": (
        answer(None, None, failure=Failure.CONNECT, message="ConnectError"),
        "no connection to uvms.endpoint: check network, DNS, proxy and TLS [ConnectError]",
    ),
    "no slot": (
        answer(None, None, failure=Failure.NO_SLOT),
        "all our connections to the vendor were busy",
    ),
    "timed out": (answer(None, None, failure=Failure.TIMEOUT), "no complete answer in time"),
    "connection lost": (
        answer(None, None, failure=Failure.CONNECTION_LOST),
        "the connection broke after the request began to leave",
    ),
    "interrupted": (
        answer(None, None, failure=Failure.INTERRUPTED),
        "the adapter stopped while the request may have been under way",
    ),
    "body timed out": (
        answer(None, 200, failure=Failure.TIMEOUT),
        "HTTP 200: no complete answer in time",
    ),
    "no JSON": (
        answer(None, 502, failure=Failure.UNREADABLE),
        "HTTP 502: the answer is no JSON object with a RetCode",
    ),
    "nothing known": (answer(), "HTTP 200: the answer is no JSON object with a RetCode"),
    "a proxy": (
        answer(None, 407, failure=Failure.UNREADABLE),
        "HTTP 407: not UVMS speaking: check uvms.endpoint, proxy and firewall",
    ),
    "429": (
        answer(None, 429, failure=Failure.UNREADABLE),
        "HTTP 429: too many requests: lower limits.requests_per_second",
    ),
}


@pytest.mark.parametrize(("given_answer", "text"), EXPLANATIONS.values(), ids=EXPLANATIONS)
def test_explain(given_answer, text):
    assert explain(given_answer) == text


def test_every_ret_code_is_explained_in_words_of_its_own():
    texts = [explain(answer(code)) for code in RET_CODES]
    assert len(set(texts)) == len(texts)
    assert all(len(text) < 100 for text in texts)
