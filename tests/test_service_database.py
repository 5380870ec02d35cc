"""What the environment says of the database reaches the store that the service opens."""

from __future__ import annotations

import threading
from typing import Any

from store_world import another_session, call

from adapter.config.environment import settings
from adapter.delivery.outcomes import RET_CODES
from adapter.metrics import Metrics
from adapter.rendering.repairs import RepairKind
from adapter.service.running import _open_store
from adapter.store.listening import LISTEN
from adapter.store.store import Store

PATIENCE = 20.0


def opened(**environ: str) -> Store:
    return _open_store(settings(environ), Metrics(ret_codes=RET_CODES, repairs=RepairKind))


def listeners(at: str) -> list[str]:
    """Return the databases in which somebody listens."""
    with another_session(at) as other:
        asked: Any = "SELECT datname FROM pg_stat_activity WHERE query = %s"
        return [row[0] for row in other.execute(asked, [LISTEN])]


def test_it_listens_past_the_pooler_and_writes_through_it(postgres):
    with postgres.database() as pooled, postgres.database(empty=True) as direct:
        store = opened(UVMS_DATABASE_URL=pooled, UVMS_DATABASE_LISTEN_URL=direct)
        try:
            listening = threading.Event()
            store.listen(listening.set)
            assert listening.wait(PATIENCE)
            found = listeners(pooled)
            assert direct.rpartition("/")[2] in found
            assert pooled.rpartition("/")[2] not in found
            store.write_now(lambda session: session.add_call(call(None, id="c")))
            [there] = store.read_now(lambda session: session.find_calls(limit=9))
            assert there.id == "c"
        finally:
            store.close()


def test_as_many_write_at_once_as_it_is_told(postgres):
    with postgres.database() as at:
        store = opened(UVMS_DATABASE_URL=at, UVMS_DATABASE_WRITERS="2")
        try:
            both = threading.Barrier(2, timeout=PATIENCE)
            most = 0
            counting, busy = threading.Lock(), 0

            def job(_session: object) -> None:
                nonlocal busy, most
                with counting:
                    busy += 1
                    most = max(most, busy)
                both.wait()
                with counting:
                    busy -= 1

            answers = [store._writer.put(job) for _ in range(6)]
            for answer in answers:
                answer.result(PATIENCE)
            assert most == 2
        finally:
            store.close()
