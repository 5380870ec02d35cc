"""What the environment says: secrets, and where and how this process runs. Fixed at start.

A variable that is empty counts as not set. Every secret `NAME` can come from a file named by
`NAME_FILE` instead, which is read again whenever it changes. Must not know routes.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from adapter.authentication import Basic, Credentials, Hmac
from adapter.config.problems import listed, quote, suggest
from adapter.config.secrets import OnLoss, SecretSource
from adapter.errors import SettingsError
from adapter.model import Record, Secret

PREFIX = "UVMS_"
DEFAULT_DATABASE_URL = "sqlite:///uvms-adapter.db"
DEFAULT_MAX_BODY_BYTES = 10 * 1024 * 1024
_MOST_BODY_BYTES = 1024 * 1024 * 1024

E = TypeVar("E", bound=StrEnum)

# Kubernetes describes every Service of the namespace so: UVMS_ADAPTER_SERVICE_HOST and the like.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_.*)?)")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"  # for machines
    CONSOLE = "console"  # for people


class LogLevel(StrEnum):
    """From which level on there are log lines."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class VendorSecrets(Record):
    """The account's key pair. Unset: nobody can be called for real."""

    public_key: SecretSource
    private_key: SecretSource
    security_token: SecretSource  # only with a temporary key pair


class WebhookSecrets(Record):
    """Who may post notifications; see `inbound_credentials`."""

    token: SecretSource
    token_previous: SecretSource
    username: str
    password: SecretSource
    password_previous: SecretSource
    hmac_secret: SecretSource
    hmac_secret_previous: SecretSource
    hmac_header: str
    hmac_timestamp_header: str | None  # None: the body alone is signed


class ApiSecrets(Record):
    """Who may use the API, the management endpoints and the console; see `api_credentials`."""

    token: SecretSource
    token_previous: SecretSource


class Settings(Record):
    """All of the environment that matters."""

    vendor: VendorSecrets
    webhook: WebhookSecrets
    api: ApiSecrets
    database_url: Secret  # may hold a password
    log_format: LogFormat
    log_level: LogLevel
    max_body_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def troubles(self) -> tuple[str, ...]:
        """Return what is wrong at present with the files of secrets, a line each."""
        groups = (self.vendor, self.webhook, self.api)
        values = [getattr(group, field) for group in groups for field in group.__struct_fields__]
        return tuple(v.trouble for v in values if isinstance(v, SecretSource) and v.trouble)


