"""How fast a client may send: the arithmetic of one pace, fixed, or found from the server's 429 answers.

Pure: whoever asks brings the time. The waiting is done by `_transport.limiter`.

How the server's rate is found. A limiter of the usual kind (a token or leaky bucket) rejects when it is empty.
Two 429 answers are therefore two moments at which nothing was saved up, and what was accepted between them,
divided by the time between them, *is* the rate that the server grants us: whatever its burst, whatever our own
speed, and also when others share it. So:

- Without a pace, the first 429 starts a **search** from what was accepted within the last second (which a
  large burst can make too much) and doubles until the next 429.
- With enough accepted in between, that 429 gives a measurement, and the pace goes on a little below it. It
  reaches the measured rate after some patience, then leaves it ever faster, until a 429 measures again. The
  longer measurements have agreed, the longer the patience: a steady server is rarely probed, a changed one soon.
- With too few accepted the server has become slower than any measurement: the pace is halved, search goes on.

A 429 for a request that was sent before the last cut tells nothing new. When a 429 also stops the whole client
for its Retry-After, and when it does not, is said at `Pace.rejected`.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import Final

# Where a measurement begins and how it grows: below the measured rate, at it after `patience`, then faster.
_START: Final = 0.97
_CURVE: Final = 0.036
_DOUBLING: Final = 0.1
"""Seconds in which the search doubles the pace; at least two round trips."""
_HASTE: Final = 0.2
"""Seconds in which growth doubles once patience has ended; at least two round trips."""
_CARE: Final = 2.5
_RESPITE: Final = 1.0
_TRUST: Final = 0.5
_SHORTEST_PATIENCE: Final = 0.5
_LONGEST_PATIENCE: Final = 4.0
_REQUESTS_OF_PATIENCE: Final = 10
_AGREEMENT: Final = 0.25
_ENOUGH: Final = 8
"""Accepted requests that make a measurement."""
_SAMPLING: Final = 0.05
_LOWEST_SEARCH: Final = 1.0
_CATCHING_UP: Final = 0.02
"""Seconds that a late timer may make good at once."""
_FORGOTTEN_AFTER: Final = 60.0

# When a 429 stops everybody.
_FLOWING: Final = 5
_SHORTEST_RETRY_AFTER: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 10.0


class Pace:
    """The earliest time of the next request, kept by reservations and by what the server answered.

    Attributes:
        ready_at: Earliest time of the next reservation; minus infinity when nothing holds it back.
        rate: Requests per second now, None without a pace.
        accepted: Answers so far that were not 429; counted up by the owner.
        rejections: 429 answers so far.
    """

    __slots__ = (
        "_adaptive",
        "_base",
        "_burst",
        "_busy",
        "_ceiling",
        "_cut_accepted",
        "_cut_at",
        "_found",
        "_interval",
        "_largest_burst",
        "_mark_accepted",
        "_mark_at",
        "_measured",
        "_needed_at",
        "_next",
        "_next_sample",
        "_patience",
        "_random",
        "_resume_at",
        "_round_trip",
        "_samples",
        "_setbacks",
        "_stable_since",
        "_tolerance",
        "accepted",
        "rate",
        "ready_at",
        "rejections",
    )

    def __init__(self, requests_per_second: float | None, burst: int | None, *, adaptive: bool, random: Random) -> None:
        self._ceiling = requests_per_second
        self._burst = burst
        self._adaptive = adaptive
        self._random = random
        self.accepted = 0
        self.rejections = 0
        self.rate: float | None = None
        self.ready_at = -math.inf
        self._interval = 0.0
        self._tolerance = 0.0
        self._next = -math.inf  # when a bucket without tolerance would next be full
        self._resume_at = -math.inf
        self._found = False  # the pace comes from 429 answers
        self._measured: float | None = None  # None: searching
        self._base = 0.0
        self._busy = 0.0  # seconds for which the pace was the narrowest place, since the base was set
        self._patience = _SHORTEST_PATIENCE
        self._stable_since = 0.0
        self._round_trip = 0.0
        self._needed_at = 0.0
        self._cut_at = -math.inf
        self._cut_accepted = 0
        self._mark_at = 0.0
        self._mark_accepted = 0
        self._setbacks = 0
        # Times and what had been accepted by then, for about the last second.
        self._samples: deque[tuple[float, int]] = deque(maxlen=round(1.0 / _SAMPLING) + 1)
        self._next_sample = -math.inf
        self._largest_burst = 0.0
        self._forget()

    # -- reservations ------------------------------------------------------------------------------------

    def reserve(self, now: float) -> None:
        """Take the next place; `ready_at` must have come."""
        if now >= self._next_sample:
            self._sample(now)
        if self.rate is None:
            return
        if now + self._tolerance - self._next < self._interval:
            # Nothing is left for another one: the pace is what holds the client back, so it may grow.
            self._needed_at = now
            if self._found:
                self._grow()
        self._next = max(self._next, now) + self._interval
        self._set_ready()

    def give_back(self) -> None:
        """Undo a reservation that was not used."""
        if self.rate is not None:
            self._next -= self._interval
            self._set_ready()

    def forgotten(self, now: float) -> bool:
        """Forget a pace that was found, once it has long been unneeded; return whether it was now."""
        if not self._found or now - self._needed_at < _FORGOTTEN_AFTER or now < self._resume_at:
            return False
        self._forget()
        return True

    # -- what the server says -----------------------------------------------------------------------------

    def rejected(self, now: float, reserved_at: float, retry_after: float | None) -> None:
        """Take a 429 into account.

        The whole client stops for Retry-After, with one exception. The header counts whole seconds: 1 is the
        least that it can say, and where many requests a second are being accepted it means "not right now".
        There only the rejected request waits it out, and the others go on at the lower pace. Without the
        exception each look for the server's rate would cost a second of standing still.

        Without Retry-After the client stops when two cuts in a row brought nothing, for longer each time.

        Args:
            now: Time of the answer.
            reserved_at: Time at which the request got its place.
            retry_after: Seconds that the server asks for, if it does.
        """
        self.rejections += 1
        if not self._adaptive:
            return
        news = reserved_at > self._cut_at
        if news:
            self._setbacks = self._setbacks + 1 if self.accepted == self._cut_accepted else 0
            self._round_trip = now - reserved_at
            self._cut(now)
        flowing = self._setbacks < 2 and self._accepted_lately(now) >= _FLOWING
        if retry_after is not None and retry_after > 0:
            if retry_after > _SHORTEST_RETRY_AFTER or not flowing:
                self._pause_until(now + min(retry_after, _LONGEST_PAUSE))
        elif news and self._setbacks:
            longest = min(_FIRST_BACKOFF * 2.0 ** min(self._setbacks - 1, 16), _LONGEST_BACKOFF)
            self._pause_until(now + longest * self._random.uniform(0.5, 1.0))

    def paused_for(self, now: float) -> float:
        """Return the seconds for which the whole client still stands, 0 when it does not."""
        return max(0.0, self._resume_at - now)

    # -- inside -------------------------------------------------------------------------------------------

    def _cut(self, now: float) -> None:
        rate = self.rate
        if rate is None or not self._found:
            lately = self._largest_burst = self._accepted_lately(now)
            self._search(max(lately if rate is None else min(lately, rate), _LOWEST_SEARCH))
            self._mark(now)
        elif (measured := self._measure(now)) is not None:
            self._settle(now, measured)
            self._mark(now)
        else:
            self._search(max(rate / 2.0, min(rate, _LOWEST_SEARCH)))
        # The bucket was empty: a moment's rest, lest the very next one is rejected too.
        self._next = max(self._next, now) + _RESPITE * self._interval
        self._set_ready()
        self._needed_at = self._cut_at = now
        self._cut_accepted = self.accepted

    def _mark(self, now: float) -> None:
        self._mark_at = now
        self._mark_accepted = self.accepted

    def _search(self, base: float) -> None:
        self._measured = None
        self._begin(base)

    def _settle(self, now: float, measured: float) -> None:
        before = self._measured
        if before is None or abs(measured - before) > _AGREEMENT * before:
            self._stable_since = now
        patience = min((now - self._stable_since) * _TRUST, _LONGEST_PATIENCE)
        self._patience = max(patience, _SHORTEST_PATIENCE, _REQUESTS_OF_PATIENCE / measured)
        self._measured = measured
        self._begin(measured * _START)

    def _begin(self, base: float) -> None:
        self._found = True
        self._base = base
        self._busy = 0.0
        self._set_rate(base, _CATCHING_UP)

    def _grow(self) -> None:
        feedback = 2.0 * self._round_trip
        if self._measured is None:
            step = max(_DOUBLING, feedback)
            self._busy += min(self._interval, step)
            growth = 2.0 ** min(self._busy / step, 20.0)
        else:
            step = max(_HASTE, _CARE * feedback)
            self._busy += min(self._interval, step)
            patience = self._patience
            beyond = self._busy - patience
            steps = self._busy / patience if beyond <= 0 else 1.0 + beyond / step
            growth = math.exp(_CURVE * (2.0 ** min(steps, 5.0) - 1.0)) * 2.0 ** min(max(steps - 5.0, 0.0), 20.0)
        rate = self._base * growth
        if self._ceiling is not None and rate >= self._ceiling:
            self._forget()
        else:
            self._set_rate(rate, _CATCHING_UP)

    def _forget(self) -> None:
        self._found = False
        self._measured = None
        if self._ceiling is None:
            self.rate = None
            self._next = -math.inf
            self._set_ready()
            return
        burst = self._burst if self._burst is not None else max(1, math.ceil(self._ceiling))
        self._set_rate(self._ceiling, (burst - 1) / self._ceiling)

    def _set_rate(self, rate: float, tolerance: float) -> None:
        if self._burst is not None and self._found:
            tolerance = min(tolerance, (self._burst - 1) / rate)
        self._next += tolerance - self._tolerance  # what was saved up stays the same
        self._tolerance = tolerance
        self._interval = 1.0 / rate
        self.rate = rate
        self._set_ready()

    def _pause_until(self, end: float) -> None:
        if end > self._resume_at:
            self._resume_at = end
            # Afterwards the pace goes on with one request, not with all that could have been saved up.
            self._next = max(self._next, end + self._tolerance)
            if self._measured is not None:
                # The next measurement begins there: what a pause let us save up or lose is not known.
                self._mark(end)
            self._set_ready()

    def _set_ready(self) -> None:
        self.ready_at = max(self._resume_at, self._next - self._tolerance)

    def _sample(self, now: float) -> None:
        self._samples.append((now, self.accepted))
        self._next_sample = now + _SAMPLING

    def _accepted_lately(self, now: float) -> int:
        """Return how many were accepted within about the last second."""
        for time, accepted in self._samples:
            if time >= now - 1.0 - _SAMPLING:
                return self.accepted - accepted
        return 0

    def _measure(self, now: float) -> float | None:
        """Return the rate that the server grants, as seen at this 429; None when too little was accepted.

        Less is measured than granted when we were too slow meanwhile and the server could save no more. So
        recent times count too: what was accepted in them, but for the burst that may have been saved before.
        """
        accepted, elapsed = self.accepted - self._mark_accepted, now - self._mark_at
        if accepted < _ENOUGH or elapsed < _SAMPLING:
            return None
        measured = accepted / elapsed
        for time, before in self._samples:
            surely = self.accepted - before - self._largest_burst
            if surely >= _ENOUGH and time > self._mark_at and now - time >= 2.0 * _SAMPLING:
                measured = max(measured, surely / (now - time))
        return measured
