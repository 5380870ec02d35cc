"""People and receivers: who is called, with which words, and what then if nobody answers.

Must not know how an alert gets to a receiver.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from msgspec.structs import replace

from adapter.config.draft import Draft
from adapter.config.phones import looks_like_phone
from adapter.config.problems import Path, quote
from adapter.config.schedules import people_of
from adapter.config.schema_people import PersonSection, ReceiverSection, StepSection
from adapter.config.secrets import read_secret
from adapter.config.targets import Targets
from adapter.config.urls import can_be_read_on_the_way, parse_web_url, shown
from adapter.errors import SettingsError
from adapter.model import Mode, Person, PhoneNumber, Receiver, Secret, Step
from adapter.schedules import Schedule

_WEB_URL = "a URL such as https://chat.example.com/hook"
# Settings that the file calls as the receiver does; what it does not set keeps its default.
_SAME = (
    "repeat",
    "minimum_answer_duration",
    "mode",
    "voice_template",
    "send_resolved",
    "resolved_template",
    "from_number",
    "group_type",
    "dispatch_rule",
)


def build_people(sections: Mapping[str, PersonSection], draft: Draft) -> dict[str, Person]:
    """Return the people by name."""
    people: dict[str, Person] = {}
    owners: dict[PhoneNumber, str] = {}
    for name, section in sections.items():
        path: Path = ("people", name)
        if looks_like_phone(name):
            draft.key_problem(path, quote(name), "a name that is no number")
        owner = owners.setdefault(section.phone, name)
        if owner != name and section.phone.e164:
            draft.warning(path, f"the phone of {quote(owner)}", hint="its limits are shared")
        people[name] = Person(name=name, phone=section.phone, spoken_name=section.name or "")
    return people


def build_receivers(
    sections: Sequence[ReceiverSection],
    targets: Targets,
    voice_templates: Collection[str],
    directory: FilePath,
    draft: Draft,
) -> dict[str, Receiver]:
    """Return the receivers by name; files they name are looked for in `directory`."""
    places = [(section.name, ("receivers", i, "name")) for i, section in enumerate(sections)]
    draft.no_repeats(places, "a name of its own for each receiver", "rename one of the two")
    builder = _Receivers(targets, voice_templates, directory, draft)
    return {s.name: builder.receiver(s, ("receivers", i)) for i, s in enumerate(sections)}


def apply_mode(
    mode: Mode | None,
    sections: Sequence[ReceiverSection],
    receivers: Mapping[str, Receiver],
    draft: Draft,
) -> dict[str, Receiver]:
    """Return the receivers in the mode of the file, which is stronger than that of a receiver."""
    if mode is not Mode.SHADOW:
        return dict(receivers)
    for index, section in enumerate(sections):
        if section.mode is Mode.LIVE:
            hint = "the mode of the file is shadow: it dials nobody"
            draft.warning(("receivers", index, "mode"), quote("live"), hint=hint)
    return {name: replace(one, mode=mode) for name, one in receivers.items()}


class _Receivers:
    def __init__(
        self,
        targets: Targets,
        voice_templates: Collection[str],
        directory: FilePath,
        draft: Draft,
    ) -> None:
        self._targets, self._voice_templates = targets, voice_templates
        self._directory, self._draft = directory, draft

    def receiver(self, section: ReceiverSection, path: Path) -> Receiver:
        escalation = self._escalation(section, path)
        self._check_templates(section, path, calls=bool(escalation))
        fallback = self._fallback(section, path)
        self._check_fallback(section, path, escalation, fallback)
        given: dict[str, Any] = {
            key: value for key in _SAME if (value := getattr(section, key)) is not None
        }
        if section.acknowledge is not None:
            given["acknowledgement"] = section.acknowledge
        return Receiver(
            name=section.name, escalation=escalation, fallback_webhook=fallback, **given
        )

    # --- the escalation ------------------------------------------------------------------------

    def _escalation(self, section: ReceiverSection, path: Path) -> tuple[Step, ...]:
        if section.escalation is None:
            call = self._targets.read(section.call or (), (*path, "call"))
            return (Step(call=call),) if call else ()
        if section.call is not None:
            here = (*path, "escalation")
            hint = "make a step of it, or keep call"
            self._draft.key_problem(here, "call and escalation", "one of them", hint)
        steps = enumerate(section.escalation)
        return tuple(self._step(step, (*path, "escalation", index)) for index, step in steps)

    def _step(self, section: StepSection, path: Path) -> Step:
        call = self._targets.read(section.call, (*path, "call"))
        return Step(call=call) if section.wait is None else Step(call=call, wait=section.wait)

    # --- the fallback --------------------------------------------------------------------------

    def _fallback(self, section: ReceiverSection, path: Path) -> Secret | None:
        here = (*path, "fallback_webhook_file")
        if section.fallback_webhook_file is None:
            return section.fallback_webhook
        if section.fallback_webhook is not None:
            found = "fallback_webhook and fallback_webhook_file"
            self._draft.key_problem(here, found, "one of them", "keep one of the two")
        name = str(self._directory / section.fallback_webhook_file)
        try:
            text = read_secret(name)
        except SettingsError as error:
            found = quote(section.fallback_webhook_file)
            self._draft.problem(here, found, "a file that can be read", str(error))
            return None
        try:
            return parse_web_url(text)
        except ValueError as error:
            self._draft.problem(here, f"a file with {shown(text)}", _WEB_URL, str(error))
            return None

    def _check_fallback(
        self,
        section: ReceiverSection,
        path: Path,
        escalation: tuple[Step, ...],
        fallback: Secret | None,
    ) -> None:
        key = "fallback_webhook" if section.fallback_webhook else "fallback_webhook_file"
        if fallback is not None and can_be_read_on_the_way(fallback.reveal):
            hint = "what is told can be read on the way"
            self._draft.warning((*path, key), shown(fallback.reveal), "https://", hint)
        if fallback is not None and not escalation:
            hint = "it is told when nobody answers: add call or escalation"
            self._draft.warning((*path, key), f"{key} of a receiver that calls no one", hint=hint)
        if len(escalation) > 1 and section.fallback_webhook_file is None and fallback is None:
            hint = "nobody is told when nobody answers"
            found = f"{len(escalation)} steps without fallback_webhook"
            self._draft.warning((*path, "escalation"), found, hint=hint)

    # --- words ---------------------------------------------------------------------------------

    def _check_templates(self, section: ReceiverSection, path: Path, *, calls: bool) -> None:
        template = "the name of a voice template"
        for key, name in (
            ("voice_template", section.voice_template),
            ("resolved_template", section.resolved_template),
        ):
            self._draft.knows(name or "", self._voice_templates, (*path, key), template)
        if calls and section.voice_template is None:
            here = (*path, "voice_template")
            self._draft.problem(here, "nothing", template, "say with which words people are called")
        if section.send_resolved and section.resolved_template is None:
            here = (*path, "resolved_template")
            self._draft.problem(here, "nothing", template, "send_resolved needs words of its own")
        if section.resolved_template is not None and not section.send_resolved:
            here = (*path, "resolved_template")
            self._draft.warning(here, "no send_resolved", hint="add send_resolved: true")


def warn_of_uncalled(
    people: Mapping[str, Person],
    schedules: Mapping[str, Schedule],
    receivers: Mapping[str, Receiver],
    draft: Draft,
) -> None:
    """Note people and schedules that nobody calls."""
    targets = [t for one in receivers.values() for step in one.escalation for t in step.call]
    called = {target.schedule for target in targets}
    for name in schedules:
        if name not in called:
            draft.warning(("schedules", name), "a schedule that no receiver calls")
    reached = {target.person.name for target in targets if target.person is not None}
    reached |= {name for schedule in schedules.values() for name in people_of(schedule)}
    for name in people:
        if name not in reached:
            draft.warning(("people", name), "a person whom no receiver and no schedule calls")
