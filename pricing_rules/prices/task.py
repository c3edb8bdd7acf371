"""The task (``tokenworks.task/1``): the requests that one piece of work makes, and what they are
charged at list rates, beside what they cost us.

Invariant: each request of a task is priced as a quote of it is, times how often the task makes it;
its parts add up to it exactly, and a unit without measured cost is named, never counted as free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.document import Document, DocumentError, Name
from pricing_rules.money import RateText
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.prices.provenance import UnitFloor
from pricing_rules.prices.quote import CompiledBook, QuoteError, QuoteRequest, compile_book
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.totals import Cell, Grid, UsageTotal
from pricing_rules.usage.units import UNITS

MTOK = 1_000_000


def _at_most_all(share: Decimal) -> Decimal:
    if share > 1:
        raise ValueError(f'must be at most 1, not "{share}"; write 40 % as "0.40"')
    return share


class TaskRequest(QuoteRequest):
    """One kind of request, as a quote asks for it, and how many of them one task makes.

    ``cached_share``: the part of ``input_tokens`` that is read from cache, cut to whole tokens, so
    that the rest of a token counts as fresh; or else count ``cache_read_tokens`` under ``units``.
    """

    id: Name
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    cached_share: Annotated[RateText, AfterValidator(_at_most_all)] | None = None

    @model_validator(mode="after")
    def _shares_what_it_counts(self) -> TaskRequest:
        if self.cached_share is None:
            return self
        if "input_tokens" not in self.units:
            raise ValueError("cached_share is of input_tokens, which units does not count; add it")
        if "cache_read_tokens" in self.units:
            raise ValueError("cached_share and cache_read_tokens say one thing twice; keep one")
        return self

    def counted(self) -> TaskRequest:
        """The request with its cached share as ``cache_read_tokens`` among its units."""
        if self.cached_share is None:
            return self
        cached = Fraction(self.cached_share) * self.units["input_tokens"] // 1
        units = {**self.units, "cache_read_tokens": cached}
        return self.model_copy(update={"units": units, "cached_share": None})


def _by_id(requests: tuple[TaskRequest, ...]) -> tuple[TaskRequest, ...]:
    seen: set[str] = set()
    for request in requests:
        if request.id in seen:
            raise ValueError(f'two requests have the id "{request.id}"; give each its own')
        seen.add(request.id)
    return requests


class Task(Document):
    """What one task asks for: its requests by id."""

    schema_: Literal["tokenworks.task/1"] = Field(alias="schema")
    name: Name
    requests: Annotated[
        tuple[TaskRequest, ...], Field(min_length=1, max_length=1000), AfterValidator(_by_id)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPart:
    """One unit of the requests of a line: its quantity at the unit's scale, and its exact amounts.

    ``amount``: at list rates. ``floor_amount``: at the floor of the unit. ``cost_amount``: what it
    costs us, at the utilization of the pool and with what a million tokens cost beside it. Both are
    None where the book has no measured cost of the unit.
    """

    unit: str
    quantity: int
    amount: Fraction
    floor_amount: Fraction | None
    cost_amount: Fraction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """The requests of one id, all that a task makes, by unit."""

    request: TaskRequest
    parts: tuple[TaskPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedTask:
    """A task at the list rates of a book, line by line."""

    task: Task
    book: PriceBook
    lines: tuple[TaskLine, ...]


def price_task(task: Task, *, book: PriceBook) -> PricedTask:
    """The task at list rates, without allowances and with each ladder at its start.

    DocumentError that names the request and the reason where one has no amount.
    """
    # What is free for a while is not free for every task.
    book = book.model_copy(update={"allowances": ()})
    compiled = compile_book(book)
    return PricedTask(
        task=task,
        book=book,
        lines=tuple(
            TaskLine(request=request, parts=tuple(_parts(request.counted(), compiled=compiled)))
            for request in task.requests
        ),
    )


def _parts(request: TaskRequest, *, compiled: CompiledBook) -> Iterator[TaskPart]:
    try:
        amount = compiled.amount(request)
    except QuoteError as error:
        raise DocumentError(f"request {request.id}", str(error)) from None
    books = BooksInForce(books=(compiled.book,))
    grid = grid_for(books, period=None)
    event = _one_event(request, grid=grid, in_force_at=compiled.book.effective_from)
    rating = rate_totals((event,), books=books, grid=grid)
    assert rating.total_exact == amount, "a quote is the rating of one event"
    card = compiled.book.card(model=request.model, service_tier=request.service_tier)
    floors = {one.unit: one for one in card.cost.floors} if card and card.cost else {}
    for charge in rating.charges:
        mtok = Fraction(charge.quantity * request.count, UNITS[charge.unit].scale * MTOK)
        floor = floors.get(charge.unit)
        yield TaskPart(
            unit=charge.unit,
            quantity=charge.quantity * request.count,
            amount=charge.amount * request.count,
            floor_amount=Fraction(floor.floor) * mtok if floor else None,
            cost_amount=_cost_per_mtok(floor) * mtok if floor else None,
        )


def _cost_per_mtok(floor: UnitFloor) -> Fraction:
    """K/U + v of the floor: what a million tokens cost us before margin and revenue share."""
    at_use = Fraction(floor.unit_cost_per_mtok) / Fraction(floor.utilization)
    return at_use + Fraction(floor.variable_per_mtok)


def _one_event(request: TaskRequest, *, grid: Grid, in_force_at: int) -> UsageTotal:
    # Without a moment no window decides: the quote has refused the request where one does.
    moment_at = in_force_at if request.at is None else request.at
    return UsageTotal(
        cell=Cell(
            account="",
            epoch=0,
            segment_start_at=grid.segment_start_at(moment_at),
            model=request.model,
            service_tier=request.service_tier,
            region=request.region,
            size_class_tokens=grid.size_class_tokens(request.size_tokens),
            outcome="completed",
            dimensions=grid.kept(request.dimensions),
            windows=grid.windows_at(moment_at),
        ),
        events=1,
        leaves=split_leaves(request.units),
    )
