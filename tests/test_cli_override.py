"""`override`: somebody is put on call for a time, listed, and taken off again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from databases import url_in
from night_world import NUMBERS, ROUTES

from adapter.cli.main import run
from adapter.cli.output import user_name
from adapter.clock import utc_now
from adapter.store.store import open_store


@pytest.fixture(autouse=True)
def here(database, tmp_path, monkeypatch):
    """A routes.yaml and an empty database, named by the environment; wide; UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("UVMS_DATABASE_URL", url_in(tmp_path))
    Path("routes.yaml").write_text(ROUTES)
    open_store(url_in(tmp_path), exclusive=True).close()


def text(capsys, *args: str) -> str:
    assert run(["override", *args]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert not [number for number in NUMBERS if number[3:] in out]
    return out


def error(capsys, *args: str) -> str:
    assert run(["override", *args]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.removeprefix("uvms-adapter: error: ").rstrip("\n")


def standing(capsys) -> list[dict]:
    return json.loads(text(capsys, "list", "--json"))["overrides"]


FROM = ["--from", "2036-11-24T10:00:00Z"]


def test_from_now_on_for_a_time(capsys):
    before = utc_now()
    out = text(capsys, "add", "--person", "carol", "--for", "1d12h", "primary")
    assert out.startswith("carol is on call in primary until 20")
    (made,) = standing(capsys)
    begins, ends = (datetime.fromisoformat(made[name]) for name in ("from", "until"))
    assert timedelta(0) <= begins - before + timedelta(seconds=1) < timedelta(minutes=1)
    assert ends - begins == timedelta(hours=36)
    assert made["created_by"] == user_name()
    assert made["id"][:12] in out


@pytest.mark.parametrize(
    "until",
    [
        pytest.param(["--until", "2036-11-24T18:00:00Z"], id="until a time"),
        pytest.param(["--until", "2036-11-25T02:00:00+08:00"], id="until a time of another zone"),
        pytest.param(["--for", "8h"], id="for a time"),
    ],
)
def test_when_it_ends(capsys, until):
    args = ["add", "--person", "carol", *FROM, *until, "primary", "--json"]
    made = json.loads(text(capsys, *args))
    assert (made["from"], made["until"]) == (
        "2036-11-24T10:00:00.000+00:00",
        "2036-11-24T18:00:00.000+00:00",
    )
    assert standing(capsys) == [made]


def test_the_table(capsys):
    assert text(capsys, "list").split() == [
        "ID",
        "SCHEDULE",
        "PERSON",
        "FROM",
        "UNTIL",
        "ADDED",
        "BY",
    ]
    text(capsys, "add", "--person", "carol", *FROM, "--for", "8h", "primary")
    _, row = text(capsys, "list").splitlines()
    assert row.split()[1:] == [
        "primary",
        "carol",
        *("2036-11-24", "10:00:00", "UTC"),
        *("2036-11-24", "18:00:00", "UTC"),
        *user_name().split(),
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_removing_by_the_beginning_of_its_id(capsys, as_json):
    text(capsys, "add", "--person", "carol", *FROM, "--for", "8h", "primary")
    (made,) = standing(capsys)
    out = text(capsys, "remove", made["id"][:12], *(["--json"] if as_json else []))
    if as_json:
        assert json.loads(out)["removed_by"] == user_name()
    else:
        assert out == "removed: carol in primary until 2036-11-24 18:00:00 UTC\n"
    assert standing(capsys) == []
    assert error(capsys, "remove", made["id"]) == f"there is no override {made['id']!r}"


ADD = ["add", "--person", "carol"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param(
            ["add", "--person", "zoe", "--for", "8h", "primary"],
            "there is no person 'zoe'; there is: alice, bob, carol",
            id="person",
        ),
        pytest.param(
            [*ADD, "--for", "8h", "secondary"],
            "there is no schedule 'secondary'; there is: office, primary",
            id="schedule",
        ),
        pytest.param(
            [*ADD, "primary"],
            "say --for DURATION or --until TIME, one of them, try --help",
            id="no end",
        ),
        pytest.param(
            [*ADD, "--for", "8h", "--until", "2036-11-24", "primary"],
            "say --for DURATION or --until TIME, one of them, try --help",
            id="two ends",
        ),
        pytest.param(
            [*ADD, *FROM, "--until", "2036-11-24T10:00:00Z", "primary"],
            "it would end at 2036-11-24T10:00:00.000+00:00, before it begins",
            id="no time at all",
        ),
        pytest.param(
            [*ADD, *FROM, "--for", "367d", "primary"],
            "it would last longer than 366 days",
            id="for ever",
        ),
        pytest.param(
            [*ADD, "--from", "2020-11-24", "--for", "8h", "primary"],
            "it would have ended at 2020-11-24T",
            id="over",
        ),
        pytest.param(
            [*ADD, "--for", "soon", "primary"], "Invalid value for --for: ", id="duration"
        ),
        pytest.param(
            [*ADD, "--until", "soon", "primary"],
            "Invalid value for '--until': 'soon' is no time: write 2026-11-24T03:00:00+08:00",
            id="time",
        ),
        pytest.param(["add", "--for", "8h", "primary"], "Missing option '--person'", id="nobody"),
        pytest.param(["remove", "zz"], "there is no override 'zz'", id="unknown id"),
    ],
)
def test_what_cannot_be_done(capsys, args, expected):
    assert error(capsys, *args).startswith(expected)
    assert standing(capsys) == []


@pytest.mark.parametrize(
    "args", [[*ADD, "--for", "8h", "primary"], ["list"], ["remove", "x"]], ids=lambda args: args[0]
)
def test_without_a_database(capsys, tmp_path, args):
    missing = f"sqlite:///{tmp_path}/none.db"
    told = error(capsys, *args, "--database", missing)
    assert told.startswith(f"there is no database {tmp_path}/none.db; name the service's own")
    assert not (tmp_path / "none.db").exists()
