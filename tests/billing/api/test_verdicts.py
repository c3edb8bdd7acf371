"""The status of a request follows from the verdicts on its parts."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.api.verdicts import all_refused, counted, status_of

VERDICTS = ("accepted", "duplicate", "conflict", "rejected")


@pytest.mark.parametrize(
    "verdicts, status",
    [
        (["accepted"], 200),
        (["duplicate"], 200),
        (["accepted", "duplicate"], 200),
        (["accepted", "conflict"], 207),
        (["duplicate", "rejected"], 207),
        (["conflict", "conflict"], 409),
        (["rejected"], 400),
        (["conflict", "rejected"], 400),
    ],
)
def test_the_status_says_whether_all_some_or_none_took_effect(
    verdicts: list[str], status: int
) -> None:
    assert status_of(counted(verdicts)) == status


@given(verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1))
def test_it_is_a_problem_exactly_where_nothing_took_effect(verdicts: list[str]) -> None:
    counts = counted(verdicts)
    assert sum(counts.values()) == len(verdicts)
    nothing = not {"accepted", "duplicate"} & set(verdicts)
    assert (status_of(counts) >= 400) == nothing


def test_a_problem_is_of_its_kind_unless_all_are_conflicts() -> None:
    for status, kind in (
        (HTTPStatus.BAD_REQUEST, "events-refused"),
        (HTTPStatus.CONFLICT, "conflict"),
    ):
        made = all_refused(status, kind="events-refused", detail="no", members={"received": 1})
        assert (made.status, made.kind, made.members) == (status, kind, {"received": 1})
