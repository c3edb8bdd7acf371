"""Pages of HTML that need nothing else: one frame, and a template for what each page says.

Invariant: what a page is given is escaped, a name that a template lacks is a fault, and the same
figures give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: str, *, view: Mapping[str, Any]) -> bytes:
    """The page of a template in this folder, which extends ``page.html``; UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(view).encode()
