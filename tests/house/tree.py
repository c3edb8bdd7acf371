"""The source tree as the house tests read it: parsed files, and what is found in them.

Invariant: a check is a function from one parsed file to findings and knows the file by its path in
the repository only, so that a planted source text is checked like a real one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file: its path in the repository with forward slashes, its text, its syntax."""

    path: str
    text: str
    tree: ast.Module

    @property
    def is_pure(self) -> bool:
        """Whether the file belongs to the pure core."""
        return self.path.startswith(("pricing_rules/", "billing/domain/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One breach of the house rules."""

    path: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.sentence}"


Check = Callable[[Module], Iterator[Finding]]


def parse(text: str, *, path: str) -> Module:
    """A source text as the file at ``path``, which need not exist."""
    return Module(path=path, text=text, tree=ast.parse(text))


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python file under the folders of the repository, parsed, in order of path."""
    return tuple(
        parse(file.read_text(encoding="utf-8"), path=file.relative_to(REPOSITORY).as_posix())
        for folder in folders
        for file in sorted((REPOSITORY / folder).rglob("*.py"))
    )


def findings(check: Check, *, sources: Iterable[Module]) -> list[str]:
    """What a check finds in the sources, as lines to read."""
    return [str(finding) for source in sources for finding in check(source)]


def finding(module: Module, *, node: ast.AST, sentence: str) -> Finding:
    """A finding at a piece of syntax."""
    return Finding(path=module.path, line=getattr(node, "lineno", 1), sentence=sentence)


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function of a tree, methods and nested ones too."""
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def parameters(function: Function) -> list[ast.arg]:
    """All parameters of a function by name, without ``*args`` and ``**kwargs``."""
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def dotted(node: ast.AST) -> str:
    """The dotted name that an expression is (``datetime.datetime.now``), or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def names_in(annotation: ast.AST | None) -> set[str]:
    """The last parts of all names in an annotation, quoted ones too (not Literal's values)."""
    if annotation is None:
        return set()
    found: set[str] = set()
    pending: list[ast.AST] = [annotation]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Subscript) and dotted(node.value).endswith("Literal"):
            continue
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(part for part in node.value.replace("[", " ").split() if part.isalpha())
        pending.extend(ast.iter_child_nodes(node))
    return found
