"""`check-config`, `config schema` and `template render`: routes.yaml before the night."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from cli_world import NUMBERS, ROUTES

from adapter.cli.main import run

PAYLOADS = Path(__file__).parent / "data" / "payloads"

FOUND = """\
Found:
 - 2 people
 - 0 schedules
 - 2 voice templates
 - 3 receivers
 - 4 routes
 - 1 time intervals
"""
BROKEN = "receivers: [{name: a}]\nroute:\n  receiver: b\n  group_wait: 5x\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("good.yaml").write_text(ROUTES)
    Path("bad.yaml").write_text(BROKEN)


def test_a_good_file(capsys):
    assert run(["check-config", "good.yaml"]) == 0
    assert capsys.readouterr() == (f"Checking 'good.yaml'  SUCCESS\n{FOUND}\n", "")


def test_a_good_and_a_bad_file(capsys):
    assert run(["check-config", "good.yaml", "bad.yaml"]) == 1
    out, err = capsys.readouterr()
    good, bad = out.split("\n\n")[:2]
    assert f"{good}\n" == f"Checking 'good.yaml'  SUCCESS\n{FOUND}"
    first, *problems = bad.splitlines()
    assert first == "Checking 'bad.yaml'  FAILED: 2 problems"
    assert problems[0].startswith("  bad.yaml:3:13: route.receiver: found ")
    assert problems[1].startswith("  bad.yaml:4:15: route.group_wait: found ")
    assert err == "uvms-adapter: error: failed to validate 1 file(s)\n"


def test_one_problem_is_no_problems(capsys):
    Path("one.yaml").write_text("receivers: [{name: a}]\nroute: {receiver: b}\n")
    assert run(["check-config", "one.yaml"]) == 1
    assert "FAILED: 1 problem\n" in capsys.readouterr().out


def test_what_works_but_is_hardly_meant(capsys):
    Path("odd.yaml").write_text("receivers: [{name: a}, {name: b}]\nroute: {receiver: a}\n")
    assert run(["check-config", "odd.yaml"]) == 0
    out = capsys.readouterr().out
    assert (
        'Warnings:\n - odd.yaml:1:25: receivers[1].name: found "b", which no route chooses' in out
    )


HOLES = """
people: {alice: {phone: "+8613512345678"}}
schedules:
  office:
    time_zone: Asia/Shanghai
    rotations:
      - {people: [alice], start: "2026-11-02T00:00", weekdays: [monday:friday]}
voice_templates: {t: {id: UVVT1, text: 请处理。}}
receivers:
  - {name: only, voice_template: t, call: [office]}
  - {name: late, voice_template: t, escalation: [{call: [office]}, {call: [alice]}]}
route: {receiver: only, routes: [{receiver: late, matchers: [a=b]}]}
"""


@pytest.mark.parametrize("piped", [False, True])
def test_times_in_which_nobody_is_on_call(capsys, monkeypatch, piped):
    """What is found depends on today; that a week has a weekend does not."""
    Path("holes.yaml").write_text(HOLES)
    monkeypatch.setattr("sys.stdin", Stdin(HOLES.encode()))
    assert run(["check-config", *([] if piped else ["holes.yaml"])]) == 0
    _, _, warned = capsys.readouterr().out.partition("Warnings:\n")
    schedule, receiver, _ = (line for line in warned.splitlines() if line)
    name = "/dev/stdin" if piped else "holes.yaml"
    assert schedule.startswith(f" - {name}:4:3: schedules.office: found nobody on call from ")
    assert " in Asia/Shanghai, and " in schedule
    assert "in the coming 30 days; the next step is taken at once, and without one" in schedule
    assert receiver.startswith(f' - {name}:10:5: receivers[0]: found "only", which calls nobody')


def test_holes_as_json(capsys):
    Path("holes.yaml").write_text(HOLES)
    assert run(["check-config", "--json", "holes.yaml"]) == 0
    (checked,) = json.loads(capsys.readouterr().out)
    assert (checked["valid"], checked["found"]["schedules"]) == (True, 1)
    assert [one["path"] for one in checked["warnings"]] == [
        "$.schedules.office",
        "$.receivers[0]",
        "$.receivers[1].escalation",
    ]


def test_a_file_that_is_not_there_is_told_before_any_is_checked(capsys):
    assert run(["check-config", "good.yaml", "nosuch.yml"]) == 1
    expected = "uvms-adapter: error: path 'nosuch.yml' does not exist\n"
    assert capsys.readouterr() == ("", expected)


def test_a_directory(capsys):
    assert run(["check-config", "."]) == 1
    assert "Checking '.'  FAILED: 1 problem\n" in capsys.readouterr().out


class Stdin(io.TextIOWrapper):
    """Standard input with these bytes."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("args", [[], ["-"], ["/dev/stdin"]])
