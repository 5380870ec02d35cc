"""Turns what cannot be read aloud, or what the vendor refuses to read, into words.

Each function maps text to text, and maps its own result to itself. It must not know templates,
alerts or lengths; `repairs` puts the functions in order.

The rules are those of the vendor's template page: only common hanzi, letters, digits and
punctuation; no special symbols such as `%&@`; a variable is no IP address and no link.
Source: https://github.com/UCloudDoc-Team/uvms (criteria/SDK/template.md)
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum


class Language(StrEnum):
    """The language of a voice template; the vendor has these two."""

    ZH = "zh"
    EN = "en"


_HANZI = "\u4e00-\u9fff"  # the common block; the extensions are for names nobody's TTS knows
_WORD = f"0-9A-Za-z{_HANZI}"
_PUNCTUATION = re.escape(",.!?:;'\"()-/，。！？：；、（）《》“”‘’—…·")

# What may leave, what may stay until it is said in words, and where a spoken word begins.
UNSPEAKABLE = re.compile(rf"[^ {_WORD}{_PUNCTUATION}]")
_UNKNOWN = re.compile(rf"[^ -~{_WORD}{_PUNCTUATION}≥≤≠°×→]")
SPOKEN = re.compile(f"[{_WORD}]")

_ANY_HANZI = re.compile(f"[{_HANZI}]")


def language_of(text: str) -> Language:
    """Return the language a text is written in; of no text, the vendor's first."""
    return Language.ZH if not text or _ANY_HANZI.search(text) else Language.EN


# --- white space and characters ----------------------------------------------------------------

# Hyphen, dashes, minus, fraction slash and Greek mu: what they stand for at a keyboard.
_PLAIN = {"‐": "-", "‒": "-", "–": "-", "−": "-", "⁄": "/", "μ": "u"}
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mc", "Me", "Mn"})
_PAUSES = "，。！？：；、,.!?:;"


def squeeze(text: str) -> str:
    """Return the text with single spaces between its words and none around them."""
    return " ".join(text.split())


def fold_lines(text: str, language: Language) -> str:
    """Return the text on one line: a line break is a comma, so that the voice pauses there."""
    lines = [line for line in map(squeeze, text.splitlines()) if line]
    comma = "，" if language is Language.ZH else ", "
    joined = "".join(f"{line} " if line[-1] in _PAUSES else line + comma for line in lines[:-1])
    return joined + (lines[-1] if lines else "")


def plain_characters(text: str) -> str:
    """Return the text in ASCII, hanzi and their punctuation.

    Full-width forms, accents and other dress are taken off; what is invisible (control characters,
    bidirectional marks, zero-width ones, lone surrogates) vanishes, so that it hides no link; what
    is left over (emoji, other scripts) becomes a space.
    """
    return squeeze(_UNKNOWN.sub(lambda found: _plain(found[0]), text))


def _plain(char: str) -> str:
    parts = (_PLAIN.get(part, part) for part in unicodedata.normalize("NFKD", char))
    return "".join(
        ("" if unicodedata.category(part) in _INVISIBLE else " ") if _UNKNOWN.match(part) else part
        for part in parts
    )


# --- links -------------------------------------------------------------------------------------

# Anything up to the last `@` is credentials, whatever it holds; a link ends at a hanzi.
_URL = re.compile(
    r"[a-z][a-z0-9+.-]{0,30}[:：]//((?:[^\s，。；！？、（）“”]*@)?[\w.~:/?#\[\]@!$&*+=%-]*)",
    re.ASCII | re.IGNORECASE,
)
_HOST = re.compile(r"(?:[\w.-]+|\[[\w:.%-]+\])(?::[0-9]{1,5})?", re.ASCII)
_QUERY = re.compile(r"\?[\w.~%\[\]-]+=[\w.~:/?\[\]@!$&*+=%-]*", re.ASCII)
_FULL_STOP = re.compile(rf"(?<=[{_WORD}])\.(?=[{_HANZI}])")
# `.env`: a word that will be said for what stands before it must not make it a host.
_STRAY_DOT = re.compile(rf"(?<![{_WORD}-])\.(?=[A-Za-z])")
_PORT = r"(?::([0-9]{1,5})(?![0-9]|\.[0-9A-Za-z]))?"
_NAME = re.compile(rf"([{_WORD}-]++(?:\.[{_WORD}-]++)*+){_PORT}")
_DOMAIN = re.compile(r"\.[A-Za-z]{2}")
_WWW = re.compile(r"(www)\.", re.IGNORECASE)

# What makes the vendor see a link. Shared with the check of what leaves.
LINK = re.compile(rf"://|www\.|(?<=[{_WORD}])\.[A-Za-z]{{2}}", re.IGNORECASE)

_LINK_WORD = {Language.ZH: "链接", Language.EN: "a link"}
_DOT = {Language.ZH: "点", Language.EN: " dot "}
_COLON = {Language.ZH: "冒号", Language.EN: " colon "}
_PORT_WORD = {Language.ZH: "端口", Language.EN: " port "}


def name_urls(text: str, language: Language) -> str:
    """Return the text with the bare host in place of each URL: no path, query or credentials."""
    return _QUERY.sub("", _URL.sub(lambda found: _host_of(found[1], language), text))


