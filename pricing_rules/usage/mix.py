"""The usage mix: what was served to whom, in which shapes and at which hours.

It is the document that comes back from the money half: a floor is right only for the traffic that
it meets.

Invariant: the shapes, the hours and the leaves of an entry tell of the same events, and their sums
are those of the usage totals of the same usage.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.document import Document, Name, load_json
from pricing_rules.period import MomentText, Period
from pricing_rules.usage.units import REPORTED_UNITS, UNITS

SCHEMA = "tokenworks.usage-mix/1"

HOURS_OF_WEEK = 168

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _reported_unit(name: str) -> str:
    if name not in REPORTED_UNITS:
        raise ValueError(f'"{name:.60}" is not a unit that an event reports')
    return name


LeafName = Annotated[str, AfterValidator(_reported_unit)]


class ShapeShare(Document):
    """The requests of one size class: how many, and the sums of their tokens.

    A size class is one power of two of input (0, 1, 2 to 3, 4 to 7, ...) by one of output.
    ``input_tokens`` includes ``cache_read_tokens``.
    """

    events: Positive
    input_tokens: Count
    cache_read_tokens: Count
    output_tokens: Count

    @model_validator(mode="after")
    def _cached_is_input(self) -> ShapeShare:
        if self.cache_read_tokens > self.input_tokens:
            raise ValueError(
                f"cache_read_tokens ({self.cache_read_tokens}) are more than the input_tokens "
                f"({self.input_tokens}) that they are part of"
            )
        return self

    @property
    def size_class(self) -> tuple[int, int]:
        """The binary digits of the input and of the output tokens of each of these requests.

        A mean lies in the class that all lie in, so the sums tell it.
        """
        return (
            (self.input_tokens // self.events).bit_length(),
            (self.output_tokens // self.events).bit_length(),
        )


class MixEntry(Document):
    """What one account was served of one model in one service tier.

    ``leaves``: disjoint sums by unit at the units' scale, none of them 0. ``shapes``: one for each
    size class that occurs, from the smallest input on. ``events_by_hour_of_week``: 168 counts;
    hour 0 begins on Monday at 00:00 UTC.
    """

    account: Name
    model: Name
    service_tier: Name
    events: Positive
    leaves: dict[LeafName, Positive]
    shapes: tuple[ShapeShare, ...]
    events_by_hour_of_week: Annotated[
        tuple[Count, ...], Field(min_length=HOURS_OF_WEEK, max_length=HOURS_OF_WEEK)
    ]

    @model_validator(mode="after")
    def _adds_up(self) -> MixEntry:
        told = {
            "shapes": sum(shape.events for shape in self.shapes),
            "events_by_hour_of_week": sum(self.events_by_hour_of_week),
        }
        for field, events in told.items():
            if events != self.events:
                raise ValueError(
                    f"{field} tells of {events} events, and the entry of {self.events}"
                )
        classes = [shape.size_class for shape in self.shapes]
        if classes != sorted(set(classes)):
            raise ValueError("the shapes are not one for each size class, from the smallest on")
        for unit in ("input_tokens", "cache_read_tokens", "output_tokens"):
            in_shapes = sum(getattr(shape, unit) for shape in self.shapes)
            in_leaves = inclusive_count(self.leaves, unit=unit)
            if in_shapes != in_leaves:
                raise ValueError(f"the shapes hold {in_shapes} {unit}, and the leaves {in_leaves}")
        return self

    @property
    def key(self) -> tuple[str, str, str]:
        """Account, model and service tier: what an entry is found by."""
        return self.account, self.model, self.service_tier


class UsageMix(Document):
    """The usage mix of the events in ``[start_at, end_at)`` that are billable, in order of account,
    model and service tier.

    Failed requests are in no entry: nothing is billed for them.
    """

    schema_: Literal["tokenworks.usage-mix/1"] = Field(alias="schema")
    start_at: MomentText
    end_at: MomentText
    entries: tuple[MixEntry, ...]

    @model_validator(mode="after")
    def _is_ordered(self) -> UsageMix:
        Period(start_at=self.start_at, end_at=self.end_at)
        keys = [entry.key for entry in self.entries]
        for before, key in pairwise(keys):
            if key == before:
                raise ValueError(f"two entries of {' / '.join(key)}; add them up")
            if key < before:
                raise ValueError(
                    f"the entry of {' / '.join(key)} stands after that of {' / '.join(before)}; "
                    "sort them by account, model and service tier"
                )
        return self

    @property
    def events(self) -> int:
        """How many events the mix tells of."""
        return sum(entry.events for entry in self.entries)


def load_usage_mix(data: bytes, *, name: str) -> UsageMix:
    """Read a usage mix; DocumentError names the path of what is wrong."""
    return load_json(UsageMix, data, name=name)


def inclusive_count(leaves: dict[str, int], *, unit: str) -> int:
    """The count of a unit with all that it contains, from disjoint leaves."""
    return sum(count for leaf, count in leaves.items() if UNITS[unit].contains(UNITS[leaf]))
