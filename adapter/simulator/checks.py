"""What the vendor refuses in the parameters of a request, as pure functions.

Sources: https://docs.ucloud.cn/api/uvms-api/send_uvms_message,
https://docs.ucloud.cn/api/uvms-api/get_uvms_send_record, and the template rules of
https://github.com/UCloudDoc-Team/uvms (criteria/SDK/template.md).

The pages give the rules but no RetCodes of their own for a parameter that breaks them. ASSUMED:
210 "Missing params [X]" and 230 "Params [X] not available", which other products of the same
gateway answer. So is every message text but those of 160, 161, 171, 172 and 292.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import phonenumbers

from adapter.model import Record

Params = Mapping[str, str]

MAX_SPOKEN = 1000  # characters, template text and variables together
MAX_WINDOW = timedelta(days=7)

VARIABLE = re.compile(r"\{(\d+)\}")
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
USER_ID = re.compile(r"[\w .:-]{1,32}")
FORBIDDEN = frozenset("%&@")
# ASCII: a hanzi next to an address is no part of it.
LINK = re.compile(r"[a-z][a-z0-9+.-]*://|\bwww\.", re.IGNORECASE | re.ASCII)
IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)", re.ASCII)
IPV6 = re.compile(r"(?<![\w:])[0-9A-F]*:[0-9A-F:]*:[0-9A-F.]*(?![\w:])", re.IGNORECASE | re.ASCII)


class Refusal(Record):
    """Why the vendor does not do what was asked."""

    code: int
    message: str


class Window(Record):
    """Which page of which records a look-up asks for."""

    start: datetime
    end: datetime
    page: int
    size: int


def missing(name: str) -> Refusal:
    """Return the refusal of a request that lacks a parameter."""
    return Refusal(code=210, message=f"Missing params [{name}]")


def unavailable(name: str, why: str) -> Refusal:
    """Return the refusal of a wrong parameter, with the reason the vendor would not tell."""
    return Refusal(code=230, message=f"Params [{name}] not available: {why}")


def template_params(params: Params) -> tuple[str, ...]:
    """Return `TemplateParams.0`, `.1`, … up to the first gap."""
    found: list[str] = []
    while (name := f"TemplateParams.{len(found)}") in params:
        found.append(params[name])
    return tuple(found)


def variable_count(text: str) -> int:
    """Return how many different variables a template's text has."""
    return len(set(VARIABLE.findall(text)))


def spoken(text: str, values: tuple[str, ...]) -> str:
    """Return the words the phone says."""
    by_index = {str(index): value for index, value in enumerate(values, 1)}
    return VARIABLE.sub(lambda found: by_index.get(found[1], found[0]), text)


def check_send(
    params: Params, templates: Mapping[str, str], from_numbers: frozenset[str]
) -> Refusal | None:
    """Return why SendUVMSMessage refuses these parameters; an empty registry knows any id."""
    for name in ("CalledNumber", "TemplateId"):
        if not params.get(name):
            return missing(name)
    return (
        _check_number(params["CalledNumber"])
        or _check_template(params, templates)
        or _check_user_id(params.get("UserId", ""))
        or _check_choice(params, "GroupType", ("1", "2"))
        or _check_choice(params, "DispatchRule", ("0", "1"))
        or _check_from_number(params.get("FromNumber", ""), from_numbers)
    )


def check_look_up(params: Params, now: datetime) -> Refusal | Window:
    """Return the window GetUVMSSendRecord is asked for, or why it refuses."""
    page = _number(params.get("Page") or "0")
    size = _number(params.get("NumPerPage") or "10")
    end = _instant(params.get("EndTime"), now)
    if page is None:
        return unavailable("Page", "not a number from 0 up")
    if not size:
        return unavailable("NumPerPage", "not a number from 1 up")
    if end is None:
        return unavailable("EndTime", "not a timestamp in seconds")
    start = _instant(params.get("StartTime"), end - MAX_WINDOW)
    if start is None or start > end:
        return unavailable("StartTime", "not a timestamp in seconds before EndTime")
    if end - start > MAX_WINDOW:
        return unavailable("StartTime", "more than 7 days before EndTime")
    return (
        _check_choice(params, "OrderBy", ("call_start_time", "receive_time"))
        or _check_choice(params, "OrderType", ("asc", "desc"))
        or Window(start=start, end=end, page=page, size=size)
    )


def unspeakable(text: str) -> str | None:
    """Return why a template variable may not hold this text; None if it may."""
    if not text.strip():
        return "empty"
    for character in text:
        if character in FORBIDDEN or _is_special(character):
            return f"forbidden character U+{ord(character):04X}"
    if LINK.search(text):
        return "a link"
    if IPV4.search(text) or any(_is_ipv6(found) for found in IPV6.findall(text)):
        return "an IP address"
    return None


def _check_number(number: str) -> Refusal | None:
    wrong = unavailable("CalledNumber", "not one number in E.164 format")
    if not E164.fullmatch(number):
        return wrong
    try:
        phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return wrong
    return None


def _check_template(params: Params, templates: Mapping[str, str]) -> Refusal | None:
    text = templates.get(params["TemplateId"], "")
    if templates and not text:
        return unavailable("TemplateId", "not an approved template")
    values = template_params(params)
    sent = sum(name.startswith("TemplateParams.") for name in params)
    if sent != len(values):
        return unavailable("TemplateParams", "not numbered 0, 1, 2, …")
    if templates and len(values) != (wanted := variable_count(text)):
        return unavailable("TemplateParams", f"{len(values)} given, the template has {wanted}")
    for index, value in enumerate(values):
        if why := unspeakable(value):
            return unavailable(f"TemplateParams.{index}", why)
    length = len(spoken(text, values)) if text else sum(map(len, values))
    if length > MAX_SPOKEN:
        return unavailable("TemplateParams", f"{length} characters spoken, {MAX_SPOKEN} allowed")
    return None


def _check_user_id(user_id: str) -> Refusal | None:
    if not user_id or USER_ID.fullmatch(user_id):
        return None
    return unavailable("UserId", "longer than 32 characters, or special characters")


def _check_choice(params: Params, name: str, choices: tuple[str, ...]) -> Refusal | None:
    if params.get(name, "") in ("", *choices):
        return None
    return unavailable(name, f"none of {', '.join(choices)}")


def _check_from_number(number: str, purchased: frozenset[str]) -> Refusal | None:
    if not number or not purchased or number in purchased:
        return None
    return unavailable("FromNumber", "not a purchased number")


def _is_special(character: str) -> bool:
    """Control, private and unassigned characters, joiners, and emoji but not `°` or `℃`."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"):
        return True
    return character == "\N{VARIATION SELECTOR-16}" or (
        category in ("So", "Sk") and ord(character) >= 0x2190
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return len(text) > 2  # "::" is an address too, but nobody writes it as one


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _instant(text: str | None, default: datetime) -> datetime | None:
    if not text:
        return default
    try:
        seconds = float(text)
        return datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else None
    except (ValueError, OverflowError, OSError):
        return None
