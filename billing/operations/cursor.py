"""Cursors: where a page ended, as a text that its reader hands back.

Invariant: a text that we did not give, or gave for another question, is refused; it never reaches
the store.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec

from pricing_rules.document import DocumentError

P = TypeVar("P", bound=msgspec.Struct)

Moment = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A moment, or another whole number that a row is numbered by."""

Word = Annotated[str, msgspec.Meta(pattern="^[^\x00]*$")]


def write_cursor(place: msgspec.Struct, *, question: str) -> str:
    """The cursor of a place: numbers and words that no two rows have in common."""
    return base64.urlsafe_b64encode(msgspec.json.encode((question, place))).decode()


def read_cursor(kind: type[P], *, text: str, question: str) -> P:
    """The place that a cursor is of.

    ``kind``: the type of the place. DocumentError where it is none, or is one of another question.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        asked, place = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        if asked != question:
            raise DocumentError(
                "cursor", "belongs to another question; ask that one, or start anew"
            )
        return msgspec.json.decode(place, type=kind)
    except DocumentError:
        raise
    except (ValueError, binascii.Error, RecursionError):
        raise DocumentError("cursor", "is not one that we gave; start without one") from None