def speak_links(text: str, language: Language) -> str:
    """Return the text with hosts and other dotted names said with the word for dot.

    Version numbers, decimals and abbreviations such as `e.g.` are left alone.
    """
    text = _settle_dots(name_urls(text, language).replace("://", " "))
    text = _NAME.sub(lambda found: _speak_name(found, language), text)
    return squeeze(_WWW.sub(rf"\1{_DOT[language]}", text))


def _settle_dots(text: str) -> str:
    """Make a dot before a hanzi a full stop, and drop one before a word that belongs to no name.

    Said again at the very end, because words have come in place of symbols by then.
    """
    return _FULL_STOP.sub("。", _STRAY_DOT.sub(" ", text))


def _host_of(link: str, language: Language) -> str:
    authority = re.split(r"[/?#]", link, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    # An `@` after the host: a password may have held the slash that seems to end the host.
    unsure = "@" in link[len(authority) :]
    return host if _HOST.fullmatch(host) and not unsure else _LINK_WORD[language]


def _speak_name(found: re.Match[str], language: Language) -> str:
    if not _DOMAIN.search(found[1]):
        return found[0]
    return found[1].replace(".", _DOT[language]) + _speak_port(found[2], language)


def _speak_port(port: str | None, language: Language) -> str:
    return f"{_PORT_WORD[language]}{port} " if port else ""


# --- addresses ---------------------------------------------------------------------------------

_HEX = "[0-9A-Fa-f]{0,4}"
_COLONS = re.compile(
    rf"(?<![0-9A-Za-z:.])\[?({_HEX}(?::{_HEX}){{2,8}}(?:\.[0-9]{{1,3}}){{0,3}})"
    rf"(?:%[\w.-]+)?(?:\]{_PORT})?(?![0-9A-Za-z:])",
    re.ASCII,
)
_IPV4 = re.compile(rf"(?<![0-9])([0-9]++(?:\.[0-9]++){{3,}}){_PORT}")
# Eight groups or more, such as a certificate's fingerprint: shaped like a full IPv6 address.
_EIGHT_GROUPS = re.compile(r"(?:[0-9A-Fa-f]{1,4}:){7,}")

# What makes the vendor see an IP address. Shared with the check of what leaves.
ADDRESS = re.compile(rf"::|{_EIGHT_GROUPS.pattern}|[0-9]+(?:\.[0-9]+){{3}}")


def speak_addresses(text: str, language: Language) -> str:
    """Return the text with IPv4 and IPv6 addresses, and their ports, said in words.

    Long dotted numbers (object identifiers, four-part versions) are said the same way; a time of
    day or a MAC address is left alone.
    """
    text = _COLONS.sub(lambda found: _speak_ipv6(found, language), text)
    text = _IPV4.sub(lambda found: _speak_ipv4(found, language), text)
    text = _EIGHT_GROUPS.sub(lambda found: found[0].replace(":", " "), text)
    return squeeze(text.replace("::", " "))


def _speak_ipv6(found: re.Match[str], language: Language) -> str:
    address = found[1]
    if SPOKEN.search(address) and ("::" in address or _EIGHT_GROUPS.match(address)):
        said = address.replace(":", _COLON[language]).replace(".", _DOT[language])
        return said + _speak_port(found[2], language)
    return found[0]


def _speak_ipv4(found: re.Match[str], language: Language) -> str:
    return found[1].replace(".", _DOT[language]) + _speak_port(found[2], language)


# --- symbols -----------------------------------------------------------------------------------

_NUMBER_NEXT = r"(?=\s?[-+.]?[0-9])"  # a sign compares only in front of a number: not in <none>
_SYMBOLS = (  # pattern, said in Chinese, said in English
    (r"&+", "和", " and "),
    (r"@", " at ", " at "),
    (r"[-=]+>|→", "到", " to "),
    (rf"≥|>={_NUMBER_NEXT}", "大于等于", " at least "),
    (rf"≤|<={_NUMBER_NEXT}", "小于等于", " at most "),
    (rf"≠|!={_NUMBER_NEXT}", "不等于", " is not "),
    (rf">{_NUMBER_NEXT}", "大于", " above "),
    (rf"<{_NUMBER_NEXT}", "小于", " below "),
    (rf"==?{_NUMBER_NEXT}", "等于", " equals "),
    (rf"\+{_NUMBER_NEXT}", "加", " plus "),
    (r"°C\b", "摄氏度", " degrees Celsius"),
    (r"°", "度", " degrees "),
    (r"×", "乘", " times "),
    # After the comparisons, which look for a number.
    (r"(?<![0-9])([0-9]++(?:[.,][0-9]++)*+)\s?%+", r"百分之\1", r"\1 percent"),
    (r"%+", "百分比", " percent "),
)
_SPEAK_SYMBOLS: dict[Language, tuple[tuple[re.Pattern[str], str], ...]] = {
    Language.ZH: tuple((re.compile(pattern), zh) for pattern, zh, _ in _SYMBOLS),
    Language.EN: tuple((re.compile(pattern), en) for pattern, _, en in _SYMBOLS),
}


def speak_symbols(text: str, language: Language) -> str:
    """Return the text with `% & @`, comparisons and units in words, and other symbols gone."""
    for pattern, words in _SPEAK_SYMBOLS[language]:
        text = pattern.sub(words, text)
    return squeeze(_settle_dots(UNSPEAKABLE.sub(" ", text)))
