"""A disk that fails when told, and what a disk holds after a power cut.

The calls that write are replaced by those of ``disk_shim.c``, which a process preloads.

Invariant: what was synced before a cut is there after it; of what was not, each sector of 512 bytes
is there or not, at random.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import pytest

Call = Literal["write", "read", "sync"]
Fault = Literal["kill", "io", "full", "half"]

_CALLS: Mapping[Call, int] = {"write": 0, "read": 1, "sync": 2}
_FAULTS: Mapping[Fault, bytes] = {"kill": b"K", "io": b"E", "full": b"F", "half": b"H"}
_SECTOR = 512


def built(folder: Path) -> Path:
    """The library to preload. Skips where none can be built, and fails in CI."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        reason = "no C compiler, or no Linux: no test on a disk that fails"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    library = folder / "disk_shim.so"
    source = Path(__file__).with_name("disk_shim.c")
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread")
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return library


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which call fails, and how, in a process that preloads the library.

    ``nth``: from 1; 0: each, while the file ``faulty`` lies in the folder. ``record``: the file in
    which all calls are recorded, "" for none.
    """

    folder: str
    call: Call = "write"
    nth: int = -1
    fault: Fault = "io"
    record: str = ""

    def begin(self) -> None:
        """Count, record and fail from now on, in this process."""
        library = ctypes.CDLL(None)
        library.disk_plan(
            self.folder.encode(),
            self.record.encode(),
            _CALLS[self.call],
            ctypes.c_long(self.nth),
            ctypes.c_char(_FAULTS[self.fault]),
        )


def note(text: str) -> None:
    """Put a text between the records of the calls."""
    ctypes.CDLL(None).disk_note(text.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A call that took effect: W(rite), T(runcate), S(ync), U(nlink); or A(nother) thing noted."""

    kind: str
    name: str
    number: int = 0
    """Where a write begins, or to which length a file was cut."""
    data: bytes = b""


def read_records(data: bytes) -> list[Record]:
    """The records of a file; the last one may be cut off where the process was killed."""
    found: list[Record] = []
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        kind, _, rest = data[start:end].decode().partition(" ")
        start = end + 1
        if kind == "W":
            offset, size, path = rest.split(" ", 2)
            held = data[start : start + int(size)]
            start += int(size)
            found.append(Record(kind=kind, name=Path(path).name, number=int(offset), data=held))
        elif kind == "T":
            length, path = rest.split(" ", 1)
            found.append(Record(kind=kind, name=Path(path).name, number=int(length)))
        else:
            found.append(Record(kind=kind, name=rest if kind == "A" else Path(rest).name))
    return found


def disk_after(
    records: Sequence[Record], *, before: Mapping[str, bytes], lies: bool, random: Random
) -> dict[str, bytes]:
    """The files after the power was cut behind these records, by name.

    ``lies``: a sync says that it was done, and does nothing.
    """
    files = {name: bytearray(data) for name, data in before.items()}
    waiting: dict[str, list[Record]] = {}
    for record in records:
        if record.kind == "W":
            waiting.setdefault(record.name, []).append(record)
        elif record.kind == "S" and not lies:
            for one in waiting.pop(record.name, ()):
                _write(files, one.name, at=one.number, data=one.data)
        elif record.kind == "T":
            for one in waiting.pop(record.name, ()):
                _write(files, one.name, at=one.number, data=one.data)
            del files.setdefault(record.name, bytearray())[record.number :]
        elif record.kind == "U":
            files.pop(record.name, None)
            waiting.pop(record.name, None)
    for name, unsynced in waiting.items():
        for one in unsynced:
            for start in range(0, len(one.data), _SECTOR):
                if random.random() < 0.5:
                    part = one.data[start : start + _SECTOR]
                    _write(files, name, at=one.number + start, data=part)
    return {name: bytes(data) for name, data in files.items()}


def _write(files: dict[str, bytearray], name: str, *, at: int, data: bytes) -> None:
    file = files.setdefault(name, bytearray())
    if len(file) < at:
        file.extend(bytes(at - len(file)))
    file[at : at + len(data)] = data
