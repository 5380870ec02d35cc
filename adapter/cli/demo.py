"""`demo`: a short story with the real service and a simulated vendor, told on the terminal."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import click

from adapter import logs
from adapter.cli.demo_service import Cast, DemoFailed, on_stage
from adapter.cli.demo_story import DEAD_NUMBER, STORY, Json, Step
from adapter.cli.output import print_facts
from adapter.clock import utc_now
from adapter.model import Record
from adapter.simulator.calls import PlacedCall
from adapter.simulator.faults import Fault, Kind

_OUTCOME_SECONDS = 15.0
_OPEN = ("waiting", "sending", "unknown")


class Followed(Record):
    """What came of one webhook."""

    status: int
    answer: Json
    rung: tuple[PlacedCall, ...]
    calls: tuple[Json, ...]


@click.command()
def demo() -> None:
    """Show what the adapter does: webhooks in, simulated calls out, and why others are not made.

    Starts the service with a simulated UVMS on free ports and a temporary store; needs no account,
    no network, and leaves nothing behind. Exits with 1 if anything unexpected happens.
    """
    logs.configure(as_json=False, level="critical")  # the simulator's own lines
    asyncio.run(play(STORY))


async def play(story: Sequence[Step]) -> None:
    """Put a story on stage. Raises DemoFailed where it goes otherwise."""
    with tempfile.TemporaryDirectory(prefix="uvms-adapter-demo-") as folder:
        click.echo("Starting the service, with a simulated UVMS: no phone rings.")
        async with on_stage(Path(folder)) as cast:
            cast.vendor.faults.add(
                Fault(
                    kind=Kind.REFUSE,
                    number=DEAD_NUMBER,
                    ret_code=230,
                    message="Params [CalledNumber] not available",
                )
            )
            await _tell(cast, story)
    click.echo("\nEverything went as it should.")


async def _tell(cast: Cast, story: Sequence[Step]) -> None:
    began = utc_now()
    for number, step in enumerate(story, start=1):
        click.echo(f"\n{number}. {step.title}")
        followed = await _post(cast, step, began)
        _print(cast, step, followed)
        _verify(cast, step, followed)
    rung = len(cast.vendor.calls)
    click.echo(f"\n{len(story)} webhooks, {rung} calls.")


async def _post(cast: Cast, step: Step, began: datetime) -> Followed:
    """Post the step's body, and wait until its calls have ended."""
    before = len(cast.vendor.calls)
    response = await cast.client.post(step.path, json=step.body(began, utc_now()))
    answer: Json = response.json()
    calls = [await _ended(cast, call["id"]) for call in answer.get("calls", ())]
    return Followed(
        status=response.status_code,
        answer=answer,
        rung=tuple(cast.vendor.calls)[before:],
        calls=tuple(calls),
    )


async def _ended(cast: Cast, call_id: str) -> Json:
    try:
        async with asyncio.timeout(_OUTCOME_SECONDS):
            while True:
                call: Json = (await cast.client.get(f"/api/v1/calls/{call_id}")).json()
                if call["state"] not in _OPEN:
                    return call
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise DemoFailed(f"call {call_id} has not ended after {_OUTCOME_SECONDS:.0f} s") from None


def _print(cast: Cast, step: Step, followed: Followed) -> None:
    reasons = followed.answer.get("reasons", {})
    facts = [
        ("answer", f"{followed.status} {followed.answer.get('error', '')}".strip()),
        ("alerts", ", ".join(f"{count} {reason}" for reason, count in reasons.items())),
    ]
    for placed in followed.rung:
        facts.append(("rang", f"{_name(cast, placed)}: {placed.words}"))
    for call in followed.calls:
        if call["state"] != "accepted":
            facts.append(("not rung", f"{call['person']}: {call['state']}, {call['note']}"))
    if not followed.calls:
        facts.append(("rang", "nobody"))
    for verdict in followed.answer.get("not_called", ()):
        if verdict["detail"]:
            facts.append(("why not", f"{verdict['alertname']}: {verdict['detail']}"))
    print_facts([*facts, ("so", step.note)], indent=3)


def _verify(cast: Cast, step: Step, followed: Followed) -> None:
    """Raise DemoFailed unless exactly that followed which had to."""
    expected: Mapping[str, object] = {
        "answer": step.status,
        "reasons": dict(step.reasons),
        "calls": sorted(step.rings),
        "calls that fail": dict(step.fails),
    }
    found: Mapping[str, object] = {
        "answer": followed.status,
        "reasons": followed.answer.get("reasons", {}),
        "calls": sorted(_name(cast, placed) for placed in followed.rung),
        "calls that fail": {
            call["person"]: call["state"] for call in followed.calls if call["state"] != "accepted"
        },
    }
    wrong = [
        f"{thing}: expected {expected[thing]}, found {found[thing]}"
        for thing in expected
        if expected[thing] != found[thing]
    ]
    for placed in followed.rung:
        words = step.rings.get(_name(cast, placed), "")
        if words != placed.words:
            wrong.append(f"words: expected {words!r}, found {placed.words!r}")
    if wrong:
        raise DemoFailed("\n".join(wrong))


def _name(cast: Cast, placed: PlacedCall) -> str:
    people = cast.policy.people.values()
    return next(person.name for person in people if person.phone.e164 == placed.number)
