"""When a rule holds: lists that must have the rate, or one predicate.

Invariant: whether a condition holds depends on the facts of a rate alone, never on its amount.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from pricing_rules.cost.unit_cost import TokenUnit
from pricing_rules.document import Document, Name
from pricing_rules.rules.predicate import Predicate, RateFacts, holds


class Conditions(Document):
    """Which rates a rule is for: all lists that are named must hold; none named means every rate.

    ``regions`` and ``windows`` hold for rates that an earlier rule made for one of them.
    """

    models: tuple[Name, ...] = ()
    service_tiers: tuple[Name, ...] = ()
    units: tuple[TokenUnit, ...] = ()
    regions: tuple[Name, ...] = ()
    windows: tuple[Name, ...] = ()

    def hold(self, facts: RateFacts) -> bool:
        """Whether every list that is named has the one in question."""
        return all(
            not named or found in named
            for named, found in (
                (self.models, facts.model),
                (self.service_tiers, facts.service_tier),
                (self.units, facts.unit),
                (self.regions, facts.region),
                (self.windows, facts.window),
            )
        )


def _form(value: object) -> str:
    return "predicate" if isinstance(value, str) else "lists"


Condition = Annotated[
    Annotated[Conditions, Tag("lists")] | Annotated[Predicate, Tag("predicate")],
    Discriminator(_form),
]
"""Lists of names, or a predicate such as ``promised_tokens_per_s >= 100``."""


def condition_holds(condition: Conditions | str, *, facts: RateFacts) -> bool:
    """Whether a condition holds for a rate; ValueError where a predicate has no value for it."""
    if isinstance(condition, str):
        return holds(condition, facts=facts)
    return condition.hold(facts)
