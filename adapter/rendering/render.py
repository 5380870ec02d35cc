"""One call's words, made at the last moment before it is dialled, so that late alerts are in them.

`render` never raises, whatever the alerts hold: a parameter that fails is replaced by the alert's
name, reported, and the phone still rings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from adapter.model import Reason, Record
from adapter.rendering.linting import VARIABLE
from adapter.rendering.repairs import MAX_WORDS, Repair, fit, repair
from adapter.rendering.speech import Language
from adapter.rendering.templates import CompiledParam, VoiceTemplate
from adapter.rendering.views import RenderContext, names

_MAX_RENDERED = 100_000  # characters; a loop over all alerts is left there, a longer label is cut
_MAX_ERROR = 300  # characters of an error that are kept

_ALERT_WORD = {Language.ZH: "告警", Language.EN: "alert"}
_TEST_WORD = {Language.ZH: "测试", Language.EN: "test call"}
_COMMA = {Language.ZH: "，", Language.EN: ", "}


class Rendered(Record):
    """What a call says, and what it took to make it sayable."""

    params: tuple[str, ...]  # what the vendor gets: TemplateParams.0, .1, …
    words: str  # the text with the variables filled in; the parameters alone if it is not known
    repairs: tuple[Repair, ...] = ()
    errors: tuple[str, ...] = ()  # parameters that failed and were replaced: worth a metric


def render(template: VoiceTemplate, context: RenderContext) -> Rendered:
    """Return exactly one parameter for each of the template's, each as the vendor takes it."""
    seen = names(context, template.language)
    instead = _safe_words(template, context)
    params: list[str] = []
    repairs: list[Repair] = []
    errors: list[str] = []
    for index, compiled in enumerate(template.params):
        try:
            raw = _render_param(compiled, seen)
        except Exception as error:  # a template over odd data may raise anything at all
            errors.append(f"params[{index}]: {_describe(error)}")
            raw = instead
        param, made = repair(
            index,
            raw,
            language=template.language,
            max_length=template.max_param_length,
            instead=instead,
        )
        params.append(param)
        repairs += made
    fitted, cuts = fit(params, *_room(template))
    return Rendered(
        params=fitted,
        words=_fill(template, fitted),
        repairs=(*repairs, *cuts),
        errors=tuple(errors),
    )


def _render_param(param: CompiledParam, seen: Mapping[str, object]) -> str:
    chunks: list[str] = []
    size = 0
    for chunk in param.template.generate(seen):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_RENDERED:
            break
    return "".join(chunks)[:_MAX_RENDERED]


def _safe_words(template: VoiceTemplate, context: RenderContext) -> str:
    """Return the best name of what is wrong that can be said, without any template."""
    for name in _known_names(context):
        said, _ = repair(
            0, name, language=template.language, max_length=template.max_param_length, instead=""
        )
        if said:
            return said
    for_a_test = context.reason in (Reason.TEST, Reason.DRILL)
    return (_TEST_WORD if for_a_test else _ALERT_WORD)[template.language]


def _known_names(context: RenderContext) -> Iterator[str]:
    labels = context.alerts[0].labels if context.alerts else {}
    yield labels.get("alertname", "")
    yield labels.get("rulename", "")
    if context.page:
        yield from context.page.group_labels.values()


def _room(template: VoiceTemplate) -> tuple[int, list[int]]:
    """Return how many characters the parameters may take, and how often each one is said."""
    if not template.text:
        commas = len(_COMMA[template.language]) * max(0, len(template.params) - 1)
        return MAX_WORDS - commas, [1] * len(template.params)
    numbers = VARIABLE.findall(template.text)
    times = [numbers.count(str(number)) for number in range(1, len(template.params) + 1)]
    return MAX_WORDS - len(VARIABLE.sub("", template.text)), times


def _fill(template: VoiceTemplate, params: Sequence[str]) -> str:
    if not template.text:
        return _COMMA[template.language].join(params)
    return VARIABLE.sub(lambda found: params[int(found[1]) - 1], template.text)


def _describe(error: Exception) -> str:
    """Return one printable line; the text may quote what an alert holds."""
    text = f"{type(error).__name__}: {error}"[:_MAX_ERROR]
    return "".join(char if char.isprintable() else "?" for char in text)
