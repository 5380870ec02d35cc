"""Voice templates: an approved text of the vendor, and the Jinja2 parameters that fill it.

Compiled once, at load, with everything `linting` finds refused; after that only data can be odd.
"""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from jinja2 import Template

from adapter.errors import InvalidTemplate
from adapter.model import Record
from adapter.rendering.environment import ENVIRONMENT
from adapter.rendering.linting import DEFAULT_PARAM_LENGTH, TemplateProblem, lint, lint_param
from adapter.rendering.speech import Language, language_of


class CompiledParam(Record):
    """One parameter, ready to render."""

    source: str
    template: Template


class ApprovedHours(Record):
    """The part of each day in which the vendor lets a template be spoken, in minutes."""

    start: int  # from this minute on
    end: int  # up to, not including; not after `start`: over midnight, into the next day
    time_zone: ZoneInfo


class VoiceTemplate(Record):
    """What a call says."""

    name: str
    id: str  # the vendor's, such as UVVT20221122ABCD
    text: str = ""  # the approved text with {1}, {2}, …; "" = not given
    params: tuple[CompiledParam, ...] = ()
    max_param_length: int = DEFAULT_PARAM_LENGTH
    language: Language = Language.ZH
    hours: ApprovedHours | None = None  # None: always
    outside_hours: str = ""  # name of the template that is spoken outside of them; "": none is


def compile_template(
    *,
    name: str,
    template_id: str,
    text: str = "",
    params: Sequence[str] = (),
    max_param_length: int = DEFAULT_PARAM_LENGTH,
    language: Language | None = None,
    hours: ApprovedHours | None = None,
    outside_hours: str = "",
) -> VoiceTemplate:
    """Return the template, or raise InvalidTemplate with all that `lint` finds.

    Without `language` it is that of the text: English if there is a text without any hanzi.
    """
    _refuse(lint(text=text, params=params, max_param_length=max_param_length))
    return VoiceTemplate(
        name=name,
        id=template_id,
        text=text,
        params=tuple(map(_compiled, params)),
        max_param_length=max_param_length,
        language=language or language_of(text),
        hours=hours,
        outside_hours=outside_hours,
    )


def compile_param(source: str) -> CompiledParam:
    """Return one parameter ready to render, or raise InvalidTemplate with all that is wrong."""
    _refuse(lint_param(0, source))
    return _compiled(source)


def _refuse(problems: Sequence[TemplateProblem]) -> None:
    if problems:
        raise InvalidTemplate("\n".join(map(str, problems)))


def _compiled(source: str) -> CompiledParam:
    return CompiledParam(source=source, template=ENVIRONMENT.from_string(source))
