"""What an import gives: a candidate book, and every entry that is not in it with the reason.

Invariant: each entry of the file is in the book, in the refused ones, or in those without a price,
and in one of them only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from pricing_rules.document import (
    DocumentError,
    bytes_digest,
    content_digest,
    dump,
    validate,
)
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.period import moment_text
from pricing_rules.prices.allowances import Allowance
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import InputDocument
from pricing_rules.windows import Window

STANDARD = "standard"
"""The service tier of what a format prices without naming one."""

CURRENCY = "USD"
"""What the prices of litellm, genai-prices and openrouter are in: none of them names another."""

RESERVED = frozenset({"region", "request_tokens", "window"})
"""Names that no dimension of a book has: they are conditions of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookHead:
    """What a book has that its source does not say."""

    series: str
    number: int
    effective_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEntry:
    """An entry that is not in the book: the kind of reason, and what it is here."""

    entry: str
    reason: str
    detail: str

    def sentence(self) -> str:
        """Both as one sentence."""
        return f"{self.reason} ({self.detail})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that a reader of an imported entry must know: what of it was not read, and why."""

    entry: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A candidate book with what is not in it; ``book`` is None where no entry could be read."""

    book: PriceBook | None
    refused: tuple[RefusedEntry, ...]
    without_price: tuple[str, ...]
    notes: tuple[Note, ...]

    @property
    def refused_by_reason(self) -> dict[str, int]:
        """How many entries were refused for each reason, most first."""
        return dict(Counter(one.reason for one in self.refused).most_common())

    @property
    def notes_by_sentence(self) -> dict[str, int]:
        """How many entries have each note, most first."""
        return dict(Counter(one.sentence for one in self.notes).most_common())


@dataclass(kw_only=True)
class Collected:
    """What an import has found so far; an importer fills it entry by entry."""

    source: str
    inputs: tuple[InputDocument, ...]
    currency: str = CURRENCY
    cards: list[RateCard] = field(default_factory=list)
    allowances: list[Allowance] = field(default_factory=list)
    refused: list[RefusedEntry] = field(default_factory=list)
    without_price: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)

    def refuse(self, entry: str, *, error: InexpressibleError) -> None:
        """Note an entry that a book cannot say."""
        self.refused.append(
            RefusedEntry(entry=entry[:200], reason=error.reason, detail=error.detail)
        )

    def note(self, entry: str, *, sentences: Iterable[str]) -> None:
        """Note what a reader of an entry must know."""
        self.notes.extend(Note(entry=entry, sentence=sentence) for sentence in sentences)

    def window_name(self, window: Window) -> str:
        """The name of a window in the book: one per definition, numbered as they come."""
        for name, known in self.windows.items():
            if known == window:
                return name
        name = f"window-{len(self.windows) + 1}"
        self.windows[name] = window
        return name

    def finished(self, head: BookHead) -> Imported:
        """The candidate of all that was found; DocumentError where it is no valid book."""
        book = None
        if self.cards:
            named = {card.model for card in self.cards}
            used = {e.when.window for card in self.cards for e in card.rates}
            book = candidate(
                head,
                currency=self.currency,
                cards=self.cards,
                windows={name: w for name, w in self.windows.items() if name in used},
                allowances=[a for a in self.allowances if named.intersection(a.models)],
                source=self.source,
                inputs=self.inputs,
            )
        return Imported(
            book=book,
            refused=tuple(self.refused),
            without_price=tuple(self.without_price),
            notes=tuple(self.notes),
        )


def input_file(data: bytes, *, name: str) -> tuple[InputDocument, ...]:
    """The file that a book is imported from, by name and digest, as the book carries it."""
    value = {"role": "market", "name": name, "sha256": bytes_digest(data)}
    return (validate(InputDocument, value, name=name, lines={}),)


def rate_card(
    model: str, *, service_tier: str, rates: tuple[RateEntry, ...], source: str
) -> RateCard:
    """A rate card that says why it has no measured cost. InexpressibleError where it cannot be."""
    for entry in rates:
        for name in sorted(RESERVED & entry.when.dimensions.keys()):
            raise InexpressibleError("not a valid rate card", detail=f"{name} is no dimension")
    try:
        return RateCard(
            model=model,
            service_tier=service_tier,
            rates=rates,
            cost_none=f"imported from {source}: a market rate, without measured cost",
        )
    except ValidationError as error:
        raise InexpressibleError("not a valid rate card", detail=first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """The first thing that a document did not accept, in its words."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def candidate(
    head: BookHead,
    *,
    currency: str,
    cards: Iterable[RateCard],
    windows: Mapping[str, Window],
    allowances: Iterable[Allowance],
    source: str,
    inputs: tuple[InputDocument, ...] = (),
) -> PriceBook:
    """A candidate of these cards, with every dimension declared that they name, and its digest."""
    listed = tuple(cards)
    dimensions: dict[str, dict[str, None]] = {}
    for card in listed:
        for entry in card.rates:
            for name, value in entry.when.dimensions.items():
                dimensions.setdefault(name, {})[value] = None
    try:
        book = PriceBook(
            schema="tokenworks.price-book/1",
            series=head.series,
            number=head.number,
            currency=currency,
            effective_from=moment_text(head.effective_from),  # type: ignore[arg-type]
            dimensions={name: tuple(sorted(dimensions[name])) for name in sorted(dimensions)},
            windows=dict(windows),
            rate_cards=listed,
            allowances=tuple(allowances),
            derived_from=inputs,
        )
    except ValidationError as error:
        raise DocumentError(f"the book of {source}", first_fault(error)) from None
    return book.model_copy(update={"digest": content_digest(dump(book))})
