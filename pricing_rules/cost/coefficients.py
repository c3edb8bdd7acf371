"""What an input and an output token take on one set-up: fitted, covered, or taken from its roles.

On an aggregated set-up input and output share accelerators, so that only several shapes tell them
apart: least squares, or the cover. A disaggregated set-up has a pool for each.

Invariant: a cover charges no measured shape less than it took, and the accelerator-seconds of a
request in both roles add up to those on the whole set-up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from pricing_rules.cost.measurement import AnySetup, DisaggregatedSetup

Floats = NDArray[np.float64]

_ROUNDING = 1e-12
"""What of a request is left uncovered by rounding alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Microseconds of one accelerator per fresh input token (a) and per output token (b)."""

    a_us_per_input_token: float
    b_us_per_output_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSeconds:
    """Accelerator-seconds of one request in each pool of a disaggregated set-up."""

    prefill_accelerator_s: float
    decode_accelerator_s: float


def role_seconds(setup: DisaggregatedSetup, *, accelerator_s: float) -> RoleSeconds:
    """A request's accelerator-seconds on the whole set-up, by pool: they add up to it.

    Both pools are there for as long as the set-up serves, so each has its share of the
    accelerators, busy or waiting for the other.
    """
    prefill_s = accelerator_s * setup.prefill.accelerators / setup.accelerators
    return RoleSeconds(
        prefill_accelerator_s=prefill_s, decode_accelerator_s=accelerator_s - prefill_s
    )


def fit_and_cover(
    setup: AnySetup, *, tokens: Floats, measured_s: Floats
) -> tuple[Coefficients, Coefficients]:
    """(a, b) of the fit and of the cover, both >= 0.

    ``tokens`` holds a row per shape, input and output tokens of a mean request; ``measured_s`` the
    accelerator-seconds that it took. The fit is least squares on relative residuals, the cover the
    least total relative charge among those under no shape. On a disaggregated set-up each role is
    fitted and covered for itself.
    """
    if isinstance(setup, DisaggregatedSetup):
        seconds = [role_seconds(setup, accelerator_s=float(one)) for one in measured_s]
        pair = [(one.prefill_accelerator_s, one.decode_accelerator_s) for one in seconds]
        fit, cover = _roles(tokens / (np.array(pair) * 1e6))
    else:
        per_us = tokens / (measured_s[:, None] * 1e6)
        fit, cover = nnls(per_us, np.ones(len(per_us)))[0], _cover(per_us)
    return _coefficients(fit), _coefficients(cover)


def _roles(per_us: Floats) -> tuple[Floats, Floats]:
    """With u = tokens/seconds of a role: its fit is sum(u)/sum(u^2), its cover the largest 1/u."""
    fit: Floats = per_us.sum(axis=0) / (per_us**2).sum(axis=0)
    cover: Floats = (1 / per_us).max(axis=0)
    return fit, cover


def _cover(per_us: Floats) -> Floats:
    """The a, b >= 0 of least total relative charge with every row of ``per_us @ (a, b)`` >= 1.

    A linear programme in two unknowns: for any a the least b is the largest of the rows'
    (1 - u a)/v, so the charge is convex in a and least at one of its corners.
    """
    u, v = per_us.T
    # Where two rows ask for the same b, where one asks for none, and where a is none itself.
    above, below = np.triu_indices(len(u), k=1)
    slopes = u[above] * v[below] - u[below] * v[above]
    steep = slopes != 0
    crossings = (v[below] - v[above])[steep] / slopes[steep]
    a = np.unique(np.concatenate(([0.0], crossings[crossings > 0], 1 / u)))
    left = 1 - np.outer(a, u)
    left[left < _ROUNDING] = 0.0
    b = (left / v).max(axis=1)
    least = int(np.argmin(a * u.sum() + b * v.sum()))
    cover: Floats = np.array([a[least], b[least]])
    # Rounding may leave a row a hair under 1; a cover is never under.
    lowest = float((per_us @ cover).min())
    return cover / lowest if lowest < 1 else cover


def _coefficients(pair: Floats) -> Coefficients:
    return Coefficients(a_us_per_input_token=float(pair[0]), b_us_per_output_token=float(pair[1]))
