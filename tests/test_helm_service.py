"""What helm renders, run: the service on the files and the environment that a Pod would have."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner
from helm_tools import CHART, Helm, Manifests, ci
from postgres_server import Server
from service_harness import (
    API_TOKEN,
    PRIVATE_KEY,
    PUBLIC_KEY,
    WEBHOOK_TOKEN,
    World,
    environment,
    firing,
    receiver,
    routes,
    service_of,
    until,
    world_without_service,
)

from adapter.cli.main import cli
from adapter.store.store import open_store

pytest_plugins = ["helm_fixtures"]
pytestmark = pytest.mark.anyio

RECEIPTS_SECRET = "receipts-secret-of-this-story"


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


def calling(person: str, world: World) -> dict[str, Any]:
    tree = routes(receiver("phone", person), route={"group_by": ["..."]})
    return tree | {"uvms": {"endpoint": world.vendor_url}}


def values(config: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    secrets = {
        "publicKey": PUBLIC_KEY,
        "privateKey": PRIVATE_KEY,
        "webhookToken": WEBHOOK_TOKEN,
        "apiToken": API_TOKEN,
        "receiptsSecret": RECEIPTS_SECRET,
    }
    return {"image": {"repository": "uvms-adapter"}, "config": config, "secrets": secrets} | more


class Pod:
    """The file system and the environment of the Pod that was rendered, below a directory."""

    def __init__(self, helm: Helm, directory: Path) -> None:
        self._helm, self._directory = helm, directory
        self._version = 0

    def install(self, given: Mapping[str, Any]) -> Manifests:
        """Render, and bring the files of all volumes up to date, as the kubelet does."""
        file = self._directory / "values.yaml"
        file.write_text(yaml.safe_dump(dict(given), allow_unicode=True), encoding="utf-8")
        manifests = self._helm.rendered("--values", file)
        self._version += 1
        for volume, path in manifests.mounts.items():
            if "emptyDir" not in manifests.volumes.get(volume, {"emptyDir": {}}):
                self._project(manifests.files_of(volume), self.path(path))
        return manifests

    def path(self, path: str) -> Path:
        return self._directory / "root" / path.removeprefix("/")

    def _project(self, files: Mapping[str, str], mount: Path) -> None:
        """Write the files anew beside those of before, and swap one symbolic link.

        Source: https://github.com/kubernetes/kubernetes, pkg/volume/util/atomic_writer.go
        """
        content = mount / f"..2026_11_23_{self._version}"
        content.mkdir(parents=True)
        for name, text in files.items():
            (content / name).write_text(text, encoding="utf-8")
        (mount / "..data_tmp").symlink_to(content.name)
        (mount / "..data_tmp").rename(mount / "..data")
        for name in files:
            if not (mount / name).is_symlink():
                (mount / name).symlink_to(f"..data/{name}")

    def environ(self, manifests: Manifests) -> dict[str, str]:
        """Return the container's environment, in place of what stories run with."""
        root = self.path("/")
        given = {
            name: value.replace("/run/", f"{root}/run/").replace(":////data", f":///{root}/data")
            for name, value in manifests.environment.items()
        }
        return dict.fromkeys(environment(root), "") | given


@pytest.fixture
def pod(newest_helm: Helm, tmp_path: Path) -> Pod:
    (tmp_path / "root" / "data").mkdir(parents=True)
    return Pod(newest_helm, tmp_path)


@asynccontextmanager
async def running(pod: Pod, world: World, manifests: Manifests) -> AsyncIterator[None]:
    (config,) = (a for a in manifests.container["args"] if a.startswith("--config="))
    world.file = pod.path(config.removeprefix("--config="))
    async with service_of(world, environ=pod.environ(manifests)):
        yield


