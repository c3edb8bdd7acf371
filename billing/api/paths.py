"""Names in a path: one may hold a slash, which is written %2F there.

Invariant: a slash that was written %2F divides no path.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote_to_bytes

from pydantic import BeforeValidator

from pricing_rules.document import Name

_SLASH = "\uffff"
"""Stands for a slash of a name until that is read; Unicode keeps it free for such uses."""

_WRITTEN = re.compile(b"%2f", re.IGNORECASE)


def divided_path(raw_path: bytes) -> str:
    """The path of a request, without the percent signs, in which slashes divide names."""
    parts = (unquote_to_bytes(part) for part in _WRITTEN.split(raw_path))
    return _SLASH.join(part.decode("utf-8", "replace") for part in parts)


def _whole(text: object) -> object:
    return text.replace(_SLASH, "/") if isinstance(text, str) else text


PathName = Annotated[Name, BeforeValidator(_whole)]
"""A name that stands in a path."""
