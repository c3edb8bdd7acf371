"""The market from public data: as a dated snapshot for policies, or beside a price book.

Invariant: a snapshot says which data it was made of, in which version and with which digest, and
its file is never written over with other offers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from billing.operations.files import read_file, write_once
from billing.operations.price_book import read_book
from pricing_rules.document import DocumentError, bytes_digest, dump
from pricing_rules.period import MICROSECONDS, moment_text

if TYPE_CHECKING:
    from pricing_rules.interchange.imported import RefusedEntry
    from pricing_rules.planning.market_comparison import RateBesideMarket
    from pricing_rules.planning.market_offers import MarketNames, OurMarket
    from pricing_rules.rules.market import Market

MarketSource = Literal["genai-prices"]
GENAI_PRICES: MarketSource = "genai-prices"
"""The word that stands for the data of the installed package genai-prices."""

SERVICE_TIER = "standard"
"""The service tier of others that is looked at: theirs have no promise to compare by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot under our names, with what is not in it.

    ``refused``: entries that could not be read. ``left_out``: rates that no million of a unit has.
    """

    ours: OurMarket
    refused: tuple[RefusedEntry, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideMarket:
    """A book beside the market: its rates, and models and mapped names without an offer."""

    book: dict[str, object]
    market: dict[str, object]
    rates: tuple[RateBesideMarket, ...]
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """``{"book", "market", "rates": [...], "unmatched": [...], "unused": [...]}``."""
        return {
            "book": self.book,
            "market": self.market,
            "rates": [asdict(one) for one in self.rates],
            "unmatched": list(self.unmatched),
            "unused": list(self.unused),
        }


def snapshot_market(
    *, at: int, models: Sequence[str] | None, names: Path | None, out: Path
) -> Snapshot:
    """Write what the installed genai-prices has in force at ``at`` as a ``tokenworks.market/1``.

    ``models``: only these, under exactly these names; None: all, each under its usual name.
    ``names``: a file that maps further names to models. DocumentError where nothing is offered, and
    nothing is written; also where ``out`` holds other offers.
    """
    market, refused, left_out = _installed_market(at)
    ours = _ours(market, models=models, names=names)
    if ours.market is None:
        raise DocumentError(market.source, f"offers none of {', '.join(ours.unmatched)}")
    data = json.dumps(dump(ours.market), indent=2, ensure_ascii=False) + "\n"
    write_once(out, data=data.encode())
    return Snapshot(ours=ours, refused=refused, left_out=left_out)


def compare_book(book: Path, *, market: str, at: int, names: Path | None) -> BesideMarket:
    """Each rate of a book beside the market: ``genai-prices``, in force at ``at``, or the path of a
    snapshot.

    DocumentError where a file does not load, or no model of the book is offered.
    """
    from pricing_rules.planning.market_comparison import compare_with_market
    from pricing_rules.rules.market import load_market

    own = read_book(book)
    if market == GENAI_PRICES:
        found, _, _ = _installed_market(at)
    else:
        path = Path(market)
        found = load_market(read_file(path), name=path.name)
    models = list(dict.fromkeys(card.model for card in own.rate_cards))
    ours = _ours(found, models=models, names=names)
    if ours.market is None:
        raise DocumentError(
            market,
            f"offers no model of the book ({', '.join(models[:6])}); map their names with --names",
        )
    return BesideMarket(
        book={"series": own.series, "number": own.number, "digest": own.digest},
        market={
            "source": found.source,
            "snapshot_date": found.snapshot_date.isoformat(),
            "currency": own.currency,
        },
        rates=compare_with_market(own, market=ours.market),
        unmatched=ours.unmatched,
        unused=ours.unused,
    )


def _ours(market: Market, *, models: Sequence[str] | None, names: Path | None) -> OurMarket:
    from pricing_rules.planning.market_offers import load_market_names, under_our_names

    mapped: MarketNames | None = None
    if names is not None:
        mapped = load_market_names(read_file(names), name=names.name)
    return under_our_names(market, models=models, names=mapped)


def _installed_market(at: int) -> tuple[Market, tuple[RefusedEntry, ...], tuple[str, ...]]:
    """What the installed genai-prices has in force, with the entries and rates that are not in."""
    # They bring pydantic models of a large data set, which other commands need not wait for.
    from billing.operations.interchange import installed_genai_prices
    from pricing_rules.interchange.genai_prices import import_genai_prices
    from pricing_rules.interchange.imported import BookHead
    from pricing_rules.planning.market_offers import market_of_book

    name, data = installed_genai_prices()
    head = BookHead(series=GENAI_PRICES, number=1, effective_from=at)
    imported = import_genai_prices(data, name=name, head=head)
    if imported.book is None:
        raise DocumentError(name, f"has no price in force at {moment_text(at)}")
    # Its prices start with a day, so the day says all: the same day gives the same snapshot.
    snapshot_date = datetime.fromtimestamp(at // MICROSECONDS, tz=UTC).date()
    found = market_of_book(
        imported.book,
        service_tier=SERVICE_TIER,
        source=f"{name} in force on {snapshot_date.isoformat()}, {bytes_digest(data)}",
        snapshot_date=snapshot_date,
    )
    return found.market, imported.refused, found.left_out
