"""Fields of a payload that somebody else defined: read strictly, and none of them lost.

Invariant: a count is a whole number within bounds or the payload is refused with the JSON pointer
of the field; null is absent, never 0. A number inside of usage that nobody read is reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pricing_rules.document import DocumentError, JsonValue, read_json
from pricing_rules.usage.units import MAX_COUNT

Payload = bytes | Mapping[str, JsonValue] | Sequence[JsonValue]
"""One response as JSON bytes or as the object itself; a stream as the list of its chunks in
order, or as the server-sent events that were received.
"""


MAX_PARTS = 4
"""How many counts a stated total is the sum of, at most."""


class PayloadError(ValueError):
    """A payload that becomes no usage event: the JSON pointer of what is wrong (RFC 6901, "" for
    the whole), and one sentence that says how to mend it.
    """

    def __init__(self, pointer: str, *, sentence: str) -> None:
        super().__init__(f"{pointer}: {sentence}" if pointer else sentence)
        self.pointer = pointer
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """A number in a usage field that no unit counts: its JSON pointer, and the number as text."""

    pointer: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is noted while a payload is read: numbers that no unit counts, and ``flags``, words
    for what is assumed or missing.
    """

    unmapped: list[Unmapped] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    def flag(self, word: str) -> None:
        """Note a word, once."""
        if word not in self.flags:
            self.flags.append(word)


class Fields:
    """One object of a payload and where it stands; it knows which of its fields were read."""

    def __init__(self, value: Mapping[str, JsonValue], *, pointer: str) -> None:
        self.value = value
        self.pointer = pointer
        self._read: set[str] = set()
        self._inside: dict[str, tuple[Fields, ...]] = {}

    def at(self, key: str) -> str:
        """The JSON pointer of a field."""
        return f"{self.pointer}/{key.replace('~', '~0').replace('/', '~1')}"

    def refused(self, key: str, *, sentence: str) -> PayloadError:
        """The refusal of a field."""
        return PayloadError(self.at(key), sentence=sentence)

    def get(self, key: str) -> JsonValue:
        """A field as it stands, None where it is absent; it counts as read."""
        self._read.add(key)
        return self.value.get(key)

    def count(self, key: str) -> int | None:
        """A whole number from 0 to ``MAX_COUNT``, or None where it is absent or null."""
        return self._whole(key, most=MAX_COUNT)

    def total(self, key: str) -> int | None:
        """A sum of counts, or None where it is absent or null."""
        return self._whole(key, most=MAX_PARTS * MAX_COUNT)

    def required(self, key: str) -> int:
        """A count that must be there."""
        number = self.count(key)
        if number is None:
            raise self.refused(key, sentence="is missing; without it nothing can be counted")
        return number

    def text(self, key: str) -> str | None:
        """A text, or None where it is absent, null or empty."""
        found = self.get(key)
        if found is None or found == "":
            return None
        if not isinstance(found, str):
            raise self.refused(key, sentence=f"must be a text, not {shown(found)}")
        return found

    def inside(self, key: str) -> Fields | None:
        """The object in a field, or None where it is absent or null."""
        found = self.get(key)
        if found is None:
            return None
        if key not in self._inside:
            self._inside[key] = (as_fields(found, pointer=self.at(key)),)
        return self._inside[key][0]

    def each(self, key: str) -> tuple[Fields, ...]:
        """The objects of a list; none where it is absent or null."""
        found = self.get(key)
        if found is None:
            return ()
        if not isinstance(found, list | tuple):
            raise self.refused(key, sentence=f"must be a list, not {shown(found)}")
        self._inside[key] = tuple(
            as_fields(one, pointer=f"{self.at(key)}/{i}") for i, one in enumerate(found)
        )
        return self._inside[key]

    def known(self, *keys: str) -> None:
        """Fields that are no count of their own: parts of one that is read, times."""
        self._read.update(keys)

    def unread(self) -> Iterator[Unmapped]:
        """The numbers, other than 0, in fields that were not read, here and inside."""
        for key, value in self.value.items():
            if key not in self._read:
                yield from _numbers(value, pointer=self.at(key))
        for fields in self._inside.values():
            for one in fields:
                yield from one.unread()

    def _whole(self, key: str, *, most: int) -> int | None:
        number = self.get(key)
        if number is None:
            return None
        if isinstance(number, bool) or not isinstance(number, int):
            raise self.refused(key, sentence=f"must be a whole number, not {shown(number)}")
        if not 0 <= number <= most:
            sentence = f"must lie between 0 and {most}, not {shown(number)}"
            raise self.refused(key, sentence=sentence)
        return number


