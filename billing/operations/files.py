"""Reading and writing files by path.

Invariant: what is written appears whole under its name or not at all, and a published book is never
overwritten by another content.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pricing_rules.document import DocumentError


def read_file(path: Path) -> bytes:
    """The bytes of a file. DocumentError with one sentence where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DocumentError(str(path), f"cannot be read ({reason})") from None


def write_file(path: Path, *, data: bytes) -> None:
    """Write a whole file: beside its place first, then moved there in one step.

    DocumentError where it cannot be, and where something other than a file has the name: moving
    onto a device such as /dev/null would replace it.
    """
    if path.is_symlink():
        path = path.resolve()
    try:
        if path.exists() and not path.is_file():
            raise DocumentError(str(path), "is not a file; choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(made).chmod(0o644)
            Path(made).replace(path)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DocumentError(str(path), f"cannot be written ({reason})") from None


def refuse_other(path: Path, *, begins: bytes) -> None:
    """DocumentError where a file stands that begins otherwise: a mistyped name costs no document.

    An empty file is nobody's document.
    """
    if path.is_file() and not (read_file(path) or begins).startswith(begins):
        raise DocumentError(str(path), "holds another document; choose another name")


def refuse_input(path: Path, *, inputs: Iterable[Path]) -> None:
    """DocumentError where a file would be written over one of those that it is made from."""
    if any(path.exists() and one.exists() and path.samefile(one) for one in inputs):
        raise DocumentError(str(path), "is what is read here; choose another name")


def write_once(path: Path, *, data: bytes) -> None:
    """Write a file that is never edited: the same bytes again are fine, others are refused."""
    if path.exists() and read_file(path) != data:
        raise DocumentError(str(path), "exists with another content; choose another name")
    write_file(path, data=data)
