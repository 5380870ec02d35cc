"""People and receivers: who is called.

Must not know how an alert gets to a receiver.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from adapter.config.decode import PHONE
from adapter.config.draft import Draft, suggest_any
from adapter.config.phones import looks_like_phone, parse_phone
from adapter.config.problems import Path, quote
from adapter.config.schema import PersonSection, ReceiverSection
from adapter.errors import InvalidPhoneNumber
from adapter.model import Person, PhoneNumber, Receiver


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
    people: Mapping[str, Person],
    voice_templates: Collection[str],
    draft: Draft,
) -> dict[str, Receiver]:
    """Return the receivers by name."""
    places = [(section.name, ("receivers", i, "name")) for i, section in enumerate(sections)]
    draft.no_repeats(places, "a name of its own for each receiver", "rename one of the two")
    builder = _Receivers(people, voice_templates, draft)
    receivers = {s.name: builder.receiver(s, ("receivers", i)) for i, s in enumerate(sections)}
    _warn_of_unused(people, receivers, draft)
    return receivers


class _Receivers:
    def __init__(
        self, people: Mapping[str, Person], voice_templates: Collection[str], draft: Draft
    ) -> None:
        self._people, self._voice_templates, self._draft = people, voice_templates, draft
        self._by_phone = {person.phone: person for person in people.values()}

    def receiver(self, section: ReceiverSection, path: Path) -> Receiver:
        people = self._called(section, path)
        self._check_templates(section, path, calls=bool(people))
        return Receiver(
            name=section.name,
            people=people,
            voice_template=section.voice_template or "",
            send_resolved=bool(section.send_resolved),
            resolved_template=section.resolved_template or "",
            from_number=section.from_number or "",
            group_type=section.group_type,
            dispatch_rule=section.dispatch_rule,
        )

    def _called(self, section: ReceiverSection, path: Path) -> tuple[Person, ...]:
        if section.escalation is None:
            return self._persons(section.call or (), (*path, "call"))
        if section.call is not None:
            self._draft.key_problem(
                (*path, "escalation"), "call and escalation", "one of them", "keep call"
            )
        if len(section.escalation) != 1:
            self._draft.problem(
                (*path, "escalation"),
                f"{len(section.escalation)} steps",
                "one step",
                "more are not available in this version: list everybody under call",
            )
        found: tuple[Person, ...] = ()
        for index, step in enumerate(section.escalation):
            found += self._persons(step.call, (*path, "escalation", index, "call"))
        return found

    def _persons(self, names: Sequence[str], path: Path) -> tuple[Person, ...]:
        found: dict[PhoneNumber, Person] = {}
        for index, name in enumerate(names):
            person = self._person(name, (*path, index)) if name else None
            if person is None:
                continue
            if person.phone in found and person.phone.e164:
                known = f"the phone of {quote(found[person.phone].name)} again"
                self._draft.problem((*path, index), known, "each phone once", "remove it")
            found.setdefault(person.phone, person)
        return tuple(found.values())

    def _person(self, name: str, path: Path) -> Person | None:
        if name in self._people:
            return self._people[name]
        if not looks_like_phone(name):
            expected = "the name of a person, or a phone number"
            self._draft.problem(path, quote(name), expected, suggest_any(name, self._people))
            return None
        try:
            phone = parse_phone(name)
        except InvalidPhoneNumber as error:
            self._draft.problem(path, quote(name), PHONE, str(error))
            return None
        return self._by_phone.get(phone) or Person(name=str(phone), phone=phone)

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


def _warn_of_unused(
    people: Mapping[str, Person], receivers: Mapping[str, Receiver], draft: Draft
) -> None:
    called = {person.name for receiver in receivers.values() for person in receiver.people}
    for name in people:
        if name not in called:
            draft.warning(("people", name), "a person whom no receiver calls")
