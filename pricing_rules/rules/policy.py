"""The policy: ``policy.yaml``, what we promise and by which rules floors become rates.

Invariant: a policy that loads names only models, service tiers and units that exist in it, and
every share, promise and rule in it says why or where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from pricing_rules.cost.figures import Figure
from pricing_rules.cost.unit_cost import TOKEN_UNITS
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
from pricing_rules.prices.conditions import When
from pricing_rules.prices.provenance import COST_CURRENCY, ExchangeRate
from pricing_rules.rules.actions import Action, LadderOfRates, Relate, terminating
from pricing_rules.rules.conditions import Condition, Conditions, condition_holds
from pricing_rules.rules.further_rates import DimensionRate, WindowRate
from pricing_rules.rules.limits import GuardRails, Subsidy
from pricing_rules.rules.predicate import RateFacts
from pricing_rules.rules.service_tiers import ModelToPrice, ServiceTier
from pricing_rules.windows import Window

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


class Rule(Document):
    """When it holds, one action, and why."""

    id: Name
    when: Condition = Conditions()
    then: Action
    why: Text


class Policy(Document):
    """``policy.yaml``. Money is in ``currency`` per million tokens; rules run in the order written.

    ``windows``: recurring windows of time by name, for rules that price them.
    ``subsidies``: what may lie under its floor; the first that covers a rate pays for it.

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
    windows: dict[Name, Window] = {}
    rules: tuple[Rule, ...] = ()
    guard_rails: GuardRails = GuardRails()
    subsidies: tuple[Subsidy, ...] = ()

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

    def facts(self) -> PolicyFacts:
        """What predicates may ask about rates of this policy, ready to be asked."""
        return PolicyFacts(
            models={model.name: model for model in self.models},
            service_tiers={service_tier.name: service_tier for service_tier in self.service_tiers},
            dimensions=tuple(self.dimensions()),
        )

    def priced_windows(self) -> dict[str, Window]:
        """The windows that some rule prices, by name, sorted."""
        named = {rule.then.window for rule in self.rules if isinstance(rule.then, WindowRate)}
        return {name: self.windows[name] for name in sorted(named)}

    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """Every dimension that some rule prices, with its values, sorted."""
        found: dict[str, set[str]] = {}
        for rule in self.rules:
            if isinstance(rule.then, DimensionRate):
                found.setdefault(rule.then.name, set()).add(rule.then.value)
        return {name: tuple(sorted(found[name])) for name in sorted(found)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """The models, service tiers and dimensions of a policy by name."""

    models: Mapping[str, ModelToPrice]
    service_tiers: Mapping[str, ServiceTier]
    dimensions: tuple[str, ...]

    def of(self, model: str, *, service_tier: str, unit: str, when: When) -> RateFacts:
        """The facts of one rate."""
        sold, served = self.models[model], self.service_tiers[service_tier]
        return RateFacts(
            model=model,
            precision=sold.precision,
            service_tier=service_tier,
            pool=sold.pool or served.pool,
            unit=unit,
            interruptible=served.interruptible,
            promised_tokens_per_s=served.interactivity_tokens_per_s or 0,
            region=when.region or "",
            window=when.window or "",
            request_tokens_at_least=when.threshold_tokens,
            dimensions={name: when.dimensions.get(name, "") for name in self.dimensions},
        )


def load_policy(data: bytes, *, name: str) -> Policy:
    """Read ``policy.yaml``; DocumentError names the line and path of what is wrong."""
    value, lines = read_yaml(data, name=name)
    policy = validate(Policy, value, name=name, lines=lines)
    for path, sentence in policy_faults(policy):
        raise DocumentError(f"{name}:{lines[path]} {path_text(path)}", sentence)
    return policy


def policy_faults(policy: Policy) -> Iterator[tuple[Path, str]]:
    """Names that stand twice or that nothing has, predicates without a value, and a currency that
    nothing is converted to: the path of each, and how to mend it.
    """
    yield from _exchange_faults(policy)
    for section, key, names in (
        ("models", "name", [model.name for model in policy.models]),
        ("service_tiers", "name", [service_tier.name for service_tier in policy.service_tiers]),
        ("rules", "id", [rule.id for rule in policy.rules]),
        ("subsidies", "id", [subsidy.id for subsidy in policy.subsidies]),
    ):
        for i, name in enumerate(names):
            if name in names[:i]:
                yield (section, i, key), f'"{name}" stands twice; keep one'
    ladders: dict[str, str] = {}
    for i, rule in enumerate(policy.rules):
        if rule.id in (FLOOR_RULE, ROUNDING_RULE):
            yield ("rules", i, "id"), f'"{rule.id}" is the name of a step of its own; rename it'
        yield from _condition_faults(policy, condition=rule.when, at=("rules", i, "when"))
        then = rule.then
        if isinstance(then, Relate) and then.service_tier is not None:
            at: Path = ("rules", i, "then", "service_tier")
            yield from _unknown(then.service_tier, section="service_tiers", policy=policy, at=at)
        if isinstance(then, WindowRate):
            at = ("rules", i, "then", "window")
            yield from _unknown(then.window, section="windows", policy=policy, at=at)
        if isinstance(then, LadderOfRates) and ladders.setdefault(then.id, rule.id) != rule.id:
            yield (
                ("rules", i, "then", "id"),
                f'the rule "{ladders[then.id]}" has a ladder "{then.id}" already; '
                "one id is one position, so give this one another id",
            )
    for i, subsidy in enumerate(policy.subsidies):
        if subsidy.covers is not None:
            at = ("subsidies", i, "covers")
            yield from _condition_faults(policy, condition=subsidy.covers, at=at)


def _condition_faults(
    policy: Policy, *, condition: Conditions | str, at: Path
) -> Iterator[tuple[Path, str]]:
    if isinstance(condition, str):
        facts = policy.facts()
        try:
            for model, service_tier, unit in product(
                facts.models, facts.service_tiers, TOKEN_UNITS
            ):
                asked = facts.of(model, service_tier=service_tier, unit=unit, when=When())
                condition_holds(condition, facts=asked)
        except ValueError as error:
            yield at, str(error)
        return
    for section, names in (
        ("models", condition.models),
        ("service_tiers", condition.service_tiers),
        ("windows", condition.windows),
    ):
        for j, name in enumerate(names):
            yield from _unknown(name, section=section, policy=policy, at=(*at, section, j))


def _unknown(name: str, *, section: str, policy: Policy, at: Path) -> Iterator[tuple[Path, str]]:
    known = {
        "models": [model.name for model in policy.models],
        "service_tiers": [service_tier.name for service_tier in policy.service_tiers],
        "windows": list(policy.windows),
    }[section]
    if name not in known:
        mend = f"write one of {', '.join(known)}" if known else f"declare it under {section}"
        yield at, f'"{name}" is not among {section}; {mend}'


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
