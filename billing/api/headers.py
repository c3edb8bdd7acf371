"""The headers of a request, as they came.

Invariant: nothing is joined, and nothing of a header that stands twice is chosen.
"""

from __future__ import annotations

from starlette.types import Scope


def header_values(scope: Scope, *, name: bytes) -> list[str]:
    """The values of a header, by its name in lower case, in the order in which they came."""
    found: dict[bytes, list[bytes]] | None = scope.get(_BY_NAME)
    if found is None:  # looked through once, since several are asked for
        found = scope[_BY_NAME] = {}
        for key, value in scope["headers"]:
            found.setdefault(key, []).append(value)
    return [value.decode("latin-1") for value in found.get(name, ())]


_BY_NAME = "tokenworks.headers"
"""Where a request holds its headers by name, once one was asked for."""
