"""Epochs beside the record of their sealing: each difference is named with its epoch."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from billing.domain.verification.epochs import SealedEpoch, epochs_as_sealed


def epochs(*moments: int) -> list[SealedEpoch]:
    """Epochs 1, 2, ... sealed at these moments."""
    return [SealedEpoch(epoch=i, sealed_at=at) for i, at in enumerate(moments, start=1)]


THREE = epochs(10, 20, 20)


def found(
    sealed: list[SealedEpoch],
    *,
    recorded: list[SealedEpoch] = THREE,
    last_used: Mapping[str, int] | None = None,
) -> list[tuple[str, str]]:
    checked = epochs_as_sealed(sealed, recorded=recorded, last_used=last_used or {})
    assert {one.kind for one in checked.damage} <= {"epoch"}
    return [(one.where, one.sentence) for one in checked.damage]


def test_epochs_that_were_sealed_in_order_hold() -> None:
    # Two seals may share a moment.
    checked = epochs_as_sealed(reversed(THREE), recorded=THREE, last_used={"events": 4})
    assert checked.holds
    assert [one.text() for one in checked.equations] == ["epochs sealed 3 = seals recorded 3"]
    assert epochs_as_sealed([], recorded=[], last_used={"events": 1}).holds


def test_an_epoch_in_the_middle_that_is_gone_is_named() -> None:
    first, _, third = THREE
    assert found([first, third]) == [
        ("epoch 2", "is not there, and epoch 3 is"),
        ("epoch 2", "was sealed, as the audit says, and is not there"),
    ]


@pytest.mark.parametrize(
    "last, named",
    [
        (11, [f"epoch {n}" for n in range(1, 11)]),
        (12, [*(f"epoch {n}" for n in range(1, 11)), "epochs 11 to 11"]),
        (2**62, [*(f"epoch {n}" for n in range(1, 11)), f"epochs 11 to {2**62 - 1}"]),
    ],
)
def test_of_a_wide_gap_ten_epochs_are_named(last: int, named: list[str]) -> None:
    only = [SealedEpoch(epoch=last, sealed_at=1)]
    assert [where for where, _ in found(only, recorded=only)] == named


def test_a_moment_beyond_all_years_is_told_as_it_is_stored() -> None:
    edited = [SealedEpoch(epoch=1, sealed_at=2**62)]
    (told,) = found(edited, recorded=[SealedEpoch(epoch=1, sealed_at=0)])
    assert told[1] == (
        "was sealed at 4,611,686,018,427,387,904 microseconds since 1970, and recorded as sealed "
        "at 1970-01-01T00:00:00Z"
    )


def test_the_last_epoch_leaves_no_gap_and_is_missed_all_the_same() -> None:
    assert found(THREE[:2]) == [("epoch 3", "was sealed, as the audit says, and is not there")]


def test_an_epoch_that_nobody_sealed_is_named() -> None:
    assert found(THREE, recorded=THREE[:2]) == [("epoch 3", "nobody recorded that it was sealed")]


def test_an_edited_moment_is_named() -> None:
    assert found(epochs(10, 21, 30), recorded=epochs(10, 20, 30)) == [
        (
            "epoch 2",
            "was sealed at 1970-01-01T00:00:00.000021Z, and recorded as sealed at "
            "1970-01-01T00:00:00.000020Z",
        )
    ]


@pytest.mark.parametrize("second_at, named", [(9, 1), (10, 0), (11, 0)])
def test_moments_never_decrease(second_at: int, named: int) -> None:
    two = epochs(10, second_at)
    sentence = (
        "was sealed at 1970-01-01T00:00:00.000009Z, before the one before it at "
        "1970-01-01T00:00:00.000010Z"
    )
    assert found(two, recorded=two) == [("epoch 2", sentence)] * named


@pytest.mark.parametrize("last, named", [(3, 0), (4, 0), (5, 1)])
def test_nothing_counts_in_an_epoch_after_the_open_one(last: int, named: int) -> None:
    # 1 to 3 are sealed, so 4 is open.
    assert (
        found(THREE, last_used={"events": last})
        == [("epoch 5", "has events, and the epoch 4 is open")] * named
    )
