"""The fields of a benchmark's JSON, read one by one, at any depth.

Invariant: a field is what its reader asks for or the run is refused by the name of the field: no
text counts as a number, no missing number as 0, and no number is infinite.
"""

from __future__ import annotations

from typing import Final

from pricing_rules.cost.readers.measurements import RowError
from pricing_rules.document import JsonValue

LEAST: Final = 1e-9
MOST: Final = 1e12
"""What a measured figure or a count may be; beyond it, it is none."""


class RunFields:
    """An object of a benchmark's JSON. A method that takes several keys reads the first there.

    Null counts as missing. ``at`` is where the object stands. Each method raises RowError, which
    names the field.
    """

    def __init__(self, value: JsonValue, *, at: str = "") -> None:
        if not isinstance(value, dict):
            raise RowError("unreadable", f"{at or 'the run'} is not an object of fields")
        self._at = at
        self._fields = {key: field for key, field in value.items() if field is not None}

    def has(self, *keys: str) -> bool:
        """Whether one of these fields is there."""
        return any(key in self._fields for key in keys)

    def inside(self, *keys: str) -> RunFields:
        """The object under a path of keys; an object that is missing is empty."""
        found = self
        for key in keys:
            found = RunFields(found._fields.get(key, {}), at=found._name(key))
        return found

    def objects(self, key: str) -> tuple[RunFields, ...]:
        """The objects in a list or in an object of objects; none where it is missing."""
        value = self._fields.get(key, [])
        if isinstance(value, dict):
            value = list(value.values())
        if not isinstance(value, list):
            raise RowError("unreadable", f"{self._name(key)} is not a list")
        name = self._name(key)
        return tuple(RunFields(one, at=f"{name}[{i}]") for i, one in enumerate(value))

    def text_or_none(self, key: str) -> str | None:
        """A text without spaces around it, None where it is missing or blank."""
        value = self._fields.get(key)
        if value is not None and not isinstance(value, str):
            raise RowError("unreadable", f"{self._name(key)} is not a text")
        return (value or "").strip() or None

    def texts(self, key: str) -> tuple[str, ...]:
        """The texts in a list; none where it is missing."""
        value = self._fields.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise RowError("unreadable", f"{self._name(key)} is not a list of texts")
        return tuple(value)

    def is_zero(self, key: str) -> bool:
        """Whether the field is there and 0, as some tools write what they did not see."""
        value = self._fields.get(key)
        return not isinstance(value, bool) and value == 0

    def shown(self, key: str) -> str:
        """A plain value as a text for people, cut at 60 characters; "" for what is none."""
        value = self._fields.get(key)
        if not isinstance(value, str | int | float):
            return ""
        return "".join(c for c in str(value)[:60] if c.isprintable()).strip()

    def truth(self, key: str) -> bool:
        """True or false; false where it is missing."""
        value = self._fields.get(key, False)
        if not isinstance(value, bool):
            raise RowError("unreadable", f"{self._name(key)} is neither true nor false")
        return value

    def count(self, key: str) -> int:
        """A whole number of 1 or more."""
        found = self.count_or_none(key)
        if not found:
            raise RowError("unreadable", f"{self._name(key)} is missing or 0")
        return found

    def count_or_none(self, key: str) -> int | None:
        """A whole number of 0 or more, None where it is missing."""
        value = self._fields.get(key)
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if value is not None and (isinstance(value, bool) or not whole or not 0 <= value <= MOST):
            raise RowError(
                "unreadable", f"{self._name(key)} is not a whole number from 0 to {MOST:.0e}"
            )
        return None if value is None else int(value)

    def positive(self, *keys: str) -> float:
        """A number above 0."""
        found = self.positive_or_none(*keys)
        if found is None:
            raise RowError("unreadable", f"{self._name(keys[0])} is missing")
        return found

    def positive_or_none(self, *keys: str) -> float | None:
        """A number above 0, None where it is missing."""
        key = next((key for key in keys if key in self._fields), keys[0])
        value = self._fields.get(key)
        if value is None:
            return None
        name = self._name(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RowError("unreadable", f"{name} is not a number")
        if not LEAST <= value <= MOST:
            raise RowError("unreadable", f"{name} is not a number from {LEAST:.0e} to {MOST:.0e}")
        return float(value)

    def milliseconds_or_none(self, *stems: str) -> float | None:
        """A time by the suffix of its key: ``stem_ms`` is milliseconds, a bare ``stem`` seconds."""
        for stem in stems:
            found_ms = self.positive_or_none(f"{stem}_ms")
            if found_ms is not None:
                return found_ms
            found_s = self.positive_or_none(stem)
            if found_s is not None:
                return found_s * 1000
        return None

    def _name(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key
