"""`routes show` and `routes test`: amtool's lines where amtool has one, ours below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_world import NUMBERS, ROUTES

from adapter.cli.main import run

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
        "call      alice  +86135****5678",
        "call      +86139****0000\n",
        "template  outage (UVVT20221122ABCD)",
        "words     bj告警，db-1 百分之96 x点example点com，共1条，请及时处理。",
        "params    {1} bj",
        "          {2} db-1 百分之96 x点example点com",
        "repairs   {2} link: ",
    ):
        assert part in told
    assert max(map(len, lines)) <= 80


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
    assert found["routes"][0]["calls"][0]["phone"] == "+86135****5679"


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
