"""The report of a verified store as a document (``tokenworks.verify/1``), as it is read again.

Invariant: what ``tokenworks verify --format json`` prints is one, whole.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from billing.domain.charging.records import Count, ExactText
from billing.domain.verification.equations import DamageKind
from billing.domain.verification.marks import Mark
from billing.domain.verification.mass_balance import BalanceVerdict, ProducedUnit
from pricing_rules.document import Document


class EquationRecord(Document):
    """One equation: its sides by what was counted, and its sentence."""

    name: str
    holds: bool
    text: str
    left: dict[str, int]
    right: dict[str, int]


class DamageRecord(Document):
    """One difference: what kind it is, where, and what was found there."""

    kind: DamageKind
    where: str
    sentence: str


class BalanceRecord(Document):
    """One unit of one model: produced by engines, and received in events."""

    model: str
    unit: ProducedUnit
    produced: Count
    received: int
    difference: int
    share: ExactText | None
    verdict: BalanceVerdict


class MassBalanceRecord(Document):
    """What engines produced in a window beside what came in; ``hidden``: time on neither side."""

    window: str
    holds: bool
    rows: tuple[BalanceRecord, ...]
    hidden: dict[str, tuple[str, ...]]


class VerifyDocument(Document):
    """The equations of a store with their numbers, all damage, and how far the store had come."""

    schema_: Literal["tokenworks.verify/1"] = Field(alias="schema")
    holds: bool
    equations: tuple[EquationRecord, ...]
    damage: tuple[DamageRecord, ...]
    marks: tuple[Mark, ...]
    mass_balance: MassBalanceRecord | None = None
