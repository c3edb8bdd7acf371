"""The headers of a request, as they came.

Invariant: nothing is joined, and nothing of a header that stands twice is chosen.
"""

from __future__ import annotations

from starlette.types import Scope


def header_values(scope: Scope, *, name: bytes) -> list[str]:
    """The values of a header, by its name in lower case, in the order in which they came."""
    # A request has few: making an object of them all costs more than looking through them.
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