def test_standard_input(capsys, monkeypatch, args):
    monkeypatch.setattr("sys.stdin", Stdin(ROUTES.encode()))
    assert run(["check-config", *args]) == 0
    shown = args[0] if args else "/dev/stdin"
    assert capsys.readouterr().out.startswith(f"Checking '{shown}'  SUCCESS\n")


def test_a_terminal_is_no_file(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", Stdin(b"", terminal=True))
    assert run(["check-config"]) == 1
    error = "Failed to read from standard input: name a file"
    assert capsys.readouterr().err == f"uvms-adapter: error: {error}\n"


def test_json(capsys):
    Path("odd.yaml").write_text("receivers: [{name: a}, {name: b}]\nroute: {receiver: a}\n")
    assert run(["check-config", "--json", "odd.yaml", "bad.yaml"]) == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert (good["valid"], good["problems"], good["found"]["receivers"]) == (True, [], 2)
    assert good["warnings"][0]["line"] == 1
    assert (bad["valid"], len(bad["problems"]), bad["found"]) == (False, 2, {})
    assert bad["problems"][0]["message"].startswith("bad.yaml:3:13: route.receiver: found")


def test_the_schema(capsys):
    assert run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "routes.yaml of uvms-adapter"


def test_a_broken_number_is_masked(capsys):
    Path("n.yaml").write_text(ROUTES.replace("+8613512345678", "+86135123456789"))
    assert run(["check-config", "n.yaml"]) == 1
    assert "135123456789" not in "".join(capsys.readouterr())


# --- template render ---------------------------------------------------------------------------


def test_templates_with_sample_alerts(capsys):
    assert run(["template", "render", "--config", "good.yaml"]) == 0
    out = capsys.readouterr().out
    outage, over = out.split("\n\n")
    assert (
        outage
        == """\
template  outage (UVVT20221122ABCD)
words     cn-bj2告警，db-1点example点com端口9100 无法访问，共2条，请及时处理。
params    {1} cn-bj2
          {2} db-1点example点com端口9100 无法访问
          {3} 2
repairs   {2} link: 'db-1.example.com:9100 无法访问' ->
          'db-1点example点com端口9100 无法访问'
for       2 alert(s), reason first, receiver sre-phone"""
    )
    assert over.startswith("template  over (UVVT20221122OVER)\nwords     cn-bj2的告警已恢复。\n")
    assert not [number for number in NUMBERS if number[3:] in out]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("alertmanager_v4.json", "shanghai-1告警，db-7 数据盘 百分之96 满，共1条，请及时处理。"),
        ("grafana_legacy_alerting.json", None),
        ("grafana_unified.json", None),
    ],
)
def test_templates_with_a_recorded_webhook(capsys, body, words):
    args = ["--config", "good.yaml", "--template", "outage", "--data", str(PAYLOADS / body)]
    assert run(["template", "render", "--json", *args]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert words in (None, found["words"])
    assert (found["template"], found["alerts"]) == ("outage", 1)


def test_a_parameter_that_fails_is_told_and_exits_1(capsys):
    Path("good.yaml").write_text(ROUTES.replace(" | default('未知集群')", ""))
    Path("body.json").write_text('{"alerts": [{"status": "firing", "labels": {"alertname": "A"}}]}')
    args = ["--config", "good.yaml", "--template", "outage", "--data", "body.json"]
    assert run(["template", "render", *args]) == 1
    told = capsys.readouterr()
    assert (
        "failed    params[0]: UndefinedError: no 'cluster' here (there is: alertname)" in told.out
    )
    assert told.err == "uvms-adapter: error: 1 parameter(s) failed and were replaced\n"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "body.json: the body is not JSON: "),
        ("{}", "body.json: $.alerts: expected a list of alerts, found nothing"),
        ('{"alerts": []}', "body.json: there is no alert in it"),
    ],
)
def test_a_recorded_webhook_that_is_none(capsys, body, error):
    Path("body.json").write_text(body)
    assert run(["template", "render", "--config", "good.yaml", "--data", "body.json"]) == 1
    assert capsys.readouterr().err.startswith(f"uvms-adapter: error: {error}")


def test_an_unknown_template(capsys):
    assert run(["template", "render", "--config", "good.yaml", "--template", "outrage"]) == 1
    assert capsys.readouterr().err == (
        "uvms-adapter: error: there is no voice template 'outrage'; there is: outage, over\n"
    )
