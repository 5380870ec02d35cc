"""UCloud's request signature, as pure functions over parameters.

Source: https://docs.ucloud.cn/api/summary/signature. Knows nothing of HTTP: what is signed is
exactly the strings that are sent, so both come from `flatten`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

Scalar = str | int | float | bool
Parameter = Scalar | Sequence[Scalar] | None


def flatten(params: Mapping[str, Parameter]) -> dict[str, str]:
    """Return the parameters as the strings that are both sent and signed.

    Sequences become `Name.0`, `Name.1`, …; `None` is left out; booleans are `true` and `false`;
    a float without a fraction is written as an integer, and none in scientific notation.
    """
    flat: dict[str, str] = {}
    for name, value in params.items():
        if value is None:
            continue
        if isinstance(value, str) or not isinstance(value, Sequence):
            flat[name] = _text(value)
        else:
            flat |= {f"{name}.{index}": _text(item) for index, item in enumerate(value)}
    return flat


def sign(flat: Mapping[str, str], private_key: str) -> str:
    """Return the lower-case hex SHA-1 over the name-sorted `name + value` pairs and the key.

    Names sort by code point, so `TemplateParams.10` comes before `TemplateParams.2`. `Signature`
    itself is never part of what is signed.
    """
    signed = "".join(name + flat[name] for name in sorted(flat) if name != "Signature")
    return hashlib.sha1((signed + private_key).encode()).hexdigest()  # noqa: S324 - the vendor's rule


def _text(value: Scalar) -> str:
    if isinstance(value, str):
        # Half of a surrogate pair has no UTF-8: a "?" is heard, a crash is a call not made.
        return value.encode(errors="replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value)
