"""Checks of words: one word for one thing, units last in the name of a quantity, moments in _at.

Only names that this repository chooses are read (definitions, parameters, fields, assignments), not
those of libraries that it calls.

Invariant: a reader knows the unit of a number from its name, and two names never mean one thing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from tests.house.shape import tokens
from tests.house.tree import Finding, Module, dotted, finding, functions, names_in, parameters

NUMBERS = {
    "AmountText", "Decimal", "Fraction", "Integral", "NDArray", "Number", "RateText", "Real",
    "Series", "complex", "float", "int", "ndarray",
}  # fmt: skip
"""An annotation with one of these is a number's; other types carry their unit inside."""

QUANTITIES = {
    "age", "area", "bandwidth", "cost", "costs", "delay", "duration", "durations", "elapsed",
    "energy", "frequency", "interval", "lag", "latency", "life", "lifetime", "power", "price",
    "prices", "size", "sizes", "speed", "throughput", "timeout", "ttft", "tpot", "interactivity",
}  # fmt: skip
"""Quantities that need a unit: a number's name may not end in one."""

UNITLESS_ALLOWED: dict[str, str] = {}
"""Names that end in a quantity without a unit, each with the reason why it needs none."""

FORBIDDEN_WORDS = {
    "bracket": "band", "brackets": "bands", "catalog": "price book", "catalogue": "price book",
    "contract": "agreement", "contracts": "agreements", "customer": "account",
    "customers": "accounts", "latency": "interactivity, or ttft", "org": "account",
    "organisation": "account", "organization": "account", "pricelist": "price book",
    "profit": "margin", "sla": "promise", "speed": "interactivity", "subscription": "agreement",
    "tenant": "account", "tenants": "accounts", "wallet": "credit grant",
}  # fmt: skip
"""The wrong word -> the right one."""

FORBIDDEN_PHRASES = {
    ("benchmark", "row"): "operating point",
    ("credit", "balance"): "the balance of a credit grant",
    ("event", "log"): "usage event",
    ("event", "record"): "usage event",
    ("invoice", "log"): "ledger",
    ("price", "list"): "price book",
    ("rate", "list"): "price book",
    ("usage", "aggregate"): "usage totals",
    ("usage", "aggregates"): "usage totals",
    ("usage", "log"): "usage event",
    ("usage", "record"): "usage event",
    ("usage", "records"): "usage events",
}

FORBIDDEN_VERBS = {"delete", "handle", "process", "update"}
"""The verbs are publish, supersede, seal, finalize, void, post, draw."""

WORDS_ALLOWED: dict[str, str] = {}
"""Identifiers with a forbidden word that are right all the same, each with the reason."""

MOMENTS = {"MomentText"}
MOMENTS_ALLOWED = {
    "at": "the word of quote requests",
    "as_of": "the instant at which what is known was fixed",
    "effective_from": "the word of the design",
    "effective_until": "the end that belongs to effective_from",
    "time": "the word of CloudEvents",
}
DATES_ALLOWED = {"date": "the type itself is in the name"}


def words(module: Module) -> Iterator[Finding]:
    """Identifiers with a word that is not ours."""
    for name, node in _chosen(module.tree):
        if name in WORDS_ALLOWED:
            continue
        parts = tokens(name)
        for part in parts:
            if part in FORBIDDEN_WORDS:
                sentence = f'"{name}": say {FORBIDDEN_WORDS[part]}, not {part}'
                yield finding(module, node=node, sentence=sentence)
        for pair in pairwise(parts):
            if pair in FORBIDDEN_PHRASES:
                sentence = f'"{name}": say {FORBIDDEN_PHRASES[pair]}, not {" ".join(pair)}'
                yield finding(module, node=node, sentence=sentence)
        for before, part in pairwise(["", *parts]):
            if part in {"tier", "tiers", "tiered"} and before != "service":
                sentence = f'"{name}": a bare tier; say service tier, band or context step'
                yield finding(module, node=node, sentence=sentence)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and parts and parts[0] in FORBIDDEN_VERBS:
            sentence = f'"{name}": "{parts[0]}" is not a verb of the house'
            yield finding(module, node=node, sentence=sentence)


def units(module: Module) -> Iterator[Finding]:
    """Numbers whose name ends in a quantity and has no unit after it."""
    for name, node, hint in _declared(module.tree):
        last = (tokens(name) or [""])[-1]
        is_number = hint is None or bool(names_in(hint) & NUMBERS)
        if is_number and last in QUANTITIES and name not in UNITLESS_ALLOWED:
            sentence = f'"{name}" has no unit: end it in one, as in ttft_ms or power_kw'
            yield finding(module, node=node, sentence=sentence)


def moments(module: Module) -> Iterator[Finding]:
    """Moments that do not end in ``_at`` and dates that do not end in ``_date``."""
    for name, node, hint in _declared(module.tree):
        hints = names_in(hint)
        if hints & MOMENTS and not name.endswith("_at") and name not in MOMENTS_ALLOWED:
            yield finding(module, node=node, sentence=f'"{name}" is a moment: end it in _at')
        is_date = "date" in hints and not name.endswith(("_date", "_dates", "dates"))
        if is_date and name not in DATES_ALLOWED:
            yield finding(module, node=node, sentence=f'"{name}" is a date: end it in _date')


def chosen_names(tree: ast.Module) -> set[str]:
    """The names that a file gives to something of its own."""
    return {name for name, _ in _chosen(tree)}


def _chosen(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every name that a file gives to something of its own."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node
            case ast.arg():
                yield node.arg, node
            case ast.Name(ctx=ast.Store()):
                yield node.id, node
            case ast.alias(asname=str(name)):
                yield name, node
            case _:
                pass


def _declared(tree: ast.Module) -> Iterator[tuple[str, ast.AST, ast.expr | None]]:
    """Parameters, annotated names and properties, each with its annotation.

    Parameters without one are left out in lambdas only; ``self`` and ``cls`` are no quantities.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node, node.annotation
    for function in functions(tree):
        yield from ((p.arg, p, p.annotation) for p in parameters(function))
        decorators = {dotted(d).rsplit(".", 1)[-1] for d in function.decorator_list}
        if decorators & {"property", "cached_property", "computed_field"}:
            yield function.name, function, function.returns
