"""Which days people work in a country, as the package `holidays` (an extra) knows them.

In China a State Council notice moves days off and workdays each November for the year to come:
a Saturday can be a workday (调休), a Wednesday a day off. The package carries these notices; for
a year whose notice it does not have it knows the statutory days alone: `published_until` says so.
https://holidays.readthedocs.io/en/latest/

Reads no clock and does no I/O; the package is imported when the first question is asked.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from adapter.errors import MissingExtra

if TYPE_CHECKING:
    from holidays import HolidayBase

# Countries whose coming year is unknown until a notice moves its workdays. That it was published
# shows in the make-up workdays: no Chinese notice of the last decade came without them.
_BY_YEARLY_NOTICE = frozenset({"CN"})
_FIRST_NOTICE, _LAST_YEAR = 2015, 2100


def is_workday(country: str, day: date) -> bool:
    """Tell whether people work on a day, weekends and make-up workdays considered.

    `country` is an ISO 3166 code, `CN`, or one with a subdivision, `DE-BY`; it has to be `known`.
    """
    return (day - date(day.year, 1, 1)).days in _workdays(country, day.year)


@lru_cache(maxsize=512)
def known(country: str) -> bool:
    """Tell whether there is a calendar of this country, or of this subdivision of it."""
    code, _, subdivision = country.partition("-")
    countries = _supported()
    if code not in countries:
        return False
    return subdivision in countries[code] if "-" in country else True


@lru_cache(maxsize=64)
def published_until(country: str) -> date | None:
    """Return the last day for which moved workdays are known; None: the country moves none."""
    if country not in _BY_YEARLY_NOTICE:
        return None
    years = range(_FIRST_NOTICE, _LAST_YEAR)
    last = max(day.year for day in _calendar(country, *years).weekend_workdays)
    return date(last, 12, 31)


@lru_cache(maxsize=64)
def _workdays(country: str, year: int) -> frozenset[int]:
    """Return the days of the year, counted from 0, on which people work.

    The package's own calendars grow while they are asked, which threads must not share.
    """
    calendar = _calendar(country, year)
    first = date(year, 1, 1)
    days = range((date(year, 12, 31) - first).days + 1)
    return frozenset(n for n in days if calendar.is_working_day(first + timedelta(days=n)))


def _calendar(country: str, *years: int) -> HolidayBase:
    _supported()
    from holidays import country_holidays

    code, _, subdivision = country.partition("-")
    return country_holidays(code, subdiv=subdivision or None, years=years, expand=False)


def _supported() -> dict[str, list[str]]:
    """Return the subdivisions of every country there is a calendar of."""
    try:
        from holidays import list_supported_countries
    except ImportError as error:
        raise MissingExtra("holidays", "holidays") from error
    return list_supported_countries(include_aliases=False)
