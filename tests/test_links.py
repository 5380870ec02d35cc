"""Acknowledgement links open what they were made for, for as long as they were made for."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from adapter.links import Unusable, link_url, read_link, sign_link
from adapter.model import Secret

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
SECRET, PREVIOUS = Secret("the one in use"), Secret("the one before")
PAGE = "0123456789abcdef0123456789abcdef"
TOKEN = sign_link(PAGE, NOW + HOUR, SECRET)

secrets = st.text(min_size=1, max_size=50).map(Secret)
page_ids = st.text(st.characters(codec="utf-8"), max_size=64)
instants = st.integers(1, 2**37).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@pytest.mark.parametrize(
    ("secrets", "at", "found"),
    [
        pytest.param([SECRET], NOW, PAGE, id="in time"),
        pytest.param([SECRET], NOW + HOUR - SECOND, PAGE, id="in the last second"),
        pytest.param([SECRET], NOW + HOUR, Unusable.EXPIRED, id="on the second"),
        pytest.param([SECRET], NOW + 1000 * HOUR, Unusable.EXPIRED, id="long after"),
        pytest.param([PREVIOUS, SECRET], NOW, PAGE, id="the secret is being rotated out"),
        pytest.param([PREVIOUS], NOW, Unusable.NOT_OURS, id="another secret"),
        pytest.param([PREVIOUS], NOW + HOUR, Unusable.NOT_OURS, id="another secret, and late"),
        pytest.param([], NOW, Unusable.NOT_OURS, id="no secret is set up"),
    ],
)
def test_a_link_is_good_for_its_time_and_its_secrets(secrets, at, found):
    assert read_link(TOKEN, secrets, at) == found


def test_an_empty_secret_signs_nothing():
    forged = sign_link(PAGE, NOW + HOUR, Secret(""))
    assert read_link(forged, [Secret(""), SECRET], NOW) is Unusable.NOT_OURS


def test_a_secret_that_is_not_utf_8_works_as_any_other():
    odd = Secret(b"\xff\xfe".decode(errors="surrogateescape"))
    assert read_link(sign_link(PAGE, NOW + HOUR, odd), [odd], NOW) == PAGE


def test_a_version_that_is_not_known_is_not_ours(monkeypatch):
    monkeypatch.setattr("adapter.links._VERSION", 2)
    newer = sign_link(PAGE, NOW + HOUR, SECRET)
    monkeypatch.undo()
    assert read_link(newer, [SECRET], NOW) is Unusable.NOT_OURS


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("A", id="a length that base64 never has"),
        pytest.param("AA", id="short"),
        pytest.param("AB", id="bits that base64 does not use"),
        pytest.param("A" * 22, id="a signature of nothing"),
        pytest.param("A" * 2000, id="long"),
        pytest.param(TOKEN + "=", id="padded"),
        pytest.param(TOKEN + "\n", id="a line break behind it"),
        pytest.param(" " + TOKEN, id="a blank before it"),
        pytest.param(TOKEN[:-4], id="cut"),
        pytest.param(TOKEN + "AAAA", id="continued"),
        pytest.param("é" + TOKEN[1:], id="not ASCII"),
        pytest.param("\ud800", id="half a character"),
        pytest.param("%00../..", id="somebody plays"),
    ],
)
def test_what_is_no_link_is_said_to_be_none(token):
    assert read_link(token, [SECRET], NOW) is Unusable.NOT_OURS


@given(token=st.text() | st.text("ABCabc019-_=", max_size=200))
@example(token="A" * 23)
def test_any_text_gets_an_answer(token):
    assert read_link(token, [SECRET], NOW) is Unusable.NOT_OURS


@given(page_id=page_ids, expires_at=instants, secret=secrets)
def test_what_was_signed_is_read(page_id, expires_at, secret):
    token = sign_link(page_id, expires_at, secret)
    assert read_link(token, [secret], expires_at - SECOND) == page_id
    assert read_link(token, [secret], expires_at) is Unusable.EXPIRED
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(data=st.data(), page_id=page_ids)
def test_one_changed_character_makes_it_nobodys(data, page_id):
    token = sign_link(page_id, NOW + HOUR, SECRET)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCDwxyz0189-_"))
    assume(other != token[place])
    changed = token[:place] + other + token[place + 1 :]
    assert read_link(changed, [SECRET], NOW) is Unusable.NOT_OURS


@given(one=secrets, other=secrets)
def test_secrets_do_not_read_each_others_links(one, other):
    # An HMAC's key is filled up with zeros, so these would be one and the same.
    assume(one.reveal.rstrip("\0") != other.reveal.rstrip("\0"))
    assert read_link(sign_link(PAGE, NOW + HOUR, one), [other], NOW) is Unusable.NOT_OURS


def test_a_token_holds_128_bits_of_signature_and_no_secret():
    raw = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    assert len(raw) == 1 + 8 + len(PAGE) + 16
    assert SECRET.reveal.encode() not in raw


@pytest.mark.parametrize(
    "external_url", ["https://oncall.example.com/uvms", "https://oncall.example.com/uvms/"]
)
def test_the_address_is_below_the_one_we_are_reached_at(external_url):
    assert link_url(external_url, "t") == "https://oncall.example.com/uvms/v1/acknowledge/t"
