"""Nights with schedules and steps, lived through in the store: for tests of what is told of them.

The webhooks, claims, receipts and steps are the service's own functions; a test says who answers,
and moves the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count

from cli_world import ALICE, BOB, STRANGER
from msgspec.structs import replace

from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.delivery.outcomes import Outcome
from adapter.delivery.receipts import Reported
from adapter.intake import decide_and_record, route_alerts
from adapter.model import (
    Alert,
    Call,
    CallState,
    FallbackState,
    Labels,
    Notification,
    Receipt,
    Result,
    Source,
    Status,
)
from adapter.on_call import no_feeds
from adapter.receipts import record_reports
from adapter.sources.fingerprints import fingerprint
from adapter.store.session import Session
from adapter.store.store import Store
from adapter.views import stored
from adapter.views.values import Json
from adapter.worker.claiming import Ready, claim
from adapter.worker.escalating import escalate

CAROL = "+8613512345670"
NUMBERS = (ALICE, BOB, CAROL, STRANGER)
FALLBACK_URL = "https://chat.example.com/hook?key=secret"

# Alice is on call on Sundays and Tuesdays, bob on the other days; in the office is carol, from
# Monday to Friday. All in Shanghai.
ROUTES = f"""
people:
  alice: {{phone: "{ALICE}", name: 王小丽}}
  bob: {{phone: "{BOB}"}}
  carol: {{phone: "{CAROL}"}}
schedules:
  primary:
    time_zone: Asia/Shanghai
    rotations:
      - {{people: [bob], start: "2026-11-02T00:00"}}
      - {{people: [alice], start: "2026-11-02T00:00", weekdays: [sunday, tuesday]}}
  office:
    time_zone: Asia/Shanghai
    rotations:
      - people: [carol]
        start: "2026-11-02T00:00"
        weekdays: [monday:friday]
        hours: [{{start_time: "09:00", end_time: "18:00"}}]
voice_templates:
  outage:
    id: UVVT1
    text: "{{1}}告警，共{{2}}条，请及时处理。"
    params: ["{{{{ alert.labels.alertname }}}}", "{{{{ alerts | length }}}}"]
  daytime:
    id: UVVT2
    text: "{{1}}告警。"
    params: ["{{{{ alert.labels.alertname }}}}"]
    hours: "08:00-20:00"
    time_zone: Asia/Shanghai
receivers:
  - name: chain
    voice_template: outage
    escalation:
      - {{call: [primary], wait: 5m}}
      - {{call: [office], wait: 5m}}
      - {{call: ["primary:next", "{STRANGER}"], wait: 10m}}
    fallback_webhook: {FALLBACK_URL}
  - name: handover
    voice_template: outage
    escalation: [{{call: [carol], wait: 5m}}, {{call: [primary], wait: 5m}}]
  - {{name: again, voice_template: outage, call: [bob], repeat: 2}}
  - {{name: single, voice_template: outage, call: [alice]}}
  - {{name: office, voice_template: outage, call: [office]}}
  - name: shadow
    voice_template: outage
    escalation: [{{call: [alice]}}, {{call: [bob]}}]
    fallback_webhook: {FALLBACK_URL}
    mode: shadow
  - name: daytime
    voice_template: daytime
    escalation: [{{call: [alice], wait: 5m}}, {{call: [alice, bob], wait: 5m}}]
  - name: nobody
route:
  receiver: chain
  repeat_interval: 1h
  routes:
    - {{matchers: [team="handover"], receiver: handover}}
    - {{matchers: [team="again"], receiver: again}}
    - {{matchers: [team="single"], receiver: single}}
    - {{matchers: [team="office"], receiver: office}}
    - {{matchers: [team="shadow"], receiver: shadow}}
    - {{matchers: [team="daytime"], receiver: daytime}}
    - {{matchers: [team="nobody"], receiver: nobody}}
    - {{matchers: [team="muted"], receiver: single, mute_time_intervals: [lunch]}}
time_intervals:
  - name: lunch
    time_intervals:
      - {{times: [{{start_time: "12:00", end_time: "13:00"}}], location: Asia/Shanghai}}
