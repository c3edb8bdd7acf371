"""What records that a correction was made: its name, and its row in the audit.

Invariant: the audit names each correction, so that one that vanished is missed.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Literal

from billing.store.audit import append_audit
from billing.store.corrections import Correction
from billing.store.store import Connection

CORRECTED, REVERTED = "event correct", "event revert"
"""What the audit calls correcting events, and reverting a correction."""


def new_name(prefix: Literal["bf", "cor"], *, now_at: int, number: int) -> str:
    """A name for a backfill or another correction that is made at a moment, the ``number``-th of
    its request.

    Names are in the order of moments, and those of one request in its order.
    """
    return f"{prefix}_{now_at:016x}{number:04x}{secrets.token_hex(6)}"


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
