"""What the environment says: secrets, and where and how this process runs. Fixed at start.

A variable that is empty counts as not set. Every secret `NAME` can come from a file named by
`NAME_FILE` instead, which is read again whenever it changes. Must not know routes.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from adapter.authentication import Basic, Credentials, Hmac
from adapter.config.problems import listed, quote, suggest
from adapter.config.secrets import OnLoss, SecretSource
from adapter.errors import SettingsError
from adapter.model import Record, Secret

PREFIX = "UVMS_"
DEFAULT_DATABASE_URL = "sqlite:///uvms-adapter.db"
DEFAULT_MAX_BODY_BYTES = 10 * 1024 * 1024
_MOST_BODY_BYTES = 1024 * 1024 * 1024
DEFAULT_DATABASE_WRITERS = 8
_MOST_DATABASE_WRITERS = 64

E = TypeVar("E", bound=StrEnum)

# Kubernetes describes every Service of the namespace so: UVMS_ADAPTER_SERVICE_HOST and the like.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_.*)?)")
_LEAST_SECRET = 16  # characters
_UNGUESSABLE_PATH = re.compile(r"[A-Za-z0-9_-]{16,}")
_MAKE_ONE = "make one with: openssl rand -hex 32"
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


class ReceiptSecrets(Record):
    """Under which path receipts may be pushed; see `receipt_secrets`. Unset: under none."""

    secret: SecretSource
    secret_previous: SecretSource


class LinkSettings(Record):
    """How people come in by a link that acknowledges a page; see `link_secrets`."""

    secret: SecretSource  # signs links; unset: none is made
    secret_previous: SecretSource  # its links still hold
    external_url: str  # under which people reach us, without a slash at its end; "": not said


class Settings(Record):
    """All of the environment that matters."""

    vendor: VendorSecrets
    webhook: WebhookSecrets
    api: ApiSecrets
    receipts: ReceiptSecrets
    links: LinkSettings
    database_url: Secret  # may hold a password
    database_listen_url: Secret | None  # the same database past a pooler; None: there is none
    database_writers: int  # transactions that write at once, where many share the database
    log_format: LogFormat
    log_level: LogLevel
    max_body_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def troubles(self) -> tuple[str, ...]:
        """Return what is wrong at present with the files of secrets, a line each."""
        groups = (self.vendor, self.webhook, self.api, self.receipts, self.links)
        values = [getattr(group, field) for group in groups for field in group.__struct_fields__]
        lost = [v.trouble for v in values if isinstance(v, SecretSource) and v.trouble]
        return (*lost, *_unfit(self.receipts, self.links))


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
        receipts=ReceiptSecrets(
            secret=reader.secret("UVMS_RECEIPTS_SECRET"),
            secret_previous=reader.former("UVMS_RECEIPTS_SECRET_PREVIOUS"),
        ),
        links=LinkSettings(
            secret=reader.secret("UVMS_LINK_SECRET"),
            secret_previous=reader.former("UVMS_LINK_SECRET_PREVIOUS"),
            external_url=reader.url("UVMS_EXTERNAL_URL"),
        ),
        database_url=reader.secret("UVMS_DATABASE_URL").get() or Secret(DEFAULT_DATABASE_URL),
        database_listen_url=reader.secret("UVMS_DATABASE_LISTEN_URL").get(),
        database_writers=reader.number(
            "UVMS_DATABASE_WRITERS", DEFAULT_DATABASE_WRITERS, 1, _MOST_DATABASE_WRITERS
        ),
        log_format=reader.choice("UVMS_LOG_FORMAT", LogFormat.JSON),
        log_level=reader.choice("UVMS_LOG_LEVEL", LogLevel.INFO),
        max_body_bytes=reader.number(
            "UVMS_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES, 1024, _MOST_BODY_BYTES, "of bytes "
        ),
        warnings=reader.unknown(),
    )
    reader.check_pairs(found)
    reader.problems += _unfit(found.receipts, found.links)
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


def receipt_secrets(found: Settings) -> tuple[Secret, ...]:
    """Return the secrets whose path takes receipts now; one that can be guessed opens nothing."""
    sources = _now(found.receipts.secret, found.receipts.secret_previous)
    return tuple(secret for secret in sources if _UNGUESSABLE_PATH.fullmatch(secret.reveal))


def link_secrets(found: Settings) -> tuple[Secret, ...]:
    """Return what signs links now, then what has signed those that still hold."""
    sources = _now(found.links.secret, found.links.secret_previous)
    return tuple(secret for secret in sources if len(secret.reveal) >= _LEAST_SECRET)


def _unfit(receipts: ReceiptSecrets, links: LinkSettings) -> list[str]:
    """Return a line for each secret that could be guessed, or does not fit into a URL."""
    problems = []
    for source in (receipts.secret, receipts.secret_previous):
        if (secret := source.get()) and not _UNGUESSABLE_PATH.fullmatch(secret.reveal):
            problems.append(
                f"{source.name}: expected {_LEAST_SECRET} or more of A-Z a-z 0-9 _ -, as it is "
                f"part of a URL; {_MAKE_ONE}"
            )
    for source in (links.secret, links.secret_previous):
        if (secret := source.get()) and len(secret.reveal) < _LEAST_SECRET:
            problems.append(
                f"{source.name}: expected {_LEAST_SECRET} or more characters; {_MAKE_ONE}"
            )
    return problems


def _now(*sources: SecretSource) -> tuple[Secret, ...]:
    return tuple(secret for source in sources if (secret := source.get()) is not None)


def _is_base_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where it is none
    except ValueError:
        return False
    plain = not re.search(r"[?#@\s\\]", value)
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


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

    def url(self, name: str) -> str:
        """Return a base URL without a slash at its end; "" where it is not set."""
        value = self.text(name)
        if value and not _is_base_url(value):
            example = "https://alerts.example.com/phone"
            self._wrong(name, value, f"a URL such as {example}, without query and credentials")
            return ""
        return value.rstrip("/")

    def choice(self, name: str, default: E) -> E:
        """Return one of the words of an enum."""
        value, words = self.text(name), [str(word) for word in type(default)]
        if not value:
            return default
        if value.lower() not in words:
            self._wrong(name, value, listed(words))
            return default
        return type(default)(value.lower())

    def number(self, name: str, default: int, least: int, most: int, of: str = "") -> int:
        """Return a whole number, of something."""
        value = self.text(name)
        if not value:
            return default
        fits = re.fullmatch("[0-9]{1,10}", value, re.ASCII)
        if not fits or not least <= int(value) <= most:
            self._wrong(name, value, f"a whole number {of}from {least} to {most}")
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
