"""Checks of the pure core: no float outside its rooms, no clock, no environment, no I/O.

Invariant: what the pure core gives back depends on its arguments alone, and a count, a rate or an
amount is never a float.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.tree import Finding, Module, dotted, finding, functions, names_in, parameters

FLOAT_ROOMS = ("pricing_rules/cost/", "pricing_rules/planning/")

FLOAT_DOORS = {"pricing_rules/document.py": "reads and writes the numbers of measured documents"}
"""Files outside the rooms of floats that may name them, and why."""

FILE_DOORS = {"pricing_rules/testing/files.py": {"pathlib.Path", ".read_bytes()"}}
"""Files of the pure core with the file system that they may name: pytest gives a plugin paths."""

EXACT_MATH = {
    "ceil", "comb", "factorial", "floor", "gcd", "isqrt", "lcm", "perm", "prod", "trunc",
}  # fmt: skip
"""What of ``math`` gives integers from integers and fractions."""

IMPURE_MODULES = {
    "asyncio", "builtins", "ctypes", "fileinput", "getpass", "glob", "http", "locale",
    "logging", "multiprocessing", "os", "pathlib", "platform", "random", "secrets", "select",
    "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib",
}  # fmt: skip

ALLOWED_IMPORTS = {
    "pathlib.PurePath": "a path as a text, without a file system",
    "pathlib.PurePosixPath": "a path as a text, without a file system",
}

IMPURE_CALLS = {"breakpoint", "eval", "exec", "input", "open", "print", "__import__"}

IMPURE_TAILS = (
    "date.today", "datetime.now", "datetime.today", "datetime.utcnow", "random.default_rng",
    "random.rand", "uuid.uuid1", "uuid.uuid4",
)  # fmt: skip

IMPURE_NAMES = {"uuid1", "uuid4"}

IMPURE_METHODS = {"open", "read_bytes", "read_text", "write_bytes", "write_text"}

ROUNDING_SITES: dict[str, str] = {
    "billing/domain/tax/tax.py::round_amount": "the amount of a tax category",
    "billing/domain/tax/tax.py::tax_on_net": "the tax on a rounded net",
    "billing/domain/tax/tax.py::tax_in_gross": "the tax in a rounded gross",
}
"""Where ``round_half_away`` may be called: "path::function" -> which of the roundings."""


def floats(module: Module) -> Iterator[Finding]:
    """Floats in the pure core outside of cost and planning."""
    if not module.is_pure or module.path.startswith(FLOAT_ROOMS) or module.path in FLOAT_DOORS:
        return
    for node in ast.walk(module.tree):
        match node:
            case ast.Constant(value=float() | complex()):
                yield finding(module, node=node, sentence=f"{node.value!r} is a float")
            case ast.Call(func=ast.Name(id="float")):
                yield finding(module, node=node, sentence="float() makes a float")
            case ast.Attribute(value=ast.Name(id="math")) if node.attr not in EXACT_MATH:
                yield finding(module, node=node, sentence=f"math.{node.attr} is a float's")
            case ast.ImportFrom(module="math"):
                for name in node.names:
                    if name.name not in EXACT_MATH:
                        sentence = f"math.{name.name} is a float's"
                        yield finding(module, node=node, sentence=sentence)
            case ast.Attribute(value=ast.Name(id="np" | "numpy")) if node.attr.startswith(
                ("float", "double", "nan", "inf")
            ):
                yield finding(module, node=node, sentence=f"numpy.{node.attr} is a float")
            case ast.AnnAssign() if "float" in names_in(node.annotation):
                yield finding(module, node=node, sentence="a field or name is declared a float")
    for function in functions(module.tree):
        hints = [function.returns, *(p.annotation for p in parameters(function))]
        if any("float" in names_in(hint) for hint in hints):
            sentence = f"{function.name} takes or returns a float"
            yield finding(module, node=function, sentence=sentence)


def impurity(module: Module) -> Iterator[Finding]:
    """Clock, environment, I/O and randomness in the pure core."""
    if not module.is_pure:
        return
    for node in ast.walk(module.tree):
        allowed = FILE_DOORS.get(module.path, set())
        for name in (one for one in _impure(node) if one not in allowed):
            sentence = f"the pure core has no {name}: make it an input"
            yield finding(module, node=node, sentence=sentence)


def _impure(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (a.name for a in node.names if a.name.split(".")[0] in IMPURE_MODULES)
        case ast.ImportFrom(module=str(origin)):
            for name in (f"{origin}.{alias.name}" for alias in node.names):
                impure = origin.split(".")[0] in IMPURE_MODULES
                if (impure and name not in ALLOWED_IMPORTS) or name.endswith(IMPURE_TAILS):
                    yield name
        case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS:
            yield f"{called}()"
        case ast.Call(func=ast.Attribute(attr=called)) if called in IMPURE_METHODS:
            yield f".{called}()"
        case ast.Attribute() if dotted(node).endswith(IMPURE_TAILS):
            yield dotted(node)
        case _:
            return


def rounding(module: Module) -> Iterator[Finding]:
    """Calls of ``round_half_away`` at other places than the named sites, and ``round`` anywhere."""
    for holder, node in calls(module.tree):
        called = dotted(node.func).rsplit(".", 1)[-1]
        site = f"{module.path}::{holder}"
        if called == "round_half_away" and site not in ROUNDING_SITES:
            yield finding(module, node=node, sentence=f"{site} is no named rounding site")
        if called == "round" and module.is_pure and not module.path.startswith(FLOAT_ROOMS):
            yield finding(module, node=node, sentence="round() rounds half to even")


def calls(tree: ast.AST, *, holder: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Each call with the dotted name of the function or class that it stands in."""
    for node in ast.iter_child_nodes(tree):
        inside = holder
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{holder}.{node.name}".lstrip(".")
        elif isinstance(node, ast.Call):
            yield holder, node
        yield from calls(node, holder=inside)
