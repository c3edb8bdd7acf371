"""One row of InferenceX, flat or with ``metrics``, read field by field.

Invariant: a field is what its type says or the row is refused: no text counts as a number, and no
missing number as 0.
"""

from __future__ import annotations

from typing import Final

from pricing_rules.cost.readers.measurements import RefusalKind, RowError
from pricing_rules.document import JsonValue

LEAST, MOST = 1e-9, 1e12
"""What a measured figure or a count may be; beyond it, it is none."""

_TRUTHS: Final = {True: True, False: False, "true": True, "false": False}


class InferencexRow:
    """The fields of a row; those in ``metrics`` as if they stood beside the others.

    A method that takes several keys reads the first that is there. Each raises RowError, which
    names the key.
    """

    def __init__(self, value: JsonValue) -> None:
        if not isinstance(value, dict):
            raise RowError("unreadable", "the row is not an object of fields")
        metrics = value.get("metrics") or {}
        if not isinstance(metrics, dict):
            raise RowError("unreadable", "metrics is not an object of figures")
        twice = sorted(metrics.keys() & value.keys())
        if twice:
            raise RowError("unreadable", f"{twice[0]} stands both in the row and in its metrics")
        self._fields = {
            key: field for key, field in {**value, **metrics}.items() if field not in (None, "")
        }

    def has(self, key: str) -> bool:
        """Whether the row states it."""
        return key in self._fields

    def text(self, *keys: str, kind: RefusalKind = "unreadable") -> str:
        """A text that is there; ``kind`` is what its lack is called."""
        found = self.text_or_none(*keys)
        if found is None:
            raise RowError(kind, f"{keys[0]} is missing")
        return found

    def text_or_none(self, *keys: str) -> str | None:
        """A text, None where it is missing."""
        key, value = self._first(keys)
        if value is not None and not isinstance(value, str):
            raise RowError("unreadable", f"{key} is not a text")
        return value

    def truth(self, key: str) -> bool:
        """True or false, as JSON has them or as a text."""
        value = self._fields.get(key)
        if isinstance(value, bool | str) and value in _TRUTHS:
            return _TRUTHS[value]
        raise RowError("unreadable", f"{key} is neither true nor false")

    def count(self, *keys: str, kind: RefusalKind = "unreadable") -> int:
        """A whole number of 1 or more; ``kind`` is what its lack is called."""
        found = self.count_or_none(*keys)
        if found is None:
            raise RowError(kind, f"{keys[0]} is missing or 0")
        return found

    def count_or_one(self, *keys: str) -> int:
        """A whole number, 1 where it is missing or 0: that kind of parallelism is not used."""
        return self.count_or_none(*keys) or 1

    def count_or_none(self, *keys: str) -> int | None:
        """A whole number of 1 or more, None where it is missing or 0."""
        key, value = self._first(keys)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            raise RowError("unreadable", f"{key} is not a whole number from 0 to {MOST:.0e}")
        return value or None

    def positive(self, *keys: str) -> float:
        """A number above 0."""
        found = self.positive_or_none(*keys)
        if found is None:
            raise RowError("unreadable", f"{keys[0]} is missing")
        return found

    def positive_or_none(self, *keys: str) -> float | None:
        """A number above 0, None where it is missing."""
        key, value = self._first(keys)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RowError("unreadable", f"{key} is not a number")
        if not LEAST <= value <= MOST:
            raise RowError("unreadable", f"{key} is not a number from {LEAST:.0e} to {MOST:.0e}")
        return float(value)

    def _first(self, keys: tuple[str, ...]) -> tuple[str, JsonValue]:
        found = next((key for key in keys if key in self._fields), keys[0])
        return found, self._fields.get(found)
