"""What a command of a document prints, where its routes.yaml and its files are at hand."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from doc_blocks import ROOT, Block, blocks, routes_at

from adapter.config.load import load
from adapter.config.policy import Policy
from adapter.intake import decide_and_record, parse, route_alerts
from adapter.model import Source
from adapter.store.store import Store, open_store


def printed(block: Block, folder: Path) -> tuple[str, str]:
    """Run the command of a console block in this folder; return what goes to stdout and stderr.

    There are the routes.yaml as the document has shown it so far, the files that it has shown, and
    a store that has heard what its recordings hold.
    """
    (folder / "routes.yaml").write_text(routes_at(block.document, block.line), encoding="utf-8")
    for other in blocks(block.document):
        if other.file and other.line < block.line:
            (folder / other.file).write_text(other.text, encoding="utf-8")
            if other.file.endswith(".jsonl"):
                _hear(other.text, load((folder / "routes.yaml").read_bytes()), folder)
    ran = subprocess.run(
        [sys.executable, "-m", "adapter", *shlex.split(block.text.partition("\n")[0])[2:]],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"TZ": "Asia/Shanghai", "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
    )
    return ran.stdout, ran.stderr


def _hear(recording: str, policy: Policy, folder: Path) -> None:
    store, ids = (
        open_store(f"sqlite:///{folder}/uvms-adapter.db", exclusive=True),
        itertools.count(1),
    )
    try:
        for line in recording.splitlines():
            heard = msgspec.json.decode(line)
            at = datetime.fromisoformat(heard["received_at"]).astimezone(UTC)
            _take(store, policy, heard, at, ids)
    finally:
        store.close()


def _take(
    store: Store, policy: Policy, heard: dict[str, object], at: datetime, ids: itertools.count[int]
) -> None:
    notification = parse(Source(str(heard["source"])), msgspec.json.encode(heard["body"]), at)
    routed = route_alerts(policy, notification.alerts, at)
    store.write_now(
        lambda session: decide_and_record(
            session,
            policy,
            notification,
            routed,
            now=at,
            new_id=lambda: f"{next(ids):032x}",
        )
    )
