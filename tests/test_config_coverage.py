"""What will go wrong in the coming days, of a routes.yaml that is good as such."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from adapter.config.coverage import coverage_problems
from adapter.config.load import load
from adapter.model import StoredOverride
from adapter.schedules import Shift

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)  # 11:00 in Shanghai, a Tuesday

ROUTES = """\
people: {alice: {phone: +8613512345678}, bob: {phone: +8613512345679}}
voice_templates: {v: {id: UVVT1, text: 请处理。}}
schedules:
  primary:
    time_zone: Asia/Shanghai
    rotations:
      - {people: [alice, bob], start: "2026-11-02T10:00", every: 1w}
receivers:
  - {name: a, voice_template: v, call: [primary]}
route: {receiver: a}
"""
ROTATION = '{people: [alice, bob], start: "2026-11-02T10:00", every: 1w}'
BY_DAY = (
    '{people: [alice], start: "2026-11-02T00:00", '
    'hours: [{start_time: "08:00", end_time: "20:00"}]}'
)
NIGHTS = (
    '{name: nights, people: [bob], start: "2026-11-02T00:00", '
    'hours: [{start_time: "20:00", end_time: "08:00"}]}'
)
NOBODY = "the next step is taken at once, and without one nobody is called"
LAST = "add a last step with a person or a number"

DAYS = "in the coming 30 days"


def rotations(*texts: str) -> str:
    return ROUTES.replace(ROTATION, "\n      - ".join(texts))


def calling(*names: str, text: str = ROUTES) -> str:
    return text.replace("call: [primary]", f"call: [{', '.join(names)}]")


def overrides(*texts: str) -> str:
    listed = "".join(f"      - {{{text}}}\n" for text in texts)
    return ROUTES.replace("receivers:\n", f"    overrides:\n{listed}receivers:\n")


def told(text: str) -> list[str]:
    found = coverage_problems(load(text), NOW)
    return [str(problem).removeprefix("routes.yaml:") for problem in found]


CASES: dict[str, tuple[str, list[str]]] = {
    "somebody always": (ROUTES, []),
    "no schedule": (calling("alice", text=ROUTES.replace(" primary:", " other:")), []),
    "nobody at night": (
        rotations(BY_DAY),
        [
            "4:3: schedules.primary: found nobody on call from 2026-11-24T20:00 to "
            f"2026-11-25T08:00 in Asia/Shanghai, and 29 more times, {DAYS}; {NOBODY}",
            '9:5: receivers[0]: found "a", which calls nobody from 2026-11-24T20:00 to '
            f"2026-11-25T08:00 in Asia/Shanghai, and 29 more times, {DAYS}; {LAST}",
        ],
    ),
    "a schedule of nobody that nobody calls": (calling("alice", text=rotations(BY_DAY)), []),
    "a person beside the hole": (
        calling("primary", "bob", text=rotations(BY_DAY)),
        [
            "4:3: schedules.primary: found nobody on call from 2026-11-24T20:00 to "
            f"2026-11-25T08:00 in Asia/Shanghai, and 29 more times, {DAYS}; {NOBODY}",
        ],
    ),
    "a night of its own": (rotations(BY_DAY, NIGHTS), []),
    "nobody yet": (
        rotations(ROTATION.replace("2026-11-02T10:00", "2026-12-01T10:00")),
        [
            "4:3: schedules.primary: found nobody on call from now to 2026-12-01T10:00 in "
            f"Asia/Shanghai, {DAYS}; {NOBODY}",
            '9:5: receivers[0]: found "a", which calls nobody from now to 2026-12-01T10:00 in '
            f"Asia/Shanghai, {DAYS}; {LAST}",
        ],
    ),
    "nobody for ever": (
        rotations(ROTATION.replace("1w}", '1w, end: "2026-11-20T10:00"}')),
        [
            "4:3: schedules.primary: found nobody on call from now on in Asia/Shanghai, "
            f"{DAYS}; {NOBODY}",
            "7:9: schedules.primary.rotations[0]: found a rotation that ended at "
            "2026-11-20T10:00; delete it",
            '9:5: receivers[0]: found "a", which calls nobody from now on in Asia/Shanghai, '
            f"{DAYS}; {LAST}",
        ],
    ),
    "a rotation that the last one covers": (
        rotations(NIGHTS, ROTATION),
        [
            '7:9: schedules.primary.rotations[0]: found the rotation "nights" that never gets a '
            "turn; the rotations after it always have somebody: move it below them",
        ],
    ),
    "a rotation of next year": (
        rotations(ROTATION.replace("2026-11-02", "2027-11-02"), ROTATION),
        [],
    ),
    "a rotation that another one covers at times": (rotations(ROTATION, NIGHTS), []),
    "nobody who is next": (
        calling("alice", '"primary:next"', text=rotations(ROTATION.replace(", bob", ""))),
        [
            '4:3: schedules.primary: found nobody who is "primary:next"; it takes two turns for '
            "somebody to be on after another",
        ],
    ),
    "nobody but who is next": (
        calling('"primary:next"', text=rotations(ROTATION.replace(", bob", ""))),
        [
            '4:3: schedules.primary: found nobody who is "primary:next"; it takes two turns for '
            "somebody to be on after another",
            '9:5: receivers[0]: found "a", which calls nobody from now on in Asia/Shanghai, '
            f"{DAYS}; {LAST}",
        ],
    ),
    "a receiver that calls nobody on purpose": (
        ROUTES.replace("route:", "  - {name: nobody}\nroute:"),
        [],
    ),
    "workdays that were published": (
        rotations(ROTATION, BY_DAY.replace("hours", "workdays: CN, hours")),
        [],
    ),
    "somebody who is next": (calling('"primary:next"'), []),
    "an override that is over": (
        overrides("person: bob, from: 2026-11-20T10:00, until: 2026-11-21T10:00"),
        [
            "9:9: schedules.primary.overrides[0]: found an override that ended at "
            "2026-11-21T10:00; delete it",
        ],
    ),
    "an override to come": (
        overrides("person: bob, from: 2026-11-25T10:00, until: 2026-11-26T10:00"),
        [],
    ),
    "two overrides at once": (
        overrides(
            "person: bob, from: 2026-11-25T10:00, until: 2026-11-26T10:00",
            "person: alice, from: 2026-11-25T18:00, until: 2026-11-27T10:00",
        ),
        [
            "4:3: schedules.primary: found two overrides from 2026-11-25T18:00 to "
            '2026-11-26T10:00: "alice" is on call, "bob" is not; the one that was added later '
            "counts",
        ],
    ),
    "a calendar that was not read": (
        rotations(BY_DAY).replace("receivers:", "    calendar: {file: x.ics}\nreceivers:"),
        [],
    ),
}


@pytest.mark.parametrize(("text", "messages"), CASES.values(), ids=CASES)
def test_what_will_go_wrong_is_told(text: str, messages: list[str]) -> None:
    assert told(text) == messages


class Planned:
    """A calendar that has bob on call for a time, at the end of which it goes on with nobody."""

    def __init__(self, until: datetime) -> None:
        self._shift = Shift(people=("bob",), start=NOW - timedelta(days=1), end=until)

    def on_call(self, at: datetime) -> tuple[str, ...]:
        return self._shift.people if self._shift.start <= at < self._shift.end else ()

    def shifts(self, start: datetime, end: datetime) -> Sequence[Shift]:
        return [self._shift]


def test_a_calendar_that_was_read_counts() -> None:
    text = rotations(BY_DAY).replace("receivers:", "    calendar: {file: x.ics}\nreceivers:")
    policy = load(text)

    assert coverage_problems(policy, NOW, {"primary": Planned(NOW + timedelta(days=40))}) == ()
    holes = coverage_problems(policy, NOW, {"primary": Planned(NOW + timedelta(days=29))})
    assert [problem.path for problem in holes] == ["$.schedules.primary", "$.receivers[0]"]
    assert "from 2026-12-23T20:00 to 2026-12-24T08:00" in holes[0].found


def test_a_stored_override_fills_a_hole() -> None:
    policy = load(rotations(ROTATION.replace("2026-11-02T10:00", "2026-12-01T10:00")))
    filled = StoredOverride(
        id="o1",
        schedule="primary",
        person="bob",
        starts_at=NOW,
        ends_at=NOW + timedelta(days=8),
        created_at=NOW,
        created_by="cli",
    )

    assert coverage_problems(policy, NOW, overrides=[filled]) == ()


def test_workdays_that_were_not_published_yet_are_told() -> None:
    policy = load(rotations(ROTATION, BY_DAY.replace("hours", "workdays: CN, hours")))
    late = datetime(2099, 12, 20, tzinfo=UTC)

    (problem,) = [one for one in coverage_problems(policy, late) if "workdays" in one.found]

    assert problem.found.startswith("workdays of CN that are known until 20")
    assert problem.hint == "once they are published, update the package holidays"


def test_problems_know_where_they_stand() -> None:
    (first, _) = coverage_problems(load(rotations(BY_DAY), "night.yaml"), NOW)

    assert (first.file, first.line, first.column) == ("night.yaml", 4, 3)
    assert first.path == "$.schedules.primary"
