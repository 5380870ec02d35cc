"""What the environment says, and secrets whose files change while the process runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapter.authentication import Basic, Credentials, Hmac
from adapter.config.environment import (
    DEFAULT_MAX_BODY_BYTES,
    LogFormat,
    LogLevel,
    api_credentials,
    inbound_credentials,
    link_secrets,
    receipt_secrets,
    settings,
)
from adapter.config.secrets import MOST_BYTES, OnLoss, SecretSource
from adapter.errors import SettingsError
from adapter.model import Secret


def secrets(*values: str) -> tuple[Secret, ...]:
    return tuple(Secret(value) for value in values)


# --- settings ----------------------------------------------------------------------------------


def test_an_empty_environment_has_defaults_and_no_secrets() -> None:
    found = settings({})

    assert found.database_url == Secret("sqlite:///uvms-adapter.db")
    assert (found.database_listen_url, found.database_writers) == (None, 8)
    assert (found.log_format, found.log_level) == (LogFormat.JSON, LogLevel.INFO)
    assert found.max_body_bytes == DEFAULT_MAX_BODY_BYTES == 10 * 1024 * 1024
    assert not found.vendor.public_key
    assert found.vendor.public_key.get() is None
    assert inbound_credentials(found) == Credentials()
    assert api_credentials(found) == Credentials()
    assert receipt_secrets(found) == link_secrets(found) == ()
    assert found.links.external_url == ""
    assert found.warnings == ()
    assert found.troubles == ()


def test_every_variable_finds_its_place() -> None:
    found = settings(
        {
            "UVMS_PUBLIC_KEY": "public",
            "UVMS_PRIVATE_KEY": "private",
            "UVMS_SECURITY_TOKEN": "sts",
            "UVMS_DATABASE_URL": "sqlite:////data/adapter.db",
            "UVMS_DATABASE_LISTEN_URL": "postgresql://direct/d",
            "UVMS_DATABASE_WRITERS": "3",
            "UVMS_WEBHOOK_TOKEN": "t1",
            "UVMS_WEBHOOK_TOKEN_PREVIOUS": "t0",
            "UVMS_WEBHOOK_USERNAME": "am",
            "UVMS_WEBHOOK_PASSWORD": "p1",
            "UVMS_WEBHOOK_PASSWORD_PREVIOUS": "p0",
            "UVMS_WEBHOOK_HMAC_SECRET": "h1",
            "UVMS_WEBHOOK_HMAC_SECRET_PREVIOUS": "h0",
            "UVMS_WEBHOOK_HMAC_HEADER": "X-Signed",
            "UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER": "X-Signed-At",
            "UVMS_API_TOKEN": "a1",
            "UVMS_API_TOKEN_PREVIOUS": "a0",
            "UVMS_RECEIPTS_SECRET": "receipts-secret-1",
            "UVMS_RECEIPTS_SECRET_PREVIOUS": "receipts-secret-0",
            "UVMS_LINK_SECRET": "sixteen & more of 1",
            "UVMS_LINK_SECRET_PREVIOUS": "sixteen & more of 0",
            "UVMS_EXTERNAL_URL": "https://alerts.example.com/phone/",
            "UVMS_LOG_FORMAT": "Console",
            "UVMS_LOG_LEVEL": "DEBUG",
            "UVMS_MAX_BODY_BYTES": "2048",
        }
    )

    assert found.database_listen_url == Secret("postgresql://direct/d")
    assert found.database_writers == 3
    assert found.vendor.public_key.get() == Secret("public")
    assert found.vendor.private_key.get() == Secret("private")
    assert found.vendor.security_token.get() == Secret("sts")
    assert found.database_url == Secret("sqlite:////data/adapter.db")
    assert inbound_credentials(found) == Credentials(
        bearer_tokens=secrets("t1", "t0"),
        basic=Basic(user="am", passwords=secrets("p1", "p0")),
        hmac=Hmac(secrets=secrets("h1", "h0"), header="X-Signed", timestamp_header="X-Signed-At"),
    )
    assert api_credentials(found) == Credentials(bearer_tokens=secrets("a1", "a0"))
    assert receipt_secrets(found) == secrets("receipts-secret-1", "receipts-secret-0")
    assert link_secrets(found) == secrets("sixteen & more of 1", "sixteen & more of 0")
    assert found.links.external_url == "https://alerts.example.com/phone"
    assert (found.log_format, found.log_level) == (LogFormat.CONSOLE, LogLevel.DEBUG)
    assert found.max_body_bytes == 2048
    assert found.warnings == ()


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_not_set(empty: str) -> None:
    found = settings({"UVMS_WEBHOOK_TOKEN": empty, "UVMS_LOG_FORMAT": empty})

    assert inbound_credentials(found) == Credentials()
    assert found.log_format is LogFormat.JSON


def test_a_secret_is_trimmed() -> None:
    found = settings({"UVMS_WEBHOOK_TOKEN": " token\n"})

    assert inbound_credentials(found).bearer_tokens == secrets("token")


NO_PATH = (
    "expected 16 or more of A-Z a-z 0-9 _ -, as it is part of a URL; "
    "make one with: openssl rand -hex 32"
)
NO_URL = "expected a URL such as https://alerts.example.com/phone, without query and credentials"
WRONG = {
    "a receipts secret that can be guessed": (
        {"UVMS_RECEIPTS_SECRET": "x" * 15},
        f"UVMS_RECEIPTS_SECRET: {NO_PATH}",
    ),
    "a receipts secret that is no part of a path": (
        {"UVMS_RECEIPTS_SECRET": "0123456789/0123456789"},
        f"UVMS_RECEIPTS_SECRET: {NO_PATH}",
    ),
    "a former receipts secret with a blank": (
        {"UVMS_RECEIPTS_SECRET_PREVIOUS": "0123456789 0123456789"},
        f"UVMS_RECEIPTS_SECRET_PREVIOUS: {NO_PATH}",
    ),
    "a link secret that can be guessed": (
        {"UVMS_LINK_SECRET": "x" * 15},
        "UVMS_LINK_SECRET: expected 16 or more characters; make one with: openssl rand -hex 32",
    ),
    "an external URL without a scheme": (
        {"UVMS_EXTERNAL_URL": "alerts.example.com"},
        f'UVMS_EXTERNAL_URL: found "alerts.example.com", {NO_URL}',
    ),
    "an external URL without a host": (
        {"UVMS_EXTERNAL_URL": "https:///phone"},
        f'UVMS_EXTERNAL_URL: found "https:///phone", {NO_URL}',
    ),
    "an external URL of a mail server": (
        {"UVMS_EXTERNAL_URL": "mailto://a.example.com"},
        f'UVMS_EXTERNAL_URL: found "mailto://a.example.com", {NO_URL}',
    ),
    "an external URL with a query": (
        {"UVMS_EXTERNAL_URL": "https://a.example.com/?x"},
        f'UVMS_EXTERNAL_URL: found "https://a.example.com/?x", {NO_URL}',
    ),
    "an external URL with no port": (
        {"UVMS_EXTERNAL_URL": "https://a.example.com:http"},
        f'UVMS_EXTERNAL_URL: found "https://a.example.com:http", {NO_URL}',
    ),
    "a secret given twice": (
        {"UVMS_API_TOKEN": "x", "UVMS_API_TOKEN_FILE": "/nowhere"},
        "UVMS_API_TOKEN and UVMS_API_TOKEN_FILE are both set: unset one of them",
    ),
    "a file that is not there": (
        {"UVMS_API_TOKEN_FILE": "/nowhere/token"},
        "UVMS_API_TOKEN_FILE: cannot read a secret from /nowhere/token: No such file or directory",
    ),
    "a directory": (
        {"UVMS_API_TOKEN_FILE": "/"},
        "UVMS_API_TOKEN_FILE: cannot read a secret from /: Is a directory",
    ),
    "a log format that does not exist": (
        {"UVMS_LOG_FORMAT": "xml"},
        'UVMS_LOG_FORMAT: found "xml", expected json or console',
    ),
    "a log level that does not exist": (
        {"UVMS_LOG_LEVEL": "loud"},
        'UVMS_LOG_LEVEL: found "loud", expected debug, info, warning or error',
    ),
    "a size with a unit": (
        {"UVMS_MAX_BODY_BYTES": "10MB"},
        'UVMS_MAX_BODY_BYTES: found "10MB", expected a whole number of bytes '
        "from 1024 to 1073741824",
    ),
    "a size that takes nothing in": (
        {"UVMS_MAX_BODY_BYTES": "0"},
        'UVMS_MAX_BODY_BYTES: found "0", expected a whole number of bytes from 1024 to 1073741824',
    ),
    "a header with a colon": (
        {"UVMS_WEBHOOK_HMAC_HEADER": "X-Sig:"},
        'UVMS_WEBHOOK_HMAC_HEADER: found "X-Sig:", expected the name of an HTTP header',
    ),
    "half a key pair": (
        {"UVMS_PUBLIC_KEY": "x"},
        "UVMS_PUBLIC_KEY is set without UVMS_PRIVATE_KEY: set both or neither",
    ),
    "the other half": (
        {"UVMS_PRIVATE_KEY": "x"},
        "UVMS_PRIVATE_KEY is set without UVMS_PUBLIC_KEY: set both or neither",
    ),
    "a user without a password": (
        {"UVMS_WEBHOOK_USERNAME": "am"},
        "UVMS_WEBHOOK_USERNAME is set without UVMS_WEBHOOK_PASSWORD: set both or neither",
    ),
    "several mistakes": (
        {"UVMS_LOG_LEVEL": "loud", "UVMS_PUBLIC_KEY": "x"},
        'UVMS_LOG_LEVEL: found "loud", expected debug, info, warning or error\n'
        "UVMS_PUBLIC_KEY is set without UVMS_PRIVATE_KEY: set both or neither",
    ),
}


@pytest.mark.parametrize(("environ", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_environment_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(environ)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        (
            "UVMS_WEBHOK_TOKEN",
            "UVMS_WEBHOK_TOKEN is set, but there is no such setting; "
            'did you mean "UVMS_WEBHOOK_TOKEN"?',
        ),
        ("UVMS_XYZZY_17", "UVMS_XYZZY_17 is set, but there is no such setting"),
    ],
)
def test_a_misspelt_variable_is_told(name: str, warning: str) -> None:
    assert settings({name: "x", "HOME": "/"}).warnings == (warning,)


@pytest.mark.parametrize(
    "name",
    ["UVMS_ADAPTER_SERVICE_HOST", "UVMS_ADAPTER_SERVICE_PORT_HTTP", "UVMS_ADAPTER_PORT_80_TCP"],
)
def test_what_kubernetes_says_of_a_service_is_no_setting(name: str) -> None:
    assert settings({name: "x"}).warnings == ()


def test_settings_show_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2-file")
    found = settings(
        {
            "UVMS_PUBLIC_KEY": "hunter2-public",
            "UVMS_PRIVATE_KEY_FILE": str(tmp_path / "key"),
            "UVMS_DATABASE_URL": "postgresql://u:hunter2-db@h/d",
            "UVMS_DATABASE_LISTEN_URL": "postgresql://u:hunter2-db@h/d",
            "UVMS_WEBHOOK_USERNAME": "am",
            "UVMS_WEBHOOK_PASSWORD": "hunter2-password",
            "UVMS_RECEIPTS_SECRET": "hunter2-receipts",
            "UVMS_LINK_SECRET": "hunter2-of-the-links",
        }
    )

    assert "hunter2" not in repr(found) + str(found) + repr(inbound_credentials(found))


# --- secrets in files --------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    """Write another version; its date differs however coarse the file system's clock is."""
    old = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(old + 1_000_000, old + 1_000_000))


