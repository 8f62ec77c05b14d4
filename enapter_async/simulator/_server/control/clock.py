"""A clock that can be set, advanced and stopped."""

from __future__ import annotations

from collections.abc import Callable


class AdjustableClock:
    """A clock that follows another one with an offset, or is stopped.

    Args:
        base: The clock that it follows; Unix seconds.
    """

    def __init__(self, base: Callable[[], float]) -> None:
        self.base = base
        self.offset = 0.0
        self._frozen_at: float | None = None

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self.base() + self.offset if self._frozen_at is None else self._frozen_at

    @property
    def frozen(self) -> bool:
        """Whether the clock is stopped."""
        return self._frozen_at is not None

    def shift(self, offset: float) -> None:
        """Set the offset to the other clock, in seconds."""
        self.offset = offset
        if self._frozen_at is not None:
            self._frozen_at = self.base() + offset

    def set(self, moment: float) -> None:
        """Set the time, in Unix seconds. A stopped clock has exactly this time."""
        self.offset = moment - self.base()
        if self._frozen_at is not None:
            self._frozen_at = moment

    def freeze(self) -> None:
        """Stop the clock."""
        self._frozen_at = self()

    def run(self) -> None:
        """Restart from the time at which the clock was stopped."""
        self.offset = self() - self.base()
        self._frozen_at = None

    def restore(self, offset: float, frozen_at: float | None) -> None:
        """Copy the offset and the state of another such clock."""
        self.offset, self._frozen_at = offset, frozen_at

    def reset(self) -> None:
        """Follow the other clock again, without an offset."""
        self.restore(0.0, None)
