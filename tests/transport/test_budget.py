"""The retry budget: a retry costs, a success refunds, a quiet client keeps a minimum."""

from __future__ import annotations

from enapter_async._transport.rate_limit.budget import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def spent(budget: RetryBudget, wanted: int = 10_000) -> int:
    """Spend until there is no more; return how much there was."""
    for number in range(wanted):
        if not budget.try_spend():
            return number
    return wanted


def test_a_new_budget_is_full() -> None:
    budget = RetryBudget(capacity=20, clock=Clock())
    assert budget.available == 20
    assert spent(budget) == 20


def test_a_retry_that_is_refused_costs_nothing() -> None:
    budget = RetryBudget(capacity=1, per_second=0, clock=Clock())
    assert [budget.try_spend() for _ in range(3)] == [True, False, False]
    for _ in range(10):
        budget.refund()
    assert budget.try_spend()


def test_ten_successes_pay_for_one_retry() -> None:
    budget = RetryBudget(capacity=5, per_second=0, clock=Clock())
    spent(budget)
    for _ in range(9):
        budget.refund()
    assert not budget.try_spend()
    budget.refund()
    assert budget.try_spend()


def test_successes_fill_it_no_further_than_its_capacity() -> None:
    budget = RetryBudget(capacity=5, clock=Clock())
    for _ in range(1000):
        budget.refund()
    assert spent(budget) == 5


def test_a_quiet_client_gets_its_minimum_back_with_time_and_no_more() -> None:
    clock = Clock()
    budget = RetryBudget(capacity=100, minimum=10, per_second=0.5, clock=clock)
    spent(budget)
    clock.now += 4
    assert spent(budget) == 2
    clock.now += 3600
    assert spent(budget) == 10


def test_time_during_which_there_was_enough_does_not_count_later() -> None:
    clock = Clock()
    budget = RetryBudget(capacity=100, minimum=10, per_second=0.5, clock=clock)
    clock.now += 3600
    assert spent(budget) == 100
    clock.now += 1
    assert budget.available == 0.5


def test_successes_raise_it_above_the_minimum_and_time_takes_nothing_away() -> None:
    clock = Clock()
    budget = RetryBudget(capacity=100, minimum=1, per_second=1, clock=clock)
    spent(budget)
    for _ in range(201):
        budget.refund()
    clock.now += 3600
    assert spent(budget) == 20


def test_a_thousand_calls_that_fail_together_send_little_more() -> None:
    clock = Clock()
    budget = RetryBudget(clock=clock)
    retries = 0
    for _ in range(200):  # 20 seconds in which each of 1,000 callers would like to try again
        retries += spent(budget, wanted=1000)
        clock.now += 0.1
    assert retries <= 100 + 20 * 0.5
