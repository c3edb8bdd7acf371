"""Who is said to have sent the requests of a trace, which names nobody.

Invariant: what a row is assigned depends on nothing but its id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import accumulate

Weighted = tuple[tuple[str, int], ...]
"""Names with integer weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Who is said to have sent the requests of a trace, each name with a positive integer weight.

    A row takes, for the account, the model and the service tier, the first, second and third eight
    bytes of the SHA-256 of its id, read as a big-endian integer, modulo the sum of the weights: the
    remainder falls into the share of one name, in the order given.
    """

    accounts: Weighted
    models: Weighted
    service_tiers: Weighted

    def __post_init__(self) -> None:
        for names in (self.accounts, self.models, self.service_tiers):
            if not names or any(weight < 1 for _, weight in names):
                raise ValueError("an assignment needs names, each with a weight of at least 1")

    def of(self, event_id: str) -> tuple[str, str, str]:
        """The account, model and service tier of an event id."""
        digest = hashlib.sha256(event_id.encode()).digest()
        return (
            _pick(self.accounts, number=int.from_bytes(digest[:8], "big")),
            _pick(self.models, number=int.from_bytes(digest[8:16], "big")),
            _pick(self.service_tiers, number=int.from_bytes(digest[16:24], "big")),
        )


def _pick(names: Weighted, *, number: int) -> str:
    remainder = number % sum(weight for _, weight in names)
    bounds = accumulate(weight for _, weight in names)
    return next(name for (name, _), bound in zip(names, bounds, strict=True) if remainder < bound)
