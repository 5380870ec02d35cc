"""The documents say what the code does: examples load, tables are complete, links lead on.

A YAML block names its file in the first line (`# routes.yaml`, `# alertmanager.yml`, …); a console
block is a command with what it really prints.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jinja2 import Environment
from starlette.routing import Route

from adapter import __version__
from adapter.authentication import Accepted, authenticate
from adapter.cli.demo_story import STORY
from adapter.cli.main import cli
from adapter.cli.serve import serve
from adapter.clock import utc_now
from adapter.config.environment import inbound_credentials, settings
from adapter.config.load import load, load_file
from adapter.config.schema import RoutesFile
from adapter.delivery.account import Account
from adapter.delivery.outcomes import Answer, Outcome
from adapter.delivery.policy import DeliveryPolicy
from adapter.delivery.settling import settle
from adapter.intake import Intake
from adapter.metrics import Metrics
from adapter.model import Call, CallState, PhoneNumber, Reason, Record
from adapter.rendering.environment import ENVIRONMENT
from adapter.rendering.views import NAMES
from adapter.store.store import open_store
from adapter.web.api import Api
from adapter.web.app import create_app
from adapter.web.hooks import Hooks
from adapter.web.operations import Operations

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda path: path.as_posix()
)
READMES = ("README.md", "README.zh-CN.md")
SCHEMA_FILE = "routes.schema.json"
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


# --- reading a document ------------------------------------------------------------------------


class Block(Record):
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    text: str

    @property
    def kind(self) -> str:
        """What the first line's comment says it is: `routes.yaml`."""
        return self.text.partition("\n")[0].removeprefix("#").strip()


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[Block]:
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield Block(
                document=path.relative_to(ROOT).as_posix(),
                line=text.count("\n", 0, found.start()) + 1,
                language=found[1],
                text=found[2],
            )


def named(*, language: str, kind: str | None = None) -> list[Any]:
    return [
        pytest.param(block, id=f"{block.document}:{block.line}")
        for block in blocks()
        if block.language == language and kind in (None, block.kind)
    ]


def tables(name: str) -> list[list[list[str]]]:
    """Return the document's tables as rows of cells, without their headings."""
    found: list[list[list[str]]] = []
    inside = False
    for line in without_fences(document(name)).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
        if not line.startswith("|"):
            inside = False
        elif not inside:
            inside = True
            found.append([])
        elif not set(line) <= set("|-: "):
            found[-1].append(cells)
    return found


def codes(cell: str) -> list[str]:
    """Return what stands in a cell between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def table_with(name: str, code: str, column: int = 0) -> list[list[str]]:
    """Return the table that has a row whose cell in this column begins with this code."""
    return next(
        rows for rows in tables(name) if any(code in codes(row[column])[:1] for row in rows)
    )


def first_codes(rows: list[list[str]]) -> list[str]:
    return [codes(row[0])[0] for row in rows]


# --- examples ----------------------------------------------------------------------------------


def test_every_yaml_block_says_which_file_it_is() -> None:
    known = {
        "routes.yaml",
        "alertmanager.yml",
        "grafana/provisioning/alerting/phone.yaml",
        "prometheus rules",
        f"yaml-language-server: $schema={SCHEMA_FILE}",
    }

    assert {block.kind for block in blocks() if block.language == "yaml"} == known


@pytest.mark.parametrize("block", named(language="yaml", kind="routes.yaml"))
def test_every_routes_yaml_in_the_documents_loads_without_a_warning(block: Block) -> None:
    assert load(block.text, block.document).warnings == ()


def test_the_routes_yaml_in_the_repository_loads_without_a_warning() -> None:
    assert load_file(ROOT / "routes.yaml").warnings == ()


def test_the_line_for_editors_leads_to_the_schema_in_the_repository() -> None:
    (line,) = {block.text for block in blocks() if "yaml-language-server" in block.kind}

    assert line.strip() == document("routes.yaml").splitlines()[0]
    assert (ROOT / SCHEMA_FILE).is_file()


@pytest.mark.parametrize("block", named(language="yaml", kind="alertmanager.yml"))
def test_a_real_amtool_takes_every_alertmanager_yml(block: Block, tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no amtool: apt-get install prometheus-alertmanager")
    file = tmp_path / "alertmanager.yml"
    file.write_text(block.text, encoding="utf-8")

    checked = subprocess.run([amtool, "check-config", file], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("block", named(language="yaml", kind="alertmanager.yml"))
def test_alertmanager_posts_to_a_path_that_exists_and_sends_resolved(block: Block) -> None:
    receivers = yaml.safe_load(block.text)["receivers"]
    (hook,) = next(r["webhook_configs"] for r in receivers if "webhook_configs" in r)

    assert hook["url"].endswith("/v1/alertmanager")
    assert hook["send_resolved"] is True
    assert hook["max_alerts"] == 0


@pytest.mark.parametrize(
    "block", named(language="yaml", kind="grafana/provisioning/alerting/phone.yaml")
)
def test_what_grafana_sends_by_its_snippet_is_let_in(block: Block) -> None:
    """The secret comes from a variable that the snippet and our settings both name."""
    (point,) = yaml.safe_load(block.text)["contactPoints"]
    given, body = point["receivers"][0]["settings"], b'{"alerts": []}'
    environ, headers = _signed(given, body) if "hmacConfig" in given else _bearer(given)

    verdict = authenticate(inbound_credentials(settings(environ)), headers, body, NOW)

    assert isinstance(verdict, Accepted)
    assert given["url"].endswith("/v1/grafana")


def _bearer(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return our environment and Grafana's headers."""
    variable = given["authorization_credentials"].removeprefix("$")
    return {variable: "s3cret"}, {"Authorization": f"{given['authorization_scheme']} s3cret"}


