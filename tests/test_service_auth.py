"""Who may post, reload and look, over real HTTP: every way in, every way to be turned away."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from service_harness import (
    API_TOKEN,
    WEBHOOK_TOKEN,
    World,
    as_operator,
    environment,
    firing,
    routes,
    story,
    webhook,
)

from adapter import service
from adapter.clock import utc_now
from adapter.config.environment import settings
from adapter.errors import SettingsError
from adapter.model import Record

pytestmark = pytest.mark.anyio

BODY = json.dumps(webhook(firing())).encode()
OLD, NEW = "the-old-secret", "the-new-secret"
NO_TOKEN = {"UVMS_WEBHOOK_TOKEN": ""}


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def signed(secret: str, body: bytes = BODY) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Grafana-Alerting-Signature": mac}


def stamped(secret: str, age: timedelta = timedelta(0), body: bytes = BODY) -> dict[str, str]:
    stamp = str(int((utc_now() - age).timestamp()))
    return signed(secret, stamp.encode() + b":" + body) | {"X-Stamp": stamp}


class Door(Record):
    """What is set up, and who comes along."""

    environ: Mapping[str, str]
    come_in: Mapping[str, dict[str, str]]
    stay_out: Mapping[str, tuple[dict[str, str], str]]  # headers, and the reason in the answer


MINUTE = timedelta(minutes=1)


def doors() -> Mapping[str, Door]:
    """Return the table; some rows are made of the present time."""
    return {
        "bearer": Door(
            environ={"UVMS_WEBHOOK_TOKEN": NEW, "UVMS_WEBHOOK_TOKEN_PREVIOUS": OLD},
            come_in={
                "the token": bearer(NEW),
                "the previous one": bearer(OLD),
                "in lower case": {"Authorization": f"bearer {NEW}"},
            },
            stay_out={
                "nothing": ({}, "missing"),
                "another token": (bearer("guess"), "wrong_token"),
                "the API's token": (bearer(API_TOKEN), "wrong_token"),
                "basic auth": (basic("u", NEW), "unsupported"),
                "a signature": (signed(NEW), "missing"),
            },
        ),
        "basic": Door(
            environ=NO_TOKEN
            | {
                "UVMS_WEBHOOK_USERNAME": "alertmanager",
                "UVMS_WEBHOOK_PASSWORD": NEW,
                "UVMS_WEBHOOK_PASSWORD_PREVIOUS": OLD,
            },
            come_in={
                "the password": basic("alertmanager", NEW),
                "the previous one": basic("alertmanager", OLD),
            },
            stay_out={
                "nothing": ({}, "missing"),
                "another user": (basic("grafana", NEW), "wrong_password"),
                "another password": (basic("alertmanager", "guess"), "wrong_password"),
                "no base64": ({"Authorization": "Basic !!!"}, "malformed"),
                "a bearer token": (bearer(NEW), "unsupported"),
            },
        ),
        "hmac": Door(
            environ=NO_TOKEN
            | {"UVMS_WEBHOOK_HMAC_SECRET": NEW, "UVMS_WEBHOOK_HMAC_SECRET_PREVIOUS": OLD},
            come_in={"the secret": signed(NEW), "the previous one": signed(OLD)},
            stay_out={
                "nothing": ({}, "missing"),
                "another secret": (signed("guess"), "wrong_signature"),
                "another body": (signed(NEW, b"{}"), "wrong_signature"),
                "no signature at all": ({"X-Grafana-Alerting-Signature": "zz"}, "wrong_signature"),
            },
        ),
        "hmac with a timestamp": Door(
            environ=NO_TOKEN
            | {
                "UVMS_WEBHOOK_HMAC_SECRET": NEW,
                "UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER": "X-Stamp",
            },
            come_in={
                "now": stamped(NEW),
                "four minutes ago": stamped(NEW, 4 * MINUTE),
                "a clock that is ahead": stamped(NEW, -4 * MINUTE),
            },
            stay_out={
                "six minutes ago": (stamped(NEW, 6 * MINUTE), "outside_window"),
                "in six minutes": (stamped(NEW, -6 * MINUTE), "outside_window"),
                "no timestamp": (signed(NEW), "no_timestamp"),
                "a timestamp that was not signed": (
                    signed(NEW) | {"X-Stamp": stamped(NEW)["X-Stamp"]},
                    "wrong_signature",
                ),
            },
        ),
        "all of them at once": Door(
            environ={
                "UVMS_WEBHOOK_TOKEN": "a-token",
                "UVMS_WEBHOOK_USERNAME": "u",
                "UVMS_WEBHOOK_PASSWORD": "a-password",
                "UVMS_WEBHOOK_HMAC_SECRET": "a-secret",
            },
            come_in={
                "a token": bearer("a-token"),
                "a password": basic("u", "a-password"),
                "a signature": signed("a-secret"),
                "a wrong token, but a right signature": bearer("guess") | signed("a-secret"),
            },
            stay_out={
                "nothing": ({}, "missing"),
                "the password as a token": (bearer("a-password"), "wrong_token"),
            },
        ),
    }


@pytest.mark.parametrize("name", doors())
async def test_who_may_post(tmp_path: Path, name: str) -> None:
    door = doors()[name]
    async with story(tmp_path, environ=door.environ) as world, stranger(world) as client:
        for who, headers in door.come_in.items():
            for path in ("/v1/alertmanager", "/v1/grafana"):
                answer = await client.post(path, content=BODY, headers=headers)
                assert answer.status_code == 200, (who, answer.text)
        for who, (headers, reason) in door.stay_out.items():
            answer = await client.post("/v1/alertmanager", content=BODY, headers=headers)
            assert (answer.status_code, answer.json().get("reason")) == (401, reason), who
            assert answer.headers["WWW-Authenticate"]
            for secret in (OLD, NEW, "a-token", "a-password", "a-secret"):
                assert secret not in answer.text + str(answer.headers)
        refused = await world.metric(
            "notifications_invalid_total", source="alertmanager", reason="unauthorized"
        )
        assert refused == len(door.stay_out)
        assert (await world.api("/rejected"))["rejected"] == [], "strangers' bodies are not kept"
        await world.until_rang(1)
        await world.quiet()
        assert world.rang == ["alice"]


def stranger(world: World) -> httpx.AsyncClient:
    """Return a client with no credentials of its own."""
    return httpx.AsyncClient(base_url=world.url, trust_env=False, verify=False)


# --- starting ----------------------------------------------------------------------------------


async def test_starting_without_credentials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("")  # not even read
    options = service.Options(config=tmp_path / "routes.yaml", port=0)
    with pytest.raises(SettingsError) as error:
        await service.serve(options, settings(environment(tmp_path) | NO_TOKEN))
    assert str(error.value) == (
        "nobody could post a webhook: set UVMS_WEBHOOK_TOKEN (or a username and password, or an "
        "HMAC secret), or say --insecure-no-auth to let anybody ring phones"
    )


async def test_starting_without_the_vendors_keys_is_refused(tmp_path: Path) -> None:
    options = service.Options(config=tmp_path / "routes.yaml", port=0)
    keyless = {"UVMS_PUBLIC_KEY": "", "UVMS_PRIVATE_KEY": ""}
    with pytest.raises(SettingsError, match="no phone could ring: set UVMS_PUBLIC_KEY"):
        await service.serve(options, settings(environment(tmp_path) | keyless))


# --- rotation ----------------------------------------------------------------------------------


async def test_a_tokens_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OLD}\n")
    environ = NO_TOKEN | {"UVMS_WEBHOOK_TOKEN_FILE": str(file)}
    async with story(tmp_path, environ=environ) as world:

        async def status(token: str) -> int:
            answer = await world.client.post(
                "/v1/alertmanager", content=BODY, headers=bearer(token)
            )
            return answer.status_code

        assert [await status(OLD), await status(NEW)] == [200, 401]
        file.write_text(f"{NEW}\n")
        assert [await status(OLD), await status(NEW)] == [401, 200]
        file.unlink()  # as for a moment during a careless rotation
        assert [await status(OLD), await status(NEW)] == [401, 200]
        (tmp_path / "next").write_text(OLD)
        (tmp_path / "next").rename(file)
        assert [await status(OLD), await status(NEW)] == [200, 401]


# --- what is refused besides -------------------------------------------------------------------

GOOD = bearer(WEBHOOK_TOKEN)
JSON = MappingProxyType({"Content-Type": "application/json"})


class Refused(Record):
    """A request that is refused, and what is said."""

    status: int
    says: dict[str, Any]
    body: bytes = BODY
    headers: Mapping[str, str] = JSON
    method: str = "POST"
    path: str = "/v1/alertmanager"
    kept: bool = False  # the body, for inspection


REFUSED = {
    "no JSON": Refused(
        status=400,
        body=b"summary=fire",
        says={"error": "the body is not JSON: JSON is malformed: invalid character (byte 0)"},
        kept=True,
    ),
    "empty": Refused(
        status=400, body=b"", says={"error": "the body is not JSON: it is empty"}, kept=True
    ),
    "no notification": Refused(
        status=422,
        body=b'{"alerts": [{"labels": 5}]}',
        says={
            "error": "$.alerts[0].labels: expected an object of names and values, found a scalar",
            "path": "$.alerts[0].labels",
            "expected": "an object of names and values",
            "found": "a scalar",
        },
        kept=True,
    ),
    "no alerts": Refused(
        status=422,
        body=b"{}",
        says={
            "error": "$.alerts: expected a list of alerts, found nothing",
            "path": "$.alerts",
            "expected": "a list of alerts",
            "found": "nothing",
        },
        kept=True,
    ),
    "compressed": Refused(
        status=415,
        headers={**JSON, "Content-Encoding": "gzip"},
        says={"error": "Content-Encoding 'gzip': send the body uncompressed"},
    ),
    "a form": Refused(
        status=415,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        says={"error": "Content-Type 'multipart/form-data': send application/json"},
    ),
    "too large": Refused(
        status=413,
        body=b" " * 5000,
        says={
            "error": "the body is larger than 4096 bytes: set max_alerts on the sender, "
            "or UVMS_MAX_BODY_BYTES here"
        },
    ),
    "GET": Refused(
        status=405, method="GET", body=b"", says={"error": "/v1/alertmanager takes POST, not GET"}
    ),
    "PUT to Alertmanager's": Refused(
        status=405, method="PUT", says={"error": "/v1/alertmanager takes POST, not PUT"}
    ),
    "GET of Grafana's": Refused(
        status=405,
        method="GET",
        path="/v1/grafana",
        says={"error": "/v1/grafana takes POST, PUT, not GET"},
    ),
    "another path": Refused(
        status=404,
        path="/v1/alertmanagers",
        says={
            "error": "there is nothing at /v1/alertmanagers; webhooks go to /v1/alertmanager and "
            "/v1/grafana"
        },
    ),
}


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    """A service that takes bodies of up to 4 KiB."""
    async with story(tmp_path, environ={"UVMS_MAX_BODY_BYTES": "4096"}) as world:
        yield world


async def test_what_is_refused_says_why_and_is_kept_if_it_came_in(small: World) -> None:
    kept = []
    for name, row in REFUSED.items():
        answer = await small.client.request(
            row.method, row.path, content=row.body, headers=row.headers
        )
        assert (answer.status_code, answer.json()) == (row.status, row.says), name
        if row.kept:
            kept.append(row)
        shown = await small.api("/rejected")
        assert len(shown["rejected"]) == len(kept), name
    assert small.rang == []
    for listed, row in zip(reversed((await small.api("/rejected"))["rejected"]), kept, strict=True):
        assert (listed["error"], listed["size"]) == (row.says["error"], len(row.body))
        one = await small.api(f"/rejected/{listed['id']}")
        assert (one["body"], one["source"]) == (row.body.decode(), "alertmanager")


async def test_put_is_taken_from_grafana(small: World) -> None:
    answer = await small.client.put("/v1/grafana", content=BODY)
    assert answer.status_code == 200
    await small.quiet()
    assert small.rang == ["alice"]


async def test_no_media_type_and_odd_ones_are_taken(small: World) -> None:
    for given in ("", "text/plain", "application/x-www-form-urlencoded", "application/JSON; a=b"):
        headers = {"Content-Type": given} if given else {}
        answer = await small.client.post("/v1/alertmanager", content=BODY, headers=headers)
        assert answer.status_code == 200, given


async def test_whoever_sends_far_too_much_still_sees_the_answer(small: World) -> None:
    """Not a broken pipe: Alertmanager would take that for trouble on the way, and try again."""
    answer = await small.client.post("/v1/alertmanager", content=b" " * 20_000_000)
    assert answer.status_code == 413


async def test_a_body_that_grows_too_large_without_saying_so(small: World) -> None:
    """Chunked, so that nothing tells its size: refused as soon as it is over, not at its end."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1024
            yield b" " * 1024
            await asyncio.sleep(0)

    try:
        answer = await small.client.post("/v1/alertmanager", content=endless())
    except (httpx.WriteError, httpx.ReadError):  # closed while we were still sending
        pass
    else:
        assert answer.status_code == 413
    assert sent < 10_000 * 1024
    count = await small.metric(
        "notifications_invalid_total", source="alertmanager", reason="too_large"
    )
    assert count == 1


