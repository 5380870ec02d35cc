"""`routes show` and `routes test`: amtool's lines where amtool has one, ours below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_world import NUMBERS, ROUTES
from databases import url_in
from night_world import ROUTES as STEPS

from adapter.cli.main import run
from adapter.store.store import open_store

# What amtool prints for this tree: its own documentation's example.
UPSTREAM = """
route:
  receiver: team-X-mails
  group_by: [alertname]
  routes:
    - match_re: {service: ^(foo1|foo2|baz)$}
      receiver: team-X-mails
      routes: [{match: {severity: critical}, receiver: team-X-pager}]
    - match: {service: files}
      receiver: team-Y-mails
      routes: [{match: {severity: critical}, receiver: team-Y-pager}]
    - match: {service: database}
      receiver: team-DB-pager
      routes:
        - {match: {owner: team-X}, receiver: team-X-pager, continue: true}
        - {match: {owner: team-Y}, receiver: team-Y-pager}
receivers:
  - name: team-X-mails
  - name: team-X-pager
  - name: team-Y-mails
  - name: team-Y-pager
  - name: team-DB-pager
"""

SHARED = Path(__file__).parents[1] / ".." / "shared" / "vectors" / "amtool_transcript.txt"


@pytest.fixture
def upstream(tmp_path):
    (tmp_path / "s.yml").write_text(UPSTREAM)
    return str(tmp_path / "s.yml")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return str(tmp_path / "routes.yaml")


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_the_tree(capsys, upstream):
    assert run(["routes", "show", "--config", upstream]) == 0
    assert (
        capsys.readouterr().out
        == """\
Routing tree:
.
└── default-route  receiver: team-X-mails  group_by: [alertname]
    ├── {service=~"^(?:^(foo1|foo2|baz)$)$"}  receiver: team-X-mails
    │   └── {severity="critical"}  receiver: team-X-pager
    ├── {service="files"}  receiver: team-Y-mails
    │   └── {severity="critical"}  receiver: team-Y-pager
    └── {service="database"}  receiver: team-DB-pager
        ├── {owner="team-X"}  continue: true  receiver: team-X-pager
        └── {owner="team-Y"}  receiver: team-Y-pager

"""
    )


def test_the_tree_tells_what_a_route_does_not_inherit(capsys, tmp_path):
    path = tmp_path / "routes.yaml"
    path.write_text(
        """
receivers: [{name: r}]
time_intervals: [{name: n, time_intervals: [{}]}, {name: o, time_intervals: [{}]}]
route:
  receiver: r
  repeat_interval: 1h
  routes:
    - {matchers: [a="1"], group_wait: 10s, group_interval: 1m, repeat_interval: never}
    - {matchers: [b="1"], mute_time_intervals: [n, o], active_time_intervals: [n]}
    - {matchers: [c="1"], group_by: ['...']}
"""
    )
    run(["routes", "show", "--config.file", str(path)])
    assert (
        capsys.readouterr().out
        == """\
Routing tree:
.
└── default-route  receiver: r  repeat_interval: 1h
    ├── {a="1"}  receiver: r  group_wait: 10s  group_interval: 1m  repeat_interval: never
    ├── {b="1"}  receiver: r  mute_time_intervals: [n, o]  active_time_intervals: [n]
    └── {c="1"}  receiver: r  group_by: [...]

"""
    )


@pytest.mark.parametrize(
    ("labels", "expected", "code", "out"),
    [
        pytest.param(
            ["service=database", "owner=team-X"], "team-X-pager", 0, "team-X-pager\n", id="right"
        ),
        pytest.param(
            ["service=database"],
            "nope",
            1,
            "team-DB-pager\nWARNING: Expected receivers did not match resolved receivers.\n",
            id="wrong",
        ),
        pytest.param([], "team-X-mails", 0, "team-X-mails\n", id="no labels: the root's"),
        pytest.param(
            ['service="files"', " severity = critical "],
            "team-Y-pager",
            0,
            "team-Y-pager\n",
            id="quotes and blanks as matchers have them",
        ),
    ],
)
def test_verified_receivers_are_answered_exactly_as_by_amtool(
    capsys, upstream, labels, expected, code, out
):
    args = ["routes", "test", "--config", upstream, f"--verify.receivers={expected}", *labels]
    assert run(args) == code
    assert capsys.readouterr() == (out, "")


def test_the_matching_routes(capsys, upstream):
    args = ["--tree", "--verify.receivers", "team-X-pager", "service=database", "owner=team-X"]
    assert run(["routes", "test", "--config", upstream, *args]) == 0
    assert (
        capsys.readouterr().out
        == """\
