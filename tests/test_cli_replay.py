"""`replay`: a recorded night against one routes.yaml, or against two."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from databases import url_in
from replay_world import HOUR, MINUTE, NIGHT, SECOND, alert, body, line, over, receiver, text

from adapter.cli.main import run
from adapter.model import Source, StoredOverride
from adapter.store.store import open_store

QUICK = receiver("sre", {"call": ["alice"], "wait": "1m"}, {"call": ["bob"], "wait": "1m"})
NO_DATABASES = {
    "receiver": "sre",
    "group_by": ["cluster"],
    "routes": [{"matchers": ['team="db"'], "receiver": "nobody"}],
}


@pytest.fixture(autouse=True)
def here(database, tmp_path, monkeypatch):
    """Two routes.yaml and a night in a directory; no terminal; UTC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("UVMS_DATABASE_URL", url_in(tmp_path))
    Path("a.yaml").write_text(text())
    Path("same.yaml").write_text("# as a.yaml\n" + text())
    Path("b.yaml").write_text(text(QUICK, {"name": "nobody"}, route=NO_DATABASES))
    disk, slow = alert(cluster="c"), alert("SlowQuery", team="db", cluster="d", since=HOUR)
    lines = [line(0 * SECOND, disk), line(HOUR, slow), line(2 * HOUR, over(slow, 2 * HOUR))]
    Path("night.jsonl").write_text("\n".join(lines))


