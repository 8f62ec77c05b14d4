"""The rate of a client (its pace): fixed, or derived from 429 responses of the server.

It has no clock: callers pass the time, and `limiter` does the waiting.

How the server's rate is found: a common limiter (a token or leaky bucket) rejects requests when it is empty. Two 429
responses therefore mark two moments with an empty bucket. The number of requests accepted between them, divided by the
time between them, *is* the rate that the server grants to this client: independent of its burst and of the client's
speed, and also if others share it. So:

- Without a pace, the first 429 starts a **search** from the number accepted within the last second, and the pace
  doubles until the next 429.
- If enough requests were accepted in between, that 429 is a **measurement**. The pace continues slightly below it,
  reaches it after some patience, then exceeds it ever faster, until a 429 measures again. The longer measurements
  have agreed, the longer the patience: a steady server is rarely probed, a changed one soon.
- If too few were accepted in between, the server is slower than assumed. The pace is halved and the search continues.
- If none was accepted, twice in a row, the server has stopped. Single requests probe it, and once one is accepted the
  search begins again not far below the previous pace.

A 429 for a request that was sent before the last cut is ignored. `Pace.rejected` describes when a 429 also stops the
whole client.

The constants are a compromise: a bolder pace wastes requests on 429 responses, a more cautious one wastes time.
`benchmarks/bench_rate_limit.py` measures the result against nginx, and `tests/transport/test_limiter_finds_rate.py`
checks it against simulated limiters.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import Final

from enapter_async._transport.rate_limit.spacing import Spacing

CATCHING_UP: Final = 0.02
"""Seconds of delay that a late timer may compensate at once, at a pace derived from 429 responses."""
FORGOTTEN_AFTER: Final = 60.0
"""Seconds after which a derived pace is forgotten if it delayed no request."""
LOWEST_SEARCH: Final = 1.0
"""Lowest rate of the search, in requests per second. A measurement may be lower."""
DOUBLING: Final = 0.1
"""Seconds in which the search doubles the pace; at least two round trips."""

START: Final = 0.97
"""Fraction of the measured rate at which the pace continues. After `patience` the curve has raised it to 1.006."""
CURVE: Final = 0.036
"""Steepness of growth from there: after t patiences the pace has grown by a factor of exp(CURVE * (2^t - 1))."""
HASTE: Final = 0.2
"""Seconds in which growth doubles after the patience has ended; at least five round trips."""
STEEPEST: Final = 5.0
"""Doublings of growth after which the pace itself doubles in that time. It never grows faster."""
SHORTEST_PATIENCE: Final = 0.5
"""Patience in seconds after a first measurement, until its rate is reached again. Short, since it may be wrong."""
LONGEST_PATIENCE: Final = 3.0
"""Patience in seconds after measurements that have long agreed. Each probe for a higher rate costs a 429."""
LEAST_REQUESTS: Final = 10
"""Minimum patience, as a number of requests."""
PAUSES_OF_PATIENCE: Final = 4.0
"""Factor of the patience if each probe costs a pause."""
AGREEMENT: Final = 0.25
"""Fraction by which measurements of the same rate may differ."""

FLOWING: Final = 5
"""Number of requests accepted within the last second that proves that the server still serves this client."""
LEAST_RETRY_AFTER: Final = 1.0
"""Smallest Retry-After, in seconds. While requests are being accepted it means only "not right now"."""
LONGEST_PAUSE: Final = 60.0
"""Longest pause of the whole client for a Retry-After, in seconds. `RetryPolicy.max_retry_after` limits each call."""
FIRST_BACKOFF: Final = 0.25
LONGEST_BACKOFF: Final = 1.5
"""Pause in seconds if there is no Retry-After. Then a single request of the client probes the server."""
LATER_TRIES: Final = 8
EARLIER_TRIES: Final = 4
"""Later tries accepted, and earlier ones rejected at a lower pace, all without exception. That many show that the
rejections do not depend on the rate."""
STOPPED: Final = 2
"""Cuts in a row without an accepted request, after which the server counts as stopped instead of slow."""
ASKING: Final = 0.25
"""Seconds between probes of a stopped server; at least two round trips."""
RESUMED: Final = 1.0 / 8.0
"""Fraction of the previous pace at which the search begins when a stopped server accepts requests again."""

ENOUGH: Final = 8
"""Minimum number of accepted requests for a measurement."""
SAMPLING: Final = 0.05
"""Seconds between samples of the accepted count. A shorter measurement would be random."""


class Meter:
    """Counts accepted requests to measure the rate of the server.

    Attributes:
        accepted: Number of responses other than 429. The owner increments it.
        next_sample: Time at which `sample` is due again.
        largest_burst: Largest number of requests that the server may have saved up for this client.
    """

    __slots__ = ("_from", "_from_accepted", "_samples", "accepted", "largest_burst", "next_sample")

    def __init__(self) -> None:
        self.accepted = 0
        self.next_sample = -math.inf
        self.largest_burst = 0
        self._from = -math.inf
        self._from_accepted = 0
        # Times with the accepted count at that time, for about the last second.
        self._samples: deque[tuple[float, int]] = deque(maxlen=round(1.0 / SAMPLING) + 1)

    def sample(self, now: float) -> None:
        """Record the accepted count at this time."""
        self._samples.append((now, self.accepted))
        self.next_sample = now + SAMPLING

    def lately(self, now: float) -> int:
        """Return the number of requests accepted within about the last second."""
        for time, accepted in self._samples:
            if time >= now - 1.0 - SAMPLING:
                return self.accepted - accepted
        return 0

    def begin(self, now: float) -> None:
        """Start a measurement at a moment when the server's bucket is empty."""
        self._from = now
        self._from_accepted = self.accepted

    def measure(self, now: float) -> float | None:
        """Return the rate that the server grants, as measured at a 429; None if too few requests were accepted.

        If the client was too slow in the meantime, the server's bucket was full for a while, and the measurement over
        the whole time is too low. Shorter recent periods therefore count too, with the number accepted in them minus
        the burst that may have been saved up before.
        """
        accepted, elapsed = self.accepted - self._from_accepted, now - self._from
        if accepted < ENOUGH or elapsed < SAMPLING:
            return None
        measured = accepted / elapsed
        for time, before in self._samples:
            surely = self.accepted - before - self.largest_burst
            if surely >= ENOUGH and time > self._from and now - time >= 2.0 * SAMPLING:
                measured = max(measured, surely / (now - time))
        return measured


