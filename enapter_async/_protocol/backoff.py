"""Random delays after failures, which grow with each failure."""

from __future__ import annotations

import math
from random import Random


def full_jitter(initial: float, longest: float, failures: int, random: Random) -> float:
    """Return a delay between 0 and a ceiling that doubles with each failure ("full jitter").

    Args:
        initial: Ceiling in seconds after the first failure.
        longest: Highest ceiling in seconds.
        failures: Failures in a row so far, at least 1.
        random: Seed it in tests.
    """
    ceiling = min(longest, initial * 2.0 ** min(failures - 1, 60))  # the exponent is limited, so it cannot overflow
    return random.uniform(0.0, ceiling) if math.isfinite(ceiling) else longest
