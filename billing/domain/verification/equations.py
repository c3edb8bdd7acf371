"""Equations between what was counted twice, in two places, and a sentence for each difference.

Invariant: an equation holds exactly or there is damage; two differences that cancel out in a sum
are both named.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from pricing_rules.period import moment_text

DamageKind = Literal[
    "delivery_counter",
    "missing_event",
    "extra_event",
    "changed_event",
    "changed_correction",
    "epoch",
    "event_state",
    "total",
    "quantity",
    "amount",
    "tax",
    "line_missing",
    "line_extra",
    "line_changed",
    "document_changed",
    "document_row",
    "audit",
    "cover",
    "number_gap",
    "number_counter",
    "transaction_unbalanced",
    "transaction_missing",
    "transaction_extra",
    "transaction_changed",
    "ledger",
    "went_back",
]
"""What can be wrong. ``document_row``: a column beside the document says another thing than it.
``audit``: an invoice that is not the one whose finalizing was recorded. ``cover``: which usage an
invoice says that it bills. ``ledger``: balances beside invoices. ``went_back``: the store is older
than it was."""

Term = tuple[str, int]
"""One counted thing of an equation: what was counted, and how much."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation:
    """The sum of ``left`` must be the sum of ``right``."""

    name: str
    left: tuple[Term, ...]
    right: tuple[Term, ...]

    @property
    def holds(self) -> bool:
        """Whether both sides have one sum."""
        return sum(count for _, count in self.left) == sum(count for _, count in self.right)

    def text(self) -> str:
        """``received 10 = accepted 9 + duplicate 1``, with ``is not`` where it does not hold."""
        left, right = (
            " + ".join(f"{label} {count:,}" for label, count in side) or "0"
            for side in (self.left, self.right)
        )
        return f"{left} {'=' if self.holds else 'is not'} {right}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One difference: what kind it is, where, and what was found there."""

    kind: DamageKind
    where: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What one check found: its equations with their numbers, and all damage."""

    equations: tuple[Equation, ...] = ()
    damage: tuple[Damage, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every equation holds and nothing is damaged."""
        return not self.damage and all(equation.holds for equation in self.equations)


def stored_moment_text(moment_at: int) -> str:
    """A stored moment as RFC 3339; that of an edited row may lie beyond all years."""
    try:
        return moment_text(moment_at)
    except OverflowError:
        return f"{moment_at:,} microseconds since 1970"


def together(checks: Iterable[Verified]) -> Verified:
    """All equations and all damage of several checks, in their order."""
    found = tuple(checks)
    return Verified(
        equations=tuple(equation for one in found for equation in one.equations),
        damage=tuple(damage for one in found for damage in one.damage),
    )


def compare(
    left: Mapping[K, int],
    *,
    right: Mapping[K, int],
    name: str,
    labels: tuple[str, str],
    kind: DamageKind,
    where: Callable[[K], str],
) -> Verified:
    """One equation between the sums of two counts by the same keys, with damage for each key that
    differs; an absent key counts zero.

    ``labels`` call the two sides; ``where`` says what a key is.
    """
    found = [
        Damage(
            kind=kind,
            where=where(key),
            sentence=f"{labels[0]} {left.get(key, 0):,} is not {labels[1]} {right.get(key, 0):,}",
        )
        for key in dict.fromkeys((*left, *right))
        if left.get(key, 0) != right.get(key, 0)
    ]
    equation = Equation(
        name=name,
        left=((labels[0], sum(left.values())),),
        right=((labels[1], sum(right.values())),),
    )
    return Verified(
        equations=(equation,), damage=tuple(sorted(found, key=lambda damage: damage.where))
    )
