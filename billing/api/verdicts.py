"""Verdicts: the status of a request whose parts each have their own.

Invariant: what is told as a success took effect, at least in part; what is told as a problem did
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from billing.api.problems import Problem
from pricing_rules.document import JsonValue

_VERDICTS = ("accepted", "duplicate", "conflict", "rejected")


def counted(verdicts: Iterable[str]) -> dict[str, int]:
    """How many parts of a request have each verdict."""
    counts = dict.fromkeys(_VERDICTS, 0)
    for verdict in verdicts:
        counts[verdict] += 1
    return counts


def status_of(counts: Mapping[str, int]) -> HTTPStatus:
    """200: all took effect, now or before. 207: some were refused. 409: all are conflicts. 400:
    all were refused.
    """
    refused = counts["conflict"] + counts["rejected"]
    if counts["accepted"] + counts["duplicate"]:
        return HTTPStatus.MULTI_STATUS if refused else HTTPStatus.OK
    return HTTPStatus.BAD_REQUEST if counts["rejected"] else HTTPStatus.CONFLICT


def all_refused(
    status: HTTPStatus, *, kind: str, detail: str, members: Mapping[str, JsonValue]
) -> Problem:
    """The problem where nothing took effect; ``kind``: its kind, unless all are conflicts."""
    all_conflict = status == HTTPStatus.CONFLICT
    return Problem(
        status, kind="conflict" if all_conflict else kind, detail=detail, members=members
    )
