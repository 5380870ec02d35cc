"""URLs that routes.yaml names: their shape, and what may be shown of them.

Many a webhook's URL is as good as a password, so none is shown beyond its host.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from adapter.config.problems import quote
from adapter.model import Secret

_WEB_URL = re.compile(r"https?://[^\s/?#@]+([/?][^\s#]*)?")
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def parse_web_url(text: str) -> Secret:
    """Return the URL.

    Raises:
        ValueError: it is none that can be posted to; the text says how to mend it.
    """
    if "@" in text.partition("//")[2].partition("/")[0]:
        raise ValueError("a URL with a user is not supported")
    if text.startswith("webcal://"):
        raise ValueError("write https:// instead of webcal://")
    if not _WEB_URL.fullmatch(text):
        raise ValueError("")
    try:
        parts = urlsplit(text)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an address that is none
        valid = False
    if not valid:
        raise ValueError("there is no such host or port")
    return Secret(text)


def shown(text: str) -> str:
    """Show no more of a URL than its scheme and host, and nothing of what is none."""
    found = re.match(r"([a-z]+://)(?:[^\s/?#@]*@)?([A-Za-z0-9.:\[\]-]+)", text)
    if found is None:
        return "what is no URL"
    rest = "" if found.end() == len(text) else "/…"
    return quote(f"{found[1]}{found[2]}{rest}")


def can_be_read_on_the_way(url: str, but: frozenset[str] = frozenset()) -> bool:
    """Tell whether the URL is plain http to another machine, and none of the hosts in `but`."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _THIS_MACHINE | but
