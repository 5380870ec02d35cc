"""What runs in a container of ours, seen from outside and, with its own Python, from inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
from image_tools import Containers
from process_harness import VOICE_TEMPLATES, WEBHOOK_TOKEN, Vendor, firing, http_client, webhook

URL = "http://127.0.0.1:8080"
USER = 65532

_LOOK_AROUND = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
folders = ["/", "/tmp", "/run", "/opt/uvms-adapter", "/etc/uvms-adapter", "/data"]
print(json.dumps({
    "user": os.getuid(),
    "group": os.getgid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "may gain privileges": status["NoNewPrivs"].strip() == "0",
    "writable": [folder for folder in folders if os.access(folder, os.W_OK)],
}))
"""
RESTRICTED = {
    "user": USER,
    "group": USER,
    "capabilities": 0,
    "may gain privileges": False,
    "writable": ["/data"],
}


def routes(vendor: Vendor, phone: str) -> dict[str, Any]:
    """Return a routes.yaml as a tree: one phone rings about everything."""
    return {
        "people": {"alice": {"phone": phone}},
        "voice_templates": VOICE_TEMPLATES,
        "receivers": [{"name": "phone", "voice_template": "outage", "call": ["alice"]}],
        "route": {"receiver": "phone", "group_by": ["..."]},
        "limits": {"per_person": {"min_interval": "0s"}},
        "receipts": {"poll_interval": "never"},
        "uvms": {"endpoint": vendor.url},
    }


def post(alertname: str) -> None:
    """Post a webhook that has to be accepted."""
    with http_client(URL, WEBHOOK_TOKEN) as client:
        answer = client.post("/v1/alertmanager", json=webhook(firing(alertname)))
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "accepted"


def answers(path: str, timeout: float, port: int = 8080) -> bool:
    try:
        with http_client(f"http://127.0.0.1:{port}", timeout=timeout) as client:
            return client.get(path).is_success
    except httpx.TransportError:
        return False


class Container:
    """A container that runs, by its name."""

    def __init__(self, containers: Containers, name: str) -> None:
        self._containers, self.name = containers, name

    def inside(self, *command: str) -> str:
        return self._containers.podman("exec", self.name, *command)

    def privileges(self) -> Mapping[str, Any]:
        """Return what may be done inside."""
        found: dict[str, Any] = json.loads(self.inside("python", "-c", _LOOK_AROUND))
        return found

    def inspect(self, what: str) -> str:
        return self._containers.podman("inspect", self.name, f"--format={{{{{what}}}}}")

    def log(self) -> str:
        """Return what it has said, and whether it still runs."""
        return f"{self.inspect('.State.Status')}: {self._containers.log(self.name)}"

    def stop(self, within_seconds: float) -> int:
        """Send SIGTERM, and SIGKILL when the time is over; return its exit code, then 137."""
        self._containers.podman("stop", f"--time={int(within_seconds)}", self.name)
        return int(self.inspect(".State.ExitCode"))
