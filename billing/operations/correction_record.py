"""What a correction records: which events it is of, in its detail, and its making, in the audit.

Invariant: what is read back is what was written, so that a duplicate is known, and so that a
correction that vanished is missed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from billing.store.audit import AuditEntry, append_audit
from billing.store.corrections import Correction
from billing.store.store import Connection

CORRECTED, REVERTED = "event correct", "event revert"
"""What the audit calls correcting events, and reverting a correction."""


class CorrectedIdentity(msgspec.Struct, frozen=True):
    """Which event; ``payload_digest``: of one that came in by the correction."""

    source: str
    id: str
    payload_digest: str = ""


class CorrectionDetail(msgspec.Struct):
    """The ``detail`` of a void or an amendment: which event, and which one came in its place."""

    owner: str
    event: CorrectedIdentity
    amended_by: CorrectedIdentity | None = None


_read_detail = msgspec.json.Decoder(CorrectionDetail).decode


def read_detail(correction: Correction) -> CorrectionDetail:
    """What a void or an amendment says of itself."""
    return _read_detail(correction.detail)


def new_name(*, now_at: int, number: int) -> str:
    """A name for a correction that is made at a moment, the ``number``-th of its request.

    Names are in the order of moments, and those of one request in its order.
    """
    return f"cor_{now_at:016x}{number:04x}{secrets.token_hex(6)}"


def audit_corrections(
    connection: Connection, *, command: str, corrections: Sequence[Correction]
) -> None:
    """One row for each account: who corrected what, and when; why, the corrections say."""
    for account in sorted({one.account for one in corrections}):
        of_account = [one for one in corrections if one.account == account]
        append_audit(
            connection,
            command=command,
            subject=account,
            by=of_account[0].by,
            detail={"corrections": [one.correction for one in of_account]},
            recorded_at=of_account[0].recorded_at,
        )


class _Audited(msgspec.Struct):
    corrections: tuple[str, ...]


_read_audited = msgspec.json.Decoder(_Audited).decode


def audited_corrections(entry: AuditEntry) -> tuple[str, ...]:
    """The corrections whose making an audit row records."""
    return _read_audited(entry.detail).corrections