Matching routes:
.
└── default-route
    └── {service="database"}
        └── {owner="team-X"}  receiver: team-X-pager


team-X-pager
"""
    )


def test_the_transcript_of_a_real_amtool_has_these_lines(capsys, upstream):
    if not SHARED.exists():
        pytest.skip(f"{SHARED.name} is not beside the project")
    transcript = SHARED.read_text()
    for args in (
        ["--tree", "--verify.receivers=team-X-pager", "service=database", "owner=team-X"],
        ["--verify.receivers=nope", "service=database"],
    ):
        run(["routes", "test", "--config", upstream, *args])
        assert capsys.readouterr().out in transcript


@pytest.mark.parametrize(
    ("label", "error"),
    [
        ("test=~2", "labels must be specified as key=value pairs"),
        ("test!=2", "labels must be specified as key=value pairs"),
        ("{foo=bar}", "unexpected open or close brace: {foo=bar}"),
        ("foo", "bad matcher format: foo"),
    ],
)
def test_labels_that_are_none(capsys, upstream, label, error):
    assert run(["routes", "test", "--config", upstream, label]) == 1
    hint = "write each label by itself: severity=critical team=db"
    told = f"uvms-adapter: error: Failed to parse labels: {error}; {hint}\n"
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["a=b,c=d"], 'alert  a="b,c=d"\n       (real alerts have an alertname: '),
        (["alertname==X"], 'alert  alertname="=X"\nat     '),
        ([], "alert  no labels\n       (real alerts have an alertname: "),
    ],
)
def test_what_the_labels_were_taken_for(capsys, config, labels, shown):
    assert run(["routes", "test", "--config", config, *labels]) == 0
    assert shown in capsys.readouterr().out


def test_who_is_called_with_which_words(capsys, config, monkeypatch):
    at = "2026-11-24T11:00:00+08:00"
    labels = ["alertname=DiskFull", "cluster=bj"]
    more = ["--annotation", "summary=db-1 96% https://x.example.com/a"]
    assert run(["routes", "test", "--config", config, "--at", at, *more, *labels]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sre-phone"
    told = "\n".join(lines[1:])
    for part in (
        "route     (root)",
        'page      cluster="bj"',
        "timing    group_wait 0s  group_interval 5m  repeat_interval 4h",
        "(first)",
        "call      alice  +86135****5678\n          +86139****0000\n",
        "template  outage (UVVT20221122ABCD)",
        "words     bj告警，db-1 百分之96 x点example点com，共1条，请及时处理。",
        "params    {1} bj",
        "          {2} db-1 百分之96 x点example点com",
        "repairs   {2} link: ",
    ):
        assert part in told
    assert max(map(len, lines)) <= 80


# --- steps -------------------------------------------------------------------------------------


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A routes.yaml with schedules and steps; this machine is in Shanghai."""
    import time

    (tmp_path / "steps.yaml").write_text(STEPS)
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield str(tmp_path / "steps.yaml")
    monkeypatch.undo()
    time.tzset()


