"""What a log may not tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from adapter import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "console"])
def test_an_exception_is_told_without_its_local_variables(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(as_json=as_json, level="info")
    called = "+86" + "13512345678"
    try:
        raise LookupError("nobody there")
    except LookupError:
        logs.logger(__name__).exception("a call failed")
    said = capsys.readouterr().err
    assert "nobody there" in said
    assert called not in said
