"""What the worker says of its work: metrics for all of it, a log line for what is news."""

from __future__ import annotations

from adapter.delivery.account import Account, Trouble
from adapter.delivery.outcomes import Answer, Outcome
from adapter.delivery.records import LookUp
from adapter.delivery.settling import Redial, Settlement
from adapter.logs import Changes, logger
from adapter.metrics import Metrics
from adapter.model import Attempt, Call, CallState, EventKind, Reason
from adapter.worker.claiming import Claimed
from adapter.worker.escalating import Escalated

_log = logger(__name__)


class Reporter:
    """Tells of claims, attempts, look-ups and the account. `news` is shared with the worker."""

    def __init__(self, metrics: Metrics, news: Changes) -> None:
        self._metrics, self._news = metrics, news
        self._news.is_news("account", (Trouble.NONE, None))

    def claimed(self, claimed: Claimed) -> None:
        """Tell of calls that wait for a limit, that ended unsent, and of words that were mended."""
        if claimed.limited:
            self._metrics.calls_limited.inc(claimed.limited)
        if claimed.postponed and self._news.is_news("hours", claimed.postponed):
            _log.warning(
                "calls wait for the hours of their voice template", calls=claimed.postponed
            )
        for call, state, note in claimed.ended:
            self._metrics.calls.labels(state).inc()
            report = _log.error if state is CallState.REFUSED else _log.info
            report("call ended", call=call.id, person=call.person, state=state, note=note)
        for ready in claimed.ready:
            if ready.call.reason in (Reason.TEST, Reason.DRILL):
                continue  # it names no alert, so that its parameters have to be made up
            self._metrics.template_errors.inc(len(ready.rendered.errors))
            for repair in ready.rendered.repairs:
                self._metrics.template_repairs.labels(repair.kind).inc()
            for error in ready.rendered.errors:
                thing = f"template {ready.call.receiver}"
                if self._news.is_news(thing, error):
                    _log.error("template parameter replaced", call=ready.call.id, error=error)

    def escalated(self, escalated: Escalated) -> None:
        """Tell of steps that were taken, and of pages that nobody was reached for."""
        self._metrics.escalations.inc(escalated.count(EventKind.STEP))
        self._metrics.nobody_on_call.inc(escalated.count(EventKind.SKIPPED))
        self._metrics.acknowledgements.labels("call").inc(escalated.acknowledged)
        for page in escalated.exhausted:
            self._metrics.escalations_exhausted.inc()
            _log.error(
                "nobody was reached: the escalation is exhausted",
                page=page.id,
                receiver=page.receiver,
                group_labels=dict(page.group_labels),
                run=page.run,
            )
        for move in escalated.moves:
            for event in move.events:
                if event.kind in (EventKind.STEP, EventKind.SKIPPED):
                    report = _log.info if event.kind is EventKind.STEP else _log.warning
                    report("escalation", page=move.page.id, kind=event.kind, detail=event.detail)
            if move.acknowledged_by:
                _log.info("page acknowledged", page=move.page.id, by=move.acknowledged_by)

    def attempted(
        self,
        call: Call,
        attempt: Attempt,
        outcome: Outcome,
        answer: Answer,
        settlement: Settlement,
        took: float,
        held: bool,
        account: Account,
    ) -> None:
        """Tell of one request; `held`: its call was still ours to settle."""
        self._metrics.attempts.labels(outcome).inc()
        self._metrics.ret_code(answer.ret_code)
        self._tell_account(account)
        if held:
            self._settled(call, settlement)
        if settlement.state is CallState.WAITING and not self._news.is_news(
            f"call {call.id}", (outcome, answer.ret_code, answer.failure)
        ):
            return
        report = _log.info if outcome is Outcome.ACCEPTED else _log.warning
        report(
            "call attempted",
            status=outcome,
            reason=call.reason,
            call=call.id,
            page=call.page_id,
            receiver=call.receiver,
            person=call.person,
            phone=str(call.phone),
            attempt=attempt.id,
            attempts=call.attempts,
            ret_code=answer.ret_code,
            req_uuid=answer.req_uuid,
            session_no=answer.session_no,
            note=settlement.note,
            seconds=round(took, 3),
        )

    def looked_up(
        self, call: Call, attempt: Attempt, found: LookUp, settlement: Settlement, held: bool
    ) -> None:
        """Tell of one look-up; `held`: its call was still ours to settle."""
        if held:
            self._settled(call, settlement)
        if self._news.is_news(f"call {call.id}", (found, settlement.state)):
            _log.info(
                "call looked up",
                status=found,
                call=call.id,
                attempt=attempt.id,
                state=settlement.state,
                note=settlement.note,
            )

    def _settled(self, call: Call, settlement: Settlement) -> None:
        if settlement.redial is not Redial.NONE:
            self._metrics.redials.labels(settlement.redial).inc()
        if settlement.state.open:
            return
        self._metrics.calls.labels(settlement.state).inc()
        if settlement.state in (CallState.REFUSED, CallState.GAVE_UP):
            _log.error(
                "a person was not reached",
                state=settlement.state,
                call=call.id,
                page=call.page_id,
                person=call.person,
                phone=str(call.phone),
                note=settlement.note,
            )

    def _tell_account(self, account: Account) -> None:
        for trouble in (Trouble.THROTTLED, Trouble.REFUSED):
            self._metrics.account_trouble.labels(trouble).set(account.trouble is trouble)
        if not self._news.is_news("account", (account.trouble, account.ret_code)):
            return
        if account.trouble is Trouble.REFUSED:
            _log.error(
                "the vendor refuses the whole account: no phone rings until this is mended",
                ret_code=account.ret_code,
                note=account.note,
            )
        elif account.trouble is Trouble.THROTTLED:
            _log.warning("the vendor throttles the account", note=account.note)
        else:
            _log.info("the vendor takes calls")
