"""What a correction says of itself, by its kind, and its text in the store.

Invariant: what is read is what was written, and its text is canonical JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

CorrectionKind = Literal["void", "amend", "backfill", "reversal"]


class CorrectedIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which event; ``payload_digest``: of one that came in by the correction."""

    source: str
    id: str
    payload_digest: str = ""


class EventDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a void or an amendment: which event, and which one came in its place."""

    owner: str
    event: CorrectedIdentity
    amended_by: CorrectedIdentity | None = None
    steps: int


class BackfillDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Of a backfill: what applying it did, in events.

    ``added_events``: the numbers of the events that it added, as runs of first and last.
    """

    staged: int
    added: int
    kept: int
    restored: int
    voided: int
    steps: int
    added_events: tuple[tuple[int, int], ...]


class ReversalDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a reversal; ``restored`` and ``voided``, in events, where it is one of a backfill."""

    steps: int
    restored: int | None = None
    voided: int | None = None


CorrectionDetail = EventDetail | BackfillDetail | ReversalDetail

_of_event = msgspec.json.Decoder(EventDetail).decode
_READERS: Mapping[CorrectionKind, Callable[[str], CorrectionDetail]] = {
    "void": _of_event,
    "amend": _of_event,
    "backfill": msgspec.json.Decoder(BackfillDetail).decode,
    "reversal": msgspec.json.Decoder(ReversalDetail).decode,
}


def read_detail(text: str, *, kind: CorrectionKind) -> CorrectionDetail:
    """What a correction of a kind says of itself. ``msgspec.DecodeError`` where that is no such
    text, which nothing but an editor makes.
    """
    reader = _READERS.get(kind)
    if reader is None:
        raise msgspec.DecodeError(f"there is no correction of kind {kind}")
    return reader(text)