def settings(environ: Mapping[str, str]) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: something in it is wrong; one line for each such thing.
    """
    reader = _Reader(environ)
    found = Settings(
        vendor=VendorSecrets(
            public_key=reader.secret("UVMS_PUBLIC_KEY"),
            private_key=reader.secret("UVMS_PRIVATE_KEY"),
            security_token=reader.secret("UVMS_SECURITY_TOKEN"),
        ),
        webhook=WebhookSecrets(
            token=reader.secret("UVMS_WEBHOOK_TOKEN"),
            token_previous=reader.former("UVMS_WEBHOOK_TOKEN_PREVIOUS"),
            username=reader.text("UVMS_WEBHOOK_USERNAME"),
            password=reader.secret("UVMS_WEBHOOK_PASSWORD"),
            password_previous=reader.former("UVMS_WEBHOOK_PASSWORD_PREVIOUS"),
            hmac_secret=reader.secret("UVMS_WEBHOOK_HMAC_SECRET"),
            hmac_secret_previous=reader.former("UVMS_WEBHOOK_HMAC_SECRET_PREVIOUS"),
            hmac_header=reader.header("UVMS_WEBHOOK_HMAC_HEADER") or Hmac().header,
            hmac_timestamp_header=reader.header("UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER"),
        ),
        api=ApiSecrets(
            token=reader.secret("UVMS_API_TOKEN"),
            token_previous=reader.former("UVMS_API_TOKEN_PREVIOUS"),
        ),
        database_url=reader.secret("UVMS_DATABASE_URL").get() or Secret(DEFAULT_DATABASE_URL),
        log_format=reader.choice("UVMS_LOG_FORMAT", LogFormat.JSON),
        log_level=reader.choice("UVMS_LOG_LEVEL", LogLevel.INFO),
        max_body_bytes=reader.size("UVMS_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES),
        warnings=reader.unknown(),
    )
    reader.check_pairs(found)
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return found


def inbound_credentials(found: Settings) -> Credentials:
    """Return what a webhook may prove itself with now; cheap enough to ask for each request."""
    webhook = found.webhook
    return Credentials(
        bearer_tokens=_now(webhook.token, webhook.token_previous),
        basic=Basic(
            user=webhook.username, passwords=_now(webhook.password, webhook.password_previous)
        ),
        hmac=Hmac(
            secrets=_now(webhook.hmac_secret, webhook.hmac_secret_previous),
            header=webhook.hmac_header,
            timestamp_header=webhook.hmac_timestamp_header,
        ),
    )


def api_credentials(found: Settings) -> Credentials:
    """Return what the API, the management endpoints and the console accept now."""
    return Credentials(bearer_tokens=_now(found.api.token, found.api.token_previous))


def _now(*sources: SecretSource) -> tuple[Secret, ...]:
    return tuple(secret for source in sources if (secret := source.get()) is not None)


class _Reader:
    """Reads variables, and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._asked: set[str] = set()
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        """Return the variable without blanks around it; "" where it is not set."""
        self._asked.add(name)
        return self._environ.get(name, "").strip()

    def secret(self, name: str, on_loss: OnLoss = OnLoss.KEEP) -> SecretSource:
        """Return the source of a secret, which may be unset."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            self.problems.append(f"{name} and {name}_FILE are both set: unset one of them")
        elif path:
            try:
                return SecretSource(name, path=path, on_loss=on_loss)
            except SettingsError as error:
                self.problems.append(str(error))
        return SecretSource(name, value=Secret(value) if value else None, on_loss=on_loss)

    def former(self, name: str) -> SecretSource:
        """Return the source of a secret that is being rotated out."""
        return self.secret(name, OnLoss.FORGET)

    def header(self, name: str) -> str | None:
        """Return the name of an HTTP header; None where it is not set."""
        value = self.text(name)
        if value and not _HEADER_NAME.fullmatch(value):
            self._wrong(name, value, "the name of an HTTP header")
        return value or None

    def choice(self, name: str, default: E) -> E:
        """Return one of the words of an enum."""
        value, words = self.text(name), [str(word) for word in type(default)]
        if not value:
            return default
        if value.lower() not in words:
            self._wrong(name, value, listed(words))
            return default
        return type(default)(value.lower())

    def size(self, name: str, default: int) -> int:
        """Return a number of bytes."""
        value = self.text(name)
        if not value:
            return default
        fits = re.fullmatch("[0-9]{1,10}", value, re.ASCII)
        if not fits or not 1024 <= int(value) <= _MOST_BODY_BYTES:
            expected = f"a whole number of bytes from 1024 to {_MOST_BODY_BYTES}"
            self._wrong(name, value, expected)
            return default
        return int(value)

    def unknown(self) -> tuple[str, ...]:
        """Return a warning for each variable of ours that nothing has asked for."""
        names = sorted(
            name
            for name in self._environ
            if name.startswith(PREFIX)
            and name not in self._asked
            and not _SERVICE_LINK.fullmatch(name)
        )
        return tuple(
            f"{name} is set, but there is no such setting; {suggest(name, self._asked)}".rstrip(
                "; "
            )
            for name in names
        )

    def check_pairs(self, found: Settings) -> None:
        """Note what is set without what it needs."""
        user, password = bool(found.webhook.username), bool(found.webhook.password)
        pairs = (
            (
                ("UVMS_PUBLIC_KEY", bool(found.vendor.public_key)),
                ("UVMS_PRIVATE_KEY", bool(found.vendor.private_key)),
            ),
            (("UVMS_WEBHOOK_USERNAME", user), ("UVMS_WEBHOOK_PASSWORD", password)),
        )
        for one, other in pairs:
            if one[1] != other[1]:
                there, missing = (one[0], other[0]) if one[1] else (other[0], one[0])
                self.problems.append(f"{there} is set without {missing}: set both or neither")

    def _wrong(self, name: str, value: str, expected: str) -> None:
        self.problems.append(f"{name}: found {quote(value)}, expected {expected}")
