"""What is named and is not there.

Invariant: it is said in the same way of what does not exist and of what the caller may not see.
"""

from __future__ import annotations

from pricing_rules.document import DocumentError


class NotFoundError(DocumentError):
    """What a command names does not exist, or is not the caller's to see."""
