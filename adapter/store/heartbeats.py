"""When heartbeats were heard."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from adapter.heartbeats import Pulse
from adapter.store.part import Part
from adapter.store.schema import heartbeats


class Heartbeats(Part):
    """The side of the store that knows whether monitoring lives."""

    def pulses(self) -> dict[str, Pulse]:
        """Return what is known of each heartbeat."""
        rows = self._connection.execute(heartbeats.select())
        return {
            row.name: Pulse(heard_at=row.heard_at, silent_since=row.silent_since) for row in rows
        }

    def hear(self, names: Iterable[str], now: datetime) -> None:
        """Note that these heartbeats were heard."""
        for name in sorted(set(names)):
            known = heartbeats.update().where(heartbeats.c.name == name)
            if self._connection.execute(known.values(heard_at=now)).rowcount == 0:
                self._connection.execute(heartbeats.insert().values(name=name, heard_at=now))

    def wait_for(self, names: Iterable[str], now: datetime) -> None:
        """Wait for these heartbeats from now on, and for no others."""
        wanted = sorted(set(names))
        self._connection.execute(heartbeats.delete().where(heartbeats.c.name.not_in(wanted)))
        known = self.pulses()
        self.hear((name for name in wanted if name not in known), now)

    def note_silence(self, name: str, since: datetime | None) -> None:
        """Note since when a heartbeat is told to be missing; None: it has come back."""
        known = heartbeats.update().where(heartbeats.c.name == name)
        self._connection.execute(known.values(silent_since=since))
