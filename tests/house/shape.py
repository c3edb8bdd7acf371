"""Checks of form: sizes, opening docstrings, names of modules, signatures.

Invariant: a newcomer can read any file in one sitting, knows its purpose from its first lines, and
reads at each call which argument is which.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.tree import Finding, Function, Module, dotted, finding, functions

FILE_LINES = 400
FUNCTION_LINES = 70

NAMELESS = {
    "base", "bases", "common", "handler", "handlers", "helper", "helpers", "manager", "managers",
    "misc", "shared", "util", "utils",
}  # fmt: skip
"""Names that say nothing: forbidden as a part of a module's or a class's name."""

CALLED_BY_OTHERS = {"field_serializer", "field_validator", "model_serializer", "model_validator"}
"""Decorators of functions that a library calls, with arguments in its own order."""

POSITIONAL_ALLOWED: dict[str, str] = {
    "billing/cli/main.py::LazyGroup.format_commands": "the signature is click's",
    "billing/cli/main.py::LazyGroup.get_command": "the signature is click's",
    "pricing_rules/document.py::DocumentError.__init__": "where and sentence, as in its text",
    "pricing_rules/document.py::load_json": "the model, then its bytes, as in a sentence",
    "pricing_rules/document.py::load_yaml": "the model, then its bytes, as in a sentence",
    "pricing_rules/document.py::validate": "the model, then the value, as in load_json",
}
"""Functions that may take more than one argument by position, and why."""


def tokens(name: str) -> list[str]:
    """The words of an identifier in snake or camel case, in lower case."""
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())


def sizes(module: Module) -> Iterator[Finding]:
    """Files of more than 400 lines and functions of more than 70."""
    lines = len(module.text.splitlines())
    if lines > FILE_LINES:
        sentence = f"a file of {lines} lines, {FILE_LINES} at most"
        yield Finding(path=module.path, line=lines, sentence=sentence)
    for function in functions(module.tree):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES:
            sentence = f"{function.name} has {lines} lines, {FUNCTION_LINES} at most"
            yield finding(module, node=function, sentence=sentence)


def openings(module: Module) -> Iterator[Finding]:
    """Files without a docstring (an empty ``__init__.py`` of the tests needs none)."""
    empty_room = module.path.endswith("/__init__.py") and module.path.startswith("tests/")
    if not ast.get_docstring(module.tree) and not (empty_room and not module.text.strip()):
        yield Finding(path=module.path, line=1, sentence="opens without a docstring")


def nameless(module: Module) -> Iterator[Finding]:
    """Modules, packages and classes whose name says nothing."""
    parts = module.path.removesuffix(".py").split("/")
    for part in parts:
        if bad := NAMELESS & set(tokens(part)):
            sentence = f'a module named "{part}": {bad.pop()} says nothing'
            yield Finding(path=module.path, line=1, sentence=sentence)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and (bad := NAMELESS & set(tokens(node.name))):
            sentence = f'a class named "{node.name}": {bad.pop()} says nothing'
            yield finding(module, node=node, sentence=sentence)


def signatures(module: Module) -> Iterator[Finding]:
    """``**kwargs`` anywhere; more than one positional argument of a public function."""
    for holder, function, is_method in _held(module.tree, holder="", in_class=False):
        name = f"{holder}.{function.name}".lstrip(".")
        if function.args.kwarg is not None:
            yield finding(module, node=function, sentence=f"{name} takes **kwargs")
        by_position = len(function.args.posonlyargs + function.args.args)
        by_position -= int(is_method and not _decorators(function) & {"staticmethod"})
        exempt = (
            any(part.startswith("_") for part in name.split("."))
            or _decorators(function) & CALLED_BY_OTHERS
            or f"{module.path}::{name}" in POSITIONAL_ALLOWED
        )
        if by_position > 1 and not exempt:
            sentence = f"{name} takes {by_position} arguments by position, 1 at most"
            yield finding(module, node=function, sentence=sentence)


def _decorators(function: Function) -> set[str]:
    called = (d.func if isinstance(d, ast.Call) else d for d in function.decorator_list)
    return {dotted(d).rsplit(".", 1)[-1] for d in called}


def _held(tree: ast.AST, *, holder: str, in_class: bool) -> Iterator[tuple[str, Function, bool]]:
    """Module-level functions and methods, each with the class that holds it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield holder, node, in_class
        elif isinstance(node, ast.ClassDef):
            yield from _held(node, holder=f"{holder}.{node.name}".lstrip("."), in_class=True)
