"""Voice templates: what is said, and when. Gives `rendering` what it needs, and its findings a
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from adapter.config.clocks import MINUTES_A_DAY, parse_hours, spell_minute
from adapter.config.draft import Draft
from adapter.config.problems import Path, quote
from adapter.config.schema_people import VoiceTemplateSection
from adapter.model import Receiver
from adapter.rendering.hours import chain, next_usable, usable_template
from adapter.rendering.linting import DEFAULT_PARAM_LENGTH, TemplateProblem, lint
from adapter.rendering.templates import ApprovedHours, VoiceTemplate, compile_template

_VENDORS_TIME_ZONE = ZoneInfo("Asia/Shanghai")
_ANY_DAY = datetime(2026, 1, 15, tzinfo=UTC)  # no clock anywhere changes then


def build_voice_templates(
    sections: Mapping[str, VoiceTemplateSection], draft: Draft
) -> dict[str, VoiceTemplate]:
    """Return the voice templates by name, without those that are wrong."""
    templates = {}
    for name, section in sections.items():
        path: Path = ("voice_templates", name)
        length = section.max_param_length or DEFAULT_PARAM_LENGTH
        text, params = section.text or "", section.params or ()
        hours = _hours(section, path, draft)
        problems = lint(text=text, params=params, max_param_length=length)
        for problem in problems:
            _place(problem, path, draft)
        if section.text is None:
            hint = "add it: for the preview, and to check the number of params"
            draft.warning(path, "a voice template without its text", hint=hint)
        if not problems:
            templates[name] = compile_template(
                name=name,
                template_id=section.id,
                text=text,
                params=params,
                max_param_length=length,
                language=section.language,
                hours=hours,
                outside_hours=section.outside_hours or "",
            )
    _check_chains(sections, draft)
    return templates


def warn_of_silence(
    templates: Mapping[str, VoiceTemplate], receivers: Mapping[str, Receiver], draft: Draft
) -> None:
    """Note each receiver that cannot ring at some hours, such as 3 a.m."""
    for index, receiver in enumerate(receivers.values()):
        silence = _silence(templates, receiver.voice_template)
        if receiver.escalation and silence:
            path = ("receivers", index, "voice_template")
            hint = "its calls wait so long: name another one under outside_hours"
            found = f"{quote(receiver.voice_template)}, which may not be spoken {silence}"
            draft.warning(path, found, hint=hint)


def _hours(section: VoiceTemplateSection, path: Path, draft: Draft) -> ApprovedHours | None:
    if section.hours is None:
        for key in ("time_zone", "outside_hours"):
            if getattr(section, key) is not None:
                draft.warning((*path, key), f"{key} without hours", hint="it has no effect")
        return None
    try:
        start, end = parse_hours(section.hours)
    except ValueError as error:
        expected = "hours such as 08:00-20:00"
        draft.problem((*path, "hours"), quote(section.hours), expected, str(error))
        return None
    zone = section.time_zone or _VENDORS_TIME_ZONE
    if (start, end) == (0, MINUTES_A_DAY):
        return None
    return ApprovedHours(start=start, end=end, time_zone=zone)


def _check_chains(sections: Mapping[str, VoiceTemplateSection], draft: Draft) -> None:
    """Note unknown names under `outside_hours`, and each circle of them once."""
    circled: set[str] = set()
    for name, section in sections.items():
        here = ("voice_templates", name, "outside_hours")
        draft.knows(section.outside_hours or "", sections, here, "the name of a voice template")
        followed = [name]
        while (after := sections[followed[-1]].outside_hours) in sections:
            if after in followed:
                break
            followed.append(after or "")
        if after == name and name not in circled:
            circled.update(followed)
            found = f"{quote(section.outside_hours or '')}, which leads back to {quote(name)}"
            draft.problem(here, found, "a voice template outside of this circle")


def _silence(templates: Mapping[str, VoiceTemplate], name: str) -> str:
    """Say when no template of the chain may be spoken; "" if one always may.

    Such a time can begin only where the hours of one of them end.
    """
    for one in chain(templates, name):
        if one.hours is None:
            return ""
        zone = one.hours.time_zone
        at = datetime.combine(_ANY_DAY, time(tzinfo=zone)) + timedelta(minutes=one.hours.end)
        if usable_template(templates, name, at) is None:
            until = next_usable(templates, name, at).astimezone(zone)
            ends = spell_minute(until.hour * 60 + until.minute)
            return f"from {spell_minute(one.hours.end)} to {ends} in {zone.key}"
    return ""


def _place(problem: TemplateProblem, path: Path, draft: Draft) -> None:
    where: Path = ("text",) if problem.param is None else ("params", problem.param)
    line = f" in line {problem.line}" if problem.line > 1 else ""
    draft.problem((*path, *where), f"{problem.found}{line}", problem.expected, problem.hint)
