"""A CSV file as its header and its numbered lines, which DuckDB then cuts into cells.

DuckDB's own CSV reader skips blank lines and cannot number rows, so it is given numbered lines
instead. Invariant: every line after the header is one row, in order, whatever stands in it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pricing_rules.document import DocumentError

_BLOCK_BYTES = 8 * 1024 * 1024
_LINE_SCHEMA = pa.schema([pa.field("row", pa.int64()), pa.field("line", pa.string())])
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def csv_header(path: Path) -> list[str]:
    """The column names of a CSV file; DocumentError where they cannot be read."""
    with path.open("rb") as stream:
        first = stream.readline(_BLOCK_BYTES)
    if first.startswith(_BYTE_ORDER_MARK):
        raise DocumentError(
            path.name, "begins with a byte order mark; save it as UTF-8 without BOM"
        )
    try:
        text = first.decode("utf-8").removesuffix("\n").removesuffix("\r")
        names = next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        raise DocumentError(f"{path.name}:1", "the header is not CSV in UTF-8") from None
    if not names:
        raise DocumentError(path.name, "the file is empty, or its first line is")
    return names


def csv_lines(path: Path) -> pa.RecordBatchReader:
    """The lines after the header as (row, line with its end), in blocks; NULL where one is not
    UTF-8.

    The header is row 1. CRLF ends are LF here, and the last line has an end too. It can be read
    once.
    """
    return pa.RecordBatchReader.from_batches(_LINE_SCHEMA, _line_batches(path))


def _line_batches(path: Path) -> Iterator[pa.RecordBatch]:
    row = 2
    with path.open("rb") as stream:
        stream.readline()
        # Past a block, read on to the end of its last line.
        while block := stream.read(_BLOCK_BYTES):
            block += stream.readline(_BLOCK_BYTES)
            if not block.endswith(b"\n"):
                if stream.read(1):
                    raise ValueError(f"a line after row {row} is longer than {_BLOCK_BYTES} bytes")
                block += b"\n"
            batch = _line_batch(block.replace(b"\r\n", b"\n"), row=row)
            row += batch.num_rows
            yield batch


def _line_batch(block: bytes, *, row: int) -> pa.RecordBatch:
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n")) + 1
    offsets = np.concatenate([np.zeros(1, dtype=np.int32), ends.astype(np.int32)])
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        lines = pa.array([_decoded(line) for line in block.split(b"\n")[:-1]], type=pa.string())
    numbers = pa.array(np.arange(row, row + len(ends), dtype=np.int64))
    return pa.RecordBatch.from_arrays([numbers, lines], schema=_LINE_SCHEMA)


def _decoded(line: bytes) -> str | None:
    try:
        return line.decode("utf-8") + "\n"
    except UnicodeDecodeError:
        return None
