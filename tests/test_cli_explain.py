"""`explain`: the story of a page or of an alert, in a terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from databases import url_in
from night_world import FALLBACK_URL, MINUTE, NUMBERS, Night

from adapter.cli.main import run
from adapter.model import Result
from adapter.store.store import open_store


@pytest.fixture(autouse=True)
def here(database, tmp_path, monkeypatch):
    """A database named by the environment; 80 columns; UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("UVMS_DATABASE_URL", url_in(tmp_path))


@pytest.fixture(autouse=True)
def fingerprint(here) -> str:
    """Alice did not answer, carol did; an alert of team nobody rang nobody; one of team single."""
    store = open_store(url_in(Path.cwd()), exclusive=True)
    try:
        night = Night(store)
        alert = night.post()
        night.passes(MINUTE)
        night.hears("alice", Result.UNANSWERED)
        night.passes(MINUTE)
        night.answers("carol")
        night.post("Quiet", team="nobody")
        night.post("Single", team="single")
    finally:
        store.close()
    return alert.fingerprint


def text(capsys, *args: str) -> str:
    assert run(["explain", *args]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert not [number for number in NUMBERS if number[3:] in out]
    assert FALLBACK_URL not in out
    return out


def error(capsys, *args: str) -> str:
    assert run(["explain", *args]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.removeprefix("uvms-adapter: error: ").rstrip("\n")


def test_an_alert(capsys, fingerprint):
    out = text(capsys, "alertname=DiskFull")
    head, _, story = out.partition("AT ")
    assert (
        head
        == f"""
alert        alertname="DiskFull"
fingerprint  {fingerprint}

receiver  chain
route     {{}}
pages     id-1
answer    alice was called (first): unanswered; carol was called (escalation):
          answered

"""
    )
    rows = [line.split(maxsplit=2)[2] for line in story.splitlines()[1:] if line[0] != " "]
    words = [" ".join(row.split()) for row in rows]
    assert words[1:] == [
        "opened page id-1 of chain",
        "owed alice first, step 1 of run 1",
        "sending alice attempt 1, UserId id-3",
        "accepted alice RetCode 0",
        "receipt alice unanswered (NO_ANSWER)",
        "step step 2 of 3 calls carol",
        "owed carol escalation, step 2 of run 1",
        "sending carol attempt 1, UserId id-5",
        "accepted carol RetCode 0",
        "receipt carol answered for 23 s",
        "acknowledged by carol",
    ]
    assert max(map(len, out.splitlines())) <= 80


def test_a_page(capsys):
    out = text(capsys, "id-1")
    assert out.startswith("page          id-1\nstate         acknowledged\n")
    assert "acknowledged  2026-11-24 03:02:00 UTC by carol\n" in out
    assert "step 2 of 3 calls carol" in out


@pytest.mark.parametrize("beginning", [16, 17])
def test_an_alert_by_its_fingerprint_and_nothing_else_of_that_length(
    capsys, fingerprint, beginning
):
    if beginning == 16:
        assert f"fingerprint  {fingerprint}\n" in text(capsys, fingerprint)
    else:
        assert error(capsys, fingerprint + "0") == (
            f"there is no page '{fingerprint}0'; alerts are found by fingerprint or label=value"
        )


def test_why_nobody_was_called(capsys):
    out = text(capsys, "team=nobody")
    assert "the last post called nobody, no_receiver: the receiver calls no one" in " ".join(
        out.split()
    )


def test_labels_may_be_quoted_as_matchers_are(capsys):
    assert 'alertname="Single"' in text(capsys, 'team="single"', "alertname=Single")


def test_json(capsys):
    (alert,) = json.loads(text(capsys, "--json", "alertname=DiskFull"))["alerts"]
    (receiver,) = alert["receivers"]
    assert (receiver["called"], receiver["last_reason"]) == (["alice", "carol"], "first")
    assert json.loads(text(capsys, "--json", "id-1"))["state"] == "acknowledged"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["alertname=Other"], "no alert 'alertname=Other' has come in within the retention: "),
        (["0123456789abcdef"], "no alert '0123456789abcdef' has come in within the retention: "),
        (["zz"], "there is no page 'zz'; alerts are found by fingerprint or label=value"),
        (["id-1", "id-2"], "one page, one fingerprint, or labels as name=value, try --help"),
        (["a=b", "id-1"], "'id-1': write labels as name=value, try --help"),
        (["=b"], "'=b': write labels as name=value, try --help"),
        ([], "Missing argument 'PAGE | FINGERPRINT | LABEL=VALUE...', try --help"),
    ],
)
def test_what_cannot_be_explained(capsys, args, expected):
    assert error(capsys, *args).startswith(expected)


def test_without_a_database(capsys, tmp_path):
    told = error(capsys, "--database", f"sqlite:///{tmp_path}/none.db", "id-1")
    assert told.startswith(f"there is no database {tmp_path}/none.db")


def test_very_many_alerts(capsys):
    store = open_store(url_in(Path.cwd()), exclusive=True)
    night = Night(store)
    for number in range(21):
        night.post(f"Many{number}", team="nobody")
    store.close()
    assert text(capsys, "team=nobody").endswith("… and more alerts: give more of their labels\n")
