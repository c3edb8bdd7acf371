"""Curves through the measured points of one sweep.

Invariant: a curve is read between its first and its last knot, goes through every knot, and stays
between two neighbours.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import copysign
from typing import Protocol


class Interpolation(Protocol):
    """A curve through the knots ``(x, y)``, read at ``at`` between the first and the last."""

    def __call__(self, at: float, *, x: Sequence[float], y: Sequence[float]) -> float:
        """The value at ``at``; ``x`` rises strictly."""


def steffen_slopes(x: Sequence[float], *, y: Sequence[float]) -> tuple[float, ...]:
    """The slopes of the monotone cubic of M. Steffen (1990) at two or more knots, ``x`` rising.

    Inner knots: (sgn s0 + sgn s1) min(|s0|, |s1|, |p|/2), p = (s0 h1 + s1 h0)/(h0 + h1); the ends
    continue their neighbour: (3 s - m)/2.
    """
    widths = [right - left for left, right in pairwise(x)]
    secants = [(right - left) / h for (left, right), h in zip(pairwise(y), widths, strict=True)]
    inner = []
    for (s0, s1), (h0, h1) in zip(pairwise(secants), pairwise(widths), strict=True):
        parabola = (s0 * h1 + s1 * h0) / (h0 + h1)
        direction = (copysign(1.0, s0) if s0 else 0.0) + (copysign(1.0, s1) if s1 else 0.0)
        inner.append(direction * min(abs(s0), abs(s1), abs(parabola) / 2))
    if not inner:
        return (secants[0], secants[0])
    first, last = (3 * secants[0] - inner[0]) / 2, (3 * secants[-1] - inner[-1]) / 2
    return (first, *inner, last)


def steffen(at: float, *, x: Sequence[float], y: Sequence[float]) -> float:
    """Steffen's monotone cubic: a Hermite cubic per interval, which never overshoots a knot."""
    slopes = steffen_slopes(x, y=y)
    i = interval_at(at, x=x)
    width = x[i + 1] - x[i]
    t = (at - x[i]) / width
    return (
        (1 + 2 * t) * (1 - t) ** 2 * y[i]
        + t * (1 - t) ** 2 * width * slopes[i]
        + t * t * (3 - 2 * t) * y[i + 1]
        + t * t * (t - 1) * width * slopes[i + 1]
    )


def linear(at: float, *, x: Sequence[float], y: Sequence[float]) -> float:
    """Straight lines between the knots: to compare with tables that were made so."""
    i = interval_at(at, x=x)
    return y[i] + (at - x[i]) / (x[i + 1] - x[i]) * (y[i + 1] - y[i])


def interval_at(at: float, *, x: Sequence[float]) -> int:
    """The index of the interval of ``x`` that holds ``at``; a knot opens the one to its right."""
    return min(bisect_right(x, at) - 1, len(x) - 2)
