"""Run the benchmarks: ``python -m tests.bench [NAME ...]``, one JSON line for each figure.

A module ``tests.bench.bench_NAME`` has ``run()``, an iterator of mappings with ``metric``,
``value`` and ``unit``, and where a peer was measured beside it ``peer`` and ``peer_value``.

Invariant: each line has the same seven keys; ``ratio`` is value / peer_value, null without a peer.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence

import tests.bench

LONG = ("serve_full",)
"""What takes longer than all others together: it runs only where it is named."""

_NEEDED = {"metric", "value", "unit"}
_OPTIONAL = {"peer", "peer_value"}


def bench_names() -> list[str]:
    """The names of the benchmarks that there are, in alphabetical order."""
    modules = (found.name for found in pkgutil.iter_modules(tests.bench.__path__))
    return sorted(name.removeprefix("bench_") for name in modules if name.startswith("bench_"))


def figure_line(figure: Mapping[str, object], *, bench: str) -> str:
    """One figure as a line of JSON; ValueError if a key is missing or unknown."""
    keys = set(figure)
    if not _NEEDED <= keys <= _NEEDED | _OPTIONAL or len(keys & _OPTIONAL) == 1:
        raise ValueError(f"{bench}: a figure has metric, value, unit[, peer, peer_value]: {figure}")
    value, peer_value = figure["value"], figure.get("peer_value")
    compared = isinstance(value, int | float) and isinstance(peer_value, int | float) and peer_value
    line = {
        "bench": bench,
        "metric": figure["metric"],
        "value": value,
        "unit": figure["unit"],
        "peer": figure.get("peer"),
        "peer_value": peer_value,
        "ratio": value / peer_value if compared else None,  # type: ignore[operator]
    }
    return json.dumps(line, ensure_ascii=False)


def figures(names: Sequence[str]) -> Iterator[str]:
    """The lines of the named benchmarks, each as soon as it was measured."""
    for name in names:
        module = importlib.import_module(f"tests.bench.bench_{name}")
        for figure in module.run():
            yield figure_line(figure, bench=name)


def main(arguments: Sequence[str]) -> int:
    """Print the figures of the named benchmarks, or of all that are not long; 1 if there is none
    of that name.
    """
    known = bench_names()
    unknown = sorted(set(arguments) - set(known))
    if unknown or not known:
        wanted = ", ".join(unknown) or "any name"
        print(f"no benchmark of {wanted}; there are: {', '.join(known) or 'none'}", file=sys.stderr)
        return 1
    for line in figures(list(arguments) or [name for name in known if name not in LONG]):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