limits: {{per_person: {{min_interval: 1m, per_hour: 4}}}}
"""
POLICY = load(ROUTES)

# A Tuesday, 11:00 in Shanghai: alice is on call, and carol is in the office.
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
EVENING = NOW + 9 * HOUR  # 20:00: nobody is in the office
BEFORE_MIDNIGHT = NOW + 13 * HOUR - 2 * MINUTE  # bob follows alice in two minutes


class Night:
    """A service's store, and the time; ids are `id-1`, `id-2`, …"""

    def __init__(self, store: Store, policy: Policy = POLICY) -> None:
        self.store, self.policy, self.now = store, policy, NOW
        self.refuses: Mapping[str, int] = {}  # RetCode by person
        self._ids, self._since = count(1), {}

    def new_id(self) -> str:
        return f"id-{next(self._ids)}"

    # --- acts ---

    def post(self, name: str = "DiskFull", status: str = "firing", **labels: str) -> Alert:
        """Take a webhook in that says so of an alert, and do all that is due then."""
        alert = self._alert({"alertname": name, **labels}, Status(status))
        told = Notification(source=Source.ALERTMANAGER, receiver="x", alerts=(alert,))
        routed = route_alerts(self.policy, told.alerts, self.now)
        self.store.write_now(
            lambda session: decide_and_record(
                session, self.policy, told, routed, now=self.now, new_id=self.new_id
            )
        )
        self.work()
        return alert

    def _alert(self, labels: Labels, status: Status) -> Alert:
        key = fingerprint(labels)
        since = self._since.setdefault(key, self.now)
        if status is Status.RESOLVED:
            del self._since[key]
        return Alert(
            fingerprint=key,
            status=status,
            labels=labels,
            starts_at=since,
            ends_at=self.now if status is Status.RESOLVED else None,
        )

    def passes(self, time: timedelta) -> None:
        """Move the clock, and do all that is due by then."""
        self.now += time
        self.work()

    def work(self) -> None:
        """Do what a worker does, until nothing is left to be done now."""
        while self.store.write_now(self._works):
            pass

    def _works(self, session: Session) -> bool:
        claimed = claim(session, self.policy, 99, lambda: self.now, self.new_id)
        for ready in claimed.ready:
            self._places(session, ready)
        moves = escalate(session, self.policy, no_feeds, self.now, self.new_id).moves
        return claimed.moved or bool(moves)

    def _places(self, session: Session, ready: Ready) -> None:
        code = self.refuses.get(ready.call.person, 0)
        state, outcome = CallState.ACCEPTED, Outcome.ACCEPTED
        if code:
            state, outcome = CallState.REFUSED, Outcome.REFUSED
        session.finish_attempt(
            replace(ready.attempt, finished_at=self.now, outcome=outcome, ret_code=code)
        )
        session.settle(
            ready.attempt.id, state, now=self.now, due_at=None, note=f"RetCode {code}: said so"
        )

    def hears(self, person: str, result: Result, talk_seconds: int = 0) -> None:
        """Take in the receipt of the person's last call."""
        call = self.calls(person)[0]
        (attempt, *_) = reversed(self.store.read_now(lambda s: s.attempts_of(call)))
        receipt = Receipt(
            result=result,
            received_at=self.now,
            talk_seconds=talk_seconds,
            code="" if result is Result.ANSWERED else "NO_ANSWER",
        )
        reported = Reported(user_id=attempt.id, session_no="", phone=call.phone, receipt=receipt)
        self.store.write_now(lambda s: record_reports(s, self.policy, [reported], self.now))
        self.work()

    def answers(self, person: str) -> None:
        self.hears(person, Result.ANSWERED, 23)

    def acknowledges(self, by: str) -> None:
        """Somebody takes every open page."""
        for page in self.store.read_now(lambda s: s.find_pages(only_open=True, limit=99)):
            self.store.write_now(lambda s, page=page: stored.acknowledge(s, page.id, self.now, by))
        self.work()

    def tells_the_fallback(self) -> None:
        """The fallback webhook is told of what is exhausted."""
        for due in self.store.read_now(lambda s: s.due_fallbacks(self.now, 9)):
            self.store.write_now(
                lambda s, due=due: s.settle_fallback(
                    due.id, FallbackState.SENT, None, "HTTP 200", self.now
                )
            )

    # --- looks ---

    def calls(self, person: str = "") -> list[Call]:
        """Return the calls, the newest first."""
        return self.store.read_now(lambda s: s.find_calls(text=person, limit=99))

    def view(self, job, *args, **kwargs) -> Json:
        return self.store.write_now(lambda session: job(session, *args, **kwargs))
