"""The policy: ``policy.yaml``, what we promise and by which rules floors become rates.

Invariant: a policy that loads names only models, service tiers and units that exist in it, and
every share, promise and rule in it says why or where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from pricing_rules.cost.factory import Figure
from pricing_rules.cost.unit_cost import TokenUnit
from pricing_rules.document import (
    Document,
    DocumentError,
    Name,
    Path,
    Text,
    path_text,
    read_yaml,
    validate,
)
from pricing_rules.money import CurrencyCode
from pricing_rules.prices.provenance import COST_CURRENCY, ExchangeRate
from pricing_rules.rules.actions import (
    Action,
    DimensionRate,
    LadderOfRates,
    Relate,
    terminating,
)
from pricing_rules.rules.service_tiers import ModelToPrice, ServiceTier

FLOOR_RULE: Final = "floor"
ROUNDING_RULE: Final = "round_up"
"""What the first and the last step of every rate are called: no rule of a policy has these ids."""


class ReferenceShape(Document):
    """Tokens of a mean request, by which hardware is weighted and set-ups are chosen."""

    input_tokens: PositiveInt
    output_tokens: PositiveInt


class StatedShare(Figure):
    """A share from 0 to under 1, with where it comes from and of when it is."""

    @field_validator("value")
    @classmethod
    def _share(cls, value: Decimal) -> Decimal:
        if value >= 1:
            raise ValueError(f'must be under 1, not "{value}"; write 5 % as "0.05"')
        return value


class Conditions(Document):
    """Which rates a rule is for: all lists that are named must hold; none named means every rate.

    ``regions`` holds for rates that an earlier rule made for one of them.
    """

    models: tuple[Name, ...] = ()
    service_tiers: tuple[Name, ...] = ()
    units: tuple[TokenUnit, ...] = ()
    regions: tuple[Name, ...] = ()

    def hold(self, *, model: str, service_tier: str, unit: str, region: str | None) -> bool:
        """Whether every list that is named has the one in question."""
        return (
            (not self.models or model in self.models)
            and (not self.service_tiers or service_tier in self.service_tiers)
            and (not self.units or unit in self.units)
            and (not self.regions or region in self.regions)
        )


class Rule(Document):
    """When it holds, one action, and why."""

    id: Name
    when: Conditions = Conditions()
    then: Action
    why: Text


class GuardRails(Document):
    """What a book is checked against beside its floors: a breach is a finding, no changed rate.

    Always checked: cached input is not dearer than input, and a faster service tier not cheaper
    than a slower one. ``measurement_age_days_at_most``: older measurements under a card are a
    finding.
    """

    measurement_age_days_at_most: PositiveInt | None = None


class Policy(Document):
    """``policy.yaml``. Money is in ``currency`` per million tokens; rules run in the order written.

    ``exchange``: what floors, which are in US dollars, are converted at before the rules run; a
    policy in another currency has one to it.
    ``cached_share`` is what a token read from cache takes of a fresh input token.
    ``revenue_share`` is what goes away of every rate: royalty, marketplace, payment fees, bad debt.
    """

    schema_: Literal["tokenworks.policy/1"] = Field(alias="schema")
    series: Name
    currency: CurrencyCode
    exchange: ExchangeRate | None = None
    reference_shape: ReferenceShape
    revenue_share: StatedShare
    cached_share: StatedShare
    models: Annotated[tuple[ModelToPrice, ...], Field(min_length=1)]
    service_tiers: Annotated[tuple[ServiceTier, ...], Field(min_length=1)]
    rules: tuple[Rule, ...] = ()
    guard_rails: GuardRails = GuardRails()

    @model_validator(mode="after")
    def _leaves_something(self) -> Policy:
        for service_tier in self.service_tiers:
            if service_tier.minimum_margin + self.revenue_share.value >= 1:
                raise ValueError(
                    f'the minimum margin of service tier "{service_tier.name}" and the revenue '
                    "share take the whole rate; lower one"
                )
        return self

    def converted(self, usd: Decimal) -> Decimal:
        """An amount in US dollars in the policy's currency, exactly."""
        if self.exchange is None:
            return usd
        return terminating(Fraction(usd) * Fraction(self.exchange.per_usd))

    def by_promise(self) -> tuple[ServiceTier, ...]:
        """The service tiers from the slowest to the fastest; equal promises keep their order."""
        return tuple(sorted(self.service_tiers, key=lambda t: t.interactivity_tokens_per_s or 0))

    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """Every dimension that some rule prices, with its values, sorted."""
        found: dict[str, set[str]] = {}
        for rule in self.rules:
            if isinstance(rule.then, DimensionRate):
                found.setdefault(rule.then.name, set()).add(rule.then.value)
        return {name: tuple(sorted(found[name])) for name in sorted(found)}


