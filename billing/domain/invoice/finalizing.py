"""Finalizing: a draft becomes the invoice that is numbered, dated and never edited again.

Invariant: what is owed is the draft's, to the unit; usage without a price is not finalized unless a
person waived it; and what is covered is said, so that no usage is billed twice or forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from billing.domain.charging.records import UnpricedUsage
from billing.domain.invoice.invoice import Invoice
from pricing_rules.document import DocumentError, JsonValue, content_digest, dump, validate
from pricing_rules.period import Period, moment_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """That the usage of one unit in one billing period of an account is billed nothing while it
    has no price.
    """

    period_start_at: int
    model: str
    service_tier: str
    unit: str


def not_waived(invoice: Invoice, *, waivers: Collection[Waiver]) -> tuple[UnpricedUsage, ...]:
    """The unpriced usage of a draft that blocks finalizing it."""
    known = set(waivers)
    return tuple(
        usage
        for usage in invoice.unpriced
        if Waiver(
            period_start_at=invoice.period.start_at
            if usage.period_start_at is None
            else usage.period_start_at,
            model=usage.model,
            service_tier=usage.service_tier,
            unit=usage.unit,
        )
        not in known
    )


def finalize(
    draft: Invoice,
    *,
    number: str,
    issued_at: int,
    through_epoch: int,
    corrected: Sequence[Period] = (),
    waivers: Collection[Waiver] = (),
) -> Invoice:
    """The final invoice of a draft that was computed from all usage through ``through_epoch``.

    ``corrected``: every earlier period that was compared with its invoices for the draft, also
    where nothing had changed. ``issued_at``: microseconds UTC. DocumentError where unpriced usage
    is not among ``waivers``; ValueError for an invoice that is final already.
    """
    if draft.status != "preview":
        raise ValueError(f"the invoice {draft.number} is final already")
    blocking = not_waived(draft, waivers=waivers)
    if blocking:
        first = blocking[0]
        more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
        raise DocumentError(
            f"account {draft.account}",
            f"{first.quantity} {first.unit} of {first.model} in {first.service_tier} are "
            f"unpriced{more}: {first.reason}; publish a price or waive them",
        )
    own = Period(start_at=draft.period.start_at, end_at=draft.period.end_at)
    earlier = sorted({(p.start_at, p.end_at) for p in corrected} - {(own.start_at, own.end_at)})
    covers: list[JsonValue] = [
        {
            "start_at": moment_text(start_at),
            "end_at": moment_text(end_at),
            "through_epoch": through_epoch,
        }
        for start_at, end_at in ((own.start_at, own.end_at), *earlier)
    ]
    value: JsonValue = {
        **dump(draft),
        "status": "final",
        "number": number,
        "issued_at": moment_text(issued_at),
        "through_epoch": through_epoch,
        "covers": covers,
    }
    return validate(Invoice, value, name=f"invoice {number}", lines={})


def invoice_digest(invoice: Invoice) -> str:
    """The digest that is recorded with a final invoice: that of its canonical JSON."""
    return content_digest(dump(invoice))


def as_draft(invoice: Invoice) -> Invoice:
    """What a final invoice bills, as the draft that it was made from: equal drafts, equal bills,
    whenever and under whichever number they were issued (I27).
    """
    issued = ("number", "issued_at", "through_epoch", "covers")
    return invoice.model_copy(update={"status": "preview", **dict.fromkeys(issued)})
