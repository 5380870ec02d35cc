"""`oncall`: the plan as a table in the schedule's zone, as JSON, and as a calendar."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from databases import url_in
from icalendar import Calendar
from night_world import NUMBERS, ROUTES

from adapter.cli.main import run
from adapter.clock import utc_now
from adapter.store.store import open_store

AT = ["--at", "2026-11-24T03:00:00Z"]


@pytest.fixture(autouse=True)
def here(database, tmp_path, monkeypatch):
    """A routes.yaml and an empty database, named by the environment; 80 columns; UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("UVMS_DATABASE_URL", url_in(tmp_path))
    Path("routes.yaml").write_text(ROUTES)
    open_store(url_in(tmp_path), exclusive=True).close()


def text(capsys, *args: str) -> str:
    assert run(["oncall", *args]) == 0, capsys.readouterr().err
    told = capsys.readouterr()
    assert told.err == ""
    assert not [number for number in NUMBERS if number[3:] in told.out]
    return told.out


def error(capsys, *args: str) -> str:
    assert run(["oncall", *args]) == 1
    return capsys.readouterr().err


def test_the_table_is_in_the_schedule_s_zone(capsys):
    assert (
        text(capsys, *AT, "--days", "2", "primary")
        == """
schedule   primary
time zone  Asia/Shanghai
on call    alice
next       bob

FROM                  UNTIL                 ON CALL
Tue 2026-11-24 11:00  Wed 2026-11-25 00:00  alice
Wed 2026-11-25 00:00  Thu 2026-11-26 11:00  bob
"""
    )


def test_all_schedules_with_their_holes(capsys):
    out = text(capsys, *AT, "--days", "1")
    assert [line for line in out.splitlines() if line.startswith("schedule")] == [
        "schedule   primary",
        "schedule   office",
    ]
    assert "Tue 2026-11-24 18:00  Wed 2026-11-25 09:00  nobody\n" in out


def test_from_now_on_for_two_weeks(capsys):
    before = utc_now()
    found = json.loads(text(capsys, "--json"))
    at, until = (datetime.fromisoformat(found[name]) for name in ("at", "until"))
    assert (until - at).days == 14
    assert abs((at - before).total_seconds()) < 60


def test_json(capsys):
    found = json.loads(text(capsys, *AT, "--json", "--days", "1", "office", "primary"))
    assert [each["schedule"] for each in found["schedules"]] == ["office", "primary"]
    assert found["schedules"][1]["on_call"] == ["alice"]


def test_a_calendar_file(capsys):
    out = text(capsys, *AT, "--ical", "--days", "2", "primary")
    assert [str(e["summary"]) for e in Calendar.from_ical(out).walk("VEVENT")] == [
        "alice (primary)",
        "bob (primary)",
    ]
    assert [e.decoded("dtstart") for e in Calendar.from_ical(out).walk("VEVENT")] == [
        datetime(2026, 11, 24, 3, tzinfo=UTC),
        datetime(2026, 11, 24, 16, tzinfo=UTC),
    ]
    assert "\r\n" in out


def test_overrides_of_the_store_count(capsys):
    run(["override", "add", "--person", "carol", "--for", "1h", "primary"])
    capsys.readouterr()
    found = json.loads(text(capsys, "--json", "--days", "1", "primary"))
    assert found["schedules"][0]["on_call"] == ["carol"]
    assert "on call    carol\n" in text(capsys, "primary")


def test_who_has_left_does_not_keep_a_schedule_empty(capsys):
    run(["override", "add", "--person", "carol", "--for", "1h", "primary"])
    capsys.readouterr()
    Path("routes.yaml").write_text(ROUTES.replace("carol", "dave"))
    assert "carol" not in text(capsys, "--json", "--days", "1", "primary")


def test_without_a_store_routes_yaml_alone_counts(capsys, tmp_path):
    missing = f"sqlite:///{tmp_path}/none.db"
    assert run(["oncall", *AT, "--database", missing, "primary"]) == 0
    told = capsys.readouterr()
    assert "on call    alice\n" in told.out
    assert told.err.startswith("without stored overrides and calendars: there is no database ")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["secondary"], "there is no schedule 'secondary'; there is: office, primary"),
        (["--days", "0"], "Invalid value for '--days': 0 is not in the range 1<=x<=366"),
        (["--days", "367"], "367 is not in the range"),
        (["--at", "soon"], "'soon' is no time: write 2026-11-24T03:00:00+08:00"),
        (["--at", "9999-12-31"], "'9999-12-31' is no time"),
        (["--config", "none.yaml"], "none.yaml: found no file to read"),
    ],
)
def test_what_cannot_be_asked(capsys, args, expected):
    assert expected in error(capsys, *args)


def test_a_file_without_schedules(capsys):
    Path("routes.yaml").write_text("receivers: [{name: r}]\nroute: {receiver: r}\n")
    assert text(capsys) == "there are no schedules in routes.yaml\n"
    assert json.loads(text(capsys, "--json"))["schedules"] == []
