"""The files of a pricing team, by the options of their pytest set-up: documents, and the book
that they derive.

Invariant: each file is read once, a path is from the root directory of the tests, and what is
derived names every file by its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from pricing_rules.cost.factory import Factory, load_factory
from pricing_rules.cost.readers.detection import LackingFacts, format_of, read_any
from pricing_rules.cost.readers.measurement_file import new_points
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.cost.readers.stated_facts import StatedFacts
from pricing_rules.document import DocumentError, bytes_digest, validate
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook, load_price_book
from pricing_rules.prices.provenance import InputDocument
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.market import Market, load_market
from pricing_rules.rules.policy import Policy, load_policy
from pricing_rules.testing.options import OPTIONS
from pricing_rules.usage.mix import UsageMix, load_usage_mix


class PolicyFiles:
    """What the options name, read when it is first asked for.

    ``stated``: the value of an option, as text or as lines; empty where it is not set.
    DocumentError for an option that is needed and not set, and for whatever is wrong with a file.
    """

    def __init__(self, root: Path, *, stated: Callable[[str], str | Sequence[str]]) -> None:
        self._root = root
        self._stated = stated
        self._inputs: list[InputDocument] = []

    @cached_property
    def factory(self) -> Factory:
        """What the factory pays."""
        [(name, data)] = self._files("tokenworks_factory", role="factory")
        return load_factory(data, name=name)

    @cached_property
    def policy(self) -> Policy:
        """What is promised, and by which rules floors become rates."""
        [(name, data)] = self._files("tokenworks_policy", role="policy")
        return load_policy(data, name=name)

    @cached_property
    def measurements(self) -> Measurements:
        """What all measurement files hold together, each point once."""
        together = Measurements(points=(), refused=())
        for name, data in self._files("tokenworks_measurements", role="measurement"):
            kind = format_of(data, name=name)
            try:
                found = read_any(
                    data, name=name, format_name=kind, stated=StatedFacts(), renamed={}
                )
            except LackingFacts as error:
                raise DocumentError(
                    name,
                    f"does not say {', '.join(error.facts)}; make a measurement file of it with "
                    "`tokenworks measure import`",
                ) from None
            points = new_points(found.points, standing=together.points)
            together = Measurements(
                points=(*together.points, *points), refused=(*together.refused, *found.refused)
            )
        return together

    @cached_property
    def usage_mix(self) -> UsageMix:
        """What accounts were served."""
        [(name, data)] = self._files("tokenworks_usage_mix", role="usage_mix")
        return load_usage_mix(data, name=name)

    @cached_property
    def markets(self) -> tuple[Market, ...]:
        """The snapshots that rules anchor to."""
        files = self._files("tokenworks_markets", role="market")
        return tuple(load_market(data, name=name) for name, data in files)

    @cached_property
    def previous_book(self) -> PriceBook:
        """The book before, of the same series."""
        [(name, data)] = self._files("tokenworks_previous_book", role=None)
        return load_price_book(data, name=name)

    @cached_property
    def candidate(self) -> PriceBook:
        """The book that the files derive: number 1, or the one after the book before.

        Usage mix, markets and the book before are taken where they are set.
        """
        (effective_text,) = self._values("tokenworks_effective_from")
        try:
            effective_from = parse_moment(effective_text)
        except ValueError as error:
            raise DocumentError("tokenworks_effective_from", str(error)) from None
        previous = self.previous_book if self._is_set("tokenworks_previous_book") else None
        mixes = (self.usage_mix,) if self._is_set("tokenworks_usage_mix") else ()
        markets = self.markets if self._is_set("tokenworks_markets") else ()
        factory, policy, measurements = self.factory, self.policy, self.measurements
        return derive(
            factory,
            policy=policy,
            measurements=measurements,
            number=1 if previous is None else previous.number + 1,
            effective_from=effective_from,
            inputs=tuple(self._inputs),
            mixes=mixes,
            markets=markets,
            previous=previous,
        )

    def _is_set(self, option: str) -> bool:
        return bool(self._stated(option))

    def _values(self, option: str) -> list[str]:
        stated = self._stated(option)
        if not stated:
            raise DocumentError(
                option, f"is not set; add it to the pytest set-up: {OPTIONS[option]}"
            )
        return [stated] if isinstance(stated, str) else list(stated)

    def _files(self, option: str, *, role: str | None) -> list[tuple[str, bytes]]:
        """Name and bytes of the files of an option, each content once; ``role``: what they are
        for the book.
        """
        found: dict[str, tuple[str, bytes]] = {}
        for text in self._values(option):
            try:
                data = (self._root / text).read_bytes()
            except OSError as error:
                reason = (error.strerror or "unknown").lower()
                raise DocumentError(f"{option} {text}", f"cannot be read ({reason})") from None
            digest, name = bytes_digest(data), Path(text).name
            if role is not None and digest not in found:
                value = {"role": role, "name": name, "sha256": digest}
                self._inputs.append(validate(InputDocument, value, name=text, lines={}))
            found.setdefault(digest, (name, data))
        return list(found.values())
