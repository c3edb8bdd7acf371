"""The gates of a backtest: what must hold before a price change goes through, and whether it does.

Invariant: the set of gates is closed, a limit itself passes and only what is beyond it trips, and a
gate that cannot be judged is refused, never passed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.planning.backtest import Backtest

_SHARE = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?%\Z")
_COUNT = re.compile(r"(0|[1-9][0-9]{0,11})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate: its name and its limit, a share (0.02 is 2 %) or a count."""

    name: str
    limit: Fraction
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """Whether a gate trips, and the sentence that says why or why not."""

    gate: Gate
    trips: bool
    sentence: str


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Gates such as ``revenue-falls=2%`` or ``unpriced=0``.

    DocumentError for another name or limit, and for a gate that stands twice.
    """
    gates: dict[str, Gate] = {}
    for text in texts:
        name, _, limit = text.partition("=")
        if name not in _GATES:
            known = ", ".join(f"{gate}={example}" for gate, (example, _) in _GATES.items())
            raise DocumentError("--fail-if", f'must be one of {known}, not "{text:.60}"')
        if name in gates:
            raise DocumentError("--fail-if", f"{name} stands twice; keep one")
        example = _GATES[name][0]
        is_share = example.endswith("%")
        if not (_SHARE if is_share else _COUNT).match(limit):
            raise DocumentError(
                "--fail-if",
                f"{name} takes a {'percentage' if is_share else 'whole number'} such as "
                f'{name}={example}, not "{limit:.40}"',
            )
        value = Fraction(limit.removesuffix("%"))
        gates[name] = Gate(name=name, limit=value / 100 if is_share else value, text=text)
    return tuple(gates.values())


def judge(gate: Gate, *, found: Backtest) -> GateVerdict:
    """Whether a gate trips. DocumentError where the backtest cannot tell."""
    trips, sentence = _GATES[gate.name][1](gate.limit, found)
    return GateVerdict(gate=gate, trips=trips, sentence=sentence)


def percent_text(share: Fraction | None) -> str:
    """A share as people read it, to two decimals: ``1/3`` as ``33.33 %``; None as ``n/a``."""
    return "n/a" if share is None else f"{float(share) * 100:,.2f} %"


def _revenue_falls(limit: Fraction, found: Backtest) -> tuple[bool, str]:
    share = found.total.change_share
    if share is None:
        raise DocumentError(
            "--fail-if revenue-falls", "nothing is charged under the old books; leave the gate out"
        )
    verb = "falls" if share < 0 else "rises"
    return -share > limit, f"revenue {verb} by {percent_text(abs(share))}"


def _account_rises(limit: Fraction, found: Backtest) -> tuple[bool, str]:
    from_nothing = [
        account
        for account, one in found.accounts.items()
        if one.change_share is None and one.change > 0
    ]
    if from_nothing:
        return True, (
            f"{_accounts(len(from_nothing))} that paid nothing would pay, such as {from_nothing[0]}"
        )
    shares = {
        account: one.change_share
        for account, one in found.accounts.items()
        if one.change_share is not None
    }
    if not shares:
        return False, "no account pays anything"
    over = sum(share > limit for share in shares.values())
    most = max(shares, key=lambda account: shares[account])
    if shares[most] <= 0:
        return False, "no account would pay more"
    return over > 0, (
        f"{_accounts(over)} would pay over {percent_text(limit)} more; the largest rise is "
        f"{percent_text(shares[most])}, of {most}"
    )


def _floor_breaches(limit: Fraction, found: Backtest) -> tuple[bool, str]:
    breaches = found.after.breaches
    worst = ""
    if breaches:
        one = breaches[0]
        worst = f", the largest of {one.account} on {one.model} in {one.service_tier}"
    return len(breaches) > limit, f"floor breaches: {len(breaches):,}{worst}"


def _unpriced(limit: Fraction, found: Backtest) -> tuple[bool, str]:
    unpriced = found.after.unpriced
    first = f", the first because {unpriced[0].reason}" if unpriced else ""
    return len(unpriced) > limit, f"unpriced usage: {len(unpriced):,} counts{first}"


def _margin_under(limit: Fraction, found: Backtest) -> tuple[bool, str]:
    after = found.total.after
    share = after.margin_share
    if share is None:
        raise DocumentError(
            "--fail-if margin-under",
            "no revenue under the new books has a measured cost; leave the gate out",
        )
    costed = percent_text(after.costed_revenue / after.revenue)
    return (
        share < limit,
        f"margin is {percent_text(share)}, with costs known for {costed} of revenue",
    )


def _accounts(count: int) -> str:
    return "1 account" if count == 1 else f"{count:,} accounts"


_GATES: dict[str, tuple[str, Callable[[Fraction, Backtest], tuple[bool, str]]]] = {
    "revenue-falls": ("2%", _revenue_falls),
    "account-rises": ("25%", _account_rises),
    "floor-breaches": ("0", _floor_breaches),
    "unpriced": ("0", _unpriced),
    "margin-under": ("30%", _margin_under),
}
"""Each gate with an example of its limit, and what judges it."""

GATE_EXAMPLES = tuple(f"{name}={example}" for name, (example, _) in _GATES.items())
"""How each gate is written."""