def load_policy(data: bytes, *, name: str) -> Policy:
    """Read ``policy.yaml``; DocumentError names the line and path of what is wrong."""
    value, lines = read_yaml(data, name=name)
    policy = validate(Policy, value, name=name, lines=lines)
    for path, sentence in policy_faults(policy):
        raise DocumentError(f"{name}:{lines[path]} {path_text(path)}", sentence)
    return policy


def policy_faults(policy: Policy) -> Iterator[tuple[Path, str]]:
    """Names that stand twice or that nothing has, and a currency that nothing is converted to: the
    path of each, and how to mend it.
    """
    yield from _exchange_faults(policy)
    models = [model.name for model in policy.models]
    service_tiers = [service_tier.name for service_tier in policy.service_tiers]
    rules = [rule.id for rule in policy.rules]
    for section, key, names in (
        ("models", "name", models),
        ("service_tiers", "name", service_tiers),
        ("rules", "id", rules),
    ):
        for i, name in enumerate(names):
            if name in names[:i]:
                yield (section, i, key), f'"{name}" stands twice; keep one'
    for i, rule in enumerate(policy.rules):
        if rule.id in (FLOOR_RULE, ROUNDING_RULE):
            yield ("rules", i, "id"), f'"{rule.id}" is the name of a step of its own; rename it'
    ladders: dict[str, str] = {}
    for i, rule in enumerate(policy.rules):
        for key, named, known in (
            ("models", rule.when.models, models),
            ("service_tiers", rule.when.service_tiers, service_tiers),
        ):
            for j, name in enumerate(named):
                if name not in known:
                    listed = ", ".join(known)
                    yield (
                        ("rules", i, "when", key, j),
                        f'"{name}" is not among {key}; write one of {listed}',
                    )
        then = rule.then
        if isinstance(then, Relate) and then.service_tier not in (None, *service_tiers):
            listed = ", ".join(service_tiers)
            yield (
                ("rules", i, "then", "service_tier"),
                f'"{then.service_tier}" is not among service_tiers; write one of {listed}',
            )
        if isinstance(then, LadderOfRates) and ladders.setdefault(then.id, rule.id) != rule.id:
            yield (
                ("rules", i, "then", "id"),
                f'the rule "{ladders[then.id]}" has a ladder "{then.id}" already; '
                "one id is one position, so give this one another id",
            )


def _exchange_faults(policy: Policy) -> Iterator[tuple[Path, str]]:
    exchange, code = policy.exchange, policy.currency
    if exchange is None and code != COST_CURRENCY:
        sentence = f"is {code}, but costs are in {COST_CURRENCY}; give an exchange rate to {code}"
        yield ("currency",), sentence
    elif exchange is not None and code == COST_CURRENCY:
        yield ("exchange",), f"is to {exchange.currency}, but the policy is in {code}; remove it"
    elif exchange is not None and exchange.currency != code:
        sentence = f"is {exchange.currency}, but the policy is in {code}; give the rate to {code}"
        yield ("exchange", "currency"), sentence
