"""The signature agrees with the vendor's published examples and with its own SDK."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapter.signing import flatten, sign

PUBLIC = "ucloudsomeone@example.com1296235120854146120"
PRIVATE = "46f09bb9fab4f12dfc160dae12273d5332b5debe"

VECTORS = Path(__file__).parents[1] / "../shared/vectors/uvms_signatures.json"

CREATE_HOST = {
    "Action": "CreateUHostInstance",
    "CPU": 2,
    "ChargeType": "Month",
    "DiskSpace": 10,
    "ImageId": "f43736e1-65a5-4bea-ad2e-8a46e18883c2",
    "LoginMode": "Password",
    "Memory": 2048,
    "Name": "Host01",
    "Password": "VUNsb3VkLmNu",
    "Quantity": 1,
    "Region": "cn-bj2",
    "Zone": "cn-bj2-04",
}
DESCRIBE_HOST = {"Action": "DescribeUHostInstance", "Region": "cn-bj2"}
CALL = {
    "Action": "SendUVMSMessage",
    "ProjectId": "org-test",
    "CalledNumber": "+8613512345678",
    "TemplateId": "UVVT20220101AAAA",
}

# Published by UCloud: https://docs.ucloud.cn/api/summary/signature and the tests of its SDKs,
# https://github.com/ucloud/ucloud-sdk-python3 (test_auth.py),
# https://github.com/ucloud/ucloud-sdk-go (ucloud/auth/credential_test.go) and
# https://github.com/ucloud/ucloud-sdk-java (CredentialTest.java), all with the one key pair.
PUBLISHED = {
    "the signature page's own example": (
        DESCRIBE_HOST | {"Limit": 10},
        "cba5cf5ec4d4233d206b1b54951e3787350a642f",
    ),
    "many parameters": (CREATE_HOST, "4f9ef5df2abab2c6fccd1e9515cb7e2df8c6bb65"),
    "twelve items sort by code point": (
        {"Action": "AllocateBackendBatch", "Backends": ["foo", "bar", 42] * 4},
        "6bc32642779f8cb0bb3d3f128b1c0688abf9a1a3",
    ),
    "a temporary key pair's token is signed": (
        CREATE_HOST | {"SecurityToken": "some_stoken"},
        "170c480ad176a247b324eb92a2cfe536aacfbd04",
    ),
    "a float without a fraction is an integer": (
        DESCRIBE_HOST | {"Proportion": 35.0},
        "da620b97de476947302291fc93a2d8b0710be328",
    ),
    "a float with a fraction": (
        DESCRIBE_HOST | {"Proportion": 65.722},
        "5e39dd48144d6a075328e56a6c5e9df6c39ae939",
    ),
}

# Computed with the official SDK for the two actions that matter here.
OF_UVMS = {
    "the 2022 page's example call": (
        {
            "Action": "SendUVMSMessage",
            "Region": "cn-zj",
            "Zone": "cn-zj-01",
            "ProjectId": "JMliDugq",
            "CalledNumber": "+8613512345678",
            "TemplateId": "xxxxxxxxx",
            "TemplateParams": ["123456"],
            "UserId": "ucloud",
            "FromNumber": "IIiUKXds",
        },
        "d6fecd06ddb814d26eab09515dfaeebf41519512",
    ),
    "the least a call needs": (CALL, "bc16deb37363c07c74e5f6f724a703db05e4bf91"),
    "words in Chinese, a space and a percent sign": (
        CALL | {"TemplateParams": ["生产", "磁盘 90%"], "UserId": "alert-1"},
        "d5e10be7f5325bb0430dedfc5aff884058eefdb6",
    ),
    "twelve words": (
        CALL | {"TemplateParams": [str(number) for number in range(12)]},
        "fd6c85b0adca2dee27b3ca2ae7a99829c37fdf27",
    ),
    "which number rings": (
        CALL | {"GroupType": 1, "DispatchRule": 0},
        "90ffdbe6480747c527f663cf266bc6b19b3f89be",
    ),
    "asking for records": (
        {
            "Action": "GetUVMSSendRecord",
            "ProjectId": "org-test",
            "PhoneNumber": "13512345678",
            "StartTime": 1700000000.0,
            "EndTime": 1700003600.0,
            "Page": 0,
            "NumPerPage": 10,
        },
        "c7618a0ee4e484f08704af68a241b33e2a4d84b8",
    ),
}

TABLE = PUBLISHED | OF_UVMS


@pytest.mark.parametrize(("params", "signature"), TABLE.values(), ids=TABLE)
def test_known_signatures(params, signature):
    assert sign(flatten(params | {"PublicKey": PUBLIC}), PRIVATE) == signature


@pytest.mark.parametrize(
    ("params", "signature"),
    [
        ({"foo": "bar"}, "634edc1bb957c0d65e5ab5494cf3b7784fbc87af"),
        (
            {"foo": "bar", "PublicKey": "my_public_key"},
            "d4411ab30953fb0bbcb1e7313081f05e4e91a394",
        ),
    ],
    ids=["without a public key", "with a public key"],
)
def test_examples_in_the_sdk_docstrings(params, signature):
    assert sign(flatten(params), "my_private_key") == signature


def _vectors():
    if not VECTORS.exists():
        skipped = pytest.mark.skip(reason=f"no {VECTORS.name} beside the project")
        return [pytest.param({}, {}, id="vectors", marks=skipped)]
    content = json.loads(VECTORS.read_text(encoding="utf-8"))
    return [
        pytest.param(case, content["keys"], id=f"{number} {case['source']}")
        for number, case in enumerate(content["cases"])
    ]


@pytest.mark.parametrize(("case", "keys"), _vectors())
def test_collected_vectors(case, keys):
    params = case["params"] | {"PublicKey": keys["public_key"]}
    assert sign(flatten(params), keys["private_key"]) == case["signature"]


# --- what is signed is what is sent ---


FLAT = {
    "text": ("a b", {"P": "a b"}),
    "empty text is sent": ("", {"P": ""}),
    "nothing is left out": (None, {}),
    "true": (True, {"P": "true"}),
    "false": (False, {"P": "false"}),
    "integer": (-42, {"P": "-42"}),
    "float without a fraction": (42.0, {"P": "42"}),
    "large float": (1.5e16, {"P": "15000000000000000"}),
    "small float, never in scientific notation": (0.0000125, {"P": "0.0000125"}),
    "smaller still": (1.25e-9, {"P": "0.00000000125"}),
    "list": (["a", True, 1.0], {"P.0": "a", "P.1": "true", "P.2": "1"}),
    "tuple": (("a",), {"P.0": "a"}),
    "empty list": ([], {}),
    "half a surrogate pair": ("a\ud83db", {"P": "a?b"}),
    "emoji": ("🔥", {"P": "🔥"}),
}


@pytest.mark.parametrize(("value", "flat"), FLAT.values(), ids=FLAT)
def test_flatten(value, flat):
    assert flatten({"P": value}) == flat


def test_a_parameter_left_out_takes_no_other_with_it():
    assert flatten({"ProjectId": None, "Action": "SendUVMSMessage"}) == {
        "Action": "SendUVMSMessage"
    }


def test_a_signature_already_there_is_not_signed():
    assert sign({"foo": "bar", "Signature": "x"}, "k") == sign({"foo": "bar"}, "k")


def test_order_of_parameters_does_not_matter():
    assert sign({"a": "1", "B": "2"}, "k") == sign({"B": "2", "a": "1"}, "k")


# --- the official SDK as oracle ---

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(
    # Beyond this the SDK writes 1e-07, which its own documentation says the gateway cannot read.
    lambda number: number.is_integer() or "e" not in str(number)
)
_SCALARS = st.one_of(_TEXT, st.integers(), st.booleans(), _FLOATS)
_PARAMS = st.dictionaries(
    _TEXT.filter(lambda name: name != "Signature"),
    st.one_of(_SCALARS, st.lists(_SCALARS, max_size=12)),
    max_size=15,
)


@pytest.fixture(scope="module")
def sdk():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ucloud.core.auth import Credential
        from ucloud.core.typesystem import encoder
    return Credential, encoder.encode


@given(params=_PARAMS, public=_TEXT, private=_TEXT)
@example(params={"TemplateParams": [str(n) for n in range(12)]}, public=PUBLIC, private=PRIVATE)
@example(params={"a": 1, "B": 2.0, "é": True, "🔥": "生产"}, public=PUBLIC, private=PRIVATE)
def test_agrees_with_the_official_sdk(sdk, params, public, private):
    credential, encode = sdk
    expected = encode(params)
    assert flatten(params) == expected
    flat = flatten(params | {"PublicKey": public})
    assert sign(flat, private) == credential(public, private).verify_ac(expected)