def as_fields(value: JsonValue, *, pointer: str) -> Fields:
    """The fields of an object; PayloadError where it is none."""
    if not isinstance(value, Mapping):
        raise PayloadError(pointer, sentence=f"must be an object, not {shown(value)}")
    return Fields(value, pointer=pointer)


def read_chunks(payload: Payload, *, reading: Reading) -> tuple[Fields, ...]:
    """The objects of a payload, one for a response and each chunk of a stream.

    A response has the pointer "", the chunks of a stream have ``/0``, ``/1``, ... PayloadError
    where it is no JSON, or holds no object.
    """
    value = _parsed(payload, reading=reading) if isinstance(payload, bytes) else payload
    if isinstance(value, Mapping):
        return (Fields(value, pointer=""),)
    if not isinstance(value, list | tuple) or not value:
        sentence = f"must be an object or a list of a stream's chunks, not {shown(value)}"
        raise PayloadError("", sentence=sentence)
    return tuple(as_fields(one, pointer=f"/{i}") for i, one in enumerate(value))


def one_object(payload: Payload, *, reading: Reading) -> Fields:
    """The one object of a payload that is never a stream."""
    chunks = read_chunks(payload, reading=reading)
    if chunks[0].pointer:
        raise PayloadError("", sentence="must be one object, not a list")
    return chunks[0]


def last_usage(chunks: Sequence[Fields], *, key: str, total: str) -> Fields | None:
    """The last usage of a stream, whose counts are cumulative: they are never summed.

    ``total``: the field of it that only grows. PayloadError where it falls, since such a stream
    counts otherwise.
    """
    found, largest = None, 0
    for chunk in chunks:
        usage = chunk.inside(key)
        if usage is None:
            continue
        found, number = usage, usage.total(total) or 0
        if number < largest:
            sentence = (
                f"falls from {largest} to {number}, and a stream's counts are cumulative; send the "
                "last usage alone if these are not"
            )
            raise usage.refused(total, sentence=sentence)
        largest = number
    return found


def shown(value: JsonValue) -> str:
    """A value as a sentence shows it: short, and never a whole text."""
    kind = {dict: "an object", list: "a list", type(None): "null"}.get(type(value))
    if kind is None and isinstance(value, int) and not isinstance(value, bool):
        return "a number beyond all bounds" if abs(value) >= 10**30 else str(value)
    return kind or json.dumps(value, default=str)[:40]


def _parsed(data: bytes, *, reading: Reading) -> JsonValue:
    try:
        if data.lstrip().startswith((b"data:", b"event:", b":")):
            return _sent_events(data, reading=reading)
        return read_json(data, name="payload")
    except DocumentError as error:
        raise PayloadError("", sentence=str(error)) from None


def _sent_events(data: bytes, *, reading: Reading) -> list[JsonValue]:
    """The JSON of each event of a stream; half a line at the end of a cut one is left out."""
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    found: list[JsonValue] = []
    for number, line in enumerate(lines, start=1):
        content = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or not content or content == b"[DONE]":
            continue
        try:
            found.append(read_json(content, name=f"line {number} of the stream"))
        except DocumentError:
            if number < len(lines):
                raise
            reading.flag("half_line_left_out")
    return found


def _numbers(value: JsonValue, *, pointer: str) -> Iterator[Unmapped]:
    if isinstance(value, Mapping):
        for key, one in Fields(value, pointer=pointer).value.items():
            inside = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
            yield from _numbers(one, pointer=inside)
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            yield from _numbers(one, pointer=f"{pointer}/{i}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and value:
        yield Unmapped(pointer=pointer, value=shown(value))
