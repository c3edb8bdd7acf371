"""Messages are sent again after pauses that grow, and not for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.webhooks.retries import LONGEST_WAIT_S, MOST_TRIES, PAUSES_S, pause_microseconds

S = 1_000_000


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    paused_s = [
        (pause_microseconds(tries, retry_after_s=0, drawn=0.0) or 0) // S for tries in range(1, 10)
    ]
    minutes, hours = 60, 3_600
    assert paused_s == [
        *(5, 5 * minutes, 30 * minutes, 2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours),
        24 * hours,
    ]
    # 5 s + 35 min + 75 h: three days, three hours and a half.
    assert sum(paused_s) == 5 + 35 * minutes + 75 * hours


@pytest.mark.parametrize("tries, more", [(9, True), (10, False), (11, False)])
def test_the_tenth_attempt_is_the_last(tries: int, more: bool) -> None:
    assert (pause_microseconds(tries, retry_after_s=60, drawn=0.5) is not None) == more


@pytest.mark.parametrize(
    "retry_after_s, seconds",
    [(0, 5), (4, 5), (5, 5), (6, 6), (86_399, 86_399), (86_400, 86_400), (86_401, 86_400)],
)
def test_a_receiver_may_ask_to_wait_longer_but_not_for_more_than_a_day(
    retry_after_s: int, seconds: int
) -> None:
    assert pause_microseconds(1, retry_after_s=retry_after_s, drawn=0.0) == seconds * S


def test_half_of_a_fifth_is_added_where_half_is_drawn() -> None:
    assert pause_microseconds(1, retry_after_s=0, drawn=0.5) == 5_500_000  # 5 s x 1.1


@given(
    st.integers(1, MOST_TRIES - 1),
    st.integers(0, 10**9),
    st.floats(0, 1, exclude_max=True),
)
def test_no_pause_is_shorter_than_the_schedule_or_longer_than_a_day_and_a_fifth(
    tries: int, retry_after_s: int, drawn: float
) -> None:
    paused = pause_microseconds(tries, retry_after_s=retry_after_s, drawn=drawn)
    assert paused is not None
    assert PAUSES_S[tries - 1] * S <= paused <= LONGEST_WAIT_S * S * 6 // 5
