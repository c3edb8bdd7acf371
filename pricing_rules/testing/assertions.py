"""The assertions of pricing-policy tests, in one place to import them from.

Each takes a price book, says in its name what must hold, and raises AssertionError with every
breach: the rate, its floor, the rules with their why, and the files, rows and digests behind it.
Shares and amounts are strings. A name that the book does not have is a DocumentError.

Invariant: none looks at what another one does, and a test that names what the book does not have
never passes.
"""

from __future__ import annotations

from pricing_rules.testing.policy_assertions import (
    assert_equal_cost_means_equal_price,
    assert_every_model_priced,
    assert_findings_only,
    assert_promises_reachable,
)
from pricing_rules.testing.rate_assertions import (
    assert_cached_input_at_most,
    assert_change_at_most,
    assert_margin_at_least,
    assert_no_rate_under_floor,
    assert_price_points,
    assert_service_tier_at_most,
    assert_service_tiers_in_order,
)
from pricing_rules.testing.request_assertions import (
    assert_cost_never_falls,
    assert_no_jump_at_context_step,
    assert_quote,
    assert_yield_covers_cost,
)

__all__ = [
    "assert_cached_input_at_most",
    "assert_change_at_most",
    "assert_cost_never_falls",
    "assert_equal_cost_means_equal_price",
    "assert_every_model_priced",
    "assert_findings_only",
    "assert_margin_at_least",
    "assert_no_jump_at_context_step",
    "assert_no_rate_under_floor",
    "assert_price_points",
    "assert_promises_reachable",
    "assert_quote",
    "assert_service_tier_at_most",
    "assert_service_tiers_in_order",
    "assert_yield_covers_cost",
]
