"""Voice templates are checked at load, and have something to say at night whatever comes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidTemplate
from adapter.model import Episode, Page, Person, PhoneNumber, Reason
from adapter.rendering.linting import TemplateProblem, lint
from adapter.rendering.render import Rendered, render
from adapter.rendering.repairs import MAX_WORDS, RepairKind, objection
from adapter.rendering.speech import Language
from adapter.rendering.templates import VoiceTemplate, compile_param, compile_template
from adapter.rendering.views import RenderContext

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
NUMBER = "+8613512345678"
ALICE = Person(name="alice", phone=PhoneNumber(NUMBER), spoken_name="王小丽")

OUTAGE = compile_template(
    name="outage",
    template_id="UVVT20221122ABCD",
    text="{1}告警，{2}，共{3}条，请及时处理。",
    params=[
        "{{ alert.labels.cluster }}",
        "{{ alert.annotations.summary | default(alert.labels.alertname) }}",
        "{{ alerts | length }}",
    ],
)


def episode(labels: dict[str, str], **others: object) -> Episode:
    fields: dict[str, object] = {
        "id": 1,
        "receiver": "sre-phone",
        "fingerprint": "0123456789abcdef",
        "page_id": "p1",
        "firing": True,
        "starts_at": NOW - timedelta(minutes=65),
        "ends_at": None,
        "annotations": {},
    }
    return Episode(labels=labels, **(fields | others))  # type: ignore[arg-type]


PAGE = Page(
    id="p1",
    receiver="sre-phone",
    group_labels={"cluster": "prod"},
    opened_at=NOW - timedelta(minutes=65),
    confirmed_at=NOW,
)
DISK = episode(
    {"alertname": "DiskFull", "cluster": "prod", "instance": "node-1.example.com:9100"},
    annotations={"summary": "磁盘使用率 95%"},
    values={"B": 95.3333, "C": None},
)


def context(
    *alerts: Episode,
    page: Page | None = PAGE,
    person: Person = ALICE,
    reason: Reason = Reason.FIRST,
) -> RenderContext:
    return RenderContext(
        alerts=alerts, page=page, receiver="sre-phone", person=person, reason=reason, now=NOW
    )


def template(*params: str, text: str = "", language: Language | None = None) -> VoiceTemplate:
    return compile_template(
        name="t", template_id="UVVT1", text=text, params=params, language=language
    )


def say(param: str, seen: RenderContext | None = None, language: Language = Language.ZH) -> str:
    """Return what one parameter says; it must not fail."""
    rendered = render(template(param, language=language), seen or context(DISK))
    assert rendered.errors == ()
    return rendered.words


# --- what is said ----------------------------------------------------------------------------


def test_a_call_says_the_approved_text_with_its_variables_filled_in() -> None:
    rendered = render(OUTAGE, context(DISK, DISK))
    assert rendered.params == ("prod", "磁盘使用率 百分之95", "2")
    assert rendered.words == "prod告警，磁盘使用率 百分之95，共2条，请及时处理。"
    assert [(made.param, made.kind) for made in rendered.repairs] == [(1, RepairKind.SYMBOLS)]
    assert rendered.errors == ()


def test_without_the_text_the_words_are_the_parameters() -> None:
    assert render(template("{{ alert.labels.cluster }}", "b"), context(DISK)).words == "prod，b"
    english = template("a", "b", language=Language.EN)
    assert render(english, context(DISK)).words == "a, b"


def test_a_text_without_variables_needs_no_parameters() -> None:
    assert render(template(text="机房告警"), context(DISK)) == Rendered(params=(), words="机房告警")


SEES = {
    "label": ("{{ alert.labels.cluster }}", "prod"),
    "label by subscript": ("{{ alert.labels['cluster'] }}", "prod"),
    "annotation": ("{{ alert.annotations.summary }}", "磁盘使用率 百分之95"),
    "missing label with default": ("{{ alert.labels.pod | default('无') }}", "无"),
    "Grafana's value": ("{{ alert.values.B }}", "95.33"),
    "Grafana's value of no data": ("{{ alert.values.C }} x", "x"),
    "status": ("{{ alert.status }}", "firing"),
    "start": ("{{ alert.starts_at }}", "2026-11-23 01:55 UTC"),
    "no end": ("{{ alert.ends_at }} x", "x"),
    "how many": ("{{ alerts | length }}", "1"),
    "first three": ("{{ alerts[:3] | map(attribute='labels.alertname') | join(' ') }}", "DiskFull"),
    "loop": ("{% for a in alerts %}{{ a.labels.alertname }}{% endfor %}", "DiskFull"),
    "page": ("{{ page.group_labels.cluster }}", "prod"),
    "person's spoken name": ("{{ person.name }}", "王小丽"),
    "receiver": ("{{ receiver }}", "sre-phone"),
    "reason": ("{{ reason }}", "first"),
    "label names": ("{{ alert.labels | list | join(' ') }}", "alertname cluster instance"),
    "label pairs": (
        "{% for k, v in page.group_labels | items %}{{ k }}={{ v }}{% endfor %}",
        "cluster prod",
    ),
    "arithmetic": ("{{ 2048 * 3 / 1024 ** 2 }}", "0.0059"),
    "text repeated": ("{{ 'ab' * 3 }}", "ababab"),
    "small number": ("{{ 0.00421 }}", "0.0042"),
    "whole number": ("{{ 7.0 }}", "7"),
    "large number": ("{{ 1200.0 }}", "1200"),
    "not a number": ("{{ 'nan' | float }}", "NaN"),
    "how long": ("{{ alert.starts_at | since }}", "1小时5分钟"),
    "word": ("{{ reason | spoken }}", "新告警"),
    "word it does not know": ("{{ receiver | spoken }}", "sre-phone"),
    "short host": ("{{ alert.labels.instance | short_host }}", "node-1"),
    "test": ("{{ 'yes' if alert.labels.pod is undefined else 'no' }}", "yes"),
    "range": ("{{ range(3) | join }}", "012"),
    "namespace": ("{% set n = namespace(x=1) %}{% set n.x = 2 %}{{ n.x }}", "2"),
}


@pytest.mark.parametrize(("param", "words"), SEES.values(), ids=SEES)
def test_what_templates_see(param: str, words: str) -> None:
    assert say(param) == words


@pytest.mark.parametrize("name", ["items", "keys", "get", "values", "pop", "_private", "__len__"])
def test_a_label_is_a_label_whatever_its_name(name: str) -> None:
    labelled = context(episode({name: "label"}))
    assert say(f"{{{{ alert.labels.{name} }}}}", labelled) == "label"
    assert say(f"{{{{ alert.labels['{name}'] }}}}", labelled) == "label"
    assert say(f"{{{{ alert.labels.{name} | default('none') }}}}", context(episode({}))) == "none"


AGES = {
    "now": (0, "0秒", "0 seconds"),
    "in the future": (-60, "0秒", "0 seconds"),
    "a second": (1, "1秒", "1 second"),
    "minutes": (125, "2分钟5秒", "2 minutes 5 seconds"),
    "whole hours": (7200, "2小时", "2 hours"),
    "two units at most": (90_061, "1天1小时", "1 day 1 hour"),
    "days and minutes": (86_460, "1天", "1 day"),
}


@pytest.mark.parametrize(("seconds", "zh", "en"), AGES.values(), ids=AGES)
def test_since(seconds: int, zh: str, en: str) -> None:
    seen = context(episode({}, starts_at=NOW - timedelta(seconds=seconds)))
    assert say("{{ alert.starts_at | since }}", seen) == zh
    assert say("{{ alert.starts_at | since }}", seen, Language.EN) == en


CALLING = [Reason.FIRST, Reason.NEW_ALERTS, Reason.REPEAT, Reason.RESOLVED, Reason.TEST]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("reason", CALLING)
def test_reasons_have_a_word_in_each_language(reason: Reason, language: Language) -> None:
    words = say("{{ reason | spoken }}", context(DISK, reason=reason), language)
    assert words.isascii() is (language is Language.EN)


def test_a_resolved_alert_says_so() -> None:
    assert say("{{ alert.status | spoken }}", context(episode({}, firing=False))) == "已恢复"


HOSTS = {
    "host and port": ("node-1.example.com:9100", "node-1"),
    "host": ("node-1.example.com", "node-1"),
    "bare name": ("node-1", "node-1"),
    "address and port": ("10.0.0.1:9100", "10点0点0点1"),
    "IPv6": ("fe80::1", "fe80冒号冒号1"),
    "IPv6 and port": ("[fe80::1]:9100", "fe80冒号冒号1"),
    "leading dot": (".env", "env"),
}


@pytest.mark.parametrize(("instance", "words"), HOSTS.values(), ids=HOSTS)
def test_short_host(instance: str, words: str) -> None:
    seen = context(episode({"instance": instance}))
    assert say("{{ alert.labels.instance | short_host }}", seen) == words


PEOPLE = {
    "spoken name": (ALICE, "王小丽"),
    "name": (Person(name="bob", phone=PhoneNumber(NUMBER)), "bob"),
    "bare number": (Person(name=str(PhoneNumber(NUMBER)), phone=PhoneNumber(NUMBER)), "值班人员"),
}


@pytest.mark.parametrize(("person", "words"), PEOPLE.values(), ids=PEOPLE)
def test_a_person_is_named_and_never_numbered(person: Person, words: str) -> None:
    assert say("{{ person.name }}", context(DISK, person=person)) == words


def test_a_test_call_has_an_empty_alert_and_page() -> None:
    seen = context(page=None, reason=Reason.TEST)
    params = ["{{ alert.labels.x | default('a') }}", "{{ page.group_labels.x | default('b') }}"]
    rendered = render(template(*params, "{{ alerts | length }}"), seen)
    assert rendered.params == ("a", "b", "0")
    assert rendered.errors == ()


# --- when it goes wrong at night ---------------------------------------------------------------

BARE = episode({"alertname": "DiskFull"})
FALLBACKS: dict[str, tuple[RenderContext, str, str]] = {
    "the alert's name": (context(BARE), "DiskFull", "DiskFull"),
    "Grafana's rule name": (context(episode({"rulename": "磁盘满"})), "磁盘满", "磁盘满"),
    "name of emoji only": (context(episode({"alertname": "🔥"})), "prod", "prod"),
    "group label": (context(episode({})), "prod", "prod"),
    "nothing known": (context(episode({}), page=None), "告警", "alert"),
    "test call": (context(page=None, reason=Reason.TEST), "测试", "test call"),
}


@pytest.mark.parametrize(("seen", "zh", "en"), FALLBACKS.values(), ids=FALLBACKS)
def test_a_failing_parameter_says_the_best_name_known(
    seen: RenderContext, zh: str, en: str
) -> None:
    for language, words in ((Language.ZH, zh), (Language.EN, en)):
        rendered = render(template("{{ alert.labels.pod }}", "x", language=language), seen)
        assert rendered.params == (words, "x")
        assert len(rendered.errors) == 1
        empty = render(template("{{ '' }}", language=language), seen)
        assert empty.params == (words,)
        assert [made.kind for made in empty.repairs] == [RepairKind.EMPTY]


FAILURES = {
    "missing label": (
        "{{ alert.labels.pod }}",
        "UndefinedError: no 'pod' here (there is: alertname, cluster, instance)",
    ),
    "no labels at all": (
        "{{ {}.pod }}",
        "UndefinedError: no 'pod' here (there is: nothing)",
    ),
    "list as a label's name": (
        "{{ alert.labels[[]] }}",
        "UndefinedError: no [] here (there is: alertname, cluster, instance)",
    ),
    "attribute of a missing label": (
        "{{ alert.labels.pod.name }}",
        "UndefinedError: no 'pod' here (there is: alertname, cluster, instance)",
    ),
    "arithmetic on text": (
        "{{ alert.labels.cluster + 1 }}",
        'TypeError: can only concatenate str (not "int") to str',
    ),
    "division by zero": ("{{ 1 // (alerts | length - 1) }}", "ZeroDivisionError: "),
    "private attribute": ("{{ ''.__class__.__mro__ }}", "SecurityError: "),
    "memory bomb": ("{{ 'x' * 10**9 }}", "SecurityError: the product is too long"),
    "memory bomb, mirrored": ("{{ 10**9 * ['x'] }}", "SecurityError: the product is too long"),
    "processor bomb": ("{{ 9 ** (9 ** 9) }}", "SecurityError: the power is too large"),
    "endless range": ("{{ range(10**9) | join }}", "OverflowError: Range too big."),
    "endless recursion": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError: "),
    "changing a list": ("{% set x = [] %}{{ x.append(1) }}", "SecurityError: "),
}


@pytest.mark.parametrize(("param", "error"), FAILURES.values(), ids=FAILURES)
def test_a_failing_parameter_is_reported_and_the_call_goes_on(param: str, error: str) -> None:
    rendered = render(template("a", param), context(DISK))
    assert rendered.params == ("a", "DiskFull")
    assert len(rendered.errors) == 1
    assert rendered.errors[0].startswith(f"params[1]: {error}")


def test_an_error_is_one_short_printable_line() -> None:
    hostile = episode({"a\n\x1b[31m\ud800": "", "alertname": "x", "b" * 1000: ""})
    (error,) = render(template("{{ alert.labels.pod }}"), context(hostile)).errors
    assert "a??[31m?" in error
    assert error.isprintable()
    assert len(error) < 350


# --- hostile and huge ----------------------------------------------------------------------------

HOSTILE = {
    "template code": ("{{7*7}}", "7 7"),
    "template statement": ("{% for x in range(9) %}y", "百分比 for x in range(9) 百分比 y"),
    "template variable": ("{1}", "1"),
    "reaching for internals": ("{{ ''.__class__ }}", "''. class"),
    "format string": ("%s {0} %(x)s", "百分比s 0 百分比(x)s"),
    "backslashes": (r"\1 \g<0> \n", "1 g小于0 n"),
}


@pytest.mark.parametrize(("value", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_label_is_text_and_never_a_template(value: str, words: str) -> None:
    seen = context(episode({"cluster": value}))
    assert say("{{ alert.labels.cluster }}", seen) == words
    filled = render(template("{{ alert.labels.cluster }}", text="在{1}上"), seen)
    assert filled.words == f"在{words}上"


def test_ten_thousand_alerts_cost_nothing_unless_the_template_walks_through_them() -> None:
    class Counted(Sequence[Episode]):
        touched = 0

        def __len__(self) -> int:
            return 10_000

        def __getitem__(self, index: int) -> Episode:  # type: ignore[override]
            self.touched += 1
            return DISK

    alerts = Counted()
    seen = RenderContext(
        alerts=alerts, page=PAGE, receiver="r", person=ALICE, reason=Reason.FIRST, now=NOW
    )
    assert render(OUTAGE, seen).params == ("prod", "磁盘使用率 百分之95", "10000")
    assert alerts.touched <= 5


def test_a_loop_over_all_alerts_is_left_when_enough_was_said() -> None:
    loop = template("{% for a in alerts %}{{ a.annotations.description }}，{% endfor %}")
    many = [episode({}, annotations={"description": "磁盘满" * 100})] * 10_000
    rendered = render(loop, context(*many))
    assert rendered.params == (("磁盘满" * 27)[:80],)
    assert rendered.errors == ()


def test_the_longest_parameters_give_way_to_the_vendors_limit() -> None:
    long = compile_template(
        name="long",
        template_id="UVVT1",
        text="字" * 985 + "{1}和{2}和{1}",
        params=["{{ alert.labels.a }}", "{{ alert.labels.b }}"],
    )
    rendered = render(long, context(episode({"a": "甲" * 50, "b": "乙" * 3})))
    assert rendered.params == ("甲" * 5, "乙" * 3)
    assert len(rendered.words) == 1000
    assert rendered.repairs[-1].kind is RepairKind.WORDS_TOO_LONG


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=100)
LABELS = st.dictionaries(st.sampled_from(["alertname", "cluster", "pod"]), ANY_TEXT)
SHORT = compile_template(
    name="short",
    template_id="UVVT1",
    text="Cluster {1}: {2} since {3}. " + "Please have a look. " * 46,
    params=[
        "{{ page.group_labels.cluster }}",
        "{% for a in alerts %}{{ a.labels.alertname }} {{ a.annotations.summary }}{% endfor %}",
        "{{ alert.starts_at | since }}",
    ],
    max_param_length=500,
)
WORDLESS = template(*["{{ alert.annotations.summary }}"] * 14)


@given(
    labels=st.lists(LABELS, max_size=3),
    summary=ANY_TEXT,
    group=LABELS,
    reason=st.sampled_from(Reason),
)
def test_whatever_the_alerts_hold_the_vendor_takes_it(
    labels: list[dict[str, str]], summary: str, group: dict[str, str], reason: Reason
) -> None:
    alerts = [episode(each, annotations={"summary": summary}) for each in labels]
    page = Page(id="p", receiver="r", group_labels=group, opened_at=NOW, confirmed_at=NOW)
    for each, where in product((OUTAGE, SHORT, WORDLESS), (page, None)):
        rendered = render(each, context(*alerts, page=where, reason=reason))
        assert len(rendered.params) == len(each.params)
        assert [objection(param) for param in rendered.params] == [None] * len(each.params)
        assert len(rendered.words) <= MAX_WORDS
        rendered.words.encode()


# --- checked at load -------------------------------------------------------------------------

COPY = "copy the text from UCloud's console as it was approved"
NAMES = "one of alert, alerts, page, receiver, person, reason, now"
FIELDS = [
    *("status", "labels", "annotations", "values"),
    *("starts_at", "ends_at", "fingerprint", "generator_url"),
]

TEXT_PROBLEMS = {
    "too few parameters": (
        "{1}告警，{2}",
        1,
        "found 1 parameter for 2 variables of the text, expected one for each; "
        "the vendor refuses any other number",
    ),
    "parameters for a text without variables": (
        "告警",
        2,
        "found 2 parameters for 0 variables of the text, expected one for each; "
        "the vendor refuses any other number",
    ),
    "a gap": (
        "{1}告警，{4}条",
        2,
        "found the variables {1}, {4}, expected numbers without gaps: {2}, {3} missing; " + COPY,
    ),
    "numbered from zero": (
        "{0}告警",
        0,
        "found '{0}' in the text, expected variables written {1}, {2}, …; " + COPY,
    ),
    "named variable": (
        "{name}告警",
        0,
        "found '{name}' in the text, expected variables written {1}, {2}, …; " + COPY,
    ),
    "open brace": (
        "告警{",
        0,
        "found '{' in the text, expected variables written {1}, {2}, …; " + COPY,
    ),
    "forbidden signs": (
        "使用率 90% @ops & dev",
        0,
        "found % & @ in the text, expected words instead; " + COPY,
    ),
    "side by side": (
        "告警{1} {2}",
        2,
        "found variables side by side, expected words between them that say what they are; " + COPY,
    ),
    "nothing but variables": (
        "{1}，",
        1,
        "found a text without words, expected words around the variables; " + COPY,
    ),
    "too long": ("字" * 1001, 0, "found a text of 1001 characters, expected at most 1000; " + COPY),
}


@pytest.mark.parametrize(("text", "count", "problem"), TEXT_PROBLEMS.values(), ids=TEXT_PROBLEMS)
def test_what_is_wrong_with_a_text(text: str, count: int, problem: str) -> None:
    assert [str(found) for found in lint(text=text, params=["x"] * count)] == [problem]


@pytest.mark.parametrize(("length", "fine"), [(9, False), (10, True), (1000, True), (1001, False)])
def test_max_param_length_has_limits(length: int, fine: bool) -> None:
    problem = f"found max_param_length {length}, expected 10 to 1000 characters"
    found = lint(text="", params=[], max_param_length=length)
    assert [str(each) for each in found] == ([] if fine else [problem])


PARAM_PROBLEMS = {
    "unknown name": (
        "{{ alertname }}",
        1,
        f"found the unknown name 'alertname', expected {NAMES}; "
        "did you mean alert? A label is alert.labels.alertname",
    ),
    "name of something else": (
        "{{ labels.cluster }}",
        1,
        f"found the unknown name 'labels', expected {NAMES}; "
        "did you mean alert.labels? A label is alert.labels.labels",
    ),
    "name like no other": (
        "{{ x }}",
        1,
        f"found the unknown name 'x', expected {NAMES}; A label is alert.labels.x",
    ),
    "name only written to": (
        "{% set q.x = 1 %}",
        0,
        f"found the unknown name 'q', expected {NAMES}; A label is alert.labels.q",
    ),
    "unknown field": (
        "{{ alert.label.cluster }}",
        1,
        f"found the unknown name 'alert.label', "
        f"expected one of {', '.join(f'alert.{field}' for field in FIELDS)}; "
        "did you mean alert.labels?",
    ),
    "unknown field in a loop": (
        "{% for a in alerts[:3] %}\n{{ a.xyz }}{% endfor %}",
        2,
        "line 2: found the unknown name 'a.xyz', "
        f"expected one of {', '.join(f'a.{field}' for field in FIELDS)}",
    ),
    "phone number": (
        "{{ person.phone }}",
        1,
        "found the unknown name 'person.phone', expected one of person.name; "
        "did you mean person.name?",
    ),
    "all of a record": ("{{ person }}", 1, "found all of 'person', expected one of person.name"),
    "all alerts": (
        "{{ alerts }}",
        1,
        "found all of 'alerts', expected one of alerts | length, alerts[0].labels",
    ),
    "unknown filter": (
        "{{ alert.starts_at | sinc }}",
        1,
        "found the unknown filter 'sinc', expected one that exists; did you mean since?",
    ),
    "unknown filter inside an if": (
        "{% if alerts %}{{ receiver | qqq }}{% endif %}",
        1,
        "found the unknown filter 'qqq', expected one that exists",
    ),
    "unknown test": (
        "{{ receiver is strng }}",
        1,
        "found the unknown test 'strng', expected one that exists; did you mean string?",
    ),
    "chance": (
        "{{ alerts | random }}",
        1,
        "found the unknown filter 'random', expected one that exists",
    ),
    "method of labels": (
        "{{ alert.labels.get('x') }}",
        1,
        "found a call of .get(), expected labels by name; use x.name | default('…')",
    ),
    "another template": (
        "{% include 'x' %}",
        1,
        "found another template, expected one that stands by itself; write its text here",
    ),
    "syntax": (
        "a\n{{ alert.labels. }}",
        2,
        "line 2: found 'a\\n{{ alert.labels. }}', "
        "expected a Jinja2 template (expected name or number)",
    ),
    "Go template": (
        "{{ .Labels.alertname }}",
        1,
        "found '{{ .Labels.alertname }}', expected a Jinja2 template (unexpected '.'); "
        "this is Jinja2, not Go: "
        "write {{ alert.labels.alertname }} or {{ page.group_labels.x }}",
    ),
    "Prometheus template": (
        "{{ $labels.x }}",
        1,
        "found '{{ $labels.x }}', expected a Jinja2 template (unexpected char '$' at 3); "
        "this is Jinja2, not Go: "
        "write {{ alert.labels.alertname }} or {{ page.group_labels.x }}",
    ),
    "nested too deep": (
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        0,
        f"found '{{{{ {'(' * 57}…', expected a simpler template (maximum recursion depth exceeded",
    ),
}


@pytest.mark.parametrize(("source", "line", "text"), PARAM_PROBLEMS.values(), ids=PARAM_PROBLEMS)
def test_what_is_wrong_with_a_parameter(source: str, line: int, text: str) -> None:
    (found,) = lint(text="", params=["fine", source])
    assert (found.param, found.line) == (1, line)
    assert str(found).startswith(f"params[1]: {text}")
    with pytest.raises(InvalidTemplate) as refused:
        compile_param(source)
    assert str(refused.value).startswith(f"params[0]: {text}")


def test_all_problems_are_told_at_once() -> None:
    found = lint(text="{1}和{2}%", params=["{{ x }}{{ y }}", "{{ }", "{{ z }}"], max_param_length=1)
    assert [(each.param, each.line) for each in found] == [
        (None, 0),
        (None, 0),
        (None, 0),
        (0, 1),
        (0, 1),
        (1, 1),
        (2, 1),
    ]
    with pytest.raises(InvalidTemplate, match=r"2 variables of the text(.|\n)*'x'(.|\n)*'z'"):
        compile_template(
            name="t",
            template_id="T",
            text="{1}和{2}",
            params=["{{ x }}", "y", "{{ z }}"],
        )


def test_a_problem_without_a_hint() -> None:
    problem = TemplateProblem(param=None, line=0, found="x", expected="y")
    assert str(problem) == "found x, expected y"


def test_the_language_follows_the_text_unless_it_is_given() -> None:
    assert OUTAGE.language is Language.ZH
    assert template("x").language is Language.ZH
    assert template("x", text="{1} is down").language is Language.EN
    assert template("x", text="{1} is down", language=Language.ZH).language is Language.ZH


def test_a_template_keeps_its_sources() -> None:
    assert OUTAGE.params[0].source == "{{ alert.labels.cluster }}"
    assert (OUTAGE.name, OUTAGE.id, OUTAGE.max_param_length) == ("outage", "UVVT20221122ABCD", 80)


_CODE = st.lists(
    st.sampled_from(
        [
            *("{{", "}}", "{%", "%}", "{#", "#}", "(", ")", "[", "]", "'", '"', "|", "=", "**"),
            *("alert", ".labels", "default", "if", "for", "in", "endif", "set", "1", "9" * 5000),
            *("\\x", "\n", "$", " "),
        ]
    )
).map("".join)


@given(_CODE | st.text(max_size=50))
def test_compiling_raises_nothing_but_invalid_template(source: str) -> None:
    try:
        compiled = compile_param(source)
    except InvalidTemplate:
        return
    single = VoiceTemplate(name="t", id="T", params=(compiled,))
    assert len(render(single, context(DISK)).params) == 1
