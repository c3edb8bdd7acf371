"""Agreements: accepting a version, and the versions that were known.

Invariant: an accepted version is never edited, no usage that was invoiced comes under another one,
and no discount presses a rate under its floor unless a person said why and until when.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.billing_periods import check_next_version
from billing.domain.charging.discounts import (
    PressedRate,
    agreed_rates_under_floor,
    in_force_until_at,
)
from billing.operations.announcement import announce
from billing.operations.files import read_file
from billing.operations.floor_override import FloorOverride, check_override
from billing.operations.stored_book import books_known
from billing.store.agreements import StoredAgreement, append_agreement, read_agreements
from billing.store.audit import append_audit
from billing.store.epochs import last_sealed_at
from billing.store.invoices import read_account_invoices
from billing.store.store import Connection, Store
from pricing_rules.document import (
    DocumentError,
    canonical_json,
    content_digest,
    dump,
    load_json,
    load_yaml,
)
from pricing_rules.period import moment_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What accepting did: ``new`` is False where this version was accepted before.

    ``under_floor``: what its discounts press under their floor, accepted by override.
    """

    agreement: Agreement
    digest: str
    new: bool
    under_floor: tuple[PressedRate, ...] = ()


def accept_agreement(
    path: Path, *, store: Store, by: str, now_at: int, override: FloorOverride | None = None
) -> Accepted:
    """Accept the agreement of a file as the next version of its account.

    Its cuts are those of its account alone: the totals of the account are stale from now on, and
    the next close rebuilds them.

    The same file again changes nothing. DocumentError where its version number holds another
    content, where it cannot follow the versions before, where it reaches back into a period that
    was invoiced, where its series has no book in its currency, and where its discounts press a rate
    under its floor, in whatever month, without an override that has not ended by then.
    """
    agreement = load_yaml(Agreement, read_file(path), name=path.name)
    document = dump(agreement)
    digest = content_digest(document)
    with store.write() as connection:
        known = read_agreements(connection, account=agreement.account)
        same = next((one for one in known if one.version == agreement.version), None)
        if same is not None:
            if same.digest != digest:
                raise DocumentError(
                    path.name,
                    f"version {agreement.version} of {agreement.account} was accepted with another "
                    "content; give it a higher version",
                )
            return Accepted(agreement=agreement, digest=digest, new=False)
        check_next_version(tuple(_read(one) for one in known), agreement=agreement)
        _check_moments(connection, agreement=agreement, name=path.name, now_at=now_at)
        under_floor = _under_floor(connection, agreement=agreement, name=path.name)
        check_override(
            override,
            where=path.name,
            found=under_floor,
        )
        append_agreement(
            connection,
            agreement=StoredAgreement(
                account=agreement.account,
                version=agreement.version,
                effective_from=agreement.effective_from,
                accepted_at=now_at,
                digest=digest,
                document=canonical_json(document).decode(),
            ),
        )
        append_audit(
            connection,
            command="agreement accept",
            subject=agreement.account,
            by=by,
            detail={
                "version": agreement.version,
                "digest": digest,
                "under_floor": [under.sentence() for under in under_floor],
                **({"override": override.as_json()} if override and under_floor else {}),
            },
            recorded_at=now_at,
        )
        _announce(connection, agreement=agreement, digest=digest, now_at=now_at)
    return Accepted(agreement=agreement, digest=digest, new=True, under_floor=under_floor)


def versions_known(
    connection: Connection, *, account: str, as_of: int | None = None
) -> tuple[Agreement, ...]:
    """The versions of an account's agreement as they were known at ``as_of``, in order.

    Without ``as_of``, all that it accepted.
    """
    found = read_agreements(connection, account=account, as_of=as_of)
    return tuple(_read(one) for one in found)


def _read(stored: StoredAgreement) -> Agreement:
    name = f"agreement of {stored.account}, version {stored.version}"
    data = stored.document.encode()
    agreement = load_json(Agreement, data, name=name)
    if content_digest(dump(agreement)) != stored.digest:
        raise DocumentError(name, "was changed in the store; restore it from a backup")
    return agreement


def _check_moments(connection: Connection, *, agreement: Agreement, name: str, now_at: int) -> None:
    sealed_at = last_sealed_at(connection)
    if sealed_at is not None and now_at <= sealed_at:
        raise DocumentError(
            name,
            f"is accepted at {moment_text(now_at)}, but usage was sealed at "
            f"{moment_text(sealed_at)}; accept it after that",
        )
    invoiced = read_account_invoices(connection, account=agreement.account)
    end_at = max((one.period_end_at for one in invoiced), default=0)
    if agreement.effective_from < end_at:
        raise DocumentError(
            name,
            f"is in effect from {moment_text(agreement.effective_from)}, but {agreement.account} "
            f"was invoiced up to {moment_text(end_at)}; let it start then or later",
        )


def _announce(connection: Connection, *, agreement: Agreement, digest: str, now_at: int) -> None:
    announce(
        connection,
        kind="agreement.accepted",
        account=agreement.account,
        subject=f"agreements/{agreement.account}",
        data={
            "account": agreement.account,
            "version": agreement.version,
            "effective_from": moment_text(agreement.effective_from),
            "digest": digest,
        },
        now_at=now_at,
    )


def _under_floor(
    connection: Connection, *, agreement: Agreement, name: str
) -> tuple[PressedRate, ...]:
    """What the discounts press under its floor in each book while it is in force, from then on."""
    books = books_known(connection, series=agreement.series)
    if books is None:
        raise DocumentError(
            name,
            f"follows the series {agreement.series}, of which the store has no price book; load "
            "one first",
        )
    if books.currency != agreement.currency:
        raise DocumentError(
            name,
            f"is in {agreement.currency}, but the books of {agreement.series} are in "
            f"{books.currency}; rating never converts",
        )
    return tuple(
        under
        for book in sorted(books.books, key=lambda one: (one.effective_from, one.number))
        for under in agreed_rates_under_floor(
            book, agreement=agreement, until_at=in_force_until_at(book, books=books)
        )
    )
