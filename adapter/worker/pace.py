"""How fast requests may leave. Knows nothing of what they are for."""

from __future__ import annotations

from collections import deque


class Pace:
    """How many requests may leave now: in no second more than the rate (`at`: monotonic)."""

    def __init__(self) -> None:
        self._left: deque[float] = deque()  # when requests left within the window, oldest first

    def free(self, rate: float, at: float) -> int:
        """Return how many may leave now."""
        most, window = in_window(rate)
        while self._left and self._left[0] + window <= at:
            self._left.popleft()
        return most - len(self._left)

    def pause(self, rate: float, at: float) -> float:
        """Return for how many seconds nothing may leave, asked when nothing may."""
        most, window = in_window(rate)
        return max(self._left[-most] + window - at, 0.0)

    def take(self, requests: int, at: float) -> None:
        """Note that so many leave."""
        self._left.extend([at] * requests)


def in_window(rate: float) -> tuple[int, float]:
    """Return a rate as a whole number of requests in so many seconds; 0.5 is one in two."""
    most = max(1, int(rate))
    return most, most / rate
