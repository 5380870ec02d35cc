"""What the store remembers and hands out, asked as intake, worker and console ask it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from store_world import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    accepted,
    attempt,
    begun,
    call,
    count_from_one,
    episode,
    opened,
    page,
    recorded,
    the_call,
)

from adapter.model import (
    Alert,
    CallState,
    Person,
    Reason,
    Receiver,
    Status,
    Step,
    Target,
    Timing,
)
from adapter.paging import Changes, Routed, decide, page_key
from adapter.store.session import DuePhone, Queue, Rejected, Session
from adapter.store.store import Store

PEOPLE = (Person(name="alice", phone=ALICE), Person(name="bob", phone=BOB))
SRE = Receiver(
    name="sre", escalation=(Step(call=tuple(Target(person=person) for person in PEOPLE)),)
)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with opened(store_url) as store:
        yield store


@pytest.fixture(scope="module")
def shared(shared_store_url: str) -> Iterator[Store]:
    with opened(shared_store_url, lock_wait_seconds=60) as store:  # a busy machine may pause
        yield store


@pytest.fixture
def session(shared: Store) -> Iterator[Session]:
    """A transaction that is never committed: what is seen here is seen inside of it."""
    with shared._writing.connect() as connection:
        count_from_one(connection)
        yield Session(connection)


def firing(fingerprint: str, *, timing: Timing | None = None) -> Routed:
    alert = Alert(fingerprint=fingerprint, status=Status.FIRING, labels={"alertname": fingerprint})
    return Routed(alert=alert, receiver=SRE, group_labels={}, timing=timing or Timing())


def resolved(fingerprint: str) -> Routed:
    item = firing(fingerprint)
    return replace(item, alert=replace(item.alert, status=Status.RESOLVED))


def posted(session: Session, *items: Routed, at=NOW, ids=None) -> Changes:
    """Take a webhook in, as intake does."""
    known = session.known({i.alert_key for i in items}, {i.page_key for i in items})
    numbers = ids or iter(f"id{number}" for number in range(1000))
    changes = decide(items, known, truncated=False, now=at, new_id=lambda: next(numbers))
    session.record(changes)
    return changes


# --- taking in ---


class TestKnown:
    def test_an_unknown_alert_is_not_known(self, session):
        known = session.known({("sre", "f1")}, {page_key("sre", {"cluster": "a"})})
        assert (known.episodes, known.pages, dict(known.calls), known.firing) == ({}, {}, {}, {})

    def test_the_latest_episode_of_each_alert_is_known(self, session):
        mine = page()
        ended = episode(mine, fingerprint="f1", firing=False, ends_at=NOW, annotations={})
        again = episode(mine, fingerprint="f1")
        other = episode(mine, fingerprint="f1", receiver="dba")
        recorded(session, mine, ended, again, other)
        known = session.known({("sre", "f1")}, set())
        assert list(known.episodes) == [("sre", "f1")]
        assert known.episodes["sre", "f1"] == replace(again, id=2)
        assert known.firing == {mine.id: 2}

    def test_the_page_of_an_episode_is_known_though_its_group_is_another_now(self, session):
        mine = page(group_labels={"cluster": "a"})
        recorded(session, mine, episode(mine, fingerprint="f1"))
        known = session.known({("sre", "f1")}, {page_key("sre", {"team": "b"})})
        assert known.pages == {mine.id: mine}

    def test_the_latest_page_of_a_group_is_known(self, session):
        old = page(group_labels={"a": "1", "b": "2"}, closed_at=NOW)
        new = replace(old, id="new", opened_at=NOW + HOUR, closed_at=NOW + HOUR)
        recorded(session, old, new)
        others = replace(new, id="others", receiver="dba", opened_at=NOW + DAY)
        recorded(session, others)
        known = session.known(set(), {page_key("sre", {"b": "2", "a": "1"})})
        assert list(known.pages) == ["new"]

    def test_an_open_page_is_known_though_the_clock_was_set_back_before_it_opened(self, session):
        closed = page(group_labels={}, closed_at=NOW)
        opened_later = replace(closed, id="open", opened_at=NOW - HOUR, closed_at=None)
        recorded(session, closed, opened_later)
        known = session.known(set(), {page_key("sre", {})})
        assert sorted(known.pages) == sorted([closed.id, "open"])

    def test_groups_of_other_receivers_and_other_labels_are_not_known(self, session):
        recorded(session, page(receiver="dba", group_labels={}), page(group_labels={"a": "1"}))
        assert session.known(set(), {page_key("sre", {})}).pages == {}

    def test_more_alerts_than_one_statement_can_name_are_known(self, session):
        mine = page()
        many = [episode(mine, fingerprint=f"f{number}") for number in range(33_000)]
        recorded(session, mine, *many)
        known = session.known({("sre", each.fingerprint) for each in many}, set())
        assert len(known.episodes) == 33_000

    def test_of_the_calls_those_count_that_are_open_or_the_last_of_their_kind(self, session):
        mine = page()

        def made(text: str, state: CallState, **values):
            dialled = values.pop("dialled_at", None)
            return call(mine, id=text, state=state, settled_at=NOW, dialled_at=dialled, **values)

        recorded(
            session,
            mine,
            made("told first", CallState.ACCEPTED, dialled_at=NOW),
            made("told last", CallState.ACCEPTED, dialled_at=NOW + HOUR),
            made("told bob", CallState.ACCEPTED, dialled_at=NOW, phone=BOB),
            made("told of the end", CallState.ACCEPTED, dialled_at=NOW, reason=Reason.RESOLVED),
            made("gave up first", CallState.GAVE_UP, dialled_at=NOW),
            made("gave up last", CallState.GAVE_UP, dialled_at=NOW + HOUR),
            made("refused without a try", CallState.REFUSED),
            made("cancelled without a try", CallState.CANCELLED),
            made("cancelled after a try", CallState.CANCELLED, dialled_at=NOW),
            call(mine, id="waiting"),
            call(mine, id="waiting again", dialled_at=NOW),
            call(mine, id="unknown", state=CallState.UNKNOWN, dialled_at=NOW),
            call(mine, id="unknown later", state=CallState.UNKNOWN, dialled_at=NOW + HOUR),
        )
        [counting] = session.known(set(), {page_key("sre", mine.group_labels)}).calls.values()
        assert {each.id for each in counting} == {
            "told last",
            "told bob",
            "told of the end",
            "gave up last",
            "refused without a try",
            "cancelled after a try",
            "waiting",
            "waiting again",
            "unknown",
            "unknown later",
        }


class TestRecord:
    def test_what_was_decided_is_found_again(self, session):
        changes = posted(session, firing("f1"), firing("f2"))
        [new] = changes.new_pages
        assert session.find_pages(only_open=True, limit=9) == [new]
        assert [each.fingerprint for each in session.episodes_of(new.id, 9)] == ["f1", "f2"]
        assert {each.id for each in session.find_calls(limit=9)} == {
            each.id for each in changes.new_calls
        }

    def test_the_same_alerts_from_two_peers_at_one_instant_are_one_page_and_one_call_each(
        self, store
    ):
        numbers = map("id{}".format, range(1000))  # two threads may take from it
        jobs = [lambda s: posted(s, firing("f1"), firing("f2"), ids=numbers)] * 2
        answers = [store._writer.put(job) for job in jobs]
        assert sorted(len(each.result().new_calls) for each in answers) == [0, 2]
        assert len(store.read_now(lambda s: s.find_calls(limit=9))) == 2

    def test_changes_of_pages_episodes_and_calls_are_kept(self, session):
        posted(session, firing("f1"))
        changes = posted(session, resolved("f1"), at=NOW + MINUTE)
        [closed] = session.find_pages(only_open=False, limit=9)
        assert (closed.closed_at, closed) == (NOW + MINUTE, changes.changed_pages[0])
        [ended] = session.episodes_of(closed.id, 9)
        assert (ended.firing, ended.ends_at) == (False, NOW + MINUTE)
        states = {each.state for each in session.find_calls(limit=9)}
        assert states == {CallState.CANCELLED}

    def test_a_decision_does_not_change_a_call_that_was_claimed_meanwhile(self, session):
        mine, waiting = page(), None
        waiting = call(mine)
        recorded(session, mine, waiting)
        begun(session, waiting)
        cancelled = replace(waiting, state=CallState.CANCELLED, settled_at=NOW, note="resolved")
        session.record(Changes(changed_calls=(cancelled,)))
        assert the_call(session, waiting).state is CallState.SENDING

    def test_a_waiting_call_that_a_limit_has_put_off_still_takes_in_new_alerts(self, session):
        posted(session, firing("f1"))
        session.limit(ALICE, NOW, NOW + HOUR)
        session.limit(BOB, NOW, NOW + HOUR)
        changes = posted(session, firing("f1"), firing("f2"), at=NOW + MINUTE)
        assert changes.new_calls == ()
        [lead] = session.due_calls(ALICE, NOW + HOUR, 9)
        assert [each.fingerprint for each in session.alerts_named_by(lead)] == ["f1", "f2"]


# --- whom to call ---


class TestDuePhones:
    def test_nobody_is_due_before_the_time(self, session):
        recorded(session, mine := page(), call(mine, due_at=NOW + SECOND))
        assert session.due_phones(NOW) == []
        assert session.due().first == NOW + SECOND

    def test_each_phone_comes_once_with_its_longest_wait(self, session):
        mine = page()
        recorded(session, mine, call(mine, due_at=NOW - MINUTE), call(mine), call(mine, BOB))
        assert session.due_phones(NOW) == [
            DuePhone(phone=ALICE, due_at=NOW - MINUTE, calls=2),
            DuePhone(phone=BOB, due_at=NOW, calls=1),
        ]

    def test_whoever_was_not_reached_for_longest_goes_first(self, session):
        mine, before = page(), {}
        for phone, at in ((ALICE, NOW - MINUTE), (BOB, NOW - HOUR)):
            before[phone] = call(mine, phone, due_at=at)
        recorded(session, mine, *before.values())
        for each in before.values():
            accepted(session, each, at=each.due_at)
        recorded(session, *(call(mine, phone) for phone in (ALICE, BOB, CAROL)))
        assert [each.phone for each in session.due_phones(NOW)] == [CAROL, BOB, ALICE]

    @pytest.mark.parametrize(
        ("outcome", "first"),
        [
            pytest.param("accepted", BOB, id="it rang"),
            pytest.param("unknown", BOB, id="it may have rung"),
            pytest.param("retry", ALICE, id="it surely did not ring"),
            pytest.param("throttled", ALICE, id="the account was throttled"),
            pytest.param("refused", ALICE, id="the call was refused"),
            pytest.param("account_refused", ALICE, id="the account was refused"),
        ],
    )
    def test_only_what_may_have_rung_counts_as_reached(self, session, outcome, first):
        mine = page()
        recorded(session, mine, tried := call(mine))
        made = begun(session, tried, at=NOW - HOUR)
        session.finish_attempt(replace(made, outcome=outcome, finished_at=NOW))
        session.settle(made.id, CallState.WAITING, now=NOW, due_at=NOW - HOUR, note="")
        recorded(session, call(mine, BOB))
        assert session.due_phones(NOW)[0].phone == first
        assert session.dialled_since(ALICE, NOW - DAY) == ([NOW - HOUR] if first == BOB else [])

    def test_a_phone_that_is_being_rung_is_left_out(self, session):
        mine = page()
        recorded(session, mine, ringing := call(mine), call(mine), call(mine, BOB))
        made = begun(session, ringing)
        assert [each.phone for each in session.due_phones(NOW)] == [BOB]
        assert session.due_calls(ALICE, NOW, 9) == []
        session.settle(made.id, CallState.ACCEPTED, now=NOW, due_at=None, note="")
        assert [each.phone for each in session.due_phones(NOW)] == [BOB, ALICE]

    def test_who_was_called_a_day_ago_is_as_good_as_never_called(self, session):
        mine = page()
        recorded(session, mine, old := call(mine))
        accepted(session, old, at=NOW - DAY)
        recorded(session, call(mine, due_at=NOW - MINUTE), call(mine, BOB))
        assert [each.phone for each in session.due_phones(NOW)] == [ALICE, BOB]


class TestLimit:
    def test_all_that_is_due_waits_and_giving_up_counts_from_then(self, session):
        mine = page()
        recorded(
            session,
            mine,
            due := call(mine, due_at=NOW - MINUTE),
            later := call(mine, due_at=NOW + SECOND),
            other := call(mine, BOB),
        )
        until = NOW + HOUR
        assert session.limit(ALICE, NOW, until) == 1
        expected = replace(due, due_at=until, due_since=until, limited_until=until)
        assert the_call(session, due) == expected
        assert [the_call(session, each) for each in (later, other)] == [later, other]

    def test_the_oldest_call_goes_first_afterwards(self, session):
        mine = page()
        old, new = call(mine, created_at=NOW - HOUR, id="z"), call(mine, id="a")
        recorded(session, mine, new, old)
        session.limit(ALICE, NOW, NOW + HOUR)
        assert [each.id for each in session.due_calls(ALICE, NOW + HOUR, 9)] == ["z", "a"]
        assert len(session.due_calls(ALICE, NOW + HOUR, 1)) == 1

    def test_a_claimed_call_is_held_back_by_no_limit_any_more(self, session):
        recorded(session, mine := page(), limited := call(mine))
        session.limit(ALICE, NOW, NOW + HOUR)
        begun(session, limited, at=NOW + HOUR)
        assert the_call(session, limited).limited_until is None


# --- with which words ---


def named(session: Session, lead) -> list[str]:
    return [each.fingerprint for each in session.alerts_named_by(lead)]


class TestAlertsNamed:
    def test_a_first_call_names_all_that_fires(self, session):
        mine = page()
        over = episode(mine, fingerprint="over", firing=False, ends_at=NOW)
        recorded(session, mine, episode(mine, fingerprint="f1"), over, lead := call(mine))
        assert named(session, lead) == ["f1"]

    def test_a_follow_up_names_what_its_person_has_not_heard_of(self, session):
        mine = page()
        recorded(session, mine, episode(mine, fingerprint="f1"), first := call(mine))
        accepted(session, first)
        hers = call(mine, reason=Reason.NEW_ALERTS)
        his = call(mine, BOB, reason=Reason.NEW_ALERTS)
        recorded(session, episode(mine, fingerprint="f2"), hers, his)
        assert named(session, hers) == ["f2"]
        assert named(session, his) == ["f1", "f2"]

    @pytest.mark.parametrize("state", [CallState.REFUSED, CallState.GAVE_UP, CallState.UNKNOWN])
    def test_what_was_not_surely_said_is_said_again(self, session, state):
        mine = page()
        recorded(session, mine, episode(mine, fingerprint="f1"), first := call(mine))
        made = begun(session, first)
        session.settle(made.id, state, now=NOW, due_at=NOW, note="")
        recorded(session, lead := call(mine, reason=Reason.NEW_ALERTS))
        assert named(session, lead) == ["f1"]

    def test_a_repeat_names_all_that_fires(self, session):
        mine = page()
        recorded(session, mine, episode(mine, fingerprint="f1"), first := call(mine))
        accepted(session, first)
        recorded(session, lead := call(mine, reason=Reason.REPEAT))
        assert named(session, lead) == ["f1"]

    def test_a_repeat_that_a_follow_up_has_overtaken_repeats_nothing(self, session):
        mine = page()
        recorded(session, mine, episode(mine, fingerprint="f1"))
        recorded(session, repeat := call(mine, reason=Reason.REPEAT))
        recorded(session, episode(mine, fingerprint="f2"))
        recorded(session, follow_up := call(mine, reason=Reason.NEW_ALERTS))
        accepted(session, follow_up, at=NOW + MINUTE)
        assert named(session, repeat) == []

    def test_what_somebody_took_is_not_named_however_new_it_is(self, session):
        mine = page()
        recorded(session, mine, episode(mine, fingerprint="f1"), first := call(mine))
        accepted(session, first)
        recorded(session, lead := call(mine, reason=Reason.REPEAT))
        assert session.acknowledge(mine.id, NOW, "alice")
        assert named(session, lead) == []
        recorded(session, episode(mine, fingerprint="f2"))
        assert named(session, lead) == []

    def test_a_call_back_names_what_its_person_heard_of_and_was_not_called_back_for(self, session):
        mine = page(closed_at=NOW)
        over = [episode(mine, fingerprint=f"f{n}", firing=False, ends_at=NOW) for n in range(3)]
        recorded(session, mine, over[0], over[1], first := call(mine))
        accepted(session, first)
        recorded(session, over[2], lead := call(mine, reason=Reason.RESOLVED))
        assert named(session, lead) == ["f0", "f1"]
        assert named(session, replace(lead, phone=BOB)) == []
        accepted(session, lead)
        recorded(session, again := call(mine, reason=Reason.RESOLVED))
        assert named(session, again) == []

    def test_on_a_truncated_page_resolved_alerts_count_as_firing(self, session):
        mine = page(truncated=True)
        over = episode(mine, fingerprint="f1", firing=False, ends_at=NOW)
        recorded(session, mine, over, lead := call(mine))
        assert named(session, lead) == ["f1"]

    def test_a_test_call_names_none(self, session):
        session.add_call(lead := call(None))
        assert named(session, lead) == []
        assert session.due_calls(ALICE, NOW, 9) == [lead]

    def test_a_bundle_names_the_alerts_of_all_its_pages_once(self, session):
        pages = [page(), page()]
        alerts = [episode(each, fingerprint=f"f{n}") for n, each in enumerate(pages)]
        lead, other = (call(each) for each in pages)
        twice = call(pages[1], reason=Reason.REPEAT)
        recorded(session, *pages, *alerts, lead, other, twice)
        assert bundled(session, lead) == 2
        assert named(session, lead) == ["f0", "f1"]


def bundled(session, lead):
    """Bundle what is like the lead, and count it."""
    session.bundle(lead, NOW)
    return sum(each.bundled_into == lead.id for each in session.find_calls(limit=99))


class TestBundle:
    def test_a_bundle_has_the_patience_of_its_youngest_call(self, session):
        pages = [page() for _ in range(3)]
        lead = call(pages[0], due_since=NOW - 20 * MINUTE)
        young = call(pages[1], due_since=NOW - MINUTE)
        old = call(pages[2], due_since=NOW - 10 * MINUTE)
        recorded(session, *pages, lead, young, old)
        assert session.bundle(lead, NOW) == the_call(session, lead)
        assert the_call(session, lead).due_since == NOW - MINUTE
        assert the_call(session, old).due_since == NOW - 10 * MINUTE

    def test_only_calls_like_it_are_bundled(self, session):
        mine = page()
        lead, like = call(mine), call(mine, reason=Reason.REPEAT)
        unlike = (
            call(mine, BOB),
            call(mine, receiver="dba"),
            call(mine, reason=Reason.RESOLVED),
            call(mine, reason=Reason.TEST),
            call(mine, due_at=NOW + SECOND),
            call(mine, state=CallState.UNKNOWN),
            call(mine, state=CallState.ACCEPTED, settled_at=NOW),
        )
        recorded(session, mine, lead, like, *unlike)
        assert session.alike(lead, NOW) == 1
        assert bundled(session, lead) == 1
        assert the_call(session, like).bundled_into == lead.id
        assert [the_call(session, each) for each in unlike] == list(unlike)

    @pytest.mark.parametrize("reason", [Reason.RESOLVED, Reason.TEST])
    def test_a_call_that_is_not_about_firing_alerts_takes_none_of_those_along(
        self, session, reason
    ):
        mine = page()
        recorded(session, mine, lead := call(mine, reason=reason), call(mine))
        assert session.alike(lead, NOW) == bundled(session, lead) == 0

    def test_calls_about_resolved_alerts_are_alike(self, session):
        over = [page(closed_at=NOW) for _ in range(3)]
        lead, *others = (call(each, reason=Reason.RESOLVED) for each in over)
        recorded(session, *over, lead, *others)
        assert session.alike(lead, NOW) == bundled(session, lead) == 2

    def test_a_test_call_takes_no_other_test_call_along(self, session):
        recorded(session, page(), lead := call(None), call(None))
        assert session.alike(lead, NOW) == bundled(session, lead) == 0

    def test_a_bundle_is_claimed_and_settled_together(self, session):
        mine = page()
        recorded(session, mine, lead := call(mine), other := call(mine, reason=Reason.REPEAT))
        session.bundle(lead, NOW)
        made = begun(session, lead)
        states = [(each.state, each.attempts) for each in session.find_calls(limit=9)]
        assert states == [(CallState.SENDING, 1)] * 2
        assert session.orphans(NOW + HOUR) == [(the_call(session, lead), made)]
        assert session.attempts_of(the_call(session, other)) == [made]
        session.settle(made.id, CallState.ACCEPTED, now=NOW, due_at=None, note="taken")
        assert {each.state for each in session.find_calls(limit=9)} == {CallState.ACCEPTED}
        assert the_call(session, other).bundled_into == lead.id

    def test_a_bundle_that_has_to_wait_falls_apart(self, session):
        mine = page()
        recorded(session, mine, lead := call(mine), other := call(mine, reason=Reason.REPEAT))
        session.bundle(lead, NOW)
        made = begun(session, lead)
        session.settle(made.id, CallState.WAITING, now=NOW, due_at=NOW + MINUTE, note="retry")
        assert [each.bundled_into for each in session.find_calls(limit=9)] == [None, None]
        begun(session, other, at=NOW + MINUTE)
        assert the_call(session, lead).state is CallState.WAITING

    def test_a_bundled_call_that_leads_itself_is_its_own_master(self, session):
        """Else nobody would find it if its process died."""
        mine = page()
        recorded(session, mine, lead := call(mine), other := call(mine))
        session.bundle(lead, NOW)
        made = begun(session, other)
        assert [held for _, held in session.orphans(NOW, all_of_them=True)] == [made]
        assert the_call(session, other).bundled_into is None
        assert the_call(session, lead).state is CallState.WAITING

    def test_a_bundle_ends_together(self, session):
        mine = page()
        recorded(session, mine, lead := call(mine), other := call(mine))
        session.bundle(lead, NOW)
        assert session.end(lead, CallState.CANCELLED, NOW, "its alerts resolved")
        for each in (lead, other):
            ended = the_call(session, each)
            assert (ended.state, ended.settled_at) == (CallState.CANCELLED, NOW)
            assert ended.note == "its alerts resolved"


# --- claiming and settling ---


class TestBegin:
    def test_a_claimed_call_says_who_holds_it_and_what_it_names(self, session):
        mine = page()
        recorded(session, mine, episode(mine), episode(mine), lead := call(mine))
        made = begun(session, lead)
        claimed = the_call(session, lead)
        assert (claimed.state, claimed.attempts, claimed.dialled_at) == (CallState.SENDING, 1, NOW)
        assert (claimed.due_at, claimed.named_through) == (NOW + MINUTE, 2)
        assert session.attempts_of(lead) == [made]

    def test_a_call_is_claimed_once(self, session):
        recorded(session, mine := page(), lead := call(mine))
        begun(session, lead)
        assert not session.begin(lead, attempt(lead), NOW + HOUR)
        assert len(session.attempts_of(lead)) == 1

    def test_a_claimed_call_is_not_ended(self, session):
        recorded(session, mine := page(), lead := call(mine))
        begun(session, lead)
        assert not session.end(lead, CallState.CANCELLED, NOW, "nobody took it up in time")
        assert the_call(session, lead).state is CallState.SENDING

    def test_an_ended_call_is_not_claimed(self, session):
        recorded(session, mine := page(), lead := call(mine))
        session.end(lead, CallState.REFUSED, NOW, "no template")
        assert not session.begin(lead, attempt(lead), NOW + HOUR)

    def test_who_lost_the_lead_does_not_get_what_it_bundles(self, session):
        recorded(session, mine := page(), lead := call(mine), other := call(mine))
        begun(session, lead)
        session.bundle(lead, NOW)
        assert not session.begin(lead, attempt(lead), NOW + HOUR)
        assert the_call(session, other).state is CallState.WAITING

    def test_words_and_answer_of_an_attempt_are_kept(self, session):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        answered = replace(
            made,
            template_id="UVVT1",
            params=("生产",),
            finished_at=NOW + SECOND,
            outcome="accepted",
            ret_code=0,
            message="ok",
            req_uuid="r-1",
            session_no="s-1",
        )
        session.finish_attempt(answered)
        assert session.attempts_of(lead) == [answered]


class TestSettle:
    @pytest.mark.parametrize("state", list(CallState))
    def test_every_state_is_either_open_or_settled(self, session, state):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        assert session.settle(made.id, state, now=NOW, due_at=NOW + HOUR, note="why")
        settled = the_call(session, lead)
        assert (settled.state, settled.note) == (state, "why")
        assert settled.settled_at == (None if state.open else NOW)
        assert settled.due_at == (NOW + HOUR if state.open else NOW + MINUTE)

    @pytest.mark.parametrize("outcome", [CallState.ACCEPTED, CallState.WAITING, CallState.UNKNOWN])
    def test_who_comes_back_after_the_call_went_on_settles_nothing(self, session, outcome):
        recorded(session, mine := page(), lead := call(mine))
        late = begun(session, lead)
        session.settle(late.id, CallState.WAITING, now=NOW, due_at=NOW, note="absent: again")
        second = begun(session, lead)
        assert not session.settle(late.id, outcome, now=NOW, due_at=NOW, note="late")
        found = the_call(session, lead)
        assert (found.state, found.note, found.attempts) == (
            CallState.SENDING,
            "absent: again",
            2,
        )
        assert session.settle(second.id, CallState.ACCEPTED, now=NOW, due_at=None, note="")
        assert not session.settle(second.id, CallState.WAITING, now=NOW, due_at=NOW, note="")

    def test_the_answer_that_comes_while_its_call_is_looked_up_counts(self, session):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        session.settle(made.id, CallState.UNKNOWN, now=NOW, due_at=NOW + MINUTE, note="")
        assert session.settle(made.id, CallState.ACCEPTED, now=NOW, due_at=None, note="late")
        assert not session.settle(made.id, CallState.WAITING, now=NOW, due_at=NOW, note="absent")

    def test_an_open_state_without_a_time_is_refused(self, session):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        with pytest.raises(ValueError, match="waiting call needs a time"):
            session.settle(made.id, CallState.WAITING, now=NOW, due_at=None, note="")


class TestHeldCalls:
    def test_an_orphan_is_found_when_its_lease_has_run_out(self, session):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead, lease=MINUTE)
        assert session.orphans(NOW + MINUTE - SECOND) == []
        assert session.orphans(NOW + MINUTE) == [(the_call(session, lead), made)]
        assert session.orphans(NOW, all_of_them=True) == [(the_call(session, lead), made)]
        assert session.due_look_ups(NOW + HOUR) == []

    def test_a_look_up_is_made_by_one(self, session):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        session.settle(made.id, CallState.UNKNOWN, now=NOW, due_at=NOW + SECOND, note="")
        assert session.due_look_ups(NOW) == []
        [(found, by)] = session.due_look_ups(NOW + SECOND)
        assert (found.id, by) == (lead.id, made)
        assert session.lease(made.id, NOW + HOUR)
        assert session.due_look_ups(NOW + SECOND) == []
        assert not session.lease(made.id, NOW + HOUR)
        assert session.orphans(NOW + HOUR) == []

    def test_whichever_is_due_for_longest_comes_first(self, session):
        mine = page()
        recorded(session, mine, late := call(mine, id="a"), early := call(mine, BOB, id="b"))
        for each, due in ((late, NOW), (early, NOW - MINUTE)):
            made = begun(session, each)
            session.settle(made.id, CallState.UNKNOWN, now=NOW, due_at=due, note="")
        assert [found.id for found, _ in session.due_look_ups(NOW)] == ["b", "a"]

    def test_only_a_call_of_unknown_outcome_is_leased(self, session):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        assert not session.lease(made.id, NOW + HOUR)
        assert not session.lease("nobody", NOW + HOUR)

    def test_the_session_numbers_of_a_phone_are_known(self, session):
        mine = page()
        recorded(session, mine, hers := call(mine), his := call(mine, BOB), other := call(mine))
        for each, number, at in ((hers, "s1", NOW), (his, "s2", NOW), (other, "s3", NOW - HOUR)):
            made = begun(session, each, at=at)
            session.finish_attempt(replace(made, session_no=number))
        assert session.sessions_used(ALICE, NOW) == {"s1"}
        assert session.sessions_used(CAROL, NOW - DAY) == set()


class TestRetry:
    @pytest.mark.parametrize("state", [CallState.REFUSED, CallState.GAVE_UP, CallState.CANCELLED])
    def test_a_call_that_reached_nobody_is_due_again(self, session, state):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        session.settle(made.id, state, now=NOW, due_at=None, note="")
        assert session.retry(lead.id, NOW + HOUR)
        again = the_call(session, lead)
        assert (again.state, again.settled_at) == (CallState.WAITING, None)
        assert (again.due_at, again.due_since) == (NOW + HOUR, NOW + HOUR)
        assert session.due_calls(ALICE, NOW + HOUR, 9) == [again]
        assert not session.settle(made.id, CallState.ACCEPTED, now=NOW, due_at=None, note="late")

    @pytest.mark.parametrize("state", [CallState.WAITING, CallState.UNKNOWN, CallState.ACCEPTED])
    def test_no_other_call_is(self, session, state):
        recorded(session, mine := page(), lead := call(mine))
        made = begun(session, lead)
        session.settle(made.id, state, now=NOW, due_at=NOW, note="")
        assert not session.retry(lead.id, NOW)
        assert not session.retry("nothing", NOW)

    def test_what_was_bundled_comes_back_too(self, session):
        recorded(session, mine := page(), lead := call(mine), call(mine))
        session.bundle(lead, NOW)
        made = begun(session, lead)
        session.settle(made.id, CallState.GAVE_UP, now=NOW, due_at=None, note="")
        assert session.retry(lead.id, NOW)
        found = session.due_calls(ALICE, NOW, 9)
        assert [each.bundled_into for each in found] == [None, None]


# --- looking ---


class TestViews:
    def test_pages_come_newest_first(self, session):
        old, new = page(opened_at=NOW - DAY, closed_at=NOW), page()
        recorded(session, old, new)
        assert session.find_pages(only_open=False, limit=9) == [new, old]
        assert session.find_pages(only_open=True, limit=9) == [new]
        assert session.find_pages(only_open=False, limit=1) == [new]
        assert (session.page(old.id), session.page("none")) == (old, None)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            pytest.param("hers", ["hers"], id="its id"),
            pytest.param("the-page", ["hers", "his"], id="its page's id"),
            pytest.param("bob 100%", ["his"], id="its person"),
            pytest.param("user-id", ["hers"], id="UserId"),
            pytest.param("req-uuid", ["hers"], id="ReqUuid"),
            pytest.param("session-no", ["hers"], id="SessionNo"),
            pytest.param("299", ["hers"], id="RetCode"),
            pytest.param("NOT allowed 50%_x", ["hers"], id="part of the message, in any case"),
            pytest.param("50%%_x", [], id="a percent sign is no wildcard"),
            pytest.param("99", [], id="part of a RetCode"),
            pytest.param("9" * 40, [], id="a number that no RetCode can be"),
            pytest.param("٢٩٩", ["hers"], id="a RetCode in other digits"),
            pytest.param("' OR 1=1 --", [], id="an injection"),
            pytest.param("nothing\0at all", [], id="a NUL character"),
            pytest.param("", ["hers", "other", "his"], id="everything"),
        ],
    )
    def test_calls_are_found_by_what_is_known_of_them(self, session, text, found):
        mine = page(id="the-page")
        other = page()
        hers = call(mine, id="hers", created_at=NOW + SECOND)
        his = call(mine, BOB, id="his", person="bob 100%", created_at=NOW - SECOND)
        recorded(session, mine, other, hers, his, call(other, id="other"))
        made = attempt(hers, id="user-id")
        session.begin(hers, made, NOW + HOUR)
        session.finish_attempt(
            replace(
                made,
                ret_code=299,
                message="is not Allowed 50%_x of the time",
                req_uuid="req-uuid",
                session_no="session-no",
            )
        )
        assert [each.id for each in session.find_calls(text=text, limit=9)] == found

    def test_calls_are_found_by_page_and_state(self, session):
        mine = page()
        recorded(session, mine, call(mine, id="a"), other := call(mine, id="b"))
        session.end(other, CallState.CANCELLED, NOW, "")
        found = session.find_calls(page_id=mine.id, states=[CallState.CANCELLED], limit=9)
        assert [each.id for each in found] == ["b"]
        assert session.find_calls(page_id="none", limit=9) == []
        assert len(session.find_calls(limit=1)) == 1

    def test_the_queue_is_counted(self, session):
        assert session.queue(NOW) == Queue()
        assert session.due().first is None
        mine, closed = page(), page(closed_at=NOW)
        recorded(
            session,
            mine,
            closed,
            call(mine, due_at=NOW - HOUR),
            call(mine, due_at=NOW + HOUR),
            call(mine, BOB, state=CallState.UNKNOWN, due_at=NOW - DAY),
            ringing := call(mine, CAROL),
        )
        begun(session, ringing)
        assert session.queue(NOW) == Queue(
            waiting=2,
            sending=1,
            unknown=1,
            oldest_due_at=NOW - HOUR,
            open_pages=1,
            unacknowledged_pages=1,
            oldest_unacknowledged_at=NOW,
        )
        assert session.due().first == NOW - DAY

    def test_only_the_newest_refused_bodies_are_kept(self, session):
        for number in range(4):
            body = Rejected(
                id=0,
                received_at=NOW,
                source="grafana",
                error="no JSON",
                size=10**6,
                body=b"\xff\0%d" % number,
            )
            session.reject(body, keep=2)
        found = session.find_rejected()
        assert [(each.id, each.body) for each in found] == [(4, b"\xff\0003"), (3, b"\xff\0002")]
        assert session.find_rejected(only=3) == [replace(body, id=3, body=b"\xff\0002")]
        assert session.find_rejected(only=1) == []


# --- housekeeping ---


class TestHousekeeping:
    def test_a_page_is_acknowledged_while_it_is_open(self, session):
        mine, closed = page(), page(closed_at=NOW)
        recorded(session, mine, closed)
        assert session.acknowledge(mine.id, NOW + MINUTE, "alice")
        assert session.page(mine.id) == replace(
            mine, acknowledged_at=NOW + MINUTE, acknowledged_by="alice"
        )
        assert not session.acknowledge(closed.id, NOW, "alice")
        assert not session.acknowledge("none", NOW, "alice")

    def test_a_page_that_nobody_confirms_is_closed(self, session):
        stale = page(confirmed_at=NOW - DAY, truncated=True)
        fresh = page()
        waiting, ringing, other = call(stale), call(stale, BOB), call(fresh, CAROL)
        recorded(session, stale, fresh, episode(stale), episode(fresh), waiting, ringing, other)
        begun(session, ringing)
        assert session.close_stale(NOW - HOUR, NOW) == 1
        assert session.page(stale.id) == replace(stale, closed_at=NOW, truncated=False)
        [ended] = session.episodes_of(stale.id, 9)
        assert (ended.firing, ended.ends_at) == (False, NOW - DAY)
        assert the_call(session, waiting).state is CallState.CANCELLED
        assert the_call(session, ringing).state is CallState.SENDING
        assert session.page(fresh.id) == fresh
        assert the_call(session, other) == other
        assert session.close_stale(NOW - HOUR, NOW) == 0

    def test_what_ended_long_ago_is_forgotten(self, session):
        old, young, unclosed = page(closed_at=NOW - DAY), page(closed_at=NOW), page()
        over = {"firing": False, "ends_at": NOW - DAY}
        lone, late = episode(None, **over), episode(None, firing=False, ends_at=NOW)
        told = call(old)
        recorded(session, old, young, unclosed, episode(old, **over), lone, late, told)
        accepted(session, told, at=NOW - DAY)
        session.reject(
            Rejected(id=0, received_at=NOW - DAY, source="", error="", size=0, body=b""), 9
        )
        session.add_call(test := call(None))
        accepted(session, test, at=NOW - DAY)
        assert session.prune(NOW - HOUR, 100, webhooks_before=NOW - HOUR) == 5
        assert {each.id for each in session.find_pages(only_open=False, limit=9)} == {
            young.id,
            unclosed.id,
        }
        assert session.find_calls(limit=9) == []
        assert session.find_rejected() == []
        known = session.known({("sre", each.fingerprint) for each in (lone, late)}, set())
        assert list(known.episodes) == [("sre", late.fingerprint)]
        assert session.prune(NOW - HOUR, 100, webhooks_before=NOW - HOUR) == 0

    @pytest.mark.parametrize(
        "state", [CallState.WAITING, CallState.SENDING, CallState.UNKNOWN], ids=str
    )
    def test_work_that_is_open_is_never_forgotten(self, session, state):
        mine = page(closed_at=NOW - DAY)
        recorded(session, mine, lead := call(mine, reason=Reason.RESOLVED))
        session.add_call(test := call(None, BOB))
        for each in (lead, test):
            made = begun(session, each, at=NOW - DAY)
            session.settle(made.id, state, now=NOW - DAY, due_at=NOW - DAY, note="")
        assert session.prune(NOW, 100, webhooks_before=NOW) == 0
        assert len(session.find_calls(limit=9)) == 2
        assert session.page(mine.id) == mine

    def test_forgetting_goes_in_small_steps(self, session):
        recorded(session, *(page(closed_at=NOW - DAY) for _ in range(5)))
        assert [session.prune(NOW, 2, webhooks_before=NOW) for _ in range(4)] == [2, 2, 1, 0]

    def test_of_a_page_that_stays_open_what_matters_no_more_is_forgotten(self, session):
        mine = page()
        recorded(
            session,
            mine,
            episode(mine, fingerprint="over", firing=False, ends_at=NOW - DAY),
            episode(mine, fingerprint="firing"),
        )
        for number, phone in enumerate((ALICE, ALICE, BOB)):
            recorded(session, each := call(mine, phone, id=f"{number}"))
            accepted(session, each, at=NOW - DAY + number * MINUTE)
        recorded(session, untold := call(mine, CAROL, id="3"))
        session.end(untold, CallState.REFUSED, NOW - DAY, "")
        assert session.prune(NOW, 100, webhooks_before=NOW) == 2
        assert {each.id for each in session.find_calls(limit=9)} == {"1", "2", "3"}
        assert [each.fingerprint for each in session.episodes_of(mine.id, 9)] == ["firing"]
        recorded(session, follow_up := call(mine, reason=Reason.NEW_ALERTS))
        assert named(session, follow_up) == []

    def test_a_call_that_told_more_than_those_after_it_is_not_forgotten(self, session):
        mine = page()
        told_most = {"state": CallState.ACCEPTED, "named_through": 7, "settled_at": NOW - DAY}
        told_less = {"state": CallState.ACCEPTED, "named_through": 5, "settled_at": NOW - HOUR}
        told_nothing = {"state": CallState.GAVE_UP, "named_through": 9, "settled_at": NOW - HOUR}
        recorded(
            session,
            mine,
            call(mine, id="most", **told_most),
            call(mine, id="less", **told_less),
            call(mine, id="nothing", **told_nothing),
        )
        assert session.prune(NOW, 100, webhooks_before=NOW) == 0

    def test_an_episode_s_number_is_never_used_again(self, session):
        recorded(session, episode(None, firing=False, ends_at=NOW - DAY))
        session.prune(NOW, 100, webhooks_before=NOW)
        recorded(session, mine := page(), episode(mine))
        assert [each.id for each in session.episodes_of(mine.id, 9)] == [2]

    def test_a_probe_writes_the_same_row_again(self, session):
        session.probe(NOW)
        session.probe(NOW + HOUR)
        rows = session._connection.exec_driver_sql("SELECT count(*) FROM probe").scalar()
        assert rows == 1