def source(path: Path, on_loss: OnLoss = OnLoss.KEEP) -> SecretSource:
    return SecretSource("UVMS_API_TOKEN", path=str(path), on_loss=on_loss)


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, "one\n")
    token = source(path)
    assert token.get() == Secret("one")

    write(path, "two\n")

    assert token.get() == Secret("two")
    assert token.trouble == ""


def test_a_file_that_stays_the_same_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, "one")
    token = source(path)
    date = path.stat().st_mtime_ns
    path.write_text("two")  # same size, and its date is set back: nothing tells the two apart
    os.utime(path, ns=(date, date))

    assert token.get() == Secret("one")


def test_a_secret_that_kubernetes_swaps_by_symlink_is_seen(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
        os.utime(tmp_path / version / "token", ns=(1, 1))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "token").symlink_to("..data/token")
    token = source(tmp_path / "token")
    assert token.get() == Secret("v1")

    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")

    assert token.get() == Secret("v2")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xff", "it is not UTF-8"),
        (b"x" * (MOST_BYTES + 1), f"it is larger than {MOST_BYTES} bytes"),
    ],
)
def test_the_last_good_secret_outlives_its_file(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "token"
    write(path, "good")
    found = settings({"UVMS_API_TOKEN_FILE": str(path)})
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert api_credentials(found).bearer_tokens == secrets("good")
    assert found.troubles == (
        f"UVMS_API_TOKEN_FILE: cannot read a secret from {path}: {why}; "
        "the last good secret stays in use",
    )

    write(path, "better")
    assert api_credentials(found).bearer_tokens == secrets("better")
    assert found.troubles == ()


@pytest.mark.parametrize("name", ["UVMS_RECEIPTS_SECRET", "UVMS_LINK_SECRET"])
def test_a_secret_that_becomes_too_short_opens_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret"
    write(path, "long-enough-to-be-one")
    found = settings({f"{name}_FILE": str(path)})
    assert receipt_secrets(found) + link_secrets(found) == secrets("long-enough-to-be-one")

    write(path, "short")

    assert receipt_secrets(found) == link_secrets(found) == ()
    [trouble] = found.troubles
    assert trouble.startswith(f"{name}: expected 16 or more")
    assert "short" not in trouble


@pytest.mark.parametrize("content", [None, b"", b"\n"])
def test_a_former_secret_is_withdrawn_with_its_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "former"
    write(path, "former")
    token = source(path, OnLoss.FORGET)
    assert token.get() == Secret("former")

    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert token.get() is None
    assert token.trouble == ""


def test_a_former_secret_need_not_be_there_at_start(tmp_path: Path) -> None:
    found = settings({"UVMS_API_TOKEN_PREVIOUS_FILE": str(tmp_path / "none")})

    assert api_credentials(found) == Credentials()
    assert found.troubles == ()


def test_a_former_secret_that_is_garbage_is_none(tmp_path: Path) -> None:
    path = tmp_path / "former"
    write(path, "former")
    token = source(path, OnLoss.FORGET)

    path.write_bytes(b"\xff")

    assert token.get() is None
    assert (
        token.trouble == f"UVMS_API_TOKEN_FILE: cannot read a secret from {path}: it is not UTF-8"
    )


def test_an_empty_file_at_start_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("\n")

    with pytest.raises(SettingsError, match=r"cannot read a secret from .*: it is empty$"):
        settings({"UVMS_API_TOKEN_FILE": str(path)})


def test_a_source_tells_whether_it_is_set_up(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, "good")

    assert source(path)
    assert SecretSource("X", value=Secret("x"))
    assert not SecretSource("X")
    assert repr(SecretSource("X")) == "SecretSource(X: unset)"
    assert repr(SecretSource("X", value=Secret("x"))) == "SecretSource(X: ***)"
    assert repr(source(path)) == f"SecretSource(UVMS_API_TOKEN: {path})"
