"""`call`: a real test call through the running service, to see that a phone rings.

The call goes into the service's outbox as any other does, so that it tests the whole way: store,
worker, limits, template, signature, vendor.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from time import monotonic, sleep

import click

from adapter.cli.calls import print_call
from adapter.cli.options import config_option, database_option, duration, json_option, store_of
from adapter.cli.output import callee as shown_callee
from adapter.cli.output import local, print_json
from adapter.clock import utc_now
from adapter.config.load import load_file
from adapter.config.phones import looks_like_phone, parse_phone
from adapter.config.policy import Policy
from adapter.config.problems import quote
from adapter.errors import InvalidPhoneNumber, NotFound, NotPossible
from adapter.model import Call, CallState, Person, Reason, Receiver
from adapter.on_call import everybody
from adapter.store.store import Store
from adapter.views import stored

_POLL_SECONDS = 0.1
_TAKEN_WITHIN_SECONDS = 10.0  # a running service looks for calls each second
_NOT_TAKEN_UP = "a test call that no service took up in time"


@click.command()
@config_option
@database_option
@click.option(
    "--to", "callee", required=True, metavar="PERSON", help="A person of routes.yaml, or +86135…"
)
@click.option(
    "--receiver",
    "receiver_name",
    metavar="NAME",
    help="Whose voice template is spoken. [default: the first receiver that calls this person]",
)
@click.option(
    "--timeout",
    callback=duration,
    metavar="DURATION",
    default="1m",
    show_default=True,
    help="Wait so long for the outcome.",
)
@json_option
def call(
    config: Path,
    database: str | None,
    callee: str,
    receiver_name: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Ring one person for a test, and tell what the vendor said.

    The running service makes the call, with the template of its own routes.yaml; the phone really
    rings, unless the service simulates. Exits with 1 unless the vendor took the call.
    """
    policy = load_file(config)
    person = _person(policy, callee)
    receiver = _receiver(policy, person, receiver_name)
    made = _test_call(person, receiver)
    with store_of(database) as store:
        try:
            store.write_now(lambda session: session.add_call(made))
            who = shown_callee({"person": person.name, "phone": str(person.phone)})
            click.echo(f"calling {who} through {receiver.name}, call {made.id}", err=as_json)
            _wait(store, made.id, timeout)
        except KeyboardInterrupt:
            _withdraw(store, made, "a test call that was interrupted")
            raise
        found = store.read_now(lambda session: stored.call(session, made.id))
    if as_json:
        print_json(found)
    else:
        print_call(found)
    if found["state"] not in (CallState.ACCEPTED, CallState.SHADOWED):
        raise click.ClickException(f"the call is {found['state']}: {found['note']}")


def _person(policy: Policy, callee: str) -> Person:
    if callee in policy.people:
        return policy.people[callee]
    if not looks_like_phone(callee):
        there = ", ".join(sorted(policy.people)) or "none"
        raise NotFound(f"there is no person {callee!r}; there is: {there}")
    try:
        phone = parse_phone(callee)
    except InvalidPhoneNumber as error:
        wrong = f"{quote(callee)} cannot be called: {error}"
        raise click.BadParameter(wrong, param_hint="--to") from None
    known = (person for person in policy.people.values() if person.phone == phone)
    return next(known, Person(name=str(phone), phone=phone))


def _receiver(policy: Policy, person: Person, name: str | None) -> Receiver:
    speaking = {
        receiver.name: receiver for receiver in policy.receivers.values() if receiver.voice_template
    }
    if name is not None and name not in speaking:
        there = ", ".join(sorted(speaking)) or "none"
        raise NotFound(f"no receiver {name!r} has a voice template; there is: {there}")
    if name is not None:
        return speaking[name]
    for receiver in speaking.values():
        if any(called.phone == person.phone for called in everybody(policy, receiver)):
            return receiver
    raise click.UsageError(f"no receiver calls {person.name}: say whose words with --receiver")


def _test_call(person: Person, receiver: Receiver) -> Call:
    now = utc_now()
    return Call(
        id=uuid.uuid4().hex,
        page_id=None,
        receiver=receiver.name,
        person=person.name,
        phone=person.phone,
        reason=Reason.TEST,
        state=CallState.WAITING,
        created_at=now,
        due_at=now,
        due_since=now,
    )


def _wait(store: Store, call_id: str, timeout: float) -> None:
    """Wait until the call has ended. Raises NotPossible where nobody takes it up, or in time."""
    started, patience = monotonic(), min(timeout, _TAKEN_WITHIN_SECONDS)
    while True:
        waited, made = monotonic() - started, _now(store, call_id)
        if not made.state.open:
            return
        if _is_untouched(made) and waited > patience and _withdraw(store, made, _NOT_TAKEN_UP):
            raise NotPossible(
                f"no service took the call up within {patience:g} s, so it was withdrawn: is one "
                "running on this database? Start it with uvms-adapter serve"
            )
        if waited > timeout:
            raise NotPossible(_still_open(made))
        sleep(_POLL_SECONDS)


def _is_untouched(made: Call) -> bool:
    return made.state is CallState.WAITING and not made.attempts and made.limited_until is None


def _now(store: Store, call_id: str) -> Call:
    (made,) = store.read_now(lambda session: session.find_calls(text=call_id, limit=1))
    return made


def _withdraw(store: Store, made: Call, note: str) -> bool:
    """Nobody wants the phone to ring when a service is started tomorrow.

    Return whether the call was still there to be withdrawn: a service may have just taken it up.
    """
    now = utc_now()
    return store.write_now(lambda session: session.end(made, CallState.CANCELLED, now, note))


def _still_open(made: Call) -> str:
    why = made.note
    if made.limited_until is not None:
        until = local(made.limited_until.isoformat())
        why = f"its person was called often enough, it waits until {until}"
    return (
        f"the call is still {made.state} ({why or 'no more is known'}) and goes on being made; "
        f"see uvms-adapter calls explain {made.id}"
    )