class FixedRejections:
    """Detects a server or proxy that rejects every request a fixed number of times, at any pace.

    A rate limit does not count the tries of a request: after a cut it accepts new requests too. If only later tries
    are accepted, and all at the same number, slowing down does not help and starves waiting calls.

    Attributes:
        suspected: Whether there is evidence for it.
    """

    __slots__ = ("_accepted", "_rejected", "_tries", "suspected")

    def __init__(self) -> None:
        self._tries = 0  # of the accepted requests
        self._accepted = 0
        self._rejected = 0
        self.suspected: bool = False

    @property
    def holds(self) -> bool:
        """Whether every request is accepted after the same number of rejections, and not before."""
        return self._accepted >= LATER_TRIES and self._rejected >= EARLIER_TRIES

    def accepted(self, *, tries: int) -> None:
        """Record an accepted request. First tries matter only while `suspected`.

        Args:
            tries: How often it was rejected before.
        """
        if tries != self._tries:
            self._accepted = 0
            self._tries = tries
        if tries:
            self._accepted += 1
            self.suspected = True
        else:
            self._clear()

    def rejected(self, *, tries: int, at_lower_pace: bool) -> None:
        """Record a 429.

        Args:
            tries: How often the request was rejected before.
            at_lower_pace: Whether it was sent after the last cut.
        """
        if self._accepted and tries >= self._tries:
            self._clear()
        elif at_lower_pace:
            self._rejected += 1
            self.suspected = True

    def _clear(self) -> None:
        self._tries = self._accepted = self._rejected = 0
        self.suspected = False