def output(capsys, *args: str) -> str:
    assert run(["replay", *args]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def from_json(capsys, *args: str):
    return json.loads(output(capsys, *args, "--json"))


def error(capsys, *args: str) -> str:
    assert run(["replay", *args]) == 1
    return capsys.readouterr().err


def cells(line_: str) -> list[str]:
    return [cell.strip() for cell in line_.split("  ") if cell.strip()]


# --- one routes.yaml ---------------------------------------------------------------------------


def test_the_calls_of_a_night(capsys):
    out = output(capsys, "--config", "a.yaml", "night.jsonl")
    assert "notifications  3\n" in out
    assert "supposed       nobody answers\n" in out
    rows = [cells(row) for row in out.partition("\ncalls\n")[2].splitlines()[1:]]
    assert rows == [
        ["11-23 19:00:00", "alice", "sre", "first, step 1", "DiskFull{cluster=c}"],
        ["11-23 19:05:00", "bob", "sre", "escalation, step 2", "DiskFull{cluster=c}"],
        ["11-23 20:00:00", "alice", "sre", "first, step 1", "SlowQuery{cluster=d, team=db}"],
        ["11-23 20:05:00", "bob", "sre", "escalation, step 2", "SlowQuery{cluster=d, team=db}"],
    ]
    people = [cells(row) for row in out.splitlines() if row.startswith(("alice ", "bob "))]
    assert people == [
        ["alice", "2", "11-23 19:00:00", "11-23 20:00:00"],
        ["bob", "2", "11-23 19:05:00", "11-23 20:05:00"],
    ]
    counts = [cells(row) for row in out.splitlines()]
    for count in (["calls", "4"], ["pages", "2"], ["verdict first", "2"], ["people called", "2"]):
        assert count in counts


def test_as_json_without_a_whole_number(capsys):
    found = from_json(capsys, "--config", "a.yaml", "night.jsonl")
    assert (found["notifications"], found["comparison"]) == (3, None)
    assert found["dated_by"] == {"received_at": 3}
    [config] = found["configs"]
    assert config["calls"][1]["person"] == "bob"
    assert config["calls"][1]["phone"] == "+86135****5679"
    assert config["calls"][1]["alerts"] == [{"alertname": "DiskFull", "cluster": "c"}]
    assert config["silent_alerts"] == []
    for number in ("13512345678", "13512345679"):
        assert number not in json.dumps(found)


def test_somebody_answers(capsys):
    found = from_json(capsys, "--config", "a.yaml", "--answered-by", "alice", "night.jsonl")
    assert [call["person"] for call in found["configs"][0]["calls"]] == ["alice", "alice"]
    assert found["configs"][0]["acknowledged"] == 2
    out = output(capsys, "--config", "a.yaml", "--answered-by", "everybody", "night.jsonl")
    assert "answered after 20 s by everybody" in out
    told = error(capsys, "--config", "a.yaml", "--answered-by", "zoe", "night.jsonl")
    assert "nobody is called 'zoe'; there is: alice, bob, carol" in told


def test_a_part_of_a_night(capsys):
    since = (NIGHT + HOUR).isoformat()
    found = from_json(capsys, "--config", "a.yaml", "--since", since, "night.jsonl")
    assert found["notifications"] == 2
    found = from_json(capsys, "--config", "a.yaml", "--until", since, "night.jsonl")
    assert found["notifications"] == 1
    told = error(capsys, "--config", "a.yaml", "--since", "2030-01-01", "night.jsonl")
    assert "nothing was recorded in that time" in told


def test_alerts_that_ring_nobody_are_named_up_to_twenty(capsys):
    Path("nobody.yaml").write_text(text({"name": "nobody"}))
    many = [alert(f"A{number:02}", since=number * SECOND) for number in range(21)]
    Path("many.json").write_text(json.dumps(body(*many)))
    out = output(capsys, "--config", "nobody.yaml", "many.json")
    assert "alerts that ring nobody: 21\n" in out
    assert "  … and 1 more, see --json\n" in out
    assert "no_receiver ×1" in out
    assert "times          1 by startsAt and endsAt\n" in out


# --- two ---------------------------------------------------------------------------------------


def test_what_differs(capsys):
    found = from_json(capsys, "--config", "a.yaml", "--against", "b.yaml", "night.jsonl")
    comparison = found["comparison"]
    assert comparison["differs"]
    assert [fate["labels"]["alertname"] for fate in comparison["silenced"]] == ["SlowQuery"]
    kinds = [difference["kind"] for difference in comparison["differences"]]
    assert kinds == ["moved", "only in A", "only in A"]
    assert comparison["same"] == 1


def test_what_differs_for_people(capsys):
    out = output(capsys, "--config", "a.yaml", "--against", "b.yaml", "night.jsonl")
    assert "WARNING: alerts that ring somebody in A ring nobody in B: 1\n" in out
    assert "SlowQuery{cluster=d, team=db}  no_receiver ×2" in out
    assert "calls: 2 only in A, 1 moved; 1 the same\n" in out
    [moved] = [cells(row) for row in out.splitlines() if "4m earlier" in row]
    assert moved[:3] == ["11-23 19:05:00", "4m earlier", "bob"]
    back = output(capsys, "--config", "b.yaml", "--against", "a.yaml", "night.jsonl")
    assert "alerts that ring somebody in B only: 1\n" in back
    assert "4m later" in back


def test_what_differs_for_a_pull_request(capsys):
    args = ("--config", "a.yaml", "--against", "b.yaml", "--markdown", "night.jsonl")
    out = output(capsys, *args)
    lines = out.splitlines()
    assert lines[0] == "### Replay of recorded notifications"
    assert "> **Warning: alerts that ring somebody in A ring nobody in B: 1**" in lines
    assert "|  | A `a.yaml` | B `b.yaml` |" in lines
    assert "| calls | 4 | 2 |" in lines
    assert "| verdict no\\_receiver | 0 | 2 |" in lines
    assert "**Calls: 2 only in A, 1 moved**; 1 the same" in lines
    wanted = "| 2026-11-23 19:05:00 UTC | 4m earlier | bob | sre | escalation, step 2 |"
    assert any(row.startswith(wanted) for row in lines)


def test_markdown_of_one(capsys):
    Path("bad.json").write_text("{")
    labels = {"pipe": "a|b", "html": "<script>", "code": "`x`"}
    Path("odd.json").write_text(json.dumps(body(alert("Odd", **labels))))
    out = output(
        capsys,
        "--config=a.yaml",
        "--markdown",
        "--skip-invalid",
        "night.jsonl",
        "odd.json",
        "bad.json",
    )
    assert "Left out, as they could not be read: 1." in out
    assert "a\\|b" in out
    assert "\\<script\\>" in out
    assert "\\`x\\`" in out
    assert "| person | calls | first | last |" in out
    assert "| time | person | receiver | why | alerts |" in out


def test_a_long_list_in_markdown_is_cut(capsys):
    Path("nobody.yaml").write_text(text({"name": "nobody"}))
    many = [alert(f"A{number:02}") for number in range(60)]
    Path("many.json").write_text(json.dumps(body(*many)))
    out = output(capsys, "--config", "nobody.yaml", "--markdown", "many.json")
    assert "**Alerts that ring nobody**" in out
    assert "… and 10 more" in out


def test_no_difference(capsys):
    args = ("--config", "a.yaml", "--against", "same.yaml", "night.jsonl")
    assert "no difference: 4 calls are the same" in output(capsys, *args)
    assert "**No difference**: 4 calls are the same." in output(capsys, *args, "--markdown")
    output(capsys, *args, "--fail-on-difference")


def test_a_difference_fails_when_asked_to(capsys):
    args = ("--config", "a.yaml", "--against", "b.yaml", "--fail-on-difference", "night.jsonl")
    assert error(capsys, *args) == "uvms-adapter: error: they differ\n"


# --- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "name files or directories of recordings, or say --from-store"),
        (("--from-store", "x"), "name files, or say --from-store or --export, not both"),
        (("--fail-on-difference", "night.jsonl"), "--fail-on-difference needs --against FILE"),
        (("none.jsonl",), "none.jsonl: No such file or directory"),
        (("a.yaml",), "a.yaml: the body is not JSON"),
        (("--config", "none.yaml", "night.jsonl"), "none.yaml"),
    ],
)
def test_what_is_asked_wrongly(capsys, args, why):
    assert why in error(capsys, "--config", "a.yaml", *args)


