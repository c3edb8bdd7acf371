"""Mass balance of a store: what engines say they produced, beside the events that came in.

Invariant: both sides are of the time between the first scrape and the last; voided events count on
neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from billing.domain.verification.mass_balance import MassBalance, balance, productions
from billing.operations.files import read_file
from billing.operations.measurement import Scrapes
from billing.store.store import Store
from billing.store.usage_sums import read_model_sums
from pricing_rules.document import DocumentError
from pricing_rules.period import Period

if TYPE_CHECKING:
    from pricing_rules.cost.readers.prometheus import Scrape, TokenInterval


def mass_balance(
    store: Store,
    *,
    scrapes: Sequence[Scrapes],
    names: Mapping[str, str],
    allowed_loss_percent: Decimal,
) -> MassBalance:
    """Compare the tokens that engines produced with those that events brought in, by model.

    ``scrapes``: in order of time; each has one file for each server, in the same order.
    ``names``: the engine's name of a model -> ours. DocumentError where a file is no scrape of an
    engine, servers are missing from a scrape, or a name is of no model.
    """
    servers = [_intervals(one) for one in _by_server(scrapes)]
    told = {one.model for intervals in servers for one in intervals}
    for engine_name in names:
        if engine_name not in told:
            listed = ", ".join(sorted(told))
            raise DocumentError(
                "--model", f'no engine calls a model "{engine_name:.60}"; they have {listed:.300}'
            )
    produced = productions(servers, names=names)
    periods = {period for one in produced for period in (*one.periods, *one.hidden)}
    window = Period(start_at=scrapes[0].scraped_at, end_at=scrapes[-1].scraped_at)
    with store.read() as connection:
        received = {
            period: read_model_sums(connection, period=period) for period in {window, *periods}
        }
    return balance(
        produced,
        received=received,
        window=window,
        allowed_share=Fraction(allowed_loss_percent) / 100,
    )


def _by_server(scrapes: Sequence[Scrapes]) -> Sequence[Sequence[Scrape]]:
    from pricing_rules.cost.readers.prometheus import Scrape

    counts = {len(one.paths) for one in scrapes}
    if len(scrapes) < 2 or len(counts) > 1:
        raise DocumentError(
            "--produced", "needs two moments or more, and at each a scrape of every server"
        )
    return [
        [
            Scrape(name=path.name, data=read_file(path), scraped_at=one.scraped_at)
            for one, path in zip(scrapes, paths, strict=True)
        ]
        for paths in zip(*(one.paths for one in scrapes), strict=True)
    ]


def _intervals(scrapes: Sequence[Scrape]) -> Sequence[TokenInterval]:
    from pricing_rules.cost.readers.prometheus import token_intervals

    found = token_intervals(scrapes)
    if not found:
        raise DocumentError(scrapes[0].name, "holds no token counters of vLLM or SGLang")
    return found
