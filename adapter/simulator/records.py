"""GetUVMSSendRecord: which of the placed calls a look-up shows.

Source: https://docs.ucloud.cn/api/uvms-api/get_uvms_send_record. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from adapter.simulator.calls import PlacedCall, national, record
from adapter.simulator.checks import Params, Window

Item = dict[str, str | int | float]

KEPT = timedelta(days=183)  # "half a year"
EXACT = (
    "TaskNo",
    "BrevityCode",
    "Purpose",
    "TemplateId",
    "CalledCityCode",
    "CalledOperatorCode",
    "CallingCityCode",
)


def find(
    calls: Iterable[PlacedCall], params: Params, window: Window, now: datetime, delay: timedelta
) -> tuple[int, list[Item]]:
    """Return how many records match, and the page of them that was asked for.

    A record appears `delay` after its call was placed. Without OrderType the latest comes first,
    which is our assumption.
    """
    items = [
        record(call, now)
        for call in calls
        if call.fate.recorded
        and now - KEPT <= call.time <= now - delay
        and window.start <= call.time <= window.end
    ]
    items = [item for item in items if _matches(item, params)]
    key = "ReceiveTime" if params.get("OrderBy") == "receive_time" else "CallStartTime"
    items.sort(key=lambda item: float(item[key]), reverse=params.get("OrderType") != "asc")
    first = window.page * window.size
    return len(items), items[first : first + window.size]


def _matches(item: Item, params: Params) -> bool:
    """Hold the item against every filter; one that is empty filters nothing."""
    phone = national(params.get("PhoneNumber", ""))
    fuzzy = params.get("FuzzySearch", "")
    return (
        all(str(item[name]) == params[name] for name in EXACT if params.get(name))
        and (not phone or phone == item["Phone"])
        and item["BrevityCode"] != params.get("ExcludeBrevityCode")
        and (fuzzy in str(item["Phone"]) or fuzzy in str(item["ShowNumber"]))
    )