def below_timing(capsys, steps, team: str, at: str, *more: str) -> str:
    """Return what follows the first facts of the only route."""
    labels = ["alertname=DiskFull", *([f"team={team}"] if team else [])]
    assert run(["routes", "test", "--config", steps, "--at", at, *more, *labels]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    return out.partition("repeat_interval 1h\n")[2]


def test_steps_with_a_hole_and_what_follows_at_the_end(capsys, steps):
    assert (
        below_timing(capsys, steps, "", "2026-11-24 20:00")
        == """\
result    called at 2026-11-24 20:00:00 (first)

step 1 of 3, 2026-11-24 20:00:00
  call      alice  +86135****5678
  template  outage (UVVT1)
  words     DiskFull告警，共1条，请及时处理。
  params    {1} DiskFull
            {2} 1

step 2 of 3, 2026-11-24 20:05:00, if nobody has acknowledged
  skipped  office: nobody is on call

step 3 of 3, 2026-11-24 20:05:00, if nobody has acknowledged
  call   bob  +86135****5679
         +86139****0000
  words  as above

then, 2026-11-24 20:15:00, if nobody has acknowledged
  the fallback webhook is told; the page stays open
"""
    )


def test_a_handover_between_steps(capsys, steps):
    told = below_timing(capsys, steps, "handover", "2026-11-24 23:58")
    assert "step 1 of 2, 2026-11-24 23:58:00\n  call      carol" in told
    second = "step 2 of 2, 2026-11-25 00:03:00, if nobody has acknowledged\n  call   bob"
    assert second in told
    assert told.endswith("\n  nobody else is called; the page stays open\n")


def test_a_repeat_is_told_at_the_end(capsys, steps):
    told = below_timing(capsys, steps, "again", "2026-11-24 11:00")
    assert told.count("step 1 of 1") == 1
    assert told.endswith(
        "then, 2026-11-24 11:05:00, if nobody has acknowledged\n"
        "  all of it 2 times more, then nobody else is called; the page stays open\n"
    )


def test_one_step_with_nothing_after_it_is_told_without_steps(capsys, steps):
    assert (
        below_timing(capsys, steps, "single", "2026-11-24 11:00")
        == """\
result    called at 2026-11-24 11:00:00 (first)

call      alice  +86135****5678
template  outage (UVVT1)
words     DiskFull告警，共1条，请及时处理。
params    {1} DiskFull
          {2} 1
"""
    )


def test_nobody_on_call_in_any_step(capsys, steps):
    told = below_timing(capsys, steps, "office", "2026-11-24 20:00")
    assert (
        told
        == """\
result    nobody is called: nobody_on_call (no step of the escalation has
          anybody now)

step 1 of 1, 2026-11-24 20:00:00
  skipped  office: nobody is on call

then, 2026-11-24 20:00:00
  nobody else is called; the page stays open
"""
    )


def test_outside_of_the_template_s_hours(capsys, steps):
    told = below_timing(capsys, steps, "daytime", "2026-11-24 20:00")
    assert "result    called at 2026-11-25 08:00:00 (first)\n" in told
    silent = "silent    until 2026-11-25 08:00:00: no voice template may be spoken before\n"
    first, second = told.split("step 2 of 2, 2026-11-24 20:00:00\n")
    assert silent in first
    assert second.startswith("  call    bob  +86135****5679\n  silent  until 2026-11-25 08:00:00: ")


def test_people_who_hear_different_words(capsys, tmp_path):
    personal = ROUTES.replace("{{ alerts | length }}", "{{ person.name }}")
    (tmp_path / "personal.yaml").write_text(personal)
    assert run(["routes", "test", "--config", str(tmp_path / "personal.yaml"), "alertname=A"]) == 0
    out = capsys.readouterr().out
    assert out.count("call      ") == out.count("words     ") == 2
    assert "\n\ncall      +86139****0000\n" in out


def test_shadow_mode(capsys, steps):
    told = below_timing(capsys, steps, "shadow", "2026-11-24 11:00")
    dialled = "nobody is dialled: shadow mode; else called at 2026-11-24 11:00:00"
    assert told.startswith(f"result    {dialled}")
    assert "the fallback webhook is told (not in shadow mode); the page stays open" in told


def test_the_service_s_overrides_count_where_its_store_is_named(capsys, steps, database, tmp_path):
    url = url_in(tmp_path)
    open_store(url, exclusive=True).close()
    args = ["override", "add", "--config", steps, "--database", url, "--person", "carol", "primary"]
    assert run([*args, "--from", "2036-11-24 10:00", "--for", "8h"]) == 0
    capsys.readouterr()
    at = "2036-11-24 11:00"
    assert "call      bob" in below_timing(capsys, steps, "", at)
    assert "call      carol" in below_timing(capsys, steps, "", at, "--database", url)
    missing = f"sqlite:///{tmp_path}/none.db"
    assert run(["routes", "test", "--config", steps, "--database", missing, "a=b"]) == 1
    assert "there is no database" in capsys.readouterr().err


def test_steps_as_json(capsys, steps):
    args = ["--json", "--at", "2026-11-24 20:00", "alertname=DiskFull"]
    assert run(["routes", "test", "--config", steps, *args]) == 0
    (lead,) = json.loads(capsys.readouterr().out)["routes"]
    assert [(step["step"], step["skipped"], len(step["calls"])) for step in lead["steps"]] == [
        (1, "", 1),
        (2, "office: nobody is on call", 0),
        (3, "", 2),
    ]
    assert (lead["steps_of"], lead["repeat"], lead["fallback"], lead["shadow"]) == (
        3,
        0,
        True,
        False,
    )
    assert lead["exhausted_at"] == "2026-11-24T20:15:00.000+08:00"


@pytest.mark.parametrize("at", ["9999-12-31", "1969-01-01T00:00Z", "soon"])
def test_a_time_with_which_nobody_can_reckon(capsys, steps, at):
    assert run(["routes", "test", "--config", steps, "--at", at, "a=b"]) == 1
    assert f"'{at}' is no time: write 2026-11-24T03:00:00+08:00" in capsys.readouterr().err


# --- why nobody is called ----------------------------------------------------------------------


def test_why_nobody_is_called(capsys, config):
    run(["routes", "test", "--config", config, "severity=info"])
    assert "result    nobody is called: no_receiver (the receiver calls no one)" in (
        capsys.readouterr().out
    )
    run(["routes", "test", "--config", config, "--at", "2026-11-24T03:00+08:00", "team=batch"])
    muted, _, other = capsys.readouterr().out.partition("receiver  db-phone")
    assert muted.startswith("sre-phone,db-phone\n")
    assert "nobody is called: muted (by time interval night)" in muted
    assert "call      bob  +86135****5679" in other


def test_a_time_without_a_zone_is_this_machine_s(capsys, config, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        run(["routes", "test", "--config", config, "--json", "--at", "2026-11-24 03:00", "a=b"])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert json.loads(capsys.readouterr().out)["at"] == "2026-11-24T03:00:00.000+08:00"


def test_json(capsys, config):
    assert run(["routes", "test", "--config", config, "--json", "team=db", "empty="]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == {"team": "db"}
    assert found["receivers"] == ["db-phone"]
    assert found["routes"][0]["steps"][0]["calls"][0]["phone"] == "+86135****5679"


def test_json_of_receivers_that_are_not_those_expected(capsys, config):
    args = ["--json", "--verify.receivers=sre-phone", "team=db"]
    assert run(["routes", "test", "--config", config, *args]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["receivers"] == ["db-phone"]
    assert told.err.startswith("WARNING: Expected receivers did not match")


def test_an_annotation_needs_a_name(capsys, config):
    assert run(["routes", "test", "--config", config, "--annotation", "=x"]) == 1
    assert "--annotation '=x': write NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["show"], ["test", "a=b"]])
def test_a_config_that_is_wrong_or_not_there(capsys, tmp_path, command):
    assert run(["routes", *command, "--config", str(tmp_path / "none.yaml")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "none.yaml: found no file to read" in err
    (tmp_path / "bad.yaml").write_text("route: {receiver: x, recever: y}\nreceivers: []\n")
    assert run(["routes", *command, "--config", str(tmp_path / "bad.yaml")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) >= 2
    assert all(line.startswith("uvms-adapter: error: ") for line in errors)


def test_no_output_tells_a_full_number(capsys, config):
    for args in (["test", "team=batch"], ["test", "--json", "a=b"], ["show"]):
        run(["routes", *args, "--config", config])
        told = capsys.readouterr()
        assert not [number for number in NUMBERS if number[3:] in told.out + told.err]