async def called_about(world: World, alertname: str) -> str:
    before = len(world.rang)
    await world.post(firing(alertname))
    await world.until_rang(before + 1)
    return world.rang[-1]


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
async def test_routes_yaml_and_secrets_of_the_chart_make_a_phone_ring_and_follow_changes(
    pod: Pod, tmp_path: Path, kind: str
) -> None:
    async with world_without_service(tmp_path) as world:
        manifests = pod.install(values(calling("alice", world), configKind=kind))
        async with running(pod, world, manifests):
            assert await called_about(world, "One") == "alice"
            assert (tmp_path / "root" / "data" / "uvms-adapter.db").exists()
            before = await world.metric("config_hash")

            pod.install(values(calling("bob", world), configKind=kind))

            async def changed() -> bool:
                return await world.metric("config_hash") != before

            await until(changed, "the new routes.yaml is in force")
            assert await called_about(world, "Two") == "bob"


async def test_a_secret_of_the_chart_is_rotated_in_the_running_pod(
    pod: Pod, tmp_path: Path
) -> None:
    async with world_without_service(tmp_path) as world:
        given = values(calling("alice", world))
        async with running(pod, world, pod.install(given)):
            path = f"/v1/receipts/{RECEIPTS_SECRET}"
            assert (await world.client.post(path, json=[])).status_code != 404
            given["secrets"] |= {
                "webhookToken": "brand-new",
                "webhookTokenPrevious": WEBHOOK_TOKEN,
                "receiptsSecret": RECEIPTS_SECRET[::-1],
            }

            pod.install(given)

            new = {"Authorization": "Bearer brand-new"}
            body = {
                "version": "4",
                "alerts": [firing("One")],
                "status": "firing",
                "groupLabels": {},
            }
            for headers in (new, {}):  # the former one is the client's own
                answer = await world.client.post("/v1/alertmanager", json=body, headers=headers)
                assert answer.status_code == 200, answer.text
            assert (await world.client.post(path, json=[])).status_code == 404


async def test_a_token_that_something_else_brings_is_followed_and_tried_by_helm_test(
    pod: Pod, tmp_path: Path
) -> None:
    async with world_without_service(tmp_path) as world:
        given = values(calling("alice", world))
        given |= {
            "secrets": given["secrets"] | {"webhookToken": ""},
            "secretFiles": {"webhookToken": "/run/vault/token"},
            "extraVolumes": [{"name": "vault", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "vault", "mountPath": "/run/vault"}],
        }
        token = pod.path("/run/vault/token")
        token.parent.mkdir(parents=True)
        token.write_text(WEBHOOK_TOKEN, encoding="utf-8")
        manifests = pod.install(given)
        async with running(pod, world, manifests):
            assert await called_about(world, "One") == "alice"
            token.write_text("brand-new", encoding="utf-8")

            code, said = await helm_test(pod, manifests, world.url)
            assert code == 0, said
            assert '"status": "accepted"' in said

            token.unlink()  # as where only the service's Pod has it
            code, said = await helm_test(pod, manifests, world.url)
            assert code == 0, said
            assert "webhook: not tried" in said


async def test_with_postgresql_several_pods_make_each_call_once(
    pod: Pod, tmp_path: Path, postgres: Server
) -> None:
    with postgres.database() as url:
        async with world_without_service(tmp_path) as world:
            store = {"type": "postgresql", "databaseUrl": url}
            manifests = pod.install(values(calling("alice", world), store=store))
            async with running(pod, world, manifests):
                first = world.client
                async with running(pod, world, manifests):
                    for client in (first, world.client):
                        body = {"version": "4", "alerts": [firing("One")], "status": "firing"}
                        answer = await client.post("/v1/alertmanager", json=body)
                        assert answer.status_code == 200, answer.text
                    await world.until_rang(1)
                    await world.quiet()
                    assert world.rang == ["alice"]


# --- helm test ------------------------------------------------------------------------------------


async def helm_test(pod: Pod, manifests: Manifests, url: str) -> tuple[int, str]:
    """Run what `helm test` runs."""
    (container,) = manifests.one("Pod")["spec"]["containers"]
    _python, *command, _url = container["command"]
    environ = {
        one["name"]: one["value"].replace("/run/", f"{pod.path('/run')}/")
        for one in container.get("env", ())
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, url),
        env={"PATH": os.environ["PATH"]} | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


