"""Predicates: when a rule holds, written as one expression of CEL (the Common Expression Language).

Invariant: a predicate is compiled and typed when its document loads, reads the declared variables
alone, gives true or false, and never sees money. It has no macros, so no loops: what it takes
grows with its text, which is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Annotated, Final

from cel_expr_python import cel
from pydantic import AfterValidator, WithJsonSchema

from pricing_rules.document import Text

MAX_PREDICATE_CHARACTERS: Final = 1000

_SETTINGS: Final = """
stdlib:
  disable_macros: true
  exclude_functions:
    - name: double
    - name: dyn
    - name: duration
    - name: timestamp
"""
"""Decisions are over texts, booleans and whole numbers; no floats, no clock, and nothing untyped
that would fail late."""

_FAULT = re.compile(r"ERROR: <input>:1:([0-9]+): (?:Syntax error: )?([^\n]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFacts:
    """What a predicate may ask about a rate.

    ``promised_tokens_per_s`` is 0 where the service tier promises none, ``region`` and ``window``
    are empty where the rate names none, ``request_tokens_at_least`` is the request size from which
    the rate applies (0: every size), and ``dimensions`` has each dimension of the policy, empty
    where the rate names no value of it.
    """

    model: str
    precision: str
    service_tier: str
    pool: str
    unit: str
    interruptible: bool
    promised_tokens_per_s: int
    region: str
    window: str
    request_tokens_at_least: int
    dimensions: Mapping[str, str]

    def variables(self) -> dict[str, object]:
        """The facts by the names that predicates use."""
        found: dict[str, object] = {name: getattr(self, name) for name in VARIABLES}
        return {**found, "dimensions": dict(self.dimensions)}


VARIABLES: Final[dict[str, cel.Type]] = {
    "model": cel.Type.STRING,
    "precision": cel.Type.STRING,
    "service_tier": cel.Type.STRING,
    "pool": cel.Type.STRING,
    "unit": cel.Type.STRING,
    "interruptible": cel.Type.BOOL,
    "promised_tokens_per_s": cel.Type.INT,
    "region": cel.Type.STRING,
    "window": cel.Type.STRING,
    "request_tokens_at_least": cel.Type.INT,
    "dimensions": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}
"""The variables of every predicate, with their types."""


def holds(predicate: str, *, facts: RateFacts) -> bool:
    """Whether a predicate is true of a rate.

    ValueError, with the reason, where it does not compile or has no value for this rate: a
    dimension that no rule prices, a division by zero, an integer beyond 64 bits.
    """
    value = _compiled(predicate).eval(data=facts.variables())
    if value.type() != cel.Type.BOOL:
        about = f"{facts.model}/{facts.service_tier}/{facts.unit}"
        reason = _plain(str(value.value()))
        unpriced = re.fullmatch('Key not found in map : "(.*)"', reason)
        if unpriced:
            reason = f'no rule prices a dimension "{unpriced[1]}"'
        raise ValueError(f"has no value for {about}: {reason}")
    return bool(value.value())


def _checked(predicate: str) -> str:
    if len(predicate) > MAX_PREDICATE_CHARACTERS:
        raise ValueError(
            f"has {len(predicate)} characters, and a predicate at most "
            f"{MAX_PREDICATE_CHARACTERS}; write two rules"
        )
    _compiled(predicate)
    return predicate


Predicate = Annotated[
    Text,
    AfterValidator(_checked),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_PREDICATE_CHARACTERS,
            "description": f"A CEL expression, true or false, over {', '.join(VARIABLES)}.",
        }
    ),
]
"""A CEL expression over ``VARIABLES`` that is true or false, on one line."""


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_SETTINGS), variables=VARIABLES)


@lru_cache(maxsize=4096)
def _compiled(predicate: str) -> cel.Expression:
    try:
        compiled = _environment().compile(predicate)
    except RuntimeError as error:
        raise ValueError(_sentence(str(error))) from None
    if compiled.return_type() != cel.Type.BOOL:
        raise ValueError(
            f"must be true or false, but is of type {compiled.return_type().name()}; compare it "
            'with something, as in unit == "output_tokens"'
        )
    return compiled


def _sentence(message: str) -> str:
    fault = _FAULT.search(message)
    if fault is None:
        return f"is no predicate: {_plain(message)}"
    column, what = fault.groups()
    unknown = re.match(r"undeclared reference to '([^']*)'", what)
    if unknown:
        return (
            f'column {column}: "{unknown[1]:.60}" is not known; a predicate may use '
            f"{', '.join(VARIABLES)}, comparisons and functions of texts"
        )
    untyped = re.match(r"found no matching overload for '_?(.+?)_?' applied to '(.+)'", what)
    if untyped:
        return f'column {column}: "{untyped[1]}" does not take {untyped[2]}'
    return f"column {column}: {_plain(what)}"


def _plain(message: str) -> str:
    """The library's message without its status words."""
    return re.sub(r" \[[A-Z_]+\]|^[A-Z_]+: ", "", message.splitlines()[0])
