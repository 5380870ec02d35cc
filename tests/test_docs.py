"""The documents say what the code does: tables are complete, links lead on, versions agree.

Their examples are tried in `test_docs_blocks`.
"""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml
from doc_blocks import DOCUMENTS, ROOT, document, without_fences
from jinja2 import Environment
from starlette.routing import Route

from adapter import __version__
from adapter.cli.main import cli
from adapter.cli.serve import serve
from adapter.clock import utc_now
from adapter.config.environment import settings
from adapter.config.load import load_file
from adapter.config.schema import RoutesFile
from adapter.delivery.account import Account
from adapter.delivery.outcomes import Answer, Outcome
from adapter.delivery.policy import DeliveryPolicy
from adapter.delivery.settling import settle
from adapter.metrics import Metrics
from adapter.model import (
    Call,
    CallState,
    EventKind,
    FallbackState,
    Page,
    PhoneNumber,
    Reason,
    Result,
)
from adapter.paging import Changes
from adapter.rendering.environment import ENVIRONMENT
from adapter.rendering.views import NAMES
from adapter.service import Parts, Ports
from adapter.store.session import Session
from adapter.store.store import open_store
from adapter.uvms.client import UvmsClient
from adapter.uvms.wire import Keys
from adapter.views import stored

READMES = ("README.md", "README.zh-CN.md")
RULES = "helm/uvms-adapter/files/alerts.yaml"
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


# --- reading a document ------------------------------------------------------------------------


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
        "UVMS_DATABASE_WRITERS": str(found.database_writers),
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
    metrics.schedule_uncovered.labels("primary").set(0)
    metrics.heartbeat_missing.labels("prometheus").set(0)
    metrics.calendar_refreshed("primary", NOW)
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
    policy, metrics, http = load_file(ROOT / "routes.yaml"), Metrics(), httpx.AsyncClient()
    store = open_store(f"sqlite:///{tmp_path}/uvms-adapter.db", exclusive=True)
    vendor = UvmsClient(http, lambda: policy.uvms, lambda: Keys(public_key="", private_key=None))
    ids = itertools.count()

    async def reload() -> None:
        """Nothing is asked of it here."""

    try:
        ports = Ports(
            store=store,
            vendor=vendor,
            http=http,
            clock=utc_now,
            new_id=lambda: str(next(ids)),
            chance=lambda: 0.5,
        )
        app = Parts(ports, settings({}), lambda: policy, metrics, reload).app
        found: dict[str, set[str]] = {}
        for route in app.routes:
            if isinstance(route, Route):
                found.setdefault(route.path, set()).update(set(route.methods or ()) - {"HEAD"})
        return found
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
    rows = table_with("docs/architecture.md", CallState.CANCELLED)

    assert first_codes(rows) == [str(state) for state in CallState]
    assert [row[1] == "yes" for row in rows] == [state.open for state in CallState]


def test_the_table_of_results_is_complete() -> None:
    rows = table_with("docs/architecture.md", Result.HUNG_UP)

    assert first_codes(rows) == [stored.SUBMITTED, *map(str, Result)]


def test_the_table_of_events_is_complete() -> None:
    rows = table_with("docs/architecture.md", EventKind.SKIPPED)

    assert first_codes(rows) == [str(kind) for kind in EventKind]


def test_the_table_of_fallbacks_is_complete() -> None:
    rows = table_with("docs/architecture.md", FallbackState.SENT)

    assert first_codes(rows) == [str(state) for state in FallbackState]


def test_the_table_of_a_pages_states_is_what_is_shown(tmp_path: Path) -> None:
    rows = table_with("docs/architecture.md", "exhausted")
    states = {
        "open": {},
        "exhausted": {"exhausted_at": NOW},
        "acknowledged": {"exhausted_at": NOW, "acknowledged_at": NOW},
        "closed": {"exhausted_at": NOW, "acknowledged_at": NOW, "closed_at": NOW},
    }

    assert first_codes(rows) == list(states)
    assert [shown_state(tmp_path / state, **set_) for state, set_ in states.items()] == [*states]


def shown_state(folder: Path, **times: datetime) -> str:
    """Return what people are shown of a page at which these things have happened."""
    folder.mkdir()
    page = Page(
        id="1",
        receiver="sre-phone",
        group_labels={},
        opened_at=NOW,
        confirmed_at=NOW,
        **times,
    )
    store = open_store(f"sqlite:///{folder}/uvms-adapter.db", exclusive=True)

    def job(session: Session) -> str:
        session.record(Changes(new_pages=(page,)))
        return str(stored.page(session, "1")["state"])

    try:
        return store.write_now(job)
    finally:
        store.close()


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
            for method, text in _logged(node):
                found.setdefault(text, set()).add(method)
    return found


def _logged(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Find `_log.warning("…")`, `report("…")`, and pairs of a method and its line in a table."""
    match node:
        case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(text)), *_]):
            known = method in ("info", "warning", "error", "exception")
        case ast.Call(func=ast.Name(id="report"), args=[ast.Constant(value=str(text)), *_]):
            method, known = "report", True
        case ast.Tuple(elts=[ast.Attribute(attr=method), ast.Constant(value=str(text))]):
            known = method in ("info", "warning", "error")
        case _:
            return
    if known and text:
        yield method, text


def test_operations_explains_every_loud_log_line_and_no_other() -> None:
    rows = table_with("docs/operations.md", "a person was not reached")
    explained = {code for row in rows for code in codes(row[0])}

    lines = log_lines()

    assert explained <= set(lines)
    loud = {text for text, methods in lines.items() if methods - {"info"}}
    assert loud <= explained


def test_every_rule_on_ourselves_has_its_part_of_the_runbook() -> None:
    headings = re.findall("^### (.+)$", document("docs/operations.md"), re.MULTILINE)
    rules = yaml.safe_load(document(RULES))["groups"][0]["rules"]

    alerts = [rule["alert"] for rule in rules]

    assert [name for name in headings if name.startswith("UvmsAdapter")] == alerts


def test_the_rules_on_ourselves_ask_for_series_that_exist() -> None:
    known = series()

    for rule in yaml.safe_load(document(RULES))["groups"][0]["rules"]:
        for metric, labels in re.findall(r"(uvms_adapter_\w+)(?:{([^}]*)})?", rule["expr"]):
            assert metric in known
            assert set(re.findall(r"(\w+)=", labels)) <= {*known[metric], "job"}


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
