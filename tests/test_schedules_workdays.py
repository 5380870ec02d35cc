"""Which days are worked: the Chinese notices in full, and other countries by example.

The Chinese rows are the notices of the General Office of the State Council:
2024 https://www.gov.cn/gongbao/2023/issue_10806/202311/content_6913823.html
2025 https://www.gov.cn/gongbao/2024/issue_11726/202411/content_6989767.html
2026 https://www.gov.cn/gongbao/2025/issue_12406/202511/content_7048922.html
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from adapter.errors import MissingExtra
from adapter.schedules import workdays
from adapter.schedules.workdays import is_workday, known, published_until

pytest.importorskip("holidays", reason="the extra holidays is not installed")

# What each notice says: days off from-to, and the weekend days that are worked for them.
OFF = {
    2024: ["0101", "0210-0217", "0404-0406", "0501-0505", "0610", "0915-0917", "1001-1007"],
    2025: ["0101", "0128-0204", "0404-0406", "0501-0505", "0531-0602", "1001-1008"],
    2026: [
        "0101-0103",
        "0215-0223",
        "0404-0406",
        "0501-0505",
        "0619-0621",
        "0925-0927",
        "1001-1007",
    ],
}
WORKED = {
    2024: ["0204", "0218", "0407", "0428", "0511", "0914", "0929", "1012"],
    2025: ["0126", "0208", "0427", "0928", "1011"],
    2026: ["0104", "0214", "0228", "0509", "0920", "1010"],
}


def day_of(year: int, text: str) -> date:
    return date(year, int(text[:2]), int(text[2:]))


def days_of(year: int) -> list[date]:
    first = date(year, 1, 1)
    return [first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days)]


def by_notice(year: int) -> set[date]:
    """Return the workdays of a year as its notice has them."""
    worked = {day for day in days_of(year) if day.weekday() < 5}
    for part in OFF[year]:
        first, _, last = part.partition("-")
        end = day_of(year, last or first)
        worked -= {day for day in days_of(year) if day_of(year, first) <= day <= end}
    return worked | {day_of(year, text) for text in WORKED[year]}


@pytest.mark.parametrize("year", sorted(OFF))
def test_every_day_of_a_chinese_year_is_as_its_notice_says(year):
    assert {day for day in days_of(year) if is_workday("CN", day)} == by_notice(year)


@pytest.mark.parametrize(
    ("country", "day", "worked"),
    [
        pytest.param("US", date(2026, 7, 3), False, id="observed on the Friday before"),
        pytest.param("US", date(2021, 12, 31), False, id="observed in the year before"),
        pytest.param("US", date(2026, 7, 6), True, id="a Monday"),
        pytest.param("DE", date(2026, 1, 6), True, id="Epiphany is no holiday of all Germany"),
        pytest.param("DE-BY", date(2026, 1, 6), False, id="but it is one of Bavaria"),
        pytest.param("SA", date(2026, 1, 9), False, id="Friday, where it is the weekend"),
        pytest.param("SA", date(2026, 1, 11), True, id="Sunday, where it is not"),
        pytest.param("CN", date(2027, 10, 1), False, id="a statutory day beyond the notices"),
    ],
)
def test_other_days(country, day, worked):
    assert is_workday(country, day) is worked


@pytest.mark.parametrize(
    ("country", "there"),
    [("CN", True), ("DE-BY", True), ("XX", False), ("cn", False), ("DE-XX", False), ("CN-", False)],
)
def test_known_countries(country, there):
    assert known(country) is there


def test_the_notices_reach_as_far_as_we_test_them_or_further():
    until = published_until("CN")
    assert until is not None
    assert until >= date(max(OFF), 12, 31)
    assert (until.month, until.day) == (12, 31)


def test_a_country_without_a_yearly_notice_has_no_end():
    assert published_until("DE") is None


def test_threads_that_ask_together_get_the_same():
    days = days_of(2026)
    workdays._workdays.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: [is_workday("CN", day) for day in days], range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert sum(answers[0]) == len(by_notice(2026))


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    workdays._workdays.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'uvms-adapter\[holidays\]'"):
        is_workday("CN", date(2026, 1, 1))
    known.cache_clear()
    with pytest.raises(MissingExtra):
        known("CN")
