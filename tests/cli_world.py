"""A routes.yaml and a store with a night's pages and calls, for tests of what people are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec.structs import replace

from adapter.config.load import load
from adapter.delivery.outcomes import Outcome
from adapter.intake import route_alerts
from adapter.model import Alert, Attempt, Call, CallState, Status
from adapter.paging import decide
from adapter.sources.fingerprints import fingerprint
from adapter.store.session import Rejected, Session
from adapter.store.store import Store

ALICE, BOB, STRANGER = "+8613512345678", "+8613512345679", "+8613900000000"
NUMBERS = (ALICE, BOB, STRANGER)

ROUTES = f"""
people:
  alice: {{phone: "{ALICE}", name: 王小丽}}
  bob: {{phone: "{BOB}"}}
voice_templates:
  outage:
    id: UVVT20221122ABCD
    text: "{{1}}告警，{{2}}，共{{3}}条，请及时处理。"
    params:
      - "{{{{ alert.labels.cluster | default('未知集群') }}}}"
      - "{{{{ alert.annotations.summary | default(alert.labels.alertname) }}}}"
      - "{{{{ alerts | length }}}}"
  over:
    id: UVVT20221122OVER
    text: "{{1}}的告警已恢复。"
    params: ["{{{{ page.group_labels.cluster | default('集群') }}}}"]
receivers:
  - name: sre-phone
    voice_template: outage
    call: [alice, "{STRANGER}"]
    send_resolved: true
    resolved_template: over
  - name: db-phone
    voice_template: outage
    call: [bob]
  - name: nobody
route:
  receiver: sre-phone
  group_by: [cluster]
  routes:
    - matchers: [severity="info"]
      receiver: nobody
    - matchers: [team="batch"]
      continue: true
      mute_time_intervals: [night]
    - matchers: [team=~"batch|db"]
      receiver: db-phone
      group_wait: 30s
      repeat_interval: never
time_intervals:
  - name: night
    time_intervals:
      - {{times: [{{start_time: "00:00", end_time: "06:00"}}], location: Asia/Shanghai}}
"""

# 03:00 in Shanghai, and 11:00.
NIGHT = datetime(2026, 11, 23, 19, 0, tzinfo=UTC)
DAY = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)

POLICY = load(ROUTES)

BODY_WITH_NUMBERS = b'{"to": "+8613512345678", "or": "13512345679", "id": 1732300000000}'


def alert(name: str, *, status: Status = Status.FIRING, **labels: str) -> Alert:
    """Return an alert that began two minutes before the day."""
    found = {"alertname": name, **labels}
    return Alert(
        fingerprint=fingerprint(found),
        status=status,
        labels=found,
        annotations={"summary": f"{name} 96%"},
        starts_at=DAY - timedelta(minutes=2),
        ends_at=DAY + timedelta(minutes=30) if status is Status.RESOLVED else None,
    )


def take_in(store: Store, *alerts: Alert, now: datetime = DAY, prefix: str = "id") -> list[Call]:
    """Decide and record a webhook as intake does; ids are `prefix-1`, `prefix-2`, …"""
    ids = count(1)
    routed = route_alerts(POLICY, alerts, now)

    def job(session: Session) -> list[Call]:
        known = session.known({i.alert_key for i in routed}, {i.page_key for i in routed})
        changes = decide(
            routed, known, truncated=False, now=now, new_id=lambda: f"{prefix}-{next(ids)}"
        )
        session.record(changes)
        return list(changes.new_calls)

    return store.write_now(job)


def ring(
    store: Store,
    call: Call,
    *,
    state: CallState,
    ret_code: int | None = 0,
    message: str = "Send success",
    now: datetime = DAY,
) -> None:
    """Make one attempt at a call, with this outcome."""
    outcome = {CallState.ACCEPTED: Outcome.ACCEPTED, CallState.REFUSED: Outcome.REFUSED}.get(
        state, Outcome.UNKNOWN
    )
    attempt = Attempt(
        id=f"user{call.id.replace('-', '')}",
        call_id=call.id,
        started_at=now,
        template_id="UVVT20221122ABCD",
        params=("shanghai-1", "磁盘满", "1"),
    )
    answered = {
        "finished_at": now + timedelta(seconds=1),
        "outcome": outcome,
        "ret_code": ret_code,
        "message": message,
        "req_uuid": f"req-{call.id}",
        "session_no": f"session-{call.id}" if ret_code == 0 else "",
    }

    def job(session: Session) -> None:
        session.begin(call, attempt, now + timedelta(minutes=1))
        session.finish_attempt(replace(attempt, **answered))
        session.settle(
            attempt.id,
            state,
            now=now + timedelta(seconds=1),
            due_at=now + timedelta(seconds=6) if state.open else None,
            note=f"RetCode {ret_code}: {message}",
        )

    store.write_now(job)


def reject(store: Store, body: bytes = BODY_WITH_NUMBERS, error: str = "$.alerts: …") -> None:
    """Keep a refused body."""
    kept = Rejected(
        id=0, received_at=DAY, source="grafana", error=error, size=len(body), body=body[:65536]
    )
    store.write_now(lambda session: session.reject(kept, 100))


def fill(store: Store) -> None:
    """One page with an accepted and a refused call, one muted by nobody, one closed, one body.

    Ids: page `am-1` (calls `am-2` to alice, `am-3` to the stranger), page `db-1` (call `db-2`).
    """
    first, second = take_in(store, alert("DiskFull", cluster="shanghai-1"), prefix="am")
    ring(store, first, state=CallState.ACCEPTED)
    ring(store, second, state=CallState.REFUSED, ret_code=230, message="Params not available")
    take_in(store, alert("SlowQuery", team="db"), prefix="db")
    take_in(store, alert("Gone", cluster="old"), prefix="old")
    take_in(
        store,
        alert("Gone", cluster="old", status=Status.RESOLVED),
        now=DAY + timedelta(minutes=31),
        prefix="over",
    )
    reject(store)