PROOFS: Mapping[str, Mapping[str, Any]] = {
    "a token": {},
    "a password": {
        "webhook": {"username": "alertmanager"},
        "secrets": {"webhookPassword": "password-of-this-story", "webhookToken": ""},
    },
    "a signature": {"secrets": {"webhookHmacSecret": "hmac-of-this-story", "webhookToken": ""}},
    "a signature with its time": {
        "webhook": {"hmacTimestampHeader": "X-Time", "hmacHeader": "X-Signature"},
        "secrets": {"webhookHmacSecret": "hmac-of-this-story", "webhookToken": ""},
    },
}


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
async def test_helm_test_posts_a_webhook_for_which_no_phone_rings(
    pod: Pod, tmp_path: Path, proof: Mapping[str, Any]
) -> None:
    async with world_without_service(tmp_path) as world:
        given = values(calling("alice", world))
        given["secrets"] |= proof.get("secrets", {})
        manifests = pod.install(given | {k: v for k, v in proof.items() if k != "secrets"})
        async with running(pod, world, manifests):
            code, said = await helm_test(pod, manifests, world.url)

            assert code == 0, said
            assert "ready: OK" in said
            assert await world.metric("notifications_received_total", source="alertmanager") == 1
            await world.quiet()
            assert world.rang == []
            assert (await world.api("/pages"))["pages"] == []


async def test_helm_test_says_what_is_wrong(pod: Pod, tmp_path: Path) -> None:
    async with world_without_service(tmp_path) as world:
        given = values(calling("alice", world))
        manifests = pod.install(given)
        async with running(pod, world, manifests):
            token = pod.path("/run/secrets/uvms-adapter/webhook-token").read_text()
            wrong = tmp_path / "wrong"
            wrong.write_text(f"not-{token}", encoding="utf-8")
            (env,) = (c["env"] for c in manifests.one("Pod")["spec"]["containers"])
            env[:] = [{"name": "UVMS_WEBHOOK_TOKEN_FILE", "value": str(wrong)}]

            code, said = await helm_test(pod, manifests, world.url)

            assert code == 1
            assert "/v1/alertmanager answers 401" in said
            assert token not in said


def test_helm_test_has_the_credentials_of_senders_and_no_others(pod: Pod) -> None:
    given = values({"route": {"receiver": "x"}})
    manifests = pod.install(given)

    spec = manifests.one("Pod")["spec"]

    assert spec["containers"][0]["image"] == manifests.container["image"]
    (volume,) = spec["volumes"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["webhook-token"]
    text = (CHART / "files" / "try_webhook.py").read_text(encoding="utf-8")
    assert spec["containers"][0]["command"][2] == text


# --- moving ---------------------------------------------------------------------------------------


def mover() -> Any:
    """Return the Pod of the README that moves a store to PostgreSQL."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n# move.yaml.*?\n(.*?)```", text, re.DOTALL)
    assert found
    return yaml.safe_load(found[1])


def test_the_pod_that_moves_the_store_is_one(newest_helm: Helm) -> None:
    kubernetes_validate.validate(mover(), kubernetes_validate.latest_version(), strict=True)

    claims = newest_helm.run("template", "uvms-adapter", CHART, "--values", ci("default"))

    (stateful_set,) = (
        one for one in yaml.safe_load_all(claims.stdout) if one["kind"] == "StatefulSet"
    )
    (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
    name = f"{claim['metadata']['name']}-{stateful_set['metadata']['name']}-0"
    data = mover()["spec"]["volumes"][0]
    assert data["persistentVolumeClaim"]["claimName"] == name


def test_the_pod_that_moves_the_store_does(
    pod: Pod, tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = mover()["spec"]
    data, secret = pod.path("/data"), tmp_path / "uri"
    open_store(f"sqlite:///{data}/uvms-adapter.db", exclusive=True).close()
    with postgres.database(empty=True) as url:
        secret.write_text(url, encoding="utf-8")
        for container in (*spec["initContainers"], *spec["containers"]):
            for one in container.get("env", ()):
                path = one["value"].replace("/run/secrets/database/uri", str(secret))
                monkeypatch.setenv(one["name"], path)
            arguments = [one.replace("/data", str(data)) for one in container["args"]]

            ran = CliRunner().invoke(cli, arguments)

            assert ran.exit_code == 0, ran.output
    assert (data / "moving.jsonl").exists()
