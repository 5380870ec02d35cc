"""Whom a step calls: names of people and of schedules, and bare numbers, as `Target`s."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from adapter.config.draft import Draft, suggest_any
from adapter.config.phones import looks_like_phone, parse_phone
from adapter.config.problems import Path, quote
from adapter.config.scalars import PHONE
from adapter.config.schedules import NEXT
from adapter.errors import InvalidPhoneNumber
from adapter.model import Person, PhoneNumber, Target

_TARGET = "the name of a person or a schedule, or a phone number"


class Targets:
    """Knows everybody who can be called."""

    def __init__(
        self, people: Mapping[str, Person], schedules: Collection[str], draft: Draft
    ) -> None:
        self._people, self._schedules, self._draft = people, schedules, draft
        self._by_phone = {person.phone: person for person in people.values()}

    def read(self, names: Sequence[str], path: Path) -> tuple[Target, ...]:
        """Return the targets of one step, and note those that are wrong or come again."""
        found: dict[PhoneNumber | str, Target] = {}
        for index, name in enumerate(names):
            here = (*path, index)
            target = self._target(name, here) if name else None
            if target is None:
                continue
            key = name if target.person is None else target.person.phone
            if key in found:
                self._note_repeat(found[key], here)
            found.setdefault(key, target)
        return tuple(found.values())

    def _note_repeat(self, target: Target, path: Path) -> None:
        if target.person is None:
            again = f"{quote(str(target))} again"
            self._draft.problem(path, again, "each schedule once", "remove it")
        elif target.person.phone.e164:  # one that could not be read has been noted
            again = f"the phone of {quote(target.person.name)} again"
            self._draft.problem(path, again, "each phone once", "remove it")

    def _target(self, name: str, path: Path) -> Target | None:
        if name in self._people:
            return Target(person=self._people[name])
        if name in self._schedules:
            return Target(schedule=name)
        if name.removesuffix(NEXT) in self._schedules:
            return Target(schedule=name.removesuffix(NEXT), next=True)
        if looks_like_phone(name):
            return self._number(name, path)
        self._draft.problem(path, quote(name), _TARGET, self._hint(name))
        return None

    def _hint(self, name: str) -> str:
        if name.removesuffix(NEXT) in self._people:
            return "only a schedule has somebody who is next"
        after = [f"{schedule}{NEXT}" for schedule in self._schedules] if ":" in name else []
        return suggest_any(name, [*self._people, *self._schedules, *after])

    def _number(self, name: str, path: Path) -> Target | None:
        try:
            phone = parse_phone(name)
        except InvalidPhoneNumber as error:
            self._draft.problem(path, quote(name), PHONE, str(error))
            return None
        person = self._by_phone.get(phone) or Person(name=str(phone), phone=phone)
        return Target(person=person)