def test_what_cannot_be_read_is_left_out_when_asked(capsys):
    Path("bad.json").write_text("{")
    told = error(capsys, "--config", "a.yaml", "night.jsonl", "bad.json")
    assert "error: bad.json: the body is not JSON" in told
    assert run(["replay", "--config", "a.yaml", "--skip-invalid", "night.jsonl", "bad.json"]) == 0
    assert "left out: bad.json: the body is not JSON" in capsys.readouterr().err


# --- from the store ----------------------------------------------------------------------------


@pytest.fixture
def kept(here):
    """The store has kept the night, and that carol stood in for an hour of it."""
    store = open_store(url_in(Path.cwd()), exclusive=True)
    standing_in = StoredOverride(
        id="o1",
        schedule="primary",
        person="carol",
        starts_at=NIGHT - HOUR,
        ends_at=NIGHT + 5 * HOUR,
        created_at=NIGHT - MINUTE,
        created_by="bob",
        removed_at=NIGHT + MINUTE,
        removed_by="bob",
    )

    def job(session):
        session.add_override(standing_in)
        for hours in (0, 1):
            found = alert(cluster=f"c{hours}", since=hours * HOUR)
            raw = json.dumps(body(found), indent=1).encode()
            session.keep_webhook(Source.ALERTMANAGER, raw, NIGHT + hours * HOUR)

    try:
        store.write_now(job)
    finally:
        store.close()
    rotation = {"people": ["alice"], "start": "2026-11-02T10:00"}
    schedules = {"primary": {"time_zone": "UTC", "rotations": [rotation]}}
    Path("kept.yaml").write_text(text(receiver("sre", {"call": ["primary"]}), schedules=schedules))
    return ("--since", NIGHT.isoformat(), "--until", (NIGHT + timedelta(days=1)).isoformat())


def test_from_the_store_with_who_stood_in(capsys, kept):
    found = from_json(capsys, "--config", "kept.yaml", "--from-store", *kept)
    assert [call["person"] for call in found["configs"][0]["calls"]] == ["carol", "alice"]


def test_a_store_without_such_a_night(capsys, kept):
    late = ("--since", "2027-01-01", "--until", "2027-01-02")
    args = ("--config", "kept.yaml", "--from-store", *late)
    assert "nothing was recorded in that time" in error(capsys, *args)
    assert "has kept no webhook of that time" in error(capsys, "--export", "x.jsonl", *late)


def test_exported_for_git_and_replayed_from_there(capsys, kept):
    told = output(capsys, "--export", "x.jsonl", *kept)
    assert told == "wrote 2 notifications, with all their labels and annotations to x.jsonl\n"
    assert len(Path("x.jsonl").read_text().splitlines()) == 2
    found = from_json(capsys, "--config", "a.yaml", "x.jsonl")
    assert [call["at"] for call in found["configs"][0]["calls"]][:1] == [NIGHT.isoformat()]
    assert found["dated_by"] == {"received_at": 2}


def test_exported_to_stdout(capfdbinary, kept):
    assert run(["replay", "--export", "-", *kept]) == 0
    out, err = capfdbinary.readouterr()
    assert [json.loads(row)["source"] for row in out.splitlines()] == ["alertmanager"] * 2
    assert err == b"wrote 2 notifications, with all their labels and annotations\n"
