"""The JSON Schema of routes.yaml: current, and of one mind with the loader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from adapter.config.load import load
from adapter.config.schema import RoutesFile, Section, json_schema, render_json_schema

ROOT = Path(__file__).parents[1]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


class CoreLoader(yaml.SafeLoader):
    """Reads scalars by YAML 1.2, as editors do."""


CoreLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
):
    CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first)
    )


def as_an_editor_sees_it(text: str) -> Any:
    # Keys are texts in JSON.
    return texts(yaml.load(text, Loader=CoreLoader))


def texts(part: Any) -> Any:
    if isinstance(part, dict):
        return {str(key): texts(value) for key, value in part.items()}
    return [texts(item) for item in part] if isinstance(part, list) else part


def complaints(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(as_an_editor_sees_it(text))]


def test_the_file_in_the_repository_is_current() -> None:
    """If this fails: uvms-adapter config schema > routes.schema.json"""
    assert (ROOT / "routes.schema.json").read_text() == render_json_schema()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_shipped_routes_yaml_names_it_and_fits() -> None:
    text = (ROOT / "routes.yaml").read_text()

    assert text.startswith("# yaml-language-server: $schema=routes.schema.json\n")
    assert complaints(text) == []


def examples_of_the_readme() -> list[str]:
    found = []
    for readme in sorted(ROOT.glob("README*.md")):
        blocks = re.findall(r"^```ya?ml\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
        found += [block for block in blocks if re.search(r"^voice_templates:", block, re.MULTILINE)]
    return found


def test_the_examples_of_the_readme_load_and_fit() -> None:
    for example in examples_of_the_readme():
        load(example)
        assert complaints(example) == []


def sections() -> dict[str, Any]:
    return {name: part for name, part in json_schema()["$defs"].items() if "properties" in part}


def test_every_key_is_described() -> None:
    undescribed = [
        f"{name}.{key}"
        for name, definition in sections().items()
        for key, value in definition["properties"].items()
        if "description" not in value
    ]

    # These hold nothing but a section, which is described itself.
    assert undescribed == [
        "RoutesFile.limits",
        "RoutesFile.receipts",
        "RoutesFile.uvms",
        "RoutesFile.delivery",
        "ScheduleSection.calendar",
        "LimitsSection.per_person",
        "UvmsSection.timeouts",
    ]


def test_every_section_is_closed() -> None:
    closed = [name for name, part in sections().items() if part["additionalProperties"] is False]

    assert sorted(closed) == sorted(section.__name__ for section in Section.__subclasses__())
    assert sections()[RoutesFile.__name__]["required"] == ["route", "receivers"]


BASE = "receivers: [{name: a}]\nroute: {receiver: a}\n"

FITS = {
    "the least": BASE,
    "keys without a value": BASE + "people:\nlimits:\nretention:\n",
    "a duration of 0": "receivers: [{name: a}]\nroute: {receiver: a, group_wait: 0}\n",
    "never": "receivers: [{name: a}]\nroute: {receiver: a, repeat_interval: never}\n",
    "labels that look like numbers": (
        "receivers: [{name: a}]\nroute: {receiver: a, routes: [{match: {code: 500, ok: true}}]}\n"
    ),
    "days and years as numbers": (
        BASE + "time_intervals: [{name: x, time_intervals: [{days_of_month: [1, -1], "
        "months: [1], years: [2026]}]}]\n"
    ),
    "everything about who is called": (Path(__file__).parent / "data" / "calls.yaml").read_text(),
    "overrides by RetCode": BASE + "uvms: {ret_codes: {18013: account_refused}}\n",
}

MISFITS = {
    "no route": "receivers: [{name: a}]\n",
    "an unknown key": BASE + "recievers: []\n",
    "a receiver without name": "receivers: [{}]\nroute: {receiver: a}\n",
    "a list for a mapping": BASE + "people: []\n",
    "a phone without +": BASE + 'people: {a: {phone: "13512345678"}}\n',
    "a duration without unit": "receivers: [{name: a}]\nroute: {receiver: a, group_wait: 30}\n",
    "a duration in words": "receivers: [{name: a}]\nroute: {receiver: a, group_wait: 5 min}\n",
    "an empty duration": BASE + 'retention: ""\n',
    "a boolean as yes": (
        "receivers: [{name: a}]\nroute: {receiver: a, routes: [{continue: yes}]}\n"
    ),
    "a limit of 0": BASE + "limits: {per_person: {per_day: 0}}\n",
    "an unknown outcome": BASE + "uvms: {ret_codes: {1: retri}}\n",
    "no step": "receivers: [{name: a, escalation: []}]\nroute: {receiver: a}\n",
    "a step of nobody": "receivers: [{name: a, escalation: [{call: []}]}]\nroute: {receiver: a}\n",
    "a start with an offset": (
        BASE + "schedules: {x: {time_zone: UTC, rotations: "
        "[{people: [a], start: 2026-11-02T10:00+08:00}]}}\n"
    ),
    "a fallback of another kind": (
        "receivers: [{name: a, fallback_webhook: ftp://x}]\nroute: {receiver: a}\n"
    ),
    "hours in words": BASE + "voice_templates: {a: {id: x, hours: day}}\n",
    "a mode that does not exist": BASE + "mode: dark\n",
    "a group type of 3": BASE + "uvms: {group_type: 3}\n",
}


@pytest.mark.parametrize("text", FITS.values(), ids=FITS)
def test_what_loads_fits(text: str) -> None:
    load(text)

    assert complaints(text) == []


@pytest.mark.parametrize("text", MISFITS.values(), ids=MISFITS)
def test_what_is_plainly_broken_does_not_fit(text: str) -> None:
    assert complaints(text) != []
