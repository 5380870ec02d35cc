"""Receipts in: `POST /v1/receipts/{secret}`.

the path's secret -> take in (committed) -> 200, also for calls that are not ours
                                          | 400 no JSON | 404 wrong secret | 413 | 422 no receipt
                                          | 503 the store cannot commit: the vendor pushes it again

UCloud signs no receipt (https://docs.ucloud.cn/uvms/receiptmessage): that nobody can guess the URL
is all that keeps strangers out. So a wrong secret and none at all are answered alike.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapter.clock import Clock
from adapter.errors import InvalidNotification, NotJson
from adapter.logs import Changes, logger
from adapter.model import Secret
from adapter.receipts import Receipts
from adapter.web.guard import Refusal, admit

_log = logger(__name__)

PATH = "/v1/receipts/{secret}"  # metrics and logs name this, never what was asked for

MAX_BODY_BYTES = 1024 * 1024  # a receipt has some 400


class ReceiptHook:
    """The endpoint. `secrets`: the one in force and the one before it; none: it takes nothing."""

    def __init__(
        self, receipts: Receipts, clock: Clock, secrets: Callable[[], Sequence[Secret]]
    ) -> None:
        self._receipts, self._clock, self._secrets = receipts, clock, secrets
        self._news = Changes()

    async def endpoint(self, request: Request) -> Response:
        """Take in one push."""
        self._check(request.path_params["secret"])
        try:
            body = await admit(request, None, self._clock(), MAX_BODY_BYTES)
        except Refusal as refusal:
            error = f"the body is larger than {MAX_BODY_BYTES} bytes"
            raise Refusal(refusal.status, error, refusal.headers) from None
        try:
            taken = await self._receipts.take(body)
        except NotJson as error:
            raise Refusal(400, str(error)) from error
        except InvalidNotification as error:
            raise Refusal(
                422, str(error), path=error.path, expected=error.expected, found=error.found
            ) from error
        counts = Counter(one.hearing for one in taken.heard)
        return JSONResponse({"status": "taken", "invalid": taken.invalid, **counts})

    def _check(self, given: str) -> None:
        """Refuse a wrong secret, in a time that does not tell how wrong it is."""
        secrets = self._secrets()
        fits = [
            hmac.compare_digest(given.encode(errors="replace"), secret.reveal.encode())
            for secret in secrets
        ]
        if any(fits):
            self._news.is_news("secret", "")
            return
        why = "wrong secret in its path" if secrets else "UVMS_RECEIPTS_SECRET is not set"
        if self._news.is_news("secret", why):
            _log.warning("receipt refused", reason=why)
        raise Refusal(404, "there is nothing here")
