"""What a rate depends on: conditions, which choose among rates, and multipliers, which follow.

Invariant: whether a condition holds depends on the region, the size, the declared dimensions and
the recurring windows in force of a request, and on nothing else.

Which rate of a unit is the most specific: the one whose ``when`` names the most conditions; among
equals the one that names a declared dimension (dimensions by name), then the one that names the
region, then the one that names a window (windows by name), then the one with the larger request
size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.document import Document, Name
from pricing_rules.money import RateText, decimal_text
from pricing_rules.usage.units import MAX_COUNT, UNITS

MAX_TEXT = 2000
"""How long the conditions of a rate and its multipliers may be as text: what a charge can show."""

Threshold = Annotated[int, Field(ge=0, le=MAX_COUNT)]


def _known_unit(name: str) -> str:
    if name not in UNITS:
        raise ValueError(f'"{name:.60}" is not a unit; tokenworks schema usage-event lists them')
    return name


UnitName = Annotated[str, AfterValidator(_known_unit)]


class When(Document):
    """The conditions of a rate or a multiplier; all that are named must hold.

    ``request_tokens_over`` holds strictly over a request size, ``request_tokens_at_least`` at it
    and over. ``window`` is the name of a recurring window of the book: it holds from its start on,
    until its end, at the price moment of the event.
    """

    region: Name | None = None
    request_tokens_over: Threshold | None = None
    request_tokens_at_least: Threshold | None = None
    dimensions: dict[Name, Name] = {}
    window: Name | None = None

    @model_validator(mode="after")
    def _one_threshold(self) -> When:
        if self.request_tokens_over is not None and self.request_tokens_at_least is not None:
            raise ValueError("name request_tokens_over or request_tokens_at_least, not both")
        return self

    @property
    def threshold_tokens(self) -> int:
        """The request size from which the rate applies (``>=``); 0 where none is named."""
        if self.request_tokens_over is not None:
            return self.request_tokens_over + 1
        return self.request_tokens_at_least or 0

    @property
    def shape(self) -> tuple[object, ...]:
        """What two conditions have in common that hold for the same requests."""
        return (self.region, self.threshold_tokens, self.window, *sorted(self.dimensions.items()))

    def holds(
        self,
        *,
        region: str,
        size_tokens: int,
        dimensions: Mapping[str, str],
        windows: Collection[str] = (),
    ) -> bool:
        """Whether every condition holds for a request of this region, size and dimensions.

        ``windows``: the names of the book's windows in force at its moment.
        """
        return (
            (self.region is None or self.region == region)
            and size_tokens >= self.threshold_tokens
            and (self.window is None or self.window in windows)
            and all(dimensions.get(name) == value for name, value in self.dimensions.items())
        )

    def specificity(self) -> tuple[int, tuple[str, ...], bool, str, int]:
        """Larger is more specific; see the file's first lines for the order."""
        named = (
            len(self.dimensions)
            + (self.region is not None)
            + (self.window is not None)
            + (self.threshold_tokens > 0)
        )
        turned = tuple(_turned(name) for name in sorted(self.dimensions))
        window = "" if self.window is None else _turned(self.window)
        return named, turned, self.region is not None, window, self.threshold_tokens

    def text(self) -> str:
        """The conditions as people read them, empty where there are none."""
        parts = [f"{name}={value}" for name, value in sorted(self.dimensions.items())]
        if self.region is not None:
            parts.append(f"region={self.region}")
        if self.window is not None:
            parts.append(f"window={self.window}")
        if self.request_tokens_over is not None:
            parts.append(f"request_tokens>{self.request_tokens_over}")
        elif self.request_tokens_at_least is not None:
            parts.append(f"request_tokens>={self.request_tokens_at_least}")
        return " and ".join(parts)


def _turned(name: str) -> str:
    # Earlier names win: each name is turned around so that "a" sorts above "b".
    return "".join(chr(0x10FFFF - ord(c)) for c in name) + chr(0x10FFFF)


class Multiplier(Document):
    """A factor on the rates of a book, after the most specific one was found.

    All multipliers whose conditions hold multiply. ``units``: on the rates of exactly these units;
    none named, on those of every unit of tokens and of nothing else, so that tools and requests
    keep their rates. Of a ladder it multiplies the rate of each band, not its flat amount or cap.
    """

    id: Name
    factor: RateText
    when: When
    units: tuple[UnitName, ...] = ()

    @model_validator(mode="after")
    def _multiplies(self) -> Multiplier:
        if not self.factor:
            raise ValueError('a factor of 0 makes rates free; write rates of "0" instead')
        return self

    def concerns(self, unit: str) -> bool:
        """Whether the rate of a unit is multiplied, where the conditions hold."""
        if self.units:
            return unit in self.units
        return "family=tokens" in UNITS[unit].dimensions

    def text(self) -> str:
        """The factor and its conditions as people read them."""
        return f"x {decimal_text(self.factor)} {self.when.text()}".rstrip()
