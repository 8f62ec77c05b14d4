"""Whatever happens to it, a retry budget gives out no more than it may and keeps its minimum."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from enapter_async._transport.rate_limit.budget import RetryBudget

ROUNDING = 1e-6


class BudgetMachine(RuleBasedStateMachine):
    @initialize(
        capacity=st.integers(1, 50),
        minimum=st.integers(0, 20),
        refund=st.sampled_from([0.0, 0.1, 0.5]),
        per_second=st.sampled_from([0.0, 0.5, 2.0]),
    )
    def make(self, capacity: int, minimum: int, refund: float, per_second: float) -> None:
        self.now = self.began = 1000.0
        self.capacity, self.refunded, self.per_second = capacity, refund, per_second
        self.minimum = min(minimum, capacity)
        self.spent = self.successes = 0
        self.quiet_since = self.now
        self.budget = RetryBudget(
            capacity=capacity, minimum=minimum, refund=refund, per_second=per_second, clock=lambda: self.now
        )

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.integers(1, 30))
    def spend(self, times: int) -> None:
        for _ in range(times):
            before = self.budget.available
            enough = before >= 1.0 - 1e-9
            assert self.budget.try_spend() == enough
            if enough:
                self.spent += 1
                assert self.budget.available == pytest.approx(max(before - 1.0, 0.0), abs=ROUNDING)
        self.quiet_since = self.now

    @rule(times=st.integers(1, 30))
    def succeed(self, times: int) -> None:
        for _ in range(times):
            before = self.budget.available
            self.budget.refund()
            self.successes += 1
            assert before <= self.budget.available <= before + self.refunded + ROUNDING

    @invariant()
    def it_is_never_negative_and_never_above_its_capacity(self) -> None:
        assert 0.0 <= self.budget.available <= self.capacity

    @invariant()
    def no_more_is_given_out_than_was_there_refunded_or_trickled_in(self) -> None:
        trickled = self.per_second * (self.now - self.began)
        assert self.spent <= self.capacity + self.refunded * self.successes + trickled + ROUNDING

    @invariant()
    def a_quiet_client_has_its_minimum(self) -> None:
        trickled = (self.now - self.quiet_since) * self.per_second
        assert self.budget.available >= min(self.minimum, trickled) - ROUNDING


TestBudget = BudgetMachine.TestCase
