"""The rate of a client (its pace): fixed, or derived from 429 responses of the server.

It has no clock; callers pass the time. `limiter` does the waiting.

How the server's rate is found. A limiter of the usual kind (a token or leaky bucket) rejects when it is empty.
Two 429 answers are therefore two moments at which nothing was saved up, and what was accepted between them,
divided by the time between them, *is* the rate that the server grants us: whatever its burst, whatever our own
speed, and also when others share it. So:

- Without a pace, the first 429 starts a **search** from what was accepted within the last second, and the pace
  doubles until the next 429.
- With enough accepted in between, that 429 gives a **measurement**. The pace goes on a little below it, reaches
  it after some patience, then leaves it ever faster, until a 429 measures again. The longer measurements have
  agreed, the longer the patience: a steady server is rarely probed, a changed one soon.
- With too little accepted in between, the server is slower than was thought: the pace is halved, search goes on.
- With nothing accepted, twice, it has stopped: single requests ask for its return, and when one is accepted the
  search begins again not far below the pace before.

A 429 for a request that was sent before the last cut is ignored. `Pace.rejected` describes when a 429 also stops the
whole client.

The constants are a compromise: a pace that is bolder wastes requests on 429, one that is shyer wastes time.
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
"""Seconds that a late timer may make good at once, at a pace that was found."""
FORGOTTEN_AFTER: Final = 60.0
"""Seconds after which a pace that was found and held nobody back is forgotten."""
LOWEST_SEARCH: Final = 1.0
"""Requests per second below which the search does not go; a measurement may be lower."""
DOUBLING: Final = 0.1
"""Seconds in which the search doubles the pace; at least two round trips."""

START: Final = 0.97
"""Part of the measured rate at which the pace goes on; after `patience` the curve has made it 1.006."""
CURVE: Final = 0.036
"""Steepness of growth from there: after t patiences the pace has grown by e to the power of CURVE * (2^t - 1)."""
HASTE: Final = 0.2
"""Seconds in which growth doubles once patience has ended; at least five round trips."""
STEEPEST: Final = 5.0
"""Doublings of growth after which the pace itself doubles in that time, and no faster."""
SHORTEST_PATIENCE: Final = 0.5
"""Seconds before the measured rate is reached again after a first measurement: soon, since it may be wrong."""
LONGEST_PATIENCE: Final = 3.0
"""Seconds of it where measurements have long agreed: each look for more costs a 429."""
LEAST_REQUESTS: Final = 10
"""Requests for which patience lasts at least."""
PAUSES_OF_PATIENCE: Final = 4.0
"""Where probing costs a pause, patience lasts that many times as long."""
AGREEMENT: Final = 0.25
"""Part by which measurements of the same rate may differ."""

FLOWING: Final = 5
"""Requests accepted within the last second that show that the server still serves us."""
LEAST_RETRY_AFTER: Final = 1.0
"""Seconds: the least that the header can say, and so no more than "not right now" where requests flow."""
LONGEST_PAUSE: Final = 60.0
"""Seconds for which a Retry-After can stop the whole client; calls give up sooner (`RetryPolicy.max_retry_after`)."""
FIRST_BACKOFF: Final = 0.25
LONGEST_BACKOFF: Final = 1.5
"""Seconds without a Retry-After; one request for the whole client then asks whether the server accepts again."""
SECOND_TRIES: Final = 8
FIRST_TRIES: Final = 4
"""Second tries accepted, and first tries refused at a lower pace, without an exception, that show that refusing is no
matter of the rate."""
STOPPED: Final = 2
"""Cuts in a row with nothing accepted in between, after which the server counts as stopped, not as slow."""
ASKING: Final = 0.25
"""Seconds between requests to a server that has stopped; at least two round trips."""
RESUMED: Final = 1.0 / 8.0
"""Part of the pace before the stop at which the search begins when it accepts again."""

ENOUGH: Final = 8
"""Accepted requests that make a measurement."""
SAMPLING: Final = 0.05
"""Seconds between samples of what was accepted; a measurement over less would be one of chance."""


class Meter:
    """Counts accepted requests, to measure the rate of the server.

    Attributes:
        accepted: Answers so far that were not 429; counted up by the owner.
        next_sample: When `sample` is due again.
        largest_burst: Most that the server can have saved up for us.
    """

    __slots__ = ("_from", "_from_accepted", "_samples", "accepted", "largest_burst", "next_sample")

    def __init__(self) -> None:
        self.accepted = 0
        self.next_sample = -math.inf
        self.largest_burst = 0
        self._from = -math.inf
        self._from_accepted = 0
        # Times and what had been accepted by then, for about the last second.
        self._samples: deque[tuple[float, int]] = deque(maxlen=round(1.0 / SAMPLING) + 1)

    def sample(self, now: float) -> None:
        """Remember how much has been accepted by now."""
        self._samples.append((now, self.accepted))
        self.next_sample = now + SAMPLING

    def lately(self, now: float) -> int:
        """Return how many were accepted within about the last second."""
        for time, accepted in self._samples:
            if time >= now - 1.0 - SAMPLING:
                return self.accepted - accepted
        return 0

    def begin(self, now: float) -> None:
        """Measure from a moment at which the server had nothing saved up."""
        self._from = now
        self._from_accepted = self.accepted

    def measure(self, now: float) -> float | None:
        """Return the rate that the server grants, as seen at a 429; None when too little was accepted.

        Where we were too slow meanwhile, the server could not save up all that it granted, and the whole time
        measures too little. So recent times count too: what was accepted in them, but for the burst that may
        have been saved up before.
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


