"""What asks for corrections, read: each one alone, so that one bad one takes no other down.

Invariant: what is returned as a ``WantedCorrection`` has a reason, and an event that would be
accepted in its form; everything else has a verdict with its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from billing.intake.cloud_events import read_cloud_event
from billing.operations.correction import Corrected, WantedCorrection, correct_events
from billing.operations.files import read_file
from billing.operations.new_events import sent_event
from billing.operations.stated import stated_text
from billing.operations.taken_in import owner_of
from billing.store.events import NewEvent
from billing.store.store import Store
from pricing_rules.document import (
    Document,
    DocumentError,
    JsonValue,
    Name,
    Text,
    json_pointer,
    validate,
)
from pricing_rules.usage.leaves import split_leaves


class VoidDocument(Document):
    """That an event is to count nowhere."""

    kind: Literal["void"]
    source: Name
    id: Name
    reason: Text


class AmendDocument(Document):
    """That another event is to count in the place of one; ``event``: it, with an id of its own."""

    kind: Literal["amend"]
    source: Name
    id: Name
    reason: Text
    event: JsonValue


_FORMS: dict[str, type[VoidDocument] | type[AmendDocument]] = {
    "void": VoidDocument,
    "amend": AmendDocument,
}


def wanted_correction(value: JsonValue) -> WantedCorrection | Corrected:
    """A correction that was asked for as JSON; the verdict on it where it is none."""
    fields = value if isinstance(value, dict) else {}
    kind = fields.get("kind")
    form = _FORMS.get(kind) if isinstance(kind, str) else None
    try:
        if form is None:
            raise DocumentError("", 'must be "void" or "amend"', path=("kind",))
        read = validate(form, value, name="", lines={})
        event = None
        if isinstance(read, AmendDocument):
            event = _amending(read.event)
    except DocumentError as error:
        return Corrected(
            verdict="rejected",
            kind=_said(kind),
            source=_said(fields.get("source")),
            id=_said(fields.get("id")),
            reason=error.sentence,
            pointer=json_pointer(error.path),
        )
    return WantedCorrection(source=read.source, id=read.id, reason=read.reason, event=event)


def correct_one(
    store: Store,
    *,
    owner_account: str | None,
    source: str,
    event_id: str,
    reason: str,
    amended_by: Path | None,
    by: str,
    now_at: int,
) -> Corrected:
    """Void an event, or amend it by the event in the file ``amended_by``.

    The verdict is accepted or duplicate. DocumentError where the file holds no event, where the
    reason is none, and where the correction is refused.
    """
    event = None
    if amended_by is not None:
        event = _new_event(read_file(amended_by), name=str(amended_by))
    wanted = WantedCorrection(
        source=source, id=event_id, reason=stated_text("reason", text=reason), event=event
    )
    (made,) = store.beside(
        lambda connection: correct_events(
            connection, owner=owner_of(owner_account), wanted=[wanted], by=by, now_at=now_at
        )
    )
    if made.verdict in ("conflict", "rejected"):
        within = made.pointer.removeprefix("/event/")
        of_event = f"event {event_id:.200}" if within == made.pointer else f"{amended_by} {within}"
        raise DocumentError(of_event, made.reason)
    return made


def _new_event(text: bytes, *, name: str) -> NewEvent:
    fixed, units, dimensions = read_cloud_event(text, name=name)
    # It states its moment.
    return sent_event((fixed, units, dimensions, split_leaves(units)), received_at=fixed[3])


def _amending(value: JsonValue) -> NewEvent:
    try:
        return _new_event(msgspec.json.encode(value), name="")
    except DocumentError as error:
        raise DocumentError("", error.sentence, path=("event", *error.path)) from None


def _said(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
