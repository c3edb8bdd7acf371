"""Epochs: sealed one after the other, each when its sealing was recorded.

Invariant: sealed epochs are 1, 2, ... without a gap, their moments never decrease, and nothing
counts in an epoch after the open one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from billing.domain.verification.equations import (
    Damage,
    Equation,
    Verified,
    stored_moment_text,
)

_NAMED = 10
"""How many epochs of one gap are named; the number of an edited row may be any."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SealedEpoch:
    """An epoch, and the moment at which it was sealed."""

    epoch: int
    sealed_at: int


def epochs_as_sealed(
    sealed: Iterable[SealedEpoch],
    *,
    recorded: Iterable[SealedEpoch],
    last_used: Mapping[str, int],
) -> Verified:
    """Sealed epochs = those whose sealing was recorded, in order, and what carries an epoch carries
    one of them or the open one.

    ``recorded``: what the audit says. ``last_used``: the highest epoch of each kind of fact, by
    what it is called (``events``); 0 where there is none.
    """
    stored = sorted(sealed)
    said = {one.epoch: one for one in recorded}
    found = list(_disorder(stored))
    for one in stored:
        if one.epoch not in said:
            found.append(_damage(one.epoch, sentence="nobody recorded that it was sealed"))
        elif said[one.epoch] != one:
            found.append(
                _damage(
                    one.epoch,
                    sentence=f"was sealed at {stored_moment_text(one.sealed_at)}, and recorded "
                    f"as sealed at {stored_moment_text(said[one.epoch].sealed_at)}",
                )
            )
    there = {one.epoch for one in stored}
    found += (
        _damage(epoch, sentence="was sealed, as the audit says, and is not there")
        for epoch in sorted(set(said) - there)
    )
    open_epoch = max(there, default=0) + 1
    found += (
        _damage(last, sentence=f"has {name}, and the epoch {open_epoch} is open")
        for name, last in last_used.items()
        if last > open_epoch
    )
    equation = Equation(
        name="epochs",
        left=(("epochs sealed", len(stored)),),
        right=(("seals recorded", len(said)),),
    )
    return Verified(equations=(equation,), damage=tuple(found))


def _disorder(stored: list[SealedEpoch]) -> Iterator[Damage]:
    epoch, sealed_at = 0, 0
    for one in stored:
        missing = range(epoch + 1, one.epoch)
        for lost in missing[:_NAMED]:
            yield _damage(lost, sentence=f"is not there, and epoch {one.epoch} is")
        if rest := missing[_NAMED:]:
            where = f"epochs {rest[0]} to {rest[-1]}"
            sentence = f"are not there, and epoch {one.epoch} is"
            yield Damage(kind="epoch", where=where, sentence=sentence)
        if one.sealed_at < sealed_at:
            yield _damage(
                one.epoch,
                sentence=f"was sealed at {stored_moment_text(one.sealed_at)}, before the one "
                f"before it at {stored_moment_text(sealed_at)}",
            )
        epoch, sealed_at = one.epoch, one.sealed_at


def _damage(epoch: int, *, sentence: str) -> Damage:
    return Damage(kind="epoch", where=f"epoch {epoch}", sentence=sentence)
