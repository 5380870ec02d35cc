"""Acknowledgement links: a token that lets whoever has it take one page, until it expires.

A token is base64url of a version, when it expires, the page's id, and half of an HMAC-SHA256 over
these: 128 bits, as RFC 2104 section 5 wants at the least. Knows nothing of pages but their ids.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from adapter.model import Secret

PATH = "/v1/acknowledge"

_VERSION = 1
_HEAD = struct.Struct(">BQ")  # version, Unix time of expiry
_MAC_BYTES = 16
# So that no other signature made with the same secret is a link, nor a link one of those.
_PURPOSE = b"uvms-adapter acknowledgement link\0"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,1024}")


class Unusable(Enum):
    """Why a token names no page."""

    EXPIRED = "expired"  # ours, but too old
    NOT_OURS = "not_ours"  # damaged, made up, or signed with a secret that is not in use any more


def sign_link(page_id: str, expires_at: datetime, secret: Secret) -> str:
    """Return the token for a page, good until the whole second in which it expires."""
    signed = _HEAD.pack(_VERSION, int(expires_at.timestamp())) + page_id.encode()
    return _encode(signed + _mac(secret, signed))


def read_link(token: str, secrets: Sequence[Secret], now: datetime) -> str | Unusable:
    """Return the id of the page that a token is for.

    `secrets`: the one in use, and while it is rotated the previous one; an empty one signs nothing.
    Any text at all may be asked for.
    """
    raw = _decode(token)
    signed, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    # Every secret is tried and each comparison takes constant time: the time taken tells nothing.
    fits = [hmac.compare_digest(_mac(secret, signed), mac) for secret in secrets if secret.reveal]
    if not any(fits):
        return Unusable.NOT_OURS
    version, expires = _HEAD.unpack_from(signed)  # it is signed, so it is long enough
    if version != _VERSION:
        return Unusable.NOT_OURS
    if now.timestamp() >= expires:
        return Unusable.EXPIRED
    return signed[_HEAD.size :].decode()


def link_url(external_url: str, token: str) -> str:
    """Return the address at which a token is shown, below the one we are reached at."""
    return f"{external_url.rstrip('/')}{PATH}/{token}"


def _mac(secret: Secret, signed: bytes) -> bytes:
    # An environment variable that is not UTF-8 reaches Python with surrogates for its bytes.
    key = secret.reveal.encode(errors="surrogateescape")
    return hmac.new(key, _PURPOSE + signed, hashlib.sha256).digest()[:_MAC_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(token: str) -> bytes:
    """Return a token's bytes; none for a text that no token is: one token, one way to write it."""
    if not _TOKEN.fullmatch(token) or len(token) % 4 == 1:
        return b""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return raw if _encode(raw) == token else b""
