"""A clock that jumps is followed when it has stayed so, and no sooner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapter.clock import SteadyClock, elapsed, utc_now

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class World:
    """A machine whose clock is off by `off`."""

    def __init__(self) -> None:
        self.passed, self.off = 1000.0, timedelta(0)
        self.clock = SteadyClock(NOW, lambda: self.passed)

    @property
    def right(self) -> datetime:
        return NOW + timedelta(seconds=self.passed - 1000.0)

    def passes(self, seconds: float) -> bool:
        """Look at that clock every ten seconds; return whether a jump was followed."""
        jumped = False
        for _ in range(int(seconds / 10)):
            self.passed += 10
            jumped = self.clock.hear(self.right + self.off) or jumped
        return jumped


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_jump_that_is_righted_moves_nothing(off: timedelta) -> None:
    world = World()
    world.off = off
    assert not world.passes(290)
    assert world.clock() == world.right
    world.off = timedelta(0)
    assert not world.passes(600)
    assert world.clock() == world.right


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_jump_that_stays_is_followed(off: timedelta) -> None:
    world = World()
    world.off = off
    assert world.passes(310)
    assert world.clock() == world.right + off


def test_a_clock_that_jumps_about_is_not_followed() -> None:
    world = World()
    for minutes in range(1, 20):
        world.off = minutes * MINUTE
        assert not world.passes(100)
    assert world.clock() == world.right


def test_two_jumps_that_are_righted_between_do_not_add_up() -> None:
    world = World()
    for off in (HOUR, timedelta(0), HOUR):
        world.off = off
        assert not world.passes(200)
    assert world.clock() == world.right


@pytest.mark.parametrize("off", [timedelta(seconds=2), timedelta(seconds=-2)])
def test_a_little_is_followed_at_once(off: timedelta) -> None:
    world = World()
    world.off = off
    assert not world.passes(10)
    assert world.clock() == world.right + off


def test_the_machines_own() -> None:
    before = elapsed()
    clock = SteadyClock(utc_now())
    assert abs(clock() - utc_now()) < MINUTE
    assert elapsed() >= before
