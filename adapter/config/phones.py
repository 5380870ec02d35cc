"""Phone numbers as people write them, checked against the world's numbering plans.

Knows nothing of who owns a number.
"""

from __future__ import annotations

import re

import phonenumbers

from adapter.errors import InvalidPhoneNumber
from adapter.model import PhoneNumber

_MAINLAND_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_E164 = re.compile(r"\+[0-9]+")
_WRONG_LENGTH = {
    phonenumbers.ValidationResult.TOO_SHORT: "it is too short",
    phonenumbers.ValidationResult.TOO_LONG: "it is too long",
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "the area code is missing",
}


def parse_phone(text: str) -> PhoneNumber:
    """Return the E.164 number that stands in `text`.

    Raises:
        InvalidPhoneNumber: it is none; the error says how to mend it and does not show it.
    """
    if not _E164.fullmatch(text):
        raise InvalidPhoneNumber(_shape_hint(text))
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException as error:
        raise InvalidPhoneNumber(_parse_hint(error)) from None
    plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not phonenumbers.is_valid_number(number):
        length = phonenumbers.is_possible_number_with_reason(number)
        country = f"+{number.country_code}"
        raise InvalidPhoneNumber(_WRONG_LENGTH.get(length, f"{country} has no such number"))
    if plain != text:
        raise InvalidPhoneNumber("leave out the 0 after the country code")
    return PhoneNumber(plain)


def looks_like_phone(text: str) -> bool:
    """Tell whether somebody may have meant a number, rightly written or not."""
    return text.startswith("+") or (
        sum(char.isdigit() for char in text) >= 5 and not any(char.isalpha() for char in text)
    )


def _shape_hint(text: str) -> str:
    bare = re.sub(r"[\s().-]", "", text)
    if bare != text and _E164.fullmatch(bare):
        return "leave out spaces, dashes, dots and brackets"
    if _MAINLAND_MOBILE.fullmatch(bare):
        return "put +86 before a number of mainland China"
    if bare.startswith("00"):
        return "write + instead of 00"
    return "begin with + and the country code, then digits only"


def _parse_hint(error: phonenumbers.NumberParseException) -> str:
    kind = phonenumbers.NumberParseException
    if error.error_type == kind.INVALID_COUNTRY_CODE:
        return "no country has this code"
    return "it is too long" if error.error_type == kind.TOO_LONG else "it is too short"
