"""Alertmanager's identity of an alert: a hash over its labels.

Source: `LabelSet.Fingerprint` in
https://github.com/prometheus/common/blob/main/model/labelset.go. Every Alertmanager, and Grafana,
gives the same labels the same fingerprint; it says nothing of annotations or times.
"""

from __future__ import annotations

from adapter.model import Labels

# FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
_SEPARATOR = b"\xff"  # a byte that UTF-8 never uses


def fingerprint(labels: Labels) -> str:
    """Return the labels' fingerprint as 16 lower-case hex digits."""
    hashed = bytearray()
    for name in sorted(labels):  # code point order is UTF-8's byte order, which is Go's
        hashed += name.encode() + _SEPARATOR + labels[name].encode() + _SEPARATOR
    value = _OFFSET_BASIS
    for byte in hashed:
        value = ((value ^ byte) * _PRIME) & _MASK
    return f"{value:016x}"
