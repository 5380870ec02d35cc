"""Secrets that no Secret holds: files that a CSI driver or a Vault agent brings into the Pod."""

from __future__ import annotations

from pathlib import Path

from helm_settings import files_named, settings_of
from helm_tools import FULL_NAME, Helm, ci, rendered

from adapter.config.environment import api_credentials, inbound_credentials

pytest_plugins = ["helm_fixtures"]

ALL = {
    "publicKey": "/mnt/vault/p",
    "privateKey": "/mnt/vault/q",
    "webhookToken": "/mnt/vault/w",
    "apiToken": "/mnt/vault/a",
    "receiptsSecret": "/mnt/vault/r",
    "linkSecret": "/mnt/vault/l",
}


def test_each_secret_is_read_from_where_it_is(helm: Helm, tmp_path: Path) -> None:
    """Files where they are named, the keys of the Secret for all else."""
    manifests = rendered(helm, ci("secret-files"))
    mounted = {"public-key": "p", "private-key": "q", "webhook-token": "w", "api-token": "a"}

    found = settings_of(manifests, mounted, tmp_path)

    folders = {name: str(path.parent) for name, path in files_named(manifests).items()}
    assert folders == {
        "UVMS_PUBLIC_KEY_FILE": "/run/secrets/uvms-adapter",
        "UVMS_PRIVATE_KEY_FILE": "/run/secrets/uvms-adapter",
        "UVMS_WEBHOOK_TOKEN_FILE": "/mnt/vault",
        "UVMS_WEBHOOK_TOKEN_PREVIOUS_FILE": "/mnt/vault",
        "UVMS_API_TOKEN_FILE": "/mnt/vault",
    }
    assert manifests.mounts["vault"] == "/mnt/vault"
    assert found.vendor.private_key.get().reveal == "q"
    assert [token.reveal for token in inbound_credentials(found).bearer_tokens] == ["w"]
    assert [token.reveal for token in api_credentials(found).bearer_tokens] == ["a"]


def test_a_chart_without_any_secret_of_its_own_can_ring_phones(newest_helm: Helm) -> None:
    files = [part for name in ALL for part in ("--set", f"secretFiles.{name}={ALL[name]}")]

    manifests = newest_helm.rendered(
        *("--values", ci("secret-files"), "--set", "existingSecret.name=", *files)
    )

    secrets = [one["metadata"]["name"] for one in manifests.of("Secret")]
    assert secrets == [f"{FULL_NAME}-config"]
    assert "secrets" not in manifests.volumes | manifests.mounts
    assert {str(path) for path in files_named(manifests).values()} >= set(ALL.values())


def test_the_pod_of_helm_test_is_given_the_same_files(newest_helm: Helm) -> None:
    spec = rendered(newest_helm, ci("secret-files")).one("Pod")["spec"]

    (container,) = spec["containers"]
    (variable,) = container["env"]
    (volume,) = spec["volumes"]
    (mount,) = container["volumeMounts"]
    assert variable == {"name": "UVMS_WEBHOOK_TOKEN_FILE", "value": "/mnt/vault/webhook-token"}
    assert volume["csi"]["driver"] == "secrets-store.csi.k8s.io"
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/mnt/vault")


def test_a_pod_of_helm_test_that_needs_no_such_file_has_none(newest_helm: Helm) -> None:
    spec = rendered(newest_helm, ci("extra")).one("Pod")["spec"]

    assert [one["name"] for one in spec["volumes"]] == ["secrets"]
