"""Which call about a page a person is owed: rules that no notification shows by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from paging_world import at
from store_world import episode, page

from adapter.paging import MaybeTold, wait_for_look_up

NOW = at("10:00")
PAGES = {name: page(id=name) for name in ("p", "q")}


def maybe(through: int, look_up: str = "10:00:20", page_id: str = "p") -> MaybeTold:
    return MaybeTold(page_id=page_id, through=through, look_up_at=at(look_up))


WAITS = {
    "nothing is unknown": ([1], [], None),
    "all of it may have been heard": ([1, 2], [maybe(2)], "10:00:20"),
    "one alert is younger": ([1, 3], [maybe(2)], None),
    "in the older of two unknown calls": ([1, 2], [maybe(1), maybe(2)], "10:00:20"),
    "whichever comes first": ([1, 2], [maybe(2), maybe(1)], "10:00:20"),
    "the first look-up counts": ([1], [maybe(1, "10:00:30"), maybe(1)], "10:00:20"),
    "a look-up that is due already": ([1], [maybe(1, "09:59")], "10:00:01"),
    "about another page": ([1], [maybe(1, page_id="q")], None),
}


@pytest.mark.parametrize(("alerts", "unknown", "until"), WAITS.values(), ids=WAITS)
def test_a_call_without_news_waits_for_a_look_up(alerts, unknown, until):
    named = [episode(PAGES["p"], id=number) for number in alerts]
    assert wait_for_look_up(named, unknown, NOW) == (None if until is None else at(until))


def test_a_bundle_waits_only_where_none_of_its_pages_has_news():
    named = [episode(PAGES["p"], id=1), episode(PAGES["q"], id=2)]
    later = NOW + timedelta(seconds=20)
    both = [maybe(1), maybe(2, page_id="q")]
    assert wait_for_look_up(named, both, NOW) == later
    assert wait_for_look_up(named, both[:1], NOW) is None
