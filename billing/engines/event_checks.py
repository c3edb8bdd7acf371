"""The rules of a usage event as SQL over the cells of a file, and the sentence for a row that
breaks one.

SQL decides which rows are events; for the rows that are not, the readers of ``pricing_rules`` say
why. Invariant: a value that SQL takes is the one that ``UsageEvent`` reads from the same text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from pricing_rules.document import Document, DocumentError, Name, validate
from pricing_rules.period import LAST_MOMENT_AT, MICROSECONDS, checked_moment, parse_moment
from pricing_rules.usage.event import Outcome
from pricing_rules.usage.event_columns import DIMENSION_PREFIX
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.units import MAX_COUNT, UNITS, Unit, scaled_count

OUTCOMES: tuple[str, ...] = get_args(Outcome)

_INVISIBLE = r"\x{0}-\x{1f}\x{7f}-\x{9f}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}\x{feff}"
_SPACE = r" \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_NAME = f"[^{_INVISIBLE}{_SPACE}](?:[^{_INVISIBLE}]*[^{_INVISIBLE}{_SPACE}])?"
_MOMENT = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,12})?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_COUNT = "(0|[1-9][0-9]{0,12})"
_FRACTION = "([.][0-9]{1,9})?"
_STEPS = "(0|[1-9][0-9]{0,17})"


def name_sql(cell: str) -> str:
    """A text cell where it is a name of 1 to 200 plain characters, else NULL."""
    return (
        f"CASE WHEN length({cell}) <= 200 AND regexp_full_match({cell}, '{_NAME}') THEN {cell} END"
    )


def outcome_sql(cell: str) -> str:
    """A text cell where it is one of the three outcomes, else NULL."""
    known = ", ".join(f"'{outcome}'" for outcome in OUTCOMES)
    return f"CASE WHEN {cell} IN ({known}) THEN {cell} END"


def moment_sql(cell: str, *, is_text: bool) -> str:
    """Microseconds since 1970 of an RFC 3339 text, or of microseconds, in bounds; else NULL."""
    moment_at = _text_moment_sql(cell) if is_text else cell
    return f"CASE WHEN {moment_at} BETWEEN 0 AND {LAST_MOMENT_AT - 1} THEN {moment_at} END"


def _text_moment_sql(cell: str) -> str:
    whole = (
        f"epoch_us(TRY_CAST(substr({cell}, 1, 10) || ' ' || substr({cell}, 12, 8) AS TIMESTAMP))"
    )
    digits = f"substr(regexp_extract({cell}, '[.]([0-9]+)', 1), 1, 6)"
    fraction = f"COALESCE(TRY_CAST(rpad({digits}, 6, '0') AS BIGINT), 0)"
    minutes = (
        f"(60 * TRY_CAST(substr({cell}, -5, 2) AS BIGINT) + TRY_CAST(right({cell}, 2) AS BIGINT))"
    )
    sign = f"CASE substr({cell}, -6, 1) WHEN '-' THEN -1 ELSE 1 END"
    offset = (
        f"CASE WHEN right({cell}, 1) IN ('Z', 'z') THEN 0 "
        f"ELSE {sign} * {minutes} * {60 * MICROSECONDS} END"
    )
    return (
        f"CASE WHEN regexp_full_match({cell}, '{_MOMENT}') THEN {whole} + {fraction} - {offset} END"
    )


def count_sql(cell: str, *, unit: str, is_text: bool) -> str:
    """A count at the unit's scale from a text or integer cell; NULL where it is none in bounds."""
    scale = UNITS[unit].scale
    if not is_text:
        inside = f"{cell} BETWEEN 0 AND {MAX_COUNT}"
        return f"CASE WHEN {inside} THEN CAST({cell} AS BIGINT) * {scale} END"
    if scale == 1:
        count = (
            f"CASE WHEN regexp_full_match({cell}, '{_COUNT}') THEN TRY_CAST({cell} AS BIGINT) END"
        )
    else:
        count = _scaled_sql(cell, unit=UNITS[unit])
    return f"CASE WHEN {count} <= {MAX_COUNT * scale} THEN {count} END"


def _scaled_sql(cell: str, *, unit: Unit) -> str:
    """Digits are moved, not multiplied: 2.5 at three decimals is the text 2500 read as an integer.

    A scale that is no power of ten multiplies what is left of it, and 90/3600 is read as 90.
    """
    decimals = unit.decimals
    fraction = f"rtrim(split_part({cell}, '.', 2), '0')"
    digits = f"split_part({cell}, '.', 1) || rpad({fraction}, {decimals}, '0')"
    fits = f"regexp_full_match({cell}, '{_COUNT}{_FRACTION}') AND length({fraction}) <= {decimals}"
    steps = f"regexp_full_match({cell}, '{_STEPS}/{unit.scale}')"
    rest = unit.scale // 10**decimals
    times = f" * {rest}" if rest > 1 else ""
    return (
        f"CASE WHEN {steps} THEN TRY_CAST(split_part({cell}, '/', 1) AS BIGINT) "
        f"WHEN {fits} THEN TRY_CAST({digits} AS BIGINT){times} END"
    )


class _NamedCell(Document):
    cell: Name


def check_name(text: str, *, where: str) -> None:
    """DocumentError at ``where`` unless ``text`` is a name."""
    validate(_NamedCell, {"cell": text}, name=where, lines={})


def fault_of(cells: Mapping[str, object], *, file_names: Mapping[str, str]) -> str:
    """What is wrong with a row that SQL refused: ``<column>: <sentence>``, or the sentence on its
    leaves.

    ``cells``: the row by canonical column, None where empty. ``file_names``: the name in the file
    of those that have another there. RuntimeError where no fault is found: then the SQL above is
    wrong.
    """
    counts: dict[str, int] = {}
    for column, value in cells.items():
        try:
            count = _checked(value, column=column)
        except ValueError as error:
            sentence = error.sentence if isinstance(error, DocumentError) else str(error)
            return f"{file_names.get(column, column)}: {sentence}"
        if count is not None and column in UNITS:
            counts[column] = count
    try:
        split_leaves(counts)
    except ValueError as error:
        return str(error)
    raise RuntimeError(f"a row was refused in which there is no fault: {dict(cells)}")


def _checked(value: object, *, column: str) -> int | None:
    """The count of a unit; ValueError where a cell breaks the rule of its column."""
    if value is None:
        if column in {"region", "request_tokens", "outcome"} or column in UNITS:
            return None
        if column.startswith(DIMENSION_PREFIX):
            return None
        raise ValueError("is empty; fill it in")
    if column in UNITS:
        return _count(value, unit=column)
    if column == "request_tokens":
        # The size of a request is bounded as its input tokens are.
        try:
            return _count(value, unit="input_tokens")
        except ValueError as error:
            raise ValueError(str(error).removeprefix("input_tokens ")) from None
    if column == "outcome":
        if value not in OUTCOMES:
            raise ValueError(f'must be one of {", ".join(OUTCOMES)}, not "{value:.40}"')
    elif column == "occurred_at":
        _check_moment(value)
    else:
        check_name(str(value), where="")
    return None


def _check_moment(value: object) -> None:
    if isinstance(value, int):
        checked_moment(value, text=f"{value} microseconds since 1970")
        return
    parse_moment(value)
    if not re.fullmatch(_MOMENT, str(value)):
        raise ValueError(f'is not a moment that exists: "{value:.40}"')


def _count(value: object, *, unit: str) -> int:
    if isinstance(value, str) and re.fullmatch("0|[1-9][0-9]{0,30}", value):
        value = int(value)
    return scaled_count(unit, count=value)