async def test_a_strangers_body_is_refused_before_it_is_read(small: World) -> None:
    """401 comes for the headers alone; the megabytes behind them never have to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(small.url).port)
    writer.write(
        b"POST /v1/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4000\r\n\r\n"
    )
    status = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    assert status == b"HTTP/1.1 401 Unauthorized\r\n"


@pytest.mark.usefixtures("database")
async def test_only_so_many_refused_bodies_are_kept_and_only_so_much_of_each(
    tmp_path: Path,
) -> None:
    async with story(tmp_path) as world:
        await world.client.post("/v1/alertmanager", content=b"x" * 100_000)
        [first] = (await world.api("/rejected"))["rejected"]
        assert (first["size"], first["kept"]) == (100_000, 64 * 1024)
        for number in range(101):
            await world.client.post("/v1/alertmanager", content=f"no json {number}".encode())
        listed = (await world.api("/rejected?limit=500"))["rejected"]
        assert len(listed) == 100
        assert first["id"] not in [one["id"] for one in listed]


# --- API and management ------------------------------------------------------------------------

GUARDED = [
    ("GET", "/api/v1/pages"),
    ("GET", "/api/v1/calls"),
    ("GET", "/api/v1/calls/x"),
    ("POST", "/api/v1/calls/x/retry"),
    ("POST", "/api/v1/pages/x/acknowledge"),
    ("GET", "/api/v1/rejected"),
    ("GET", "/api/v1/rejected/1"),
    ("POST", "/api/v1/routes/test"),
    ("POST", "/-/reload"),
]


async def test_api_and_reload_need_the_api_token(tmp_path: Path) -> None:
    async with story(tmp_path) as world:
        for method, path in GUARDED:
            for headers in ({"Authorization": ""}, bearer("guess"), bearer(WEBHOOK_TOKEN)):
                answer = await world.client.request(method, path, headers=headers)
                assert answer.status_code == 401, (path, headers)
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="uvms-adapter"'
            answer = await world.client.request(method, path, headers=as_operator())
            assert answer.status_code in (200, 400, 404), path


async def test_without_an_api_token_nobody_is_let_in(tmp_path: Path) -> None:
    async with story(tmp_path, environ={"UVMS_API_TOKEN": ""}) as world:
        for method, path in GUARDED:
            answer = await world.client.request(method, path, headers=as_operator())
            assert answer.status_code == 403, path
            assert "no credentials are set up here" in answer.json()["error"]
        assert (await world.client.post("/v1/alertmanager", content=BODY)).status_code == 200


async def test_probes_and_metrics_need_no_credentials(tmp_path: Path) -> None:
    async with story(tmp_path, routes()) as world, stranger(world) as client:
        for path in ("/-/healthy", "/-/ready", "/metrics"):
            assert (await client.get(path)).status_code == 200