class Ritual:
    """Recognizes a server, or something before it, that refuses every request once, at any pace.

    A rate limit does not ask whether a request comes for the first time: after a cut it accepts new ones too. Where
    only second tries are accepted, slowing down helps nobody and starves the calls that wait.

    Attributes:
        suspected: Something speaks for it.
    """

    __slots__ = ("_first_tries", "_second_tries", "suspected")

    def __init__(self) -> None:
        self._clear()

    @property
    def holds(self) -> bool:
        """Whether every first try is refused, and every second one accepted."""
        return self._second_tries >= SECOND_TRIES and self._first_tries >= FIRST_TRIES

    def accepted(self, *, again: bool) -> None:
        """Note a request that was accepted; a first try need not be noted unless something is `suspected`."""
        if again:
            self._second_tries += 1
            self.suspected = True
        else:
            self._clear()

    def rejected(self, *, again: bool, at_lower_pace: bool) -> None:
        """Note a 429.

        Args:
            again: The request had been answered with 429 before.
            at_lower_pace: It was sent after the last cut.
        """
        if again:
            self._clear()
        elif at_lower_pace:
            self._first_tries += 1
            self.suspected = True

    def _clear(self) -> None:
        self._first_tries = self._second_tries = 0
        self.suspected = False


class Pace:
    """The pace of a client, kept by its reservations and by what the server answered.

    Attributes:
        spacing: When the next request may go.
        meter: Counts accepted requests.
        ritual: Whether refusing has anything to do with the pace.
        rejections: 429 answers so far.
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
        "meter",
        "rejections",
        "ritual",
        "spacing",
    )

    def __init__(self, requests_per_second: float | None, burst: int | None, *, adaptive: bool, random: Random) -> None:
        """Make a pace that nothing has been sent at.

        Args:
            requests_per_second: Upper bound; None for none.
            burst: How many may go at once after a pause, at that bound; None for a second's worth.
            adaptive: Find the server's rate.
            random: Spreads pauses that the server did not name.
        """
        self.spacing = Spacing()
        self.meter = Meter()
        self.ritual = Ritual()
        self.rejections = 0
        self._ceiling = requests_per_second
        self._burst = burst
        self._adaptive = adaptive
        self._random = random
        self._found = False  # the pace comes from 429 answers
        self._measured: float | None = None  # None: searching
        self._base = 0.0
        self._busy = 0.0  # seconds for which the pace was what held the client back, since `_base` was set
        self._patience = SHORTEST_PATIENCE
        self._stable_since = 0.0
        self._round_trip = 0.0
        self._needed_at = -math.inf
        self._cut_at = -math.inf
        self._cut_accepted = 0
        self._before_stop: float | None = None
        self._setbacks = 0  # cuts in a row with nothing accepted since the one before
        self._forget()

    def reserve(self, now: float) -> None:
        """Take the next place; `spacing.ready_at` must have come."""
        if now >= self.meter.next_sample:
            self.meter.sample(now)
        if self._before_stop is not None and self.meter.accepted > self._cut_accepted:
            self._resume(self._before_stop)
        if self.spacing.rate is not None and self.spacing.reserve(now) and self._found:
            # Nothing is left for another one: the pace is what holds the client back, so it may grow.
            if self.spacing.rate != self._ceiling:
                self._needed_at = now
            self._grow()

    def give_back(self, reserved_at: float) -> None:
        """Undo a reservation that was not used."""
        if self.spacing.rate is not None:
            self.spacing.give_back(reserved_at)

    def forgotten(self, now: float) -> bool:
        """Forget a pace that was found, once it has long been unneeded; return whether it was now."""
        if not self._found or now - max(self._needed_at, self.spacing.held_until) < FORGOTTEN_AFTER:
            return False
        self._forget()
        return True

    def rejected(self, now: float, reserved_at: float, retry_after: float | None, *, again: bool = False) -> None:
        """Take a 429 into account.

        The whole client stops for Retry-After, with one exception. The header counts whole seconds: 1 is the
        least that it can say, and where several requests a second are being accepted it means "not right now".
        Then only the rejected request waits (in the limiter), and the others continue at the lower pace. Without this
        exception, each search for the server's rate would cost a second of waiting.

        Without Retry-After the client stops when a cut brought nothing at all, each time for longer.

        Args:
            now: Time of the answer.
            reserved_at: Time at which the request got its place.
            retry_after: Seconds that the server asks for, if it does.
            again: The request had been answered with 429 before.
        """
        self.rejections += 1
        news = reserved_at > self._cut_at
        self.ritual.rejected(again=again, at_lower_pace=news)
        if not self._adaptive:
            return
        if self.ritual.holds:
            self._forget()
            return
        if news:
            self._setbacks = self._setbacks + 1 if self.meter.accepted == self._cut_accepted else 0
            self._round_trip = now - reserved_at
            self._cut(now)
        elif self._found and self._measured is None and (measured := self.meter.measure(now)) is not None:
            # No news of our pace, but another moment at which nothing was saved up: no need to search on.
            self._settle(now, measured)
        self._pause_after_rejection(now, retry_after, news=news)

    # -- inside --------------------------------------------------------------------------------------------

    def _pause_after_rejection(self, now: float, retry_after: float | None, *, news: bool) -> None:
        if retry_after is not None and retry_after > 0:
            flowing = self._setbacks < STOPPED and self.meter.lately(now) >= FLOWING
            if retry_after > LEAST_RETRY_AFTER or not flowing:
                pause = min(retry_after, LONGEST_PAUSE)
                self._patience = max(self._patience, PAUSES_OF_PATIENCE * pause)
                self._pause(now + pause)
        elif news and self._setbacks:
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
        # The server has nothing saved up: leave it the time for one, lest the very next is rejected too.
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
        self._busy = -self._round_trip  # until the first answers tell how the server takes it
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
            # The next measurement begins there: what a pause let the server save up is not known.
            self.meter.begin(until)
