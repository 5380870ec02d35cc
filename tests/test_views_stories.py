"""Explained: who was called about an alert and what came of it, or why nobody was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from databases import url_in
from night_world import EVENING, FALLBACK_URL, HOUR, MINUTE, NOW, NUMBERS, Night

from adapter.errors import NotFound
from adapter.model import Reason, Result
from adapter.store.store import open_store
from adapter.views import stored, stories


@contextmanager
def night_in(directory: Path) -> Iterator[Night]:
    store = open_store(url_in(directory), exclusive=True)
    try:
        yield Night(store)
    finally:
        store.close()


@pytest.fixture
def night(database, tmp_path):
    with night_in(tmp_path) as made:
        yield made


Scenario = Callable[[Night], object]


def answered(night: Night) -> None:
    night.post()
    night.passes(MINUTE)
    night.answers("alice")


def unanswered(night: Night) -> None:
    night.post()
    night.passes(MINUTE)
    night.hears("alice", Result.UNANSWERED)


def hung_up(night: Night) -> None:
    night.post()
    night.hears("alice", Result.ANSWERED, 2)


def submitted(night: Night) -> None:
    night.post(team="single")


def refused(night: Night) -> None:
    night.refuses = {"alice": 230}
    night.post(team="single")


def limited(night: Night) -> None:
    for name in ("A", "B", "C", "D"):
        night.post(name, status="firing", team="single")
        night.passes(2 * MINUTE)
        night.post(name, status="resolved", team="single")
        night.passes(6 * MINUTE)
    night.post(team="single")


def outside_of_hours(night: Night) -> None:
    night.now += 10 * HOUR
    night.post(team="daytime")


def muted(night: Night) -> None:
    night.now += HOUR
    night.post(team="muted")


def muted_since(night: Night) -> None:
    night.post(team="muted")
    night.answers("alice")
    night.passes(HOUR)
    night.post(team="muted")


def no_receiver(night: Night) -> None:
    night.post(team="nobody")


def nobody_on_call(night: Night) -> None:
    night.now += 9 * HOUR
    night.post(team="office")


def duplicate(night: Night) -> None:
    answered_single(night)
    for _ in range(6):
        night.passes(MINUTE)
        night.post(team="single")


def answered_single(night: Night) -> None:
    night.post(team="single")
    night.hears("alice", Result.UNREPORTED)


def stale(night: Night) -> None:
    alert = night.post(team="single")
    night.answers("alice")
    night.passes(10 * MINUTE)
    night.post(team="single", status="resolved")
    night.passes(MINUTE)
    night._since[alert.fingerprint] = alert.starts_at
    night.post(team="single")


def acknowledged(night: Night) -> None:
    night.post()
    night.passes(MINUTE)
    night.acknowledges("bob")
    night.passes(MINUTE)
    night.post()


def taken_before_it_was_made(night: Night) -> None:
    night.now += 10 * HOUR
    night.post(team="daytime")
    night.acknowledges("api")


def resolved_before_it_was_made(night: Night) -> None:
    outside_of_hours(night)
    night.passes(MINUTE)
    night.post(team="daytime", status="resolved")


def exhausted(night: Night) -> None:
    night.post()
    for person in ("alice", "carol"):
        night.passes(MINUTE)
        night.hears(person, Result.UNANSWERED)
    night.passes(10 * MINUTE)
    night.tells_the_fallback()


def shadow(night: Night) -> None:
    night.post(team="shadow")


def joined_after_the_call(night: Night) -> None:
    night.post("Earlier", team="single")
    night.passes(MINUTE)
    night.post(team="single")


def repeated(night: Night) -> None:
    night.post(team="single")
    night.hears("alice", Result.UNANSWERED)
    night.passes(61 * MINUTE)
    night.post(team="single")


def called_back(night: Night) -> None:
    answered_single(night)
    night.passes(MINUTE)
    night.post(team="single", status="resolved")


WHY = [
    pytest.param(
        called_back, "it has resolved; alice was called (first): unreported", id="resolved since"
    ),
    pytest.param(answered, "alice was called (first): answered", id="answered"),
    pytest.param(
        unanswered,
        "alice was called (first): unanswered; carol was called (escalation): submitted",
        id="unanswered: the next step",
    ),
    pytest.param(
        hung_up,
        "alice was called (first): hung_up; carol was called (escalation): submitted",
        id="hung up at once: the next step",
    ),
    pytest.param(submitted, "alice was called (first): submitted", id="nothing reported yet"),
    pytest.param(
        refused,
        "nobody was called: alice's call (first) is refused: RetCode 230: said so; "
        "the escalation has ended and reached nobody",
        id="refused by the vendor",
    ),
    pytest.param(
        limited,
        "nobody was called: alice's call (first) is due at 2026-11-24T04:00:00.000+00:00: "
        "held back: its person's limit, or its template's hours; "
        "the escalation has ended and reached nobody",
        id="limited until",
    ),
    pytest.param(
        outside_of_hours,
        "nobody was called: bob's call (escalation) is due at 2026-11-25T00:00:00.000+00:00: "
        "held back: its person's limit, or its template's hours; "
        "the escalation has ended and reached nobody",
        id="its words may not be said now",
    ),
    pytest.param(
        muted,
        "the last post called nobody, muted: by time interval lunch",
        id="muted",
    ),
    pytest.param(
        muted_since,
        "the last post called nobody, muted: by time interval lunch; "
        "alice was called (first): answered",
        id="called, and muted since",
    ),
    pytest.param(
        no_receiver,
        "the last post called nobody, no_receiver: the receiver calls no one",
        id="no receiver",
    ),
    pytest.param(
        nobody_on_call,
        "the last post called nobody, nobody_on_call: no step of the escalation has anybody now; "
        "the escalation has ended and reached nobody",
        id="nobody on call",
    ),
    pytest.param(
        duplicate,
        "the last post called nobody, duplicate: known to fire, and not yet due again; "
        "alice was called (first): unreported; the escalation has ended and reached nobody",
        id="duplicate",
    ),
    pytest.param(
        stale,
        "the last post called nobody, stale: its episode ended at 2026-11-24 03:10:00+00:00; "
        "alice was called (first): answered",
        id="stale",
    ),
    pytest.param(
        acknowledged,
        "the last post called nobody, acknowledged: "
        "acknowledged at 2026-11-24T03:01:00+00:00 by bob; "
        "alice was called (first): submitted",
        id="acknowledged",
    ),
    pytest.param(
        taken_before_it_was_made,
        "nobody was called: bob's call (escalation) is cancelled: api has taken the page",
        id="taken before it was made",
    ),
    pytest.param(
        resolved_before_it_was_made,
        "it has resolved; "
        "nobody was called: bob's call (escalation) is cancelled: its alerts resolved; "
        "the escalation has ended and reached nobody",
        id="resolved before it was made",
    ),
    pytest.param(
        exhausted,
        "alice was called (first): unanswered; carol was called (escalation): unanswered; "
        "+86139****0000 was called (escalation): submitted; "
        "bob was called (escalation): submitted; "
        "the escalation has ended and reached nobody",
        id="exhausted",
    ),
    pytest.param(
        shadow,
        "nobody was called: alice's call (first) is shadowed: "
        "not dialled: its receiver is in shadow mode",
        id="shadow mode",
    ),
    pytest.param(
        joined_after_the_call,
        "nobody was called: alice's call (new_alerts) is due at 2026-11-24T03:05:00.000+00:00",
        id="joined a page after its call",
    ),
    pytest.param(repeated, "alice was called (repeat): submitted", id="repeated"),
]


@pytest.mark.parametrize(("scenario", "expected"), WHY)
def test_why_somebody_was_called_or_nobody(night, scenario, expected):
    scenario(night)
    (alert,) = night.view(stories.explain_alert, {"alertname": "DiskFull"})["alerts"]
    (receiver,) = alert["receivers"]
    assert receiver["why"] == expected


def test_no_reason_goes_unexplained(tmp_path):
    """Every reason that is given for an alert is among the scenarios above."""
    seen = set()
    for number, param in enumerate(WHY):
        (directory := tmp_path / str(number)).mkdir()
        with night_in(directory) as night:
            param.values[0](night)
            found = night.store.read_now(lambda s: s.find_verdicts(limit=999))
            seen |= {Reason(verdict.reason) for verdict in found}
    # No alert's, or no page's.
    elsewhere = {Reason.ESCALATION, Reason.TEST, Reason.DRILL, Reason.HEARTBEAT}
    assert set(Reason) - seen == elsewhere


# --- stories -----------------------------------------------------------------------------------


def told(found) -> list[tuple[str, str, str]]:
    return [(one["event"], one["person"] or "", one["detail"]) for one in found["story"]]


def test_the_story_of_a_page_from_the_webhook_to_the_fallback(night):
    exhausted(night)
    found = night.view(stories.explain_page, "id-1")
    assert found["state"] == "exhausted"
    key = found["alerts"][0]["fingerprint"]
    call = ["owed", "sending", "accepted"]
    assert [event for event, _, _ in told(found)] == [
        *("first", "opened", *call),
        *("receipt", "step", *call),
        *("receipt", "step", *call, *call),
        *("exhausted", "fallback owed", "fallback"),
    ]
    for line in (
        ("first", "", f"DiskFull ({key}) to chain, route {{}}: call due at {NOW.isoformat()}"),
        ("opened", "", "page id-1 of chain"),
        ("step", "", "step 2 of 3 calls carol"),
        ("owed", "carol", "escalation, step 2 of run 1"),
        ("receipt", "alice", "unanswered (NO_ANSWER)"),
        ("exhausted", "", "its last step reached nobody"),
        ("fallback owed", "", "run 1"),
        ("fallback", "", "sent: HTTP 200"),
    ):
        assert line in told(found)


def test_a_story_is_in_order_of_time(night):
    unanswered(night)
    night.passes(MINUTE)
    night.acknowledges("api")
    times = [one["at"] for one in night.view(stories.explain_page, "id-1")["story"]]
    assert times == sorted(times)


def test_a_reason_given_often_is_told_once_with_its_count(night):
    duplicate(night)
    lines = [line for line in told(night.view(stories.explain_page, "id-1")) if "dup" in line[0]]
    assert len(lines) == 2
    assert lines[1][2].endswith(", 6 times in all: known to fire, and not yet due again")


def test_who_took_a_page_is_told_with_what_that_ended(night):
    taken_before_it_was_made(night)
    lines = told(night.view(stories.explain_page, "id-1"))
    at_the_end = [line for line in lines if line[0] in ("acknowledged", "cancelled")]
    assert at_the_end[0] == ("acknowledged", "", "by api")
    assert ("cancelled", "alice", "api has taken the page") in at_the_end


def test_a_call_asked_for_again_tells_who_asked(night):
    refused(night)
    night.view(stored.retry, night.calls("alice")[0].id, night.now, "wang")
    assert ("retried", "alice", "by wang") in told(night.view(stories.explain_page, "id-1"))


def test_a_step_that_had_nobody_is_told(night):
    night.now = EVENING
    night.post()
    night.hears("alice", Result.UNANSWERED)
    why = "step 2, office: nobody is on call"
    assert ("skipped", "", why) in told(night.view(stories.explain_page, "id-1"))


def test_a_fallback_that_is_still_to_be_told(night):
    night.now = EVENING
    night.post()
    night.hears("alice", Result.UNANSWERED)
    night.passes(11 * MINUTE)
    lines = told(night.view(stories.explain_page, "id-1"))
    assert [line[0] for line in lines[-3:]] == ["exhausted", "fallback owed", "fallback due"]


def test_a_closed_page_ends_so(night):
    submitted(night)
    night.passes(MINUTE)
    night.post(team="single", status="resolved")
    assert told(night.view(stories.explain_page, "id-1"))[-1] == ("closed", "", "page id-1")


# --- finding an alert --------------------------------------------------------------------------


def test_an_alert_is_known_by_its_fingerprint_or_the_beginning_of_it(night):
    key = night.post().fingerprint
    for wanted in (key, key[:6]):
        (found,) = night.view(stories.explain_alert, {}, wanted)["alerts"]
        assert found["fingerprint"] == key


def test_of_very_many_alerts_the_newest_are_explained(night):
    for number in range(21):
        night.now += MINUTE
        night.post(f"Many{number}", team="nobody")
    found = night.view(stories.explain_alert, {"team": "nobody"})
    names = {alert["labels"]["alertname"] for alert in found["alerts"]}
    assert (len(names), "Many0" in names, found["more_alerts"]) == (20, False, True)
    assert not night.view(stories.explain_alert, {"alertname": "Many0"})["more_alerts"]


def test_labels_that_several_alerts_have_explain_each(night):
    night.post("A", team="nobody")
    night.post("B", team="single")
    night.post("C", team="single")
    found = night.view(stories.explain_alert, {"team": "single"})["alerts"]
    assert sorted(alert["labels"]["alertname"] for alert in found) == ["B", "C"]


@pytest.mark.parametrize(
    ("labels", "fingerprint", "shown"),
    [
        ({"alertname": "Other", "team": "db"}, "", "'alertname=Other,team=db'"),
        ({}, "0123456789abcdef", "'0123456789abcdef'"),
    ],
)
def test_an_alert_that_never_came_in(night, labels, fingerprint, shown):
    night.post()
    with pytest.raises(NotFound) as caught:
        night.view(stories.explain_alert, labels, fingerprint)
    assert str(caught.value) == (
        f"no alert {shown} has come in within the retention: ask Alertmanager whether it sent "
        "one, and `uvms-adapter rejected list` for bodies that were refused"
    )


def test_a_page_that_is_not_there(night):
    with pytest.raises(NotFound, match="there is no page 'zz'"):
        night.view(stories.explain_page, "zz")


@pytest.mark.parametrize("scenario", [param.values[0] for param in WHY])
def test_no_story_tells_a_number_or_a_secret(night, scenario):
    scenario(night)
    key = night.store.read_now(lambda s: s.find_verdicts(limit=1))[0].fingerprint
    text = json.dumps(night.view(stories.explain_alert, {}, key))
    for page in night.store.read_now(lambda s: s.find_pages(only_open=False, limit=9)):
        text += json.dumps(night.view(stories.explain_page, page.id))
    assert not [number for number in NUMBERS if number[3:] in text]
    assert FALLBACK_URL not in text
    assert "secret" not in text
