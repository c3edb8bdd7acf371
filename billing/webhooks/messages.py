"""The kinds of messages, and what each says.

Messages are thin: they name what came to be, and who wants more asks for it. A kind keeps its
meaning for ever; it may gain fields.

Invariant: what is announced is of a kind in ``KINDS`` and has its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pricing_rules.document import Document, JsonValue, dump, validate
from pricing_rules.period import MomentText


class EpochSealed(Document):
    """An epoch was sealed: what came in through it can be billed."""

    epoch: int
    sealed_at: MomentText


class InvoiceFinalized(Document):
    """An invoice was finalized. ``total_minor``: what is owed, in minor units of the currency."""

    account: str
    issuer: str
    number: str
    start_at: MomentText
    end_at: MomentText
    through_epoch: int
    currency: str
    total_minor: int
    digest: str


class PriceBookPublished(Document):
    """A price book was published; its rates apply from ``effective_from`` on."""

    series: str
    number: int
    currency: str
    effective_from: MomentText
    published_at: MomentText
    digest: str


class AgreementAccepted(Document):
    """A version of an agreement was accepted; it is in effect from ``effective_from`` on."""

    account: str
    version: int
    effective_from: MomentText
    digest: str


class EventCorrected(Document):
    """Usage events of an account were voided or amended, or a correction or backfill was reverted.

    ``reverts``: the correction that a reversal takes back. ``epoch``: the one in which it counts.
    """

    account: str
    correction: str
    correction_kind: Literal["void", "amend", "reversal"]
    reverts: str | None = None
    epoch: int


class BackfillApplied(Document):
    """The usage of an account in [start_at, end_at) was stated anew."""

    account: str
    backfill: str
    start_at: MomentText
    end_at: MomentText
    epoch: int


KINDS: Mapping[str, type[Document]] = {
    "epoch.sealed": EpochSealed,
    "invoice.finalized": InvoiceFinalized,
    "price_book.published": PriceBookPublished,
    "agreement.accepted": AgreementAccepted,
    "event.corrected": EventCorrected,
    "backfill.applied": BackfillApplied,
}
"""Each kind, and the schema of its data."""

Kind = Literal[
    "epoch.sealed",
    "invoice.finalized",
    "price_book.published",
    "agreement.accepted",
    "event.corrected",
    "backfill.applied",
]

OF_ACCOUNTS = tuple(kind for kind, form in KINDS.items() if "account" in form.model_fields)
"""Kinds of messages about one account."""


def message_data(kind: str, *, data: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The data of a message, as its schema has it.

    Raises KeyError for an unknown kind and DocumentError for data of another form: faults of ours.
    """
    return dump(validate(KINDS[kind], dict(data), name=kind, lines={}))
