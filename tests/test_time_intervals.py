"""Time intervals: how they are written, and which instants lie in them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidTimeInterval
from adapter.time_intervals import TimeInterval, TimeIntervalSpec, parse_spec

VECTORS = Path(__file__).parents[1] / "../shared/vectors/timeintervals.json"

# Upstream builds this spec as a Go struct; its own YAML parser, and ours, refuse it.
UNREADABLE_UPSTREAM = "contains-05"
# Upstream wrote "1 Jul 20" where its layout asks for "01": the test never noticed that Go gave up
# and compared the zero time. That instant lies outside as well, so the case holds as it is.
SLIPPED_UPSTREAM = "1 Jul 20 00:00 +0000"


# --- upstream's own tables -------------------------------------------------------------------


def vectors(section):
    if not VECTORS.exists():
        skipped = pytest.mark.skip(reason=f"no {VECTORS.name} beside the project")
        return [pytest.param({}, id="vectors", marks=skipped)]
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))[section]
    return [pytest.param(case, id=case["id"]) for case in cases]


def interval(*specs):
    return TimeInterval(name="it", specs=tuple(map(parse_spec, specs)))


def check(one, times):
    found = {row["time"]: one.contains(datetime.fromisoformat(row["time"])) for row in times}
    assert found == {row["time"]: row["expected"] for row in times}


def raw(spec):
    """Return the spec in the notation of the tables: what was given, both ends included."""
    inclusive = {
        name: [[one[0], one[-1]] for one in ranges]
        for name in ("weekdays", "months", "years")
        if (ranges := getattr(spec, name)) is not None
    }
    if spec.times is not None:
        inclusive["times_minutes"] = [[one.start, one.stop] for one in spec.times]
    if spec.days_of_month is not None:
        inclusive["days_of_month"] = [list(one) for one in spec.days_of_month]
    if spec.location != UTC:
        inclusive["location"] = str(spec.location)
    return inclusive


@pytest.mark.parametrize("case", vectors("contains"))
def test_upstream_contains(case):
    if case["id"] == UNREADABLE_UPSTREAM:
        with pytest.raises(InvalidTimeInterval) as refused:
            parse_spec(case["spec"])
        assert str(refused.value) == case["yaml_error"]
        spec = TimeIntervalSpec(days_of_month=((-31, 31),), months=(range(6, 7),))
        assert SLIPPED_UPSTREAM in [row["orig"] for row in case["times"]]
    else:
        spec = parse_spec(case["spec"])
    assert raw(spec) == case["raw"]
    check(spec, case["times"])


@pytest.mark.parametrize("case", vectors("yaml_valid"))
def test_upstream_valid(case):
    written = yaml.safe_load(case["yaml"])
    assert [raw(parse_spec(spec)) for spec in written] == case["raw"]
    assert interval(*written) == interval(*case["specs"])
    check(interval(*written), case["times"])


@pytest.mark.parametrize("case", vectors("yaml_invalid"))
def test_upstream_invalid(case):
    with pytest.raises(InvalidTimeInterval) as refused:
        interval(*case["specs"])
    assert str(refused.value) == case["error"]


@pytest.mark.parametrize("case", vectors("time_range"))
def test_upstream_time_range(case):
    spec = {"times": [case["spec"]]}
    if case["ok"]:
        assert parse_spec(spec).times == (range(case["start_minute"], case["end_minute"]),)
    else:
        with pytest.raises(InvalidTimeInterval):
            parse_spec(spec)


@pytest.mark.parametrize("case", vectors("complete"))
def test_upstream_complete(case):
    assert yaml.safe_load(case["yaml"]) == case["spec"]
    check(parse_spec(case["spec"]), case["times"])


# --- writing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({}, TimeIntervalSpec(), id="nothing given"),
        pytest.param(
            {"times": None, "weekdays": None, "location": None}, TimeIntervalSpec(), id="nulls"
        ),
        pytest.param({"years": []}, TimeIntervalSpec(years=()), id="an empty list is kept apart"),
        pytest.param(
            {"days_of_month": [1, -1], "months": [12], "years": [2026]},
            TimeIntervalSpec(
                days_of_month=((1, 1), (-1, -1)),
                months=(range(12, 13),),
                years=(range(2026, 2027),),
            ),
            id="bare numbers",
        ),
        pytest.param(
            {"weekdays": ["SUNDAY:Saturday"], "months": ["May:JUNE"]},
            TimeIntervalSpec(weekdays=(range(7),), months=(range(5, 7),)),
            id="any case",
        ),
        pytest.param(
            {"months": ["0:13"], "years": ["+2020", "-1:1"]},
            TimeIntervalSpec(months=(range(14),), years=(range(2020, 2021), range(-1, 2))),
            id="months and years are not range checked",
        ),
        pytest.param({"location": "UTC"}, TimeIntervalSpec(location=UTC), id="UTC"),
        pytest.param({"location": "Local"}, TimeIntervalSpec(location=None), id="this machine"),
        pytest.param(
            {"location": "Asia/Shanghai"},
            TimeIntervalSpec(location=ZoneInfo("Asia/Shanghai")),
            id="a place",
        ),
        pytest.param(
            {"days_of_month": ["27:-1", "-31:-1"]},
            TimeIntervalSpec(days_of_month=((27, -1), (-31, -1))),
            id="an end that is early in the shortest month",
        ),
    ],
)
def test_a_spec_is_read(data, expected):
    assert parse_spec(data) == expected


BOTH = "both start and end times must be provided"


@pytest.mark.parametrize(
    ("data", "path", "error"),
    [
        (
            {"weekday": ["monday"]},
            ("weekday",),
            "unknown field weekday: expected one of "
            "times, weekdays, days_of_month, months, years, location",
        ),
        (
            {"times": [{"start_time": "09:00", "end": "10:00"}]},
            ("times", 0, "end"),
            "unknown field end: expected one of start_time, end_time",
        ),
        ({"times": [{"start_time": "09:00"}]}, ("times", 0), BOTH),
        ({"times": [{"start_time": None, "end_time": "10:00"}]}, ("times", 0), BOTH),
        (
            {"times": [{"start_time": "09:00", "end_time": "10:00"}, "10:00"]},
            ("times", 1),
            "expected start_time and end_time, found str '10:00'",
        ),
        (
            {"times": [{"start_time": "9:00", "end_time": "10:00"}]},
            ("times", 0),
            "couldn't parse timestamp 9:00, invalid format",
        ),
        (
            {"times": [{"start_time": 540, "end_time": "10:00"}]},
            ("times", 0),
            "couldn't parse timestamp 540, invalid format",
        ),
        (
            {"times": [{"start_time": "22:00", "end_time": "06:00"}]},
            ("times", 0),
            "start time cannot be equal or greater than end time",
        ),
        (
            {"times": {"start_time": "09:00", "end_time": "10:00"}},
            ("times",),
            "expected a list, found dict {'start_time': '09:00', 'end_time': '10:00'}",
        ),
        ({"weekdays": "monday"}, ("weekdays",), "expected a list, found str 'monday'"),
        ({"weekdays": ["monday", True]}, ("weekdays", 1), "expected text, found bool True"),
        ({"weekdays": [None]}, ("weekdays", 0), "expected text, found NoneType None"),
        ({"weekdays": ["mon"]}, ("weekdays", 0), "mon is not a valid weekday"),
        ({"weekdays": ["monday: friday"]}, ("weekdays", 0), " friday is not a valid weekday"),
        (
            {"weekdays": ["saturday:sunday"]},
            ("weekdays", 0),
            "start day cannot be before end day",
        ),
        (
            {"weekdays": ["monday:tuesday:friday"]},
            ("weekdays", 0),
            "couldn't parse range monday:tuesday:friday, invalid format",
        ),
        (
            {"days_of_month": ["first"]},
            ("days_of_month", 0),
            'strconv.Atoi: parsing "first": invalid syntax',
        ),
        (
            {"days_of_month": ["1_0"]},
            ("days_of_month", 0),
            'strconv.Atoi: parsing "1_0": invalid syntax',
        ),
        (
            {"days_of_month": [32]},
            ("days_of_month", 0),
            "32 is not a valid day of the month: out of range",
        ),
        (
            {"days_of_month": ["-32:-1"]},
            ("days_of_month", 0),
            "-32 is not a valid day of the month: out of range",
        ),
        (
            {"days_of_month": ["28:-1"]},
            ("days_of_month", 0),
            "end day -1 is always before start day 28",
        ),
        (
            {"days_of_month": ["-5:5"]},
            ("days_of_month", 0),
            "end day must be negative if start day is negative",
        ),
        ({"months": ["mai"]}, ("months", 0), "mai is not a valid month"),
        ({"years": ["2027:2026"]}, ("years", 0), "end year 2026 is before start year 2027"),
        ({"months": ["13:1"]}, ("months", 0), "end month january is before start month 13"),
        (
            {"years": ["9" * 5000]},
            ("years", 0),
            f'strconv.Atoi: parsing "{"9" * 5000}": invalid syntax',
        ),
        ({"years": [2020.5]}, ("years", 0), "expected text, found float 2020.5"),
        ({"location": "Mars/Olympus"}, ("location",), "unknown time zone Mars/Olympus"),
        ({"location": "../../etc/passwd"}, ("location",), "unknown time zone ../../etc/passwd"),
        ({"location": "Asia"}, ("location",), "unknown time zone Asia"),
        ({"location": "asia/shanghai"}, ("location",), "unknown time zone asia/shanghai"),
        ({"location": "a\0b"}, ("location",), "unknown time zone a\0b"),
        ({"location": ["UTC"]}, ("location",), "expected text, found list ['UTC']"),
    ],
)
def test_what_upstream_refuses_is_refused_with_its_place(data, path, error):
    with pytest.raises(InvalidTimeInterval) as refused:
        parse_spec(data)
    assert str(refused.value) == error
    assert refused.value.path == path


# --- meaning ---------------------------------------------------------------------------------


def at(text):
    return datetime.fromisoformat(text)


BERLIN_NIGHT = {
    "times": [{"start_time": "02:00", "end_time": "03:00"}],
    "location": "Europe/Berlin",
}


@pytest.mark.parametrize(
    ("data", "now", "expected"),
    [
        pytest.param({}, "2026-11-20T14:10:00Z", True, id="no field: always"),
        pytest.param({"times": []}, "2026-11-20T14:10:00Z", False, id="no time: never"),
        pytest.param({"weekdays": []}, "2026-11-20T14:10:00Z", False, id="no weekday: never"),
        pytest.param({"days_of_month": []}, "2026-11-20T14:10:00Z", False, id="no day: never"),
        pytest.param({"months": []}, "2026-11-20T14:10:00Z", False, id="no month: never"),
        pytest.param({"years": []}, "2026-11-20T14:10:00Z", False, id="no year: never"),
        pytest.param(
            {"times": [{"start_time": "09:00", "end_time": "10:00"}]},
            "2026-11-20T09:59:59.999999Z",
            True,
            id="the last minute is whole",
        ),
        pytest.param(
            {"times": [{"start_time": "09:00", "end_time": "10:00"}]},
            "2026-11-20T10:00:00Z",
            False,
            id="the end is outside",
        ),
        pytest.param(
            {"times": [{"start_time": "23:00", "end_time": "24:00"}]},
            "2026-11-20T23:59:59Z",
            True,
            id="24:00 is the end of the day",
        ),
        pytest.param({"weekdays": ["sunday"]}, "2026-11-22T00:00:00Z", True, id="Sunday"),
        pytest.param({"weekdays": ["saturday"]}, "2026-11-22T00:00:00Z", False, id="not Saturday"),
        pytest.param(
            {"weekdays": ["monday"], "location": "Asia/Shanghai"},
            "2026-11-22T16:00:00Z",
            True,
            id="it is Monday already over there",
        ),
        pytest.param({"days_of_month": ["-1"]}, "2028-02-29T12:00:00Z", True, id="leap day"),
        pytest.param({"days_of_month": ["-1"]}, "2028-02-28T12:00:00Z", False, id="not the last"),
        pytest.param(
            {"days_of_month": ["29:31"]}, "2026-02-28T12:00:00Z", False, id="a short month"
        ),
        pytest.param(
            {"days_of_month": ["20:31"]}, "2026-02-28T12:00:00Z", True, id="cut to a short month"
        ),
        pytest.param(
            {"days_of_month": ["-31:-28"]},
            "2026-02-01T12:00:00Z",
            True,
            id="cut to a short month from the front",
        ),
        pytest.param({"months": ["0", "13"]}, "2026-01-01T12:00:00Z", False, id="no such month"),
        # Clocks went from 02:00 CET to 03:00 CEST, and back from 03:00 CEST to 02:00 CET.
        pytest.param(BERLIN_NIGHT, "2026-03-29T00:59:00Z", False, id="DST begins: 01:59"),
        pytest.param(BERLIN_NIGHT, "2026-03-29T01:00:00Z", False, id="DST begins: 03:00"),
        pytest.param(BERLIN_NIGHT, "2026-10-25T00:30:00Z", True, id="DST ends: first 02:30"),
        pytest.param(BERLIN_NIGHT, "2026-10-25T01:30:00Z", True, id="DST ends: second 02:30"),
        pytest.param(BERLIN_NIGHT, "2026-10-25T02:00:00Z", False, id="DST ends: 03:00"),
    ],
)
def test_contains(data, now, expected):
    assert parse_spec(data).contains(at(now)) is expected


def test_an_interval_is_all_its_specs_together_and_nothing_without_any():
    now = at("2026-11-20T14:10:00Z")
    never, always = {"times": []}, {}
    assert interval(never, always).contains(now)
    assert not interval(never, never).contains(now)
    assert not interval().contains(now)


def test_local_is_the_time_of_this_machine():
    """Whatever zone the tests run in: local noon is noon."""
    noon = datetime(2026, 11, 20, 12, 0).astimezone()
    spec = parse_spec(
        {"times": [{"start_time": "12:00", "end_time": "12:01"}], "location": "Local"}
    )
    assert spec.contains(noon.astimezone(UTC))
    assert not spec.contains(noon.astimezone(UTC) + timedelta(minutes=1))


# --- properties ------------------------------------------------------------------------------

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
ZONES = ("UTC", "Asia/Shanghai", "Australia/Lord_Howe", "America/St_Johns", "Europe/Berlin")


def pairs(low, high):
    """Return strategies for a list of ordered pairs."""
    numbers = st.integers(low, high)
    ordered = st.tuples(numbers, numbers).map(lambda pair: tuple(sorted(pair)))
    return st.none() | st.lists(ordered, max_size=2)


def hours_and_minutes(minute):
    return f"{minute // 60:02}:{minute % 60:02}"


PLANS = st.fixed_dictionaries(
    {
        "times": pairs(0, 1439),  # as minutes, both ends included
        "weekdays": pairs(0, 6),
        "days_of_month": pairs(1, 28) | pairs(-28, -1),
        "months": pairs(1, 12),
        "years": pairs(2025, 2028),
        "location": st.sampled_from(ZONES),
    }
)
INSTANTS = st.timedeltas(timedelta(0), timedelta(days=4 * 365)).map(
    lambda since: datetime(2025, 1, 1, tzinfo=UTC) + since
)


def as_yaml(plan):
    spell = {
        "times": lambda a, b: {
            "start_time": hours_and_minutes(a),
            "end_time": hours_and_minutes(b + 1),
        },
        "weekdays": lambda a, b: f"{DAYS[a]}:{DAYS[b]}",
    }
    data = {
        field: [spell.get(field, lambda a, b: f"{a}:{b}")(*pair) for pair in ranges]
        for field, ranges in plan.items()
        if field != "location" and ranges is not None
    }
    return {**data, "location": plan["location"]}


def names_of(local):
    """Return what a wall calendar and a clock show, each field with every number it goes by."""
    tomorrow, last_day = local + timedelta(days=1), local
    while tomorrow.month == local.month:
        last_day, tomorrow = tomorrow, tomorrow + timedelta(days=1)
    return {
        "times": {local.hour * 60 + local.minute},
        "weekdays": {int(local.strftime("%w"))},
        "days_of_month": {local.day, local.day - last_day.day - 1},
        "months": {local.month},
        "years": {local.year},
    }


@given(PLANS, INSTANTS)
def test_an_instant_lies_in_a_spec_if_the_calendar_on_the_wall_says_so(plan, now):
    wall = names_of(now.astimezone(ZoneInfo(plan["location"])).replace(tzinfo=None))
    expected = all(
        plan[field] is None or any(a <= name <= b for a, b in plan[field] for name in names)
        for field, names in wall.items()
    )
    assert parse_spec(as_yaml(plan)).contains(now) is expected


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["times", "weekdays", "days_of_month", "months", "years", "location", "else"]
        ),
        TREES | st.lists(st.text(alphabet="0123456789-:+monday", max_size=6), max_size=2),
        max_size=2,
    )
)
def test_no_tree_does_worse_than_an_invalid_time_interval(data):
    try:
        spec = parse_spec(data)
    except InvalidTimeInterval as error:
        place = error.path
    else:
        place = None
        spec.contains(datetime(2026, 11, 20, 14, 10, tzinfo=UTC))
    assert place is None or place[0] in data
