"""What a decision writes down, row by row, and what it says of each alert."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from paging_nights import dials, fires, resolves, somebody_acknowledges
from paging_world import ALICE, BOB, NOBODY, PATIENT, TELLS_RESOLVED, World, at, escalates

from adapter.model import Call, CallState, Episode, Page, Reason
from adapter.paging import Changes, Known, Verdict, decide, page_key

DISK = replace(fires("disk", since="09:58", group="a", summary="90% full"), route="r1")


def told_of_disk() -> World:
    """Alice was told of an alert of one page at 10:00."""
    world = World(at("10:00"))
    world.post([DISK])
    dials("alice")(world)
    return world


def only(items):
    (item,) = items
    return item


def test_first_is_written_down_whole():
    changes = World(at("10:00")).post([DISK], truncated=True)
    page = Page(
        id="1.0",
        receiver="sre-phone",
        group_labels={"cluster": "a"},
        opened_at=at("10:00"),
        confirmed_at=at("10:00"),
        truncated=True,
        run=1,
        step=0,
        step_until=at("10:05"),
        look_at=at("10:05"),
    )
    episode = Episode(
        id=0,
        receiver="sre-phone",
        fingerprint="disk",
        page_id="1.0",
        firing=True,
        starts_at=at("09:58"),
        ends_at=None,
        labels={"alertname": "disk"},
        annotations={"summary": "90% full"},
    )
    call = Call(
        id="1.1",
        page_id="1.0",
        receiver="sre-phone",
        person="alice",
        phone=ALICE.phone,
        reason=Reason.FIRST,
        state=CallState.WAITING,
        created_at=at("10:00"),
        due_at=at("10:00"),
        due_since=at("10:00"),
        run=1,
        step=0,
    )
    verdict = Verdict(
        alert=DISK.alert,
        receiver="sre-phone",
        reason=Reason.FIRST,
        page_id="1.0",
        detail="call due at 2026-11-24T10:00:00+00:00",
        route="r1",
    )
    assert changes == Changes(
        new_pages=(page,), new_episodes=(episode,), new_calls=(call,), verdicts=(verdict,)
    )


def test_the_same_body_at_the_same_instant_writes_nothing():
    world = World(at("10:00"))
    world.post([DISK])
    changes = world.post([DISK])
    assert changes == Changes(verdicts=changes.verdicts)


def test_a_call_that_has_to_wait_is_due_then_and_can_give_up_only_from_then():
    call = only(World(at("10:00")).post([fires("disk", timing=PATIENT)]).new_calls)
    assert (call.created_at, call.due_at, call.due_since) == (at("10:00"), at("10:01"), at("10:01"))


def test_resolved_closes_the_page_and_ends_the_episode_and_the_call():
    world = World(at("10:00"))
    opened = world.post([DISK])
    world.now = at("10:04:59")
    changes = world.post([resolves("disk", ended="10:04")])
    assert changes == Changes(
        changed_pages=(
            replace(
                opened.new_pages[0],
                confirmed_at=at("10:04:59"),
                closed_at=at("10:04:59"),
                step=None,
                step_until=None,
                look_at=None,
            ),
        ),
        changed_episodes=(
            replace(opened.new_episodes[0], id=1, firing=False, ends_at=at("10:04")),
        ),
        changed_calls=(
            replace(
                opened.new_calls[0],
                state=CallState.CANCELLED,
                settled_at=at("10:04:59"),
                note="its alerts resolved",
            ),
        ),
        verdicts=changes.verdicts,
    )


def test_resolved_of_an_unknown_alert_is_kept_without_a_page():
    changes = World(at("10:00")).post([resolves("disk", ended="09:59")])
    episode = only(changes.new_episodes)
    assert (episode.page_id, episode.firing, episode.ends_at) == (None, False, at("09:59"))
    assert episode.starts_at == at("10:00")
    assert not changes.new_pages


def test_a_call_back_that_is_cancelled_says_why():
    world = World(at("10:00"))
    world.post([fires("disk", to=TELLS_RESOLVED)])
    dials("alice")(world)
    world.now = at("10:01")
    world.post([resolves("disk", to=TELLS_RESOLVED)])
    world.now = at("10:02")
    changes = world.post([fires("disk", since="10:02", to=TELLS_RESOLVED)])
    call = only(changes.changed_calls)
    assert (call.reason, call.state) == (Reason.RESOLVED, CallState.CANCELLED)
    assert (call.settled_at, call.note) == (at("10:02"), "the page opened again")


def test_a_call_back_goes_to_the_person_who_was_called_and_is_due_at_once():
    world = World(at("10:00"))
    world.post([fires("disk", to=TELLS_RESOLVED)])
    dials("bob")(world)
    world.now = at("10:01")
    call = only(world.post([resolves("disk", to=TELLS_RESOLVED)]).new_calls)
    assert (call.person, call.phone, call.receiver) == ("bob", BOB.phone, "sre-phone")
    assert (call.due_at, call.created_at) == (at("10:01"), at("10:01"))


CONFIRMATIONS = {
    "still firing": (DISK, False),
    "still firing, muted": (replace(DISK, muted_by=("weekend",)), False),
    "another alert of the group": (fires("cpu", group="a"), False),
    "resolved, while another fires": (resolves("ram", group="a"), False),
    "some alerts were left out": (DISK, True),
    "resolved, and some alerts were left out": (resolves("disk", group="a"), True),
}


@pytest.mark.parametrize(("item", "truncated"), CONFIRMATIONS.values(), ids=CONFIRMATIONS.keys())
def test_every_webhook_that_names_an_alert_of_an_open_page_confirms_it(item, truncated):
    world = World(at("10:00"))
    page = only(world.post([DISK, fires("ram", group="a")]).new_pages)
    world.now = at("10:03")
    changes = world.post([item], truncated=truncated)
    assert changes.changed_pages == (replace(page, confirmed_at=at("10:03"), truncated=truncated),)


def test_nothing_left_out_any_more_is_noted_too():
    world = World(at("10:00"))
    world.post([DISK], truncated=True)
    assert only(world.post([DISK]).changed_pages).truncated is False


def test_held_open_the_page_is_marked_and_closed_it_is_not():
    world = World(at("10:00"))
    world.post([DISK])
    held = only(world.post([resolves("disk")], truncated=True).changed_pages)
    assert (held.truncated, held.closed_at) == (True, None)
    closed = only(world.post([resolves("disk")]).changed_pages)
    assert (closed.truncated, closed.closed_at) == (False, at("10:00"))


LATE_NEWS_OF_A_CLOSED_PAGE = {
    "firing": (fires("disk", group="a"), False),
    "resolved": (resolves("disk", ended="10:04", group="a"), False),
    "resolved, and some alerts were left out": (resolves("disk", ended="10:04"), True),
}


@pytest.mark.parametrize(
    ("item", "truncated"),
    LATE_NEWS_OF_A_CLOSED_PAGE.values(),
    ids=LATE_NEWS_OF_A_CLOSED_PAGE.keys(),
)
def test_late_news_about_a_closed_page_writes_nothing(item, truncated):
    world = told_of_disk()
    world.now = at("10:05")
    world.post([resolves("disk", ended="10:04")])
    world.now = at("10:06")
    changes = world.post([item], truncated=truncated)
    assert changes == Changes(verdicts=changes.verdicts)


WORDS = {
    "labels": {"alertname": "disk", "severity": "critical"},
    "annotations": {"summary": "95% full"},
    "values": {"A": 95.0},
    "generator_url": "https://prometheus.example/graph",
}


@pytest.mark.parametrize("muted", [False, True], ids=["unmuted", "muted"])
@pytest.mark.parametrize("field", WORDS)
def test_the_newest_words_of_a_firing_alert_are_kept(field, muted):
    world = told_of_disk()
    newer = replace(DISK.alert, **{field: WORDS[field]})
    changes = world.post([replace(DISK, alert=newer, muted_by=("weekend",) if muted else ())])
    assert changes.changed_episodes == (replace(known_episode(world), **{field: WORDS[field]}),)


def known_episode(world):
    return only(world.episodes.values())


def test_unchanged_words_are_not_written_again():
    world = told_of_disk()
    world.now = at("10:05")
    moved = replace(DISK, alert=replace(DISK.alert, starts_at=at("09:59")))
    assert not world.post([moved]).changed_episodes


def test_a_new_episode_has_all_the_words_of_its_alert():
    alert = replace(DISK.alert, **WORDS)
    episode = only(World(at("10:00")).post([replace(DISK, alert=alert)]).new_episodes)
    assert {field: getattr(episode, field) for field in WORDS} == WORDS


CLOCKS = {
    "the sender's times": ("09:58", "09:59", "09:58", "09:59"),
    "a sender whose clock is ahead": ("10:20", "10:25", "10:00", "10:05"),
    "a sender that gives no times": (None, None, "10:00", "10:05"),
}


@pytest.mark.parametrize(
    ("since", "ended", "starts_at", "ends_at"), CLOCKS.values(), ids=CLOCKS.keys()
)
def test_an_episode_never_lies_in_the_future(since, ended, starts_at, ends_at):
    world = World(at("10:00"))
    world.post([fires("disk", since=since)])
    world.now = at("10:05")
    episode = only(world.post([resolves("disk", ended=ended)]).changed_episodes)
    assert (episode.starts_at, episode.ends_at) == (at(starts_at), at(ends_at))


def test_resolved_again_moves_the_end_only_forward():
    world = told_of_disk()
    world.now = at("10:10")
    world.post([resolves("disk", ended="10:05")])
    assert not world.post([resolves("disk", ended="10:05")]).changed_episodes
    assert not world.post([resolves("disk", ended="10:04")]).changed_episodes
    later = only(world.post([resolves("disk", ended="10:06")]).changed_episodes)
    assert later == replace(known_episode(world), ends_at=at("10:06"))


PAGE = Page(
    id="old",
    receiver="sre-phone",
    group_labels={"cluster": "a"},
    opened_at=at("09:40"),
    confirmed_at=at("09:50"),
)
PAGES_OF_ONE_GROUP = {
    "two that closed: the younger opens again": (
        replace(PAGE, closed_at=at("09:58")),
        replace(
            PAGE, id="found", opened_at=at("09:45"), confirmed_at=at("09:45"), closed_at=at("09:59")
        ),
    ),
    # Two replicas whose clocks disagree can open pages out of order.
    "one that is open, though another is younger": (
        replace(PAGE, id="found"),
        replace(PAGE, opened_at=at("09:55"), closed_at=at("09:52")),
    ),
}


@pytest.mark.parametrize("pages", PAGES_OF_ONE_GROUP.values(), ids=PAGES_OF_ONE_GROUP.keys())
def test_of_several_pages_of_a_group_one_is_joined(pages):
    for found in (pages, pages[::-1]):
        known = Known(pages={page.id: page for page in found})
        changes = decide([DISK], known, truncated=False, now=at("10:00"), new_id=lambda: "c")
        assert only(changes.new_episodes).page_id == "found"


def test_a_page_without_calls_closes():
    world = told_of_disk()
    world.calls.clear()
    assert only(world.post([resolves("disk")]).changed_pages).closed_at == at("10:00")


def test_an_alert_without_an_end_that_does_not_fire_is_never_late_news():
    """The store writes no such row; should one be found, the alert is told."""
    world = told_of_disk()
    world.now = at("10:01")
    world.post([resolves("disk", ended="10:01")])
    world.episodes[1] = replace(known_episode(world), ends_at=None)
    assert only(world.post([DISK]).verdicts).reason is Reason.NEW_ALERTS
    world.episodes = {1: replace(world.episodes[1], ends_at=None)}
    assert only(world.post([resolves("disk", ended="10:00")]).changed_episodes).ends_at == at(
        "10:00"
    )


# --- what is said --------------------------------------------------------------------------------


def due(text):
    return f"call due at {at(text).isoformat()}"


def verdict_of(*items, world, when="10:00", **how):
    world.now = at(when)
    verdict = world.post(items, **how).verdicts[-1]
    return verdict.reason, verdict.page_id, verdict.detail


def test_each_verdict_says_why_and_names_the_page():
    world = World(at("10:00"))
    night = [
        ("10:00", DISK, Reason.FIRST, "1.0", due("10:00")),
        ("10:01", DISK, Reason.DUPLICATE, "1.0", "step 1 of its escalation is under way"),
        ("10:02", fires("cpu", group="a"), Reason.NEW_ALERTS, "1.0", due("10:00")),
        (
            "10:03",
            replace(DISK, muted_by=("weekend", "night")),
            Reason.MUTED,
            "1.0",
            "by time interval weekend, night",
        ),
        ("10:04", fires("ram", muted=True), Reason.MUTED, None, "by time interval weekend"),
        (
            "10:05",
            resolves("disk", ended="09:57"),
            Reason.STALE,
            "1.0",
            "ended at 2026-11-24 09:57:00+00:00, before this episode began",
        ),
        ("10:06", resolves("disk", ended="10:06"), Reason.RESOLVED, "1.0", ""),
        ("10:07", resolves("disk", ended="10:06"), Reason.DUPLICATE, "1.0", "had resolved before"),
        ("10:08", DISK, Reason.STALE, "1.0", "its episode ended at 2026-11-24 10:06:00+00:00"),
        ("10:09", resolves("net", ended="10:00"), Reason.RESOLVED, None, "was not known to fire"),
        ("10:10", resolves("net", ended="10:00"), Reason.DUPLICATE, None, "had resolved before"),
        (
            "10:11",
            fires("net", since="09:00"),
            Reason.STALE,
            None,
            "its episode ended at 2026-11-24 10:00:00+00:00",
        ),
        ("10:12", fires("x", to=NOBODY), Reason.NO_RECEIVER, None, "the receiver calls no one"),
    ]
    for when, item, *expected in night:
        assert verdict_of(item, world=world, when=when) == tuple(expected)
        verdict_alert = world.post([item]).verdicts[0]
        assert (verdict_alert.alert, verdict_alert.receiver) == (item.alert, "sre-phone")


def test_a_repeat_and_an_acknowledgement_say_when():
    world = told_of_disk()
    assert verdict_of(DISK, world=world, when="13:57") == (
        Reason.REPEAT,
        "1.0",
        "call due at 2026-11-24T14:00:00+00:00",
    )
    world = told_of_disk()
    world.now = at("10:03")
    somebody_acknowledges(world)
    assert verdict_of(DISK, world=world, when="15:00") == (
        Reason.ACKNOWLEDGED,
        "1.0",
        "acknowledged at 2026-11-24T10:03:00+00:00 by api",
    )
    world.pages["1.0"] = replace(world.pages["1.0"], acknowledged_by="")  # by an older release
    assert verdict_of(DISK, world=world, when="15:00") == (
        Reason.ACKNOWLEDGED,
        "1.0",
        "acknowledged at 2026-11-24T10:03:00+00:00",
    )


def test_known_to_fire_says_whether_its_escalation_is_under_way():
    world = told_of_disk()
    said = (Reason.DUPLICATE, "1.0", "step 1 of its escalation is under way")
    assert verdict_of(DISK, world=world, when="10:04:59") == said
    said = (Reason.DUPLICATE, "1.0", "known to fire, and not yet due again")
    assert verdict_of(DISK, world=world, when="10:05") == said


@pytest.mark.parametrize("people", ["alice bob", "bob alice"])
def test_of_several_calls_the_first_to_be_made_is_said(people):
    world = World(at("10:00"))
    receiver = escalates(people)
    world.post([fires("disk", group="a", to=receiver)])
    for when, person in (("10:00", "alice"), ("10:02", "bob")):
        world.now = at(when)
        dials(person)(world)
    news = fires("cpu", group="a", to=receiver)
    assert verdict_of(news, world=world, when="10:03")[2] == due("10:05")
    for when, person in (("10:07", "bob"), ("10:08", "alice")):
        world.now = at(when)
        dials(person)(world)
    again = fires("disk", group="a", to=receiver)
    assert verdict_of(again, world=world, when="14:03")[2] == due("14:07")


def test_who_joins_a_call_that_waits_hears_when_it_is_due():
    world = World(at("10:00"))
    world.post([fires("disk", timing=PATIENT)])
    joining = fires("cpu", timing=PATIENT)
    assert verdict_of(joining, world=world, when="10:00:30")[2] == due("10:01")


def test_two_routes_to_one_receiver_the_first_counts_where_neither_outweighs_the_other():
    first, second = fires("disk", summary="first"), fires("disk", summary="second")
    assert only(World(at("10:00")).post([first, second]).verdicts).alert == first.alert


def test_the_order_of_labels_makes_no_other_group():
    assert page_key("r", {"a": "1", "b": "2"}) == page_key("r", {"b": "2", "a": "1"})
    assert page_key("r", {"a": "1"}) != page_key("s", {"a": "1"})
    assert page_key("r", {"a": "1"}) != page_key("r", {"a": "2"})