def _signed(given: Mapping[str, Any], body: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Return our environment and Grafana's headers."""
    signing, at = given["hmacConfig"], str(int(NOW.timestamp()))
    signature = hmac.new(b"s3cret", f"{at}:".encode() + body, hashlib.sha256).hexdigest()
    environ = {
        signing["secret"].removeprefix("$"): "s3cret",
        "UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER": signing["timestampHeader"],
    }
    return environ, {signing["header"]: signature, signing["timestampHeader"]: at}


@pytest.mark.parametrize("block", named(language="console"))
def test_a_console_block_is_what_the_command_prints(block: Block, tmp_path: Path) -> None:
    """Commands use the largest routes.yaml of the document, in Shanghai's time zone.

    A line of `…` ends what is shown of a longer output.
    """
    examples = [
        other.text
        for other in blocks()
        if other.document == block.document and other.kind == "routes.yaml"
    ]
    (tmp_path / "routes.yaml").write_text(max(examples, key=len), encoding="utf-8")
    command, _, expected = block.text.partition("\n")
    shown, cut, _ = expected.partition("…\n")
    assert command.startswith("$ uvms-adapter ")

    ran = subprocess.run(
        [sys.executable, "-m", "adapter", *shlex.split(command)[2:]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TZ": "Asia/Shanghai", "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
    )

    printed = ran.stdout[: len(shown)] if cut else ran.stdout
    assert printed.strip() == shown.strip(), ran.stderr


@pytest.mark.parametrize("name", READMES)
def test_the_demo_tells_what_the_document_says_it_does(name: str) -> None:
    (shown,) = (
        block.text for block in blocks() if block.document == name and block.text.startswith("1. ")
    )

    for number, step in enumerate(STORY, start=1):
        if f"\n{number}. " in f"\n{shown}":
            assert f"{number}. {step.title}\n" in shown
            assert re.search(f"so +{re.escape(step.note)}\n", shown)
    said = {f"{person}: {words}" for step in STORY for person, words in step.rings.items()}
    assert set(re.findall(r"^   rang +(.+)$", shown, re.MULTILINE)) <= said | {"nobody"}


# --- tables of the READMEs ---------------------------------------------------------------------


class Recorded(dict[str, str]):
    """An empty environment that keeps which variables it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return default


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_settings_names_every_variable(name: str) -> None:
    environ = Recorded()
    settings(environ)

    listed = []
    for row in table_with(name, "UVMS_PUBLIC_KEY"):
        base, *endings = codes(row[0])
        listed += [base, *(base + ending for ending in endings)]

    assert sorted(listed) == sorted(environ.asked)


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_settings_has_the_right_defaults(name: str) -> None:
    found = settings({})
    defaults = {
        "UVMS_DATABASE_URL": found.database_url.reveal,
        "UVMS_WEBHOOK_HMAC_HEADER": found.webhook.hmac_header,
        "UVMS_LOG_FORMAT": found.log_format,
        "UVMS_LOG_LEVEL": found.log_level,
        "UVMS_MAX_BODY_BYTES": str(found.max_body_bytes),
    }

    rows = table_with(name, "UVMS_PUBLIC_KEY")

    assert {codes(row[0])[0]: codes(row[1])[0] for row in rows if row[1]} == defaults


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_serve_names_every_option_with_its_default(name: str) -> None:
    options = {
        option.opts[0]: option for option in serve.params if isinstance(option, click.Option)
    }

    rows = table_with(name, "--config")

    assert sorted(first_codes(rows)) == sorted(options)
    for row in rows:
        option = options[codes(row[0])[0]]
        if option.show_default:
            assert codes(row[1]) == [str(option.default)], option.opts


def commands(group: click.Group) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from (f"{name} {sub}" for sub in commands(command))
        else:
            yield name


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_commands_names_every_command(name: str) -> None:
    listed = [command for row in table_with(name, "serve") for command in codes(row[0])]

    assert sorted(listed) == sorted(commands(cli))


def series() -> dict[str, list[str]]:
    """Return each metric as it is exposed, with its labels."""
    metrics = Metrics(ret_codes=(0,), repairs=("lines",))
    metrics.http_request_duration.labels("/metrics", "GET", 200).observe(0)
    return {
        family.name + ("_total" if family.type == "counter" else ""): sorted(
            {label for sample in family.samples for label in sample.labels} - {"le"}
        )
        for family in metrics.registry.collect()
        if not family.name.startswith("process_")
    }


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_metrics_is_what_is_exposed(name: str) -> None:
    rows = table_with(name, "uvms_adapter_build_info")

    assert {codes(row[0])[0]: sorted(codes(row[1])) for row in rows} == series()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_metric_that_is_mentioned_exists(path: Path) -> None:
    mentioned = set(re.findall(r"\buvms_adapter_\w+", path.read_text(encoding="utf-8")))

    known = series()
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in mentioned} <= set(known)


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_sections_names_every_key_at_the_top_of_routes_yaml(name: str) -> None:
    rows = table_with(name, "voice_templates")

    assert sorted(first_codes(rows)) == sorted(RoutesFile.__struct_encode_fields__)


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_what_templates_see_is_complete(name: str) -> None:
    rows = table_with(name, "alerts")

    assert sorted(first_codes(rows)) == sorted(NAMES)
    for row in rows:
        attributes = NAMES[codes(row[0])[0]]
        assert set(attributes) <= set(codes(row[1])), row[0]


@pytest.mark.parametrize("name", READMES)
def test_our_own_filters_are_named(name: str) -> None:
    own = set(ENVIRONMENT.filters) - set(Environment().filters)

    assert own == {"since", "spoken", "short_host"}
    assert all(f"`{filter_name}`" in document(name) for filter_name in own)


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_paths_is_what_the_application_answers(name: str, tmp_path: Path) -> None:
    rows = table_with(name, "/-/healthy")

    listed = {codes(row[0])[0]: set(row[1].split(", ")) for row in rows}

    assert listed == answered(tmp_path)


def answered(tmp_path: Path) -> dict[str, set[str]]:
    """Return the paths of the application, built as the service builds it, with their methods."""
    policy, metrics = load_file(ROOT / "routes.yaml"), Metrics()
    store = open_store(f"sqlite:///{tmp_path}/uvms-adapter.db", exclusive=True)
    ids = itertools.count()

    async def reload() -> None:
        """Nothing is asked of it here."""

    def new_id() -> str:
        return str(next(ids))

    try:
        intake = Intake(store, lambda: policy, metrics, utc_now, new_id, lambda: None)
        app = create_app(
            Hooks(intake, metrics, utc_now, lambda: None, 1024),
            Operations(store, metrics, utc_now, reload, lambda: None),
            Api(store, lambda: policy, utc_now, lambda: None, lambda: None),
            metrics,
        )
        return {
            route.path: set(route.methods or ()) - {"HEAD"}
            for route in app.routes
            if isinstance(route, Route)
        }
    finally:
        store.close()


# --- tables of the other documents ---------------------------------------------------------------


def test_the_layers_are_those_that_import_linter_proves() -> None:
    configured = tomllib.loads(document("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = [re.split(" [|:] ", layer) for layer in configured[0]["layers"]]

    rows = table_with("docs/architecture.md", "__main__")

    assert [codes(row[0]) for row in rows] == layers


def test_the_table_of_reasons_is_complete() -> None:
    rows = table_with("docs/architecture.md", Reason.STALE)

    assert sorted(first_codes(rows)) == sorted(Reason)


def test_the_table_of_call_states_is_complete() -> None:
    rows = table_with("docs/architecture.md", CallState.GAVE_UP)

    assert first_codes(rows) == [str(state) for state in CallState]
    assert [row[1] == "yes" for row in rows] == [state.open for state in CallState]


@pytest.mark.parametrize("outcome", Outcome)
def test_the_table_of_outcomes_says_what_settling_does(outcome: Outcome) -> None:
    call = Call(
        id="1",
        page_id=None,
        receiver="sre-phone",
        person="alice",
        phone=PhoneNumber("+8613512345678"),
        reason=Reason.TEST,
        state=CallState.SENDING,
        created_at=NOW,
        due_at=NOW,
        due_since=NOW,
        attempts=1,
    )
    rows = table_with("docs/architecture.md", Outcome.ACCOUNT_REFUSED)

    settlement = settle(call, outcome, Answer(), Account(), DeliveryPolicy(), NOW, 0.5)

    assert {codes(row[0])[0]: codes(row[1])[0] for row in rows}[outcome] == settlement.state
    assert len(rows) == len(Outcome)


def test_every_place_the_architecture_names_exists() -> None:
    rows = table_with("docs/architecture.md", "routing.py", column=1)

    for place in (code for row in rows for code in codes(row[1])):
        if place.endswith((".py", "/")):
            assert (ROOT / "adapter" / place).exists() or "<module>" in place, place


def log_lines() -> dict[str, set[str]]:
    """Return every constant log line of the code with the methods it is logged by."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "adapter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function, text = node.func, node.args[0]
            logged = isinstance(function, ast.Attribute) and function.attr in (
                "info",
                "warning",
                "error",
                "exception",
            )
            chosen = isinstance(function, ast.Name) and function.id == "report"
            if (logged or chosen) and isinstance(text, ast.Constant) and text.value:
                method = function.attr if isinstance(function, ast.Attribute) else "report"
                found.setdefault(str(text.value), set()).add(method)
    return found


def test_operations_explains_every_loud_log_line_and_no_other() -> None:
    rows = table_with("docs/operations.md", "a person was not reached")
    explained = {code for row in rows for code in codes(row[0])}

    lines = log_lines()

    assert explained <= set(lines)
    loud = {text for text, methods in lines.items() if methods - {"info"}}
    assert loud <= explained


def test_the_rules_on_ourselves_ask_for_series_that_exist(tmp_path: Path) -> None:
    (block,) = (block for block in blocks() if block.kind == "prometheus rules")
    known = series()

    for rule in yaml.safe_load(block.text)["groups"][0]["rules"]:
        for metric, labels in re.findall(r"(uvms_adapter_\w+)(?:{(\w+)=)?", rule["expr"]):
            assert metric in known
            assert not labels or labels in known[metric]
    promtool = shutil.which("promtool")
    if promtool is not None:
        (tmp_path / "rules.yml").write_text(block.text, encoding="utf-8")
        subprocess.run([promtool, "check", "rules", tmp_path / "rules.yml"], check=True)


def test_the_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", document("Makefile"), re.MULTILINE))

    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named_targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
        assert named_targets <= targets, path
    rows = table_with("CONTRIBUTING.md", "make install")
    assert {code.removeprefix("make ") for code in first_codes(rows)} == targets - {"help"}


def test_every_decision_record_has_all_its_parts() -> None:
    records = sorted((ROOT / "docs/adr").glob("*.md"))

    for number, path in enumerate(records, start=1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert re.search(r"^Status: (accepted|superseded)\nDate: \d{4}-\d\d-\d\d$", text, re.M)
        headings = re.findall("^## (.+)$", text, re.M)
        assert headings == ["Context", "Options", "Outcome", "Consequences"], path.name
        assert text.count("- Good: ") == text.count("- Bad: ") >= 2, path.name


# --- versions and links --------------------------------------------------------------------------


def test_the_head_of_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\](.*)$", document("CHANGELOG.md"), re.M)

    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == __version__
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", when) for _, when in headings[1:])


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", without_fences(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def links() -> list[Any]:
    return [
        pytest.param(path, target, id=f"{path.relative_to(ROOT).as_posix()}:{target}")
        for path in DOCUMENTS
        for target in dict.fromkeys(
            re.findall(r"\]\(([^)\s]+)\)", without_fences(path.read_text(encoding="utf-8")))
        )
        if not target.startswith(("https://", "http://"))
    ]


@pytest.mark.parametrize(("path", "target"), links())
def test_every_link_inside_the_repository_leads_somewhere(path: Path, target: str) -> None:
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve() if file else path

    assert there.exists()
    if anchor:
        assert anchor in anchors(there.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_document_shows_what_is_only_a_placeholder(path: Path) -> None:
    assert not re.search(r"<!--|\bTODO\b|\bTBD\b|\bXXX\b", path.read_text(encoding="utf-8"))