class Pace:
    """The pace of a client, derived from its reservations and the server's responses.

    Attributes:
        spacing: Time of the next request.
        meter: Counts accepted requests.
        fixed_rejections: Detects rejections that do not depend on the pace.
        rejections: Number of 429 responses so far.
    """

    __slots__ = (
        "_adaptive",
        "_base",
        "_before_stop",
        "_burst",
        "_busy",
        "_ceiling",
        "_cut_accepted",
        "_cut_at",
        "_found",
        "_measured",
        "_needed_at",
        "_patience",
        "_random",
        "_round_trip",
        "_setbacks",
        "_stable_since",
        "fixed_rejections",
        "meter",
        "rejections",
        "spacing",
    )

    def __init__(self, requests_per_second: float | None, burst: int | None, *, adaptive: bool, random: Random) -> None:
        """Create a pace before the first request.

        Args:
            requests_per_second: Upper limit, if any.
            burst: Number of requests that may be sent at once after a pause, at that limit; None for a second's worth.
            adaptive: Adapt to the server's rate.
            random: Randomises pauses for which the server set no time.
        """
        self.spacing = Spacing()
        self.meter = Meter()
        self.fixed_rejections = FixedRejections()
        self.rejections = 0
        self._ceiling = requests_per_second
        self._burst = burst
        self._adaptive = adaptive
        self._random = random
        self._found = False  # the pace comes from 429 responses
        self._measured: float | None = None  # None: searching
        self._base = 0.0
        self._busy = 0.0  # seconds since `_base` was set in which only the pace limited the client
        self._patience = SHORTEST_PATIENCE
        self._stable_since = 0.0
        self._round_trip = 0.0
        self._needed_at = -math.inf
        self._cut_at = -math.inf
        self._cut_accepted = 0
        self._before_stop: float | None = None
        self._setbacks = 0  # cuts in a row without an accepted request in between
        self._forget()

    def reserve(self, now: float) -> None:
        """Reserve the next request. Only valid from `spacing.ready_at` on."""
        if now >= self.meter.next_sample:
            self.meter.sample(now)
        if self._before_stop is not None and self.meter.accepted > self._cut_accepted:
            self._resume(self._before_stop)
        if self.spacing.rate is not None and self.spacing.reserve(now) and self._found:
            # No further request is allowed now: the pace limits the client, so it may grow.
            if self.spacing.rate != self._ceiling:
                self._needed_at = now
            self._grow()

    def give_back(self, reserved_at: float) -> None:
        """Undo an unused reservation."""
        if self.spacing.rate is not None:
            self.spacing.give_back(reserved_at)

    def forgotten(self, now: float) -> bool:
        """Forget a derived pace that has not been needed for long. Return whether it was forgotten now."""
        if not self._found or now - max(self._needed_at, self.spacing.held_until) < FORGOTTEN_AFTER:
            return False
        self._forget()
        return True

    def rejected(self, now: float, reserved_at: float, retry_after: float | None, *, tries: int = 0) -> None:
        """Adjust the pace after a 429.

        The whole client stops for Retry-After, with one exception. The header has whole seconds, so 1 is its smallest
        value. While several requests a second are being accepted, it means "not right now": only the rejected request
        waits (in the limiter), and the others continue at the lower pace. Without this exception, each search for the
        server's rate would cost a second of waiting.

        Without Retry-After the client pauses if no request was accepted since the last cut, longer each time.

        Args:
            now: Time of the response.
            reserved_at: Time of the reservation for the request.
            retry_after: Seconds that the server asks the client to wait, if it does.
            tries: How often the request was answered with 429 before.
        """
        self.rejections += 1
        after_cut = reserved_at > self._cut_at
        self.fixed_rejections.rejected(tries=tries, at_lower_pace=after_cut)
        if not self._adaptive:
            return
        if self.fixed_rejections.holds:
            self._forget()
            return
        if after_cut:
            self._setbacks = self._setbacks + 1 if self.meter.accepted == self._cut_accepted else 0
            self._round_trip = now - reserved_at
            self._cut(now)
        elif self._found and self._measured is None and (measured := self.meter.measure(now)) is not None:
            # It says nothing about the current pace, but the bucket is empty again: no need to continue the search.
            self._settle(now, measured)
        self._pause_after_rejection(now, retry_after, after_cut=after_cut)

    # -- inside --------------------------------------------------------------------------------------------

    def _pause_after_rejection(self, now: float, retry_after: float | None, *, after_cut: bool) -> None:
        if retry_after is not None and retry_after > 0:
            flowing = self._setbacks < STOPPED and self.meter.lately(now) >= FLOWING
            if retry_after > LEAST_RETRY_AFTER or not flowing:
                pause = min(retry_after, LONGEST_PAUSE)
                self._patience = max(self._patience, PAUSES_OF_PATIENCE * pause)
                self._pause(now + pause)
        elif after_cut and self._setbacks:
            longest = min(FIRST_BACKOFF * 2.0 ** min(self._setbacks - 1, 16), LONGEST_BACKOFF)
            self._pause(now + longest * self._random.uniform(0.5, 1.0))

    def _cut(self, now: float) -> None:
        rate = self.spacing.rate
        if rate is None or not self._found:
            lately = self.meter.largest_burst = self.meter.lately(now)
            self._search(max(lately if rate is None else min(lately, rate / 2.0), LOWEST_SEARCH))
            self.meter.begin(now)
        elif self._setbacks >= STOPPED:
            self._stop(rate)
        elif (measured := self.meter.measure(now)) is not None:
            self._settle(now, measured)
        else:
            self._search(max(rate / 2.0, min(rate, LOWEST_SEARCH)))
        # The server's bucket is empty: wait for one request's worth, or the next request is rejected too.
        self.spacing.take_savings(now + self.spacing.interval)
        self._needed_at = self._cut_at = now
        self._cut_accepted = self.meter.accepted

    def _search(self, base: float) -> None:
        self._measured = None
        self._go_on_at(base)

    def _stop(self, rate: float) -> None:
        if self._before_stop is None:
            self._before_stop = rate
        self._search(min(rate, 1.0 / max(ASKING, 2.0 * self._round_trip)))

    def _resume(self, before: float) -> None:
        self._before_stop = None
        self._search(max(before * RESUMED, LOWEST_SEARCH))

    def _settle(self, now: float, measured: float) -> None:
        before = self._measured
        if before is None or abs(measured - before) > AGREEMENT * before:
            self._stable_since = now
        patience = min((now - self._stable_since) / 2.0, LONGEST_PATIENCE)
        self._patience = max(patience, SHORTEST_PATIENCE, LEAST_REQUESTS / measured)
        self._measured = measured
        self._before_stop = None
        self.meter.begin(now)
        self._go_on_at(measured * START)

    def _go_on_at(self, base: float) -> None:
        self._found = True
        self._base = base
        self._busy = -self._round_trip  # until the first responses show the effect
        self._set_rate(base)

    def _grow(self) -> None:
        if self._measured is None:
            step = max(DOUBLING, 2.0 * self._round_trip)
            self._busy += min(self.spacing.interval, step)
            growth = 2.0 ** min(max(self._busy, 0.0) / step, 20.0)
        else:
            step = max(HASTE, 5.0 * self._round_trip)
            self._busy += min(self.spacing.interval, step)
            beyond = self._busy - self._patience
            steps = max(self._busy, 0.0) / self._patience if beyond <= 0.0 else 1.0 + beyond / step
            growth = math.exp(CURVE * (2.0 ** min(steps, STEEPEST) - 1.0))
            growth *= 2.0 ** min(max(steps - STEEPEST, 0.0), 20.0)
        self._set_rate(self._base * growth)

    def _set_rate(self, rate: float) -> None:
        if self._ceiling is not None:
            rate = min(rate, self._ceiling)
        tolerance = CATCHING_UP if self._burst is None else min(CATCHING_UP, (self._burst - 1) / rate)
        self.spacing.set_rate(rate, tolerance)

    def _forget(self) -> None:
        self._found = False
        self._measured = self._before_stop = None
        self._cut_at = -math.inf
        if self._ceiling is None:
            self.spacing.clear_rate()
            return
        burst = self._burst if self._burst is not None else max(1, math.ceil(self._ceiling))
        self.spacing.set_rate(self._ceiling, (burst - 1) / self._ceiling)

    def _pause(self, until: float) -> None:
        self.spacing.hold(until)
        if self._measured is not None:
            # The next measurement begins there: it is unknown how much the bucket filled during the pause.
            self.meter.begin(until)
