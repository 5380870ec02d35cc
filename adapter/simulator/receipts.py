"""Pushes receipts to the customer's URL as the vendor does.

Source: https://docs.ucloud.cn/uvms/receiptmessage: one JSON object a POST; HTTP 200 means received;
else three more tries, a second apart, then never again. Nothing is signed. Knows no rules.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

import httpx
import structlog

from adapter.clock import Clock
from adapter.model import Record, mask_number
from adapter.simulator.calls import PlacedCall, receipt
from adapter.simulator.wire import Sleep

TRIES = 4
PAUSE = 1.0  # seconds between tries
TIMEOUT = 5.0  # seconds; the vendor's own is not documented
KEPT = 10_000  # pushes remembered

_log = structlog.get_logger(__name__)


class Push(Record):
    """One POST of a receipt."""

    time: datetime
    session_no: str
    user_id: str
    attempt: int  # from 1
    status: int | None  # HTTP status; None: no answer
    error: str = ""


class Pusher:
    """Owns the pushes under way; `run` is its one task."""

    def __init__(self, *, url: str | None, clock: Clock, sleep: Sleep) -> None:
        self.url = url  # None: receipts are not pushed; may be changed at any time
        self.pushes: deque[Push] = deque(maxlen=KEPT)
        self._clock, self._sleep = clock, sleep
        self._placed: asyncio.Queue[PlacedCall] = asyncio.Queue()

    def call_placed(self, call: PlacedCall) -> None:
        """Have the call's receipt pushed when it is due."""
        if call.fate.receipt:
            self._placed.put_nowait(call)

    async def run(self) -> None:
        """Push until cancelled. Receipts that are not due by then are lost, as is our memory."""
        async with (
            httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                call = await self._placed.get()
                group.create_task(self._report(client, call), name=f"receipt {call.session_no}")

    async def _report(self, client: httpx.AsyncClient, call: PlacedCall) -> None:
        await self._sleep(call.fate.receipt_after)
        for _ in range(call.fate.copies):
            await self._push(client, call)

    async def _push(self, client: httpx.AsyncClient, call: PlacedCall) -> None:
        for attempt in range(1, TRIES + 1):
            if attempt > 1:
                await self._sleep(PAUSE)
            url = self.url
            if url is None:
                return
            push = await self._post(client, url, call, attempt)
            self.pushes.append(push)
            _log.info(
                "simulator: receipt",
                number=mask_number(call.number),
                result=call.fate.result.value,
                attempt=attempt,
                status=push.status,
                error=push.error,
            )
            if push.status == httpx.codes.OK:
                return

    async def _post(
        self, client: httpx.AsyncClient, url: str, call: PlacedCall, attempt: int
    ) -> Push:
        status, error = None, ""
        try:
            status = (await client.post(url, json=receipt(call))).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            error = type(failure).__name__  # its text may hold the URL, which is a secret
        return Push(
            time=self._clock(),
            session_no=call.session_no,
            user_id=call.user_id,
            attempt=attempt,
            status=status,
            error=error,
        )
