"""Every error this project raises on purpose.

    AdapterError
    ├── NotJson                  a body that is no JSON at all                -> HTTP 400
    ├── InvalidNotification      a body that is JSON but no notification      -> HTTP 422
    ├── InvalidMatcher           a matcher that neither grammar takes
    ├── InvalidDuration          not a Prometheus duration
    ├── InvalidTimeInterval      a time interval Alertmanager would refuse
    ├── InvalidPhoneNumber       no number that can be called
    ├── InvalidTemplate          a parameter template that does not compile
    ├── InvalidCalendar          an iCalendar feed that cannot be read, or only at great cost
    ├── MissingExtra             a package of an extra is wanted and is not installed
    ├── ConfigError              routes.yaml is wrong; carries every problem found
    ├── SettingsError            the environment is wrong
    ├── NotFound                 there is no such page, call, person, …       -> HTTP 404
    ├── NotPossible              it is there, but this cannot be done to it   -> HTTP 409
    └── StoreError
        ├── StoreUnavailable     cannot commit now; trying again later may help -> HTTP 503
        └── StoreInUse           another process owns this store

Expected outcomes of a call are no errors but values: see `adapter.delivery`.
An error's text never holds a secret or a full phone number.
"""

from __future__ import annotations


class AdapterError(Exception):
    """The base of all of them."""


class NotJson(AdapterError):
    """A webhook's body cannot be read as JSON; `why` says what stopped the reader."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the body is not JSON: {why}")


class InvalidNotification(AdapterError):
    """A webhook's body is not a notification.

    `path` says where in the body (`$.alerts[3].labels`), `found` and `expected` what stood there.
    """

    def __init__(self, path: str, expected: str, found: str) -> None:
        self.path, self.expected, self.found = path, expected, found
        super().__init__(f"{path}: expected {expected}, found {found}")


class InvalidMatcher(AdapterError):
    """A matcher cannot be parsed; the text is upstream's own."""


class InvalidDuration(AdapterError):
    """Not a Prometheus duration such as `1h30m`."""


class InvalidTimeInterval(AdapterError):
    """A time interval that Alertmanager would refuse; the text is upstream's own.

    `path` says where in the interval: `("weekdays", 1)`.
    """

    def __init__(self, text: str, path: tuple[str | int, ...] = ()) -> None:
        self.path = path
        super().__init__(text)


class InvalidPhoneNumber(AdapterError):
    """Not an E.164 number of any country; the text says how to mend it, not what was found."""


class InvalidTemplate(AdapterError):
    """A parameter template does not compile, or names something that will not be there."""


class InvalidCalendar(AdapterError):
    """An iCalendar feed cannot be read, or would keep us busy for too long; the text says why."""


class MissingExtra(AdapterError):
    """A package that comes with an extra of ours is wanted and is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"the package {package} is not installed: pip install 'uvms-adapter[{extra}]'"
        )


class SettingsError(AdapterError):
    """An environment variable or command line option is missing or wrong."""


class NotFound(AdapterError):
    """What was asked for by name or id is not there."""


class NotPossible(AdapterError):
    """It is there, but in a state in which this cannot be done; the text says in which."""


class StoreError(AdapterError):
    """The store cannot do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot commit now (disk full, locked, read-only, away). Nothing was written."""


class StoreInUse(StoreError):
    """Another process owns this embedded store."""
