"""Whatever a parameter holds, the vendor gets something it takes, and each change is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.rendering.repairs import MAX_RAW, Repair, RepairKind, cut, fit, objection, repair
from adapter.rendering.speech import Language, language_of
from adapter.simulator import checks

ZH, EN = Language.ZH, Language.EN


def said(raw: str, language: Language = ZH, max_length: int = 200) -> str:
    return repair(0, raw, language=language, max_length=max_length, instead="告警")[0]


def kinds(raw: str, language: Language = ZH, max_length: int = 200) -> list[str]:
    _, repairs = repair(0, raw, language=language, max_length=max_length, instead="告警")
    return [made.kind.value for made in repairs]


# What stood in the alert, what is said in Chinese, what is said in English.
SPOKEN = {
    "hanzi as they are": ("磁盘满，请处理。", "磁盘满，请处理。", "磁盘满，请处理。"),
    "Chinese and English punctuation as it is": (
        "（a）：b！(c)? d",
        "（a）：b！(c)? d",
        "（a）：b！(c)? d",
    ),
    "fraction": ("3/5 副本", "3/5 副本", "3/5 副本"),
    "decimal": ("load 1.5", "load 1.5", "load 1.5"),
    "version": ("v1.2.3", "v1.2.3", "v1.2.3"),
    "abbreviation": ("e.g. this", "e.g. this", "e.g. this"),
    "time of day": ("at 12:30:45", "at 12:30:45", "at 12:30:45"),
    "MAC address": ("aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff"),
    "pod": ("kube-system/coredns-5d7", "kube-system/coredns-5d7", "kube-system/coredns-5d7"),
    # lines
    "line breaks pause": ("a\r\nb\n\n c。\nd", "a，b，c。 d", "a, b, c。 d"),
    "tabs and spaces": ("\t a  \u3000 b ", "a b", "a b"),
    "Unicode line separators": ("a\u2028b\x85c", "a，b，c", "a, b, c"),
    # characters
    "accents": ("été re\u0301sume\u0301", "ete resume", "ete resume"),
    "full-width": ("ＣＰＵ９", "CPU9", "CPU9"),
    "circled digit": ("第①台", "第1台", "第1台"),
    "fraction character": ("½", "1/2", "1/2"),
    "en dash and minus": ("1–2 −3", "1-2 -3", "1-2 -3"),
    "other script": ("диск full", "full", "full"),
    "emoji": ("🔥磁盘🔥满", "磁盘 满", "磁盘 满"),
    "NUL and bell": ("disk\x00 \x07full", "disk full", "disk full"),
    "zero width": ("dis\u200bk\ufeff", "disk", "disk"),
    "right-to-left override": ("\u202ecod.exe\u202c", "cod点exe", "cod dot exe"),
    "lone surrogate": ("a\ud800b", "ab", "ab"),
    "keycap emoji": ("1️⃣ node", "1 node", "1 node"),
    "brackets": ("【严重】[a] {b}", "严重 a b", "严重 a b"),
    # links
    "URL": (
        "见 https://g.example.com/d/x?y=1。",
        "见 g点example点com。",
        "见 g dot example dot com。",
    ),
    "www": ("www.15", "www点15", "www dot 15"),
    "host": ("node-1.example.com", "node-1点example点com", "node-1 dot example dot com"),
    "host and port": ("db.cn:5432 down", "db点cn端口5432 down", "db dot cn port 5432 down"),
    "host and no port": ("a.com:9100.b", "a点com:9100.b", "a dot com:9100.b"),
    "link without scheme": ("foo.com/path?q=secret", "foo点com/path", "foo dot com/path"),
    "file": ("/var/log/app.log", "/var/log/app点log", "/var/log/app dot log"),
    "hidden file": ("cat .env", "cat env", "cat env"),
    "class": ("java.lang.Error", "java点lang点Error", "java dot lang dot Error"),
    "IDN domain": ("例子.测试", "例子。测试", "例子。测试"),
    "IDN domain, Latin": ("münchen.de", "munchen点de", "munchen dot de"),
    "IDN domain, ASCII form": (
        "xn--fsq.xn--0zwm56d",
        "xn--fsq点xn--0zwm56d",
        "xn--fsq dot xn--0zwm56d",
    ),
    "ASCII full stop": ("磁盘满.请处理", "磁盘满。请处理", "磁盘满。请处理"),
    "scheme hidden by zero width": ("http:\u200b//a.com/x", "a点com", "a dot com"),
    "full-width link": ("ａ．ｃｏｍ／ｘ", "a点com/x", "a dot com/x"),
    "no scheme": ("看://x", "看 x", "看 x"),
    # addresses
    "IPv4": ("10.0.0.1", "10点0点0点1", "10 dot 0 dot 0 dot 1"),
    "IPv4 and port": (
        "10.0.0.1:9100不通",
        "10点0点0点1端口9100 不通",
        "10 dot 0 dot 0 dot 1 port 9100 不通",
    ),
    "CIDR": ("10.0.0.0/24", "10点0点0点0/24", "10 dot 0 dot 0 dot 0/24"),
    "OID": ("1.3.6.1.4", "1点3点6点1点4", "1 dot 3 dot 6 dot 1 dot 4"),
    "IPv6": ("主机fe80::1不通", "主机fe80冒号冒号1不通", "主机fe80 colon colon 1不通"),
    "IPv6 with zone": ("fe80::1%eth0", "fe80冒号冒号1", "fe80 colon colon 1"),
    "IPv6 with port": ("[::1]:9100", "冒号冒号1端口9100", "colon colon 1 port 9100"),
    "IPv6 in a URL": ("http://[::1]:80/x", "冒号冒号1端口80", "colon colon 1 port 80"),
    "IPv4 in IPv6": (
        "::ffff:1.2.3.4",
        "冒号冒号ffff冒号1点2点3点4",
        "colon colon ffff colon 1 dot 2 dot 3 dot 4",
    ),
    "IPv6 in full": (
        "1:2:3:4:5:6:7:8",
        "1冒号2冒号3冒号4冒号5冒号6冒号7冒号8",
        "1 colon 2 colon 3 colon 4 colon 5 colon 6 colon 7 colon 8",
    ),
    "fingerprint": ("1:2:3:4:5:6:7:8:9:a:b", "1 2 3 4 5 6 7 8 9 a b", "1 2 3 4 5 6 7 8 9 a b"),
    "C++ name": ("std::string", "std string", "std string"),
    "lone colons": (":: x", "x", "x"),
    # symbols
    "percent": ("磁盘 99.5 %", "磁盘 百分之99.5", "磁盘 99.5 percent"),
    "full-width percent": ("９０％", "百分之90", "90 percent"),
    "percent without number": ("CPU%", "CPU百分比", "CPU percent"),
    "and": ("a && b&c", "a 和 b和c", "a and b and c"),
    "at": ("bob@corp.com", "bob at corp点com", "bob at corp dot com"),
    "full-width at": ("bob＠ops", "bob at ops", "bob at ops"),
    "above": ("CPU > 90%", "CPU 大于 百分之90", "CPU above 90 percent"),
    "below": ("<5", "小于5", "below 5"),
    "at least": (">=80 ≥80", "大于等于80 大于等于80", "at least 80 at least 80"),
    "at most": ("<= 80 ≤80", "小于等于 80 小于等于80", "at most 80 at most 80"),
    "not equal": ("!= 1 ≠1", "不等于 1 不等于1", "is not 1 is not 1"),
    "equal": ("up == 0", "up 等于 0", "up equals 0"),
    "plus": ("+5", "加5", "plus 5"),
    "Go's no value": ("<no value>", "no value", "no value"),
    "arrow": ("a -> b => c→d", "a 到 b 到 c到d", "a to b to c to d"),
    "temperature": ("85℃ 3°", "85摄氏度 3度", "85 degrees Celsius 3 degrees"),
    "times": ("3×4", "3乘4", "3 times 4"),
    "micro": ("5µs", "5us", "5us"),
    "underscore": ("node_exporter", "node exporter", "node exporter"),
    "other signs": ("a#b*c|d\\e`f~g^h$i=j", "a b c d e f g h i j", "a b c d e f g h i j"),
    "dot where a symbol becomes a word": ("a.&.b", "a。和 b", "a. and b"),
    # hostile
    "template code": ("{{7*7}}", "7 7", "7 7"),
    "SQL": ("'; DROP TABLE x;--", "'; DROP TABLE x;--", "'; DROP TABLE x;--"),
    "quotes": ("\"a\" 'b' “c”", "\"a\" 'b' “c”", "\"a\" 'b' “c”"),
    # empty
    "nothing": ("", "告警", "告警"),
    "only spaces": (" \n\u3000\t", "告警", "告警"),
    "only emoji": ("🔥🇨🇳👨‍👩‍👧", "告警", "告警"),
    "only punctuation": ("...!", "告警", "告警"),
    "only surrogates": ("\ud800\udc00\udfff", "告警", "告警"),
}


@pytest.mark.parametrize(("raw", "zh", "en"), SPOKEN.values(), ids=SPOKEN)
def test_what_is_said(raw: str, zh: str, en: str) -> None:
    assert said(raw, ZH) == zh
    assert said(raw, EN) == en
    assert objection(zh) is None
    assert objection(en) is None
    assert said(zh, ZH) == zh
    assert said(en, EN) == en


CREDENTIALS = {
    "password": "https://admin:hunter2@db.example.com:5432/x",
    "password with a slash": "postgres://admin:hun/ter2@db.example.com/x",
    "password with an at sign": "postgres://admin:hun@ter2@db.example.com/x",
    "password with a question mark": "postgres://admin:hun?ter2@db.example.com/x",
    "password with hanzi": "https://admin:密hunter2码@db.example.com/x",
    "password with emoji": "https://admin:🔥hunter2🔥@db.example.com/x",
    "password only": "redis://:hunter2@cache:6379/0",
    "no host": "https://admin:hunter2@/x",
    "no at sign": "https://admin:hunter2",
    "full-width": "ｈｔｔｐ：／／admin:hunter2＠db.example.com",
    "token in the query": "https://grafana.example.com/d?token=hunter2",
    "token in the query without scheme": "grafana.example.com/d?token=hunter2",
    "token in the fragment": "https://grafana.example.com/d#hunter2",
    "secret in the path": "https://hooks.example.com/services/hunter2",
    "URL in a URL": "http://a.example.com/?u=http://admin:hunter2@b.example.com/",
    "behind invisible characters": "http\u200b://admin\u202e:hunter2@db.example.com",
}


@pytest.mark.parametrize("raw", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("language", Language)
def test_no_credential_is_said(raw: str, language: Language) -> None:
    words = said(f"见 {raw} 。", language)
    for part in ("hun", "ter2", "admin", "密", "码"):
        assert part not in words
    assert objection(words) is None


KINDS = {
    "nothing to repair": ("磁盘满", []),
    "line break": ("a\nb", ["lines"]),
    "emoji": ("a🔥", ["characters"]),
    "host": ("a.com", ["link"]),
    "URL of an address": ("http://10.0.0.1/", ["link", "address"]),
    "percent": ("5%", ["symbols"]),
    "full-width percent": ("５％", ["characters", "symbols"]),
    "nothing sayable": ("🔥", ["characters", "empty"]),
    "too long": ("满" * 201, ["too_long"]),
}


@pytest.mark.parametrize(("raw", "expected"), KINDS.values(), ids=KINDS)
def test_each_repair_is_told(raw: str, expected: list[str]) -> None:
    assert kinds(raw) == expected


def test_a_repair_tells_before_and_after() -> None:
    _, repairs = repair(2, "10.0.0.1 90%", language=ZH, max_length=80, instead="告警")
    assert repairs == (
        Repair(
            param=2,
            kind=RepairKind.ADDRESS,
            before="10.0.0.1 90%",
            after="10点0点0点1 90%",
        ),
        Repair(
            param=2,
            kind=RepairKind.SYMBOLS,
            before="10点0点0点1 90%",
            after="10点0点0点1 百分之90",
        ),
    )


def test_a_megabyte_is_cut_before_it_is_read() -> None:
    text, repairs = repair(0, "磁盘满" * 350_000, language=ZH, max_length=80, instead="告警")
    assert text == ("磁盘满" * 27)[:80]
    assert [made.kind for made in repairs] == [RepairKind.TOO_LONG, RepairKind.TOO_LONG]
    assert all(len(made.before) <= 201 and len(made.after) <= 201 for made in repairs)


def test_the_cut_of_a_megabyte_tears_no_link() -> None:
    """What is invisible takes the room, so that the torn link would be said."""
    raw = "x" + "\u200b" * (MAX_RAW - 12) + " https://admin:hunter2@a.com"
    assert said(raw) == "x"


# --- cutting -----------------------------------------------------------------------------------

CUTS = {
    "short enough": ("磁盘满", 3, "磁盘满"),
    "hanzi anywhere": ("磁盘空间不足", 4, "磁盘空间"),
    "at the end of a word": ("disk is full", 9, "disk is"),
    "exactly at a word's end": ("disk is full", 7, "disk is"),
    "a number is not halved": ("磁盘使用率百分之99.55", 11, "磁盘使用率百分之"),
    "not behind a hyphen either": ("the host node-15", 15, "the host"),
    "one long word is cut through": ("x" * 30, 10, "x" * 10),
    "a word longer than half is cut through": ("a bcdefghijk", 8, "a bcdefg"),
    "no dangling punctuation": ("磁盘满，请处理", 4, "磁盘满"),
    "a closing bracket stays": ("磁盘（甲）满了", 5, "磁盘（甲）"),
    "leading punctuation gives way": ("(((((磁盘满", 4, "磁盘满"),
    "nothing but punctuation": ("(((((", 4, ""),
    "one character": ("磁盘满", 1, "磁"),
}


@pytest.mark.parametrize(("text", "length", "kept"), CUTS.values(), ids=CUTS)
def test_cut(text: str, length: int, kept: str) -> None:
    assert cut(text, length) == kept


def test_an_emoji_family_is_not_torn_but_removed() -> None:
    assert said("磁盘满" + "👨‍👩‍👧", max_length=10) == "磁盘满"


FITS = {
    "all fit": (["甲" * 10, "乙" * 5], 15, [1, 1], ["甲" * 10, "乙" * 5]),
    "the longest gives way": (["甲" * 10, "乙" * 3], 10, [1, 1], ["甲" * 7, "乙" * 3]),
    "the two longest give way": (
        ["甲" * 10, "乙" * 9, "丙"],
        9,
        [1, 1, 1],
        ["甲" * 4, "乙" * 4, "丙"],
    ),
    "said twice counts twice": (["甲" * 10, "乙" * 2], 12, [2, 1], ["甲" * 5, "乙" * 2]),
    "one character at least": (["甲" * 10, "乙" * 9], 1, [1, 1], ["甲", "乙"]),
    "no parameters": ([], 0, [], []),
}


@pytest.mark.parametrize(("params", "budget", "times", "fitted"), FITS.values(), ids=FITS)
def test_fit(params: list[str], budget: int, times: list[int], fitted: list[str]) -> None:
    got, repairs = fit(params, budget, times)
    assert list(got) == fitted
    assert [(made.param, made.kind) for made in repairs] == [
        (index, RepairKind.WORDS_TOO_LONG)
        for index, (before, after) in enumerate(zip(params, fitted, strict=True))
        if before != after
    ]


# --- the check of what leaves --------------------------------------------------------------------

OBJECTIONS = {
    "fine": ("磁盘满", None),
    "empty": ("", "nothing in it can be said"),
    "only punctuation": ("，", "nothing in it can be said"),
    "too long": ("满" * 1001, "1001 characters, more than 1000"),
    "percent": ("90%", "U+0025 is neither hanzi, letter, digit nor punctuation"),
    "full-width percent": ("90％", "U+FF05 is neither hanzi, letter, digit nor punctuation"),
    "line break": ("a\nb", "U+000A is neither hanzi, letter, digit nor punctuation"),
    "surrogate": ("a\ud800", "U+D800 is neither hanzi, letter, digit nor punctuation"),
    "emoji": ("满🔥", "U+1F525 is neither hanzi, letter, digit nor punctuation"),
    "space in front": (" a", "spaces around it, or more than one in a row"),
    "two spaces": ("a  b", "spaces around it, or more than one in a row"),
    "scheme": ("http://x", "a link, for '://'"),
    "www": ("WWW.1", "a link, for 'WWW.'"),
    "host": ("a.com", "a link, for '.co'"),
    "IPv4": ("在10.0.0.1", "an IP address, for '10.0.0.1'"),
    "IPv6": ("fe80::1", "an IP address, for '::'"),
    "IPv6 in full": ("1:2:3:4:5:6:7:8", "an IP address, for '1:2:3:4:5:6:7:'"),
}


@pytest.mark.parametrize(("param", "why"), OBJECTIONS.values(), ids=OBJECTIONS)
def test_objection(param: str, why: str | None) -> None:
    assert objection(param) == why


@pytest.mark.parametrize(
    ("text", "language"),
    [("{1}告警", ZH), ("{1} is down", EN), ("", ZH)],
    ids=["hanzi", "no hanzi", "no text"],
)
def test_the_language_is_that_of_the_text(text: str, language: Language) -> None:
    assert language_of(text) is language


# --- whatever comes ------------------------------------------------------------------------------

_PIECES = [
    *".:/@%&?=#<>!-+_ 1fa0x汉点[]~(,'°C×→≥5。\n\ud800\u200bé％．：🔥{",
    *("http://", "www.", "10.0.0.1", "::1", "a.com", "fe80::", ":9100", "e.g.", "com", "冒号"),
    *(" dot ", "1:2:3:4:5:6:7:8", "90%", "user:pw@", "?a=b"),
]
NASTY = st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)
ANY_TEXT = NASTY | st.text(st.characters(exclude_categories=()), max_size=200)


@given(ANY_TEXT, st.sampled_from(Language), st.integers(10, 100))
def test_what_leaves_is_taken_and_needs_no_second_repair(
    raw: str, language: Language, max_length: int
) -> None:
    text, _ = repair(0, raw, language=language, max_length=max_length, instead="告警")
    assert objection(text) is None
    assert len(text) <= max_length
    text.encode()
    again = repair(0, text, language=language, max_length=max_length, instead="告警")
    assert again == (text, ())


@given(ANY_TEXT, st.sampled_from(Language))
def test_the_simulated_vendor_takes_what_leaves(raw: str, language: Language) -> None:
    params = {
        "CalledNumber": "+8613512345678",
        "TemplateId": "T",
        "TemplateParams.0": said(raw, language),
    }
    assert checks.check_send(params, {"T": "告警{1}请处理"}, frozenset()) is None
