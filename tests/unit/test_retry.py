"""How long a block waits before its next try."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from weft.core.retry import RetryPolicy


def waits(policy: RetryPolicy, count: int) -> list[float | None]:
    found = [policy.wait(n) for n in range(1, count + 1)]
    return [None if wait is None else wait.total_seconds() for wait in found]


def test_without_retries_there_is_no_second_try() -> None:
    assert waits(RetryPolicy(), 1) == [None]


def test_two_retries_back_off_from_five_seconds() -> None:
    assert waits(RetryPolicy(retries=2, max_delay=40), 3) == [5, 10, None]


def test_each_wait_is_bounded_and_the_number_of_tries_is_not() -> None:
    assert waits(RetryPolicy(retries=7), 8) == [5, 10, 20, 40, 60, 60, 60, None]


def test_without_back_off_all_waits_are_alike() -> None:
    assert waits(RetryPolicy(retries=3, delay=7, exponential_backoff=False), 3) == [7, 7, 7]


@given(
    failures=st.integers(1, 10_000),
    delay=st.floats(0, 1e6),
    bound=st.floats(0, 1e6),
    backoff=st.booleans(),
)
def test_waits_never_shrink_nor_pass_their_bound(
    failures: int, delay: float, bound: float, *, backoff: bool
) -> None:
    policy = RetryPolicy(10_000, delay, bound, backoff)
    wait, later = policy.wait(failures), policy.wait(failures + 1)
    assert wait is not None
    assert timedelta(0) <= wait <= timedelta(seconds=bound)
    assert later is None or later >= wait
